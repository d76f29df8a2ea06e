/**
 * Lists of revoked certificates of the authorities above a key: NVIDIA's, of its authorities and not of single devices, which only its OCSP responder
 * answers for; those of the clouds that certify keys of virtual TPMs. A listed authority takes everything below it along.
 */
import { sha256Hex } from '../domain/bytes.ts';
import type { Endorsement } from '../domain/evidence.ts';
import { endorsementOf } from './endorsements.ts';
import type { CollateralReader, IdentifiedCollateral } from './port.ts';
import type { Certificate } from './x509/certificate.ts';
import { type Crl, isCrlOf, listCounter, readCrl } from './x509/crl.ts';
import { orUndefined } from './x509/der.ts';
import { IssuerMemo, pathToRoot } from './x509/path.ts';
import { standing } from './x509/validity.ts';

export interface ListsVerdict {
  /** Of the certificate that a list names. */
  readonly revoked: Certificate | undefined;
  /** A list that was used is past its date. */
  readonly isStale: boolean;
  /** Of every authority on the way there is a list, and it is in date. */
  readonly isWhole: boolean;
  readonly endorsements: readonly Endorsement[];
}

/** `chain`: verified, from the certificate that signed up to the root. Lists that are not signed by its authorities are not of it. */
export async function checkAuthorityLists(
  chain: readonly Certificate[],
  { collateral, now, memo }: { readonly collateral: CollateralReader; readonly now: Date; readonly memo: IssuerMemo },
): Promise<ListsVerdict> {
  const endorsements: Endorsement[] = [];
  let isStale = false;
  let revoked: Certificate | undefined;
  for (const [at, authority] of chain.entries()) {
    const subject = chain[at - 1];
    const kept = subject && (await collateral.find('x509-crl', keyOf(authority)));
    if (kept === undefined) continue;
    const { crl } = memo.once(`authority-crl ${kept.digest} ${authority.fingerprint}`, () => ({ crl: listOf(kept.bytes, authority) }));
    const where = crl && standing(crl, now);
    if (crl === undefined || where === 'early') continue;
    isStale ||= where === 'late';
    endorsements.push(endorsementOf('authority CRL', kept.bytes, crl));
    if (crl.revoked.has(subject?.serial ?? '')) revoked ??= subject;
  }
  return { revoked, isStale, isWhole: !isStale && endorsements.length === chain.length - 1, endorsements };
}

function listOf(file: Uint8Array, authority: Certificate): Crl | undefined {
  const crl = orUndefined(() => readCrl(splitFile(file).list));
  return crl !== undefined && isCrlOf(crl, authority) ? crl : undefined;
}

/** SHA-256 of its SubjectPublicKeyInfo. */
function keyOf({ publicKey }: Certificate): string {
  return sha256Hex(publicKey.export({ type: 'spki', format: 'der' }));
}

/** A list of a root as it is published, DER or PEM; a list of another authority as PEM with the certificates up to below the root behind it. */
export function identifyAuthorityList(
  bytes: Uint8Array,
  roots: readonly Uint8Array[],
  knownCritical: readonly string[] = [],
): IdentifiedCollateral | undefined {
  const memo = new IssuerMemo();
  const { list, certificates } = splitFile(bytes);
  const crl = orUndefined(() => readCrl(list));
  if (crl === undefined) return undefined;
  const issuers = certificates.length === 0 ? [] : (orUndefined(() => memo.certificates(certificates)) ?? []);
  const pinned = roots.flatMap((root) => memo.certificates(root));
  const authority = [...pinned, ...issuers].find(
    (one) => isCrlOf(crl, one) && pathToRoot(one, { issuers, roots: pinned, memo, knownCritical }) !== undefined,
  );
  return authority && { type: 'x509-crl', key: keyOf(authority), issuedAt: crl.from, expiresAt: crl.until, ...listCounter(crl) };
}

function splitFile(bytes: Uint8Array): { readonly list: Uint8Array; readonly certificates: Uint8Array } {
  const at = bytes[0] === 0x30 ? -1 : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf('-----BEGIN CERTIFICATE-----');
  return at < 0 ? { list: bytes, certificates: new Uint8Array(0) } : { list: bytes.subarray(0, at), certificates: bytes.subarray(at) };
}
