/** What a verdict stood on, for the record: digests and dates, so that it can be found out later which of two lists it was. */
import { sha256Hex } from '../domain/bytes.ts';
import type { Endorsement } from '../domain/evidence.ts';
import { parseDigest } from '../domain/ids.ts';
import type { Certificate } from './x509/certificate.ts';
import { isoSeconds, type Validity } from './x509/validity.ts';

export function endorsementOf(what: string, bytes: Uint8Array, period?: Validity): Endorsement {
  const digest = parseDigest(sha256Hex(bytes));
  return period === undefined ? { what, digest } : { what, digest, notBefore: isoSeconds(period.from), notAfter: isoSeconds(period.until) };
}

/** `names` from the leaf up. */
export function certificateEndorsements(names: readonly string[], path: readonly Certificate[]): readonly Endorsement[] {
  return path.map(({ der, notBefore, notAfter }, at) =>
    endorsementOf(names[at] ?? 'certificate', der, { from: notBefore, until: notAfter }),
  );
}
