/**
 * Roots of the makers of hardware, shipped as data (policies/anchors/vendor-roots). They are what `wv evidence check` and the doctor judge by,
 * and what administrators propose from. A vault believes none of them before two people put it in force (document `trust-anchors`).
 */
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { EvidenceKind } from '../domain/evidence.ts';
import type { PinnedRoot } from './examination.ts';

/** A row of roots.json, and the certificate it names. `name` is the name of its file without `.pem`. */
export interface VendorRoot extends PinnedRoot {
  readonly title: string;
  readonly kind: EvidenceKind;
  /** `tokens`: signs what an issuer of tokens puts into their headers. */
  /** `attestation-keys`: certifies keys that TPMs quote with. */
  readonly use: 'evidence' | 'reference-values' | 'tokens' | 'attestation-keys';
  /** It certifies endorsement keys of TPMs as well. */
  readonly endorsementKeys?: true;
  /** Of the DER certificate. */
  readonly sha256: string;
  /** Of its DER SubjectPublicKeyInfo. */
  readonly spkiSha256: string;
  readonly notBefore: string;
  readonly notAfter: string;
  /** Where its maker publishes it. Every one was compared in the public repositories of `comparedIn`. */
  readonly publishedAt?: string;
  readonly comparedIn: readonly string[];
}

const FOLDER = new URL('../../policies/anchors/vendor-roots/', import.meta.url);
const EK_FOLDER = new URL('../../policies/anchors/ek-roots/', import.meta.url);
let loaded: readonly VendorRoot[] | undefined;
let loadedEk: readonly EkRoot[] | undefined;

/** The root of a maker of TPM chips. No examination judges by it: an endorsement key signs no evidence. */
export type EkRoot = Omit<VendorRoot, 'vendor'> & { readonly vendor: string };

/** Read once. Throws when a file is not the certificate that the table names: somebody changed one of the two. */
export function pinnedRoots(): readonly VendorRoot[] {
  loaded ??= readRoots(FOLDER);
  return loaded;
}

/** The same of makers of TPM chips. */
export function ekRoots(): readonly EkRoot[] {
  loadedEk ??= readRoots<EkRoot>(EK_FOLDER);
  return loadedEk;
}

export function readRoots<R extends EkRoot = VendorRoot>(folder: URL): readonly R[] {
  const table = JSON.parse(readFileSync(new URL('roots.json', folder), 'utf8')) as { roots: Array<Omit<R, 'certificate'>> }; // ours
  return table.roots.map((row) => {
    const { raw, publicKey } = new X509Certificate(readFileSync(new URL(`${row.name}.pem`, folder)));
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    if (digest(raw) !== row.sha256 || digest(spki) !== row.spkiSha256)
      throw new Error(`${row.name}.pem is not the certificate of roots.json`);
    return { ...row, certificate: new Uint8Array(raw) } as R; // what was left out above
  });
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
