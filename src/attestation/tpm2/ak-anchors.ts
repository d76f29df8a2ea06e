/** Does the certificate of an attestation key lead to an anchor of ours that certifies such keys? */
import type { KeyObject } from 'node:crypto';
import { fromBase64 } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { type Endorsement, failedClaim, type Refusal, refuse, type TrustAnchor } from '../../domain/evidence.ts';
import type { Facts } from '../../domain/facts.ts';
import { checkAuthorityLists } from '../authority-lists.ts';
import { certificateEndorsements } from '../endorsements.ts';
import type { VerificationContext } from '../port.ts';
import { type Certificate, readCertificate } from '../x509/certificate.ts';
import { orUndefined } from '../x509/der.ts';
import { nameText } from '../x509/names.ts';
import type { IssuerMemo } from '../x509/path.ts';
import { isoSeconds } from '../x509/validity.ts';
import { pathOfAk } from './ak-path.ts';
import type { AkCertificateChain } from './evidence.ts';
import { gceInstanceFacts } from './gce-instance.ts';

export interface CertifiedKey {
  readonly facts: Facts;
  readonly endorsements: readonly Endorsement[];
}

/** The certificate is about this very key, and today its path holds. The certificates that came along only help to find the way. */
export async function checkAkCertificate(
  { certificate, intermediates }: AkCertificateChain,
  key: KeyObject,
  { context, memo }: { readonly context: VerificationContext; readonly memo: IssuerMemo },
): Promise<CertifiedKey | Refusal> {
  const roots = attestationRoots(context.anchors, memo);
  if (roots.length === 0) return refuse('endorsement_untrusted', 'no trust anchor for tpm2 with use attestation-keys is in force');
  const chain = orUndefined(() => ({
    leaf: readCertificate(certificate),
    issuers: intermediates.map((der) => memo.certificate(der)),
  }));
  if (chain === undefined) return refuse('evidence_malformed', 'the certificate of the attestation key, or of an issuer, cannot be read');
  const { leaf } = chain;
  if (!leaf.publicKey.equals(key)) {
    const failed = failedClaim('key of the certificate', 'the one that quoted');
    return refuse('endorsement_untrusted', 'the certificate is about another key than the one that quoted', { failed });
  }
  const path = orUndefined(() => pathOfAk(leaf, { ...chain, roots, memo }));
  if (path === undefined) {
    const names = roots.map(({ subject }) => nameText(subject)).slice(0, 8);
    const failed = failedClaim('issuer of the attestation key', names, nameText(leaf.issuer));
    return refuse('endorsement_untrusted', 'the certificate of the attestation key leads to no trust anchor', { failed });
  }
  return outOfDate(path, context.now) ?? (await withLists(path, context, memo));
}

/** Its cloud's lists, as far as the vault keeps them. */
async function withLists(
  path: readonly Certificate[],
  { collateral, now }: VerificationContext,
  memo: IssuerMemo,
): Promise<CertifiedKey | Refusal> {
  const { revoked, isStale, isWhole, endorsements } = await checkAuthorityLists(path, { collateral, now, memo });
  if (revoked !== undefined) {
    const failed = failedClaim('certificates of the attestation key', 'none that is revoked', `serial ${revoked.serial}`);
    return refuse('endorsement_revoked', 'a certificate of the attestation key is revoked', { failed });
  }
  const [leaf] = path;
  return {
    facts: { ...(leaf && gceInstanceFacts(leaf)), akRevocation: isWhole ? 'good' : 'unknown', collateralStale: isStale },
    endorsements: [
      ...certificateEndorsements(['AK certificate', ...path.slice(2).map(() => 'AK issuer'), 'AK root'], path),
      ...endorsements,
    ],
  };
}

function attestationRoots(anchors: readonly TrustAnchor[], memo: IssuerMemo): readonly Certificate[] {
  return anchors.flatMap((anchor) => {
    if (anchor.kind !== 'tpm2' || anchor.use !== 'attestation-keys') return [];
    try {
      return memo.certificates(fromBase64(anchor.certificate));
    } catch (cause) {
      throw new VaultError('document_invalid', `trust anchor ${anchor.name} is not a certificate this vault can read`, { cause });
    }
  });
}

function outOfDate(path: readonly Certificate[], now: Date): Refusal | undefined {
  const wrong = path.find(({ notBefore, notAfter }) => now.getTime() < notBefore.getTime() || now.getTime() > notAfter.getTime());
  if (wrong === undefined) return undefined;
  const period = `${isoSeconds(wrong.notBefore)} to ${isoSeconds(wrong.notAfter)}`;
  const failed = [{ claim: 'validity of a certificate of the attestation key', expected: [period], seen: now.toISOString() }];
  return refuse('evidence_expired', 'a certificate of the attestation key is expired or not yet valid', { failed });
}
