/** Certificates that came with a key or a token (RFC 7515, 4.1.6): they count only when they lead to a root of ours. */
import { equalBytes } from '../../domain/bytes.ts';
import type { Certificate } from '../x509/certificate.ts';
import { Malformed } from '../x509/der.ts';
import { IssuerMemo, pathToRoot } from '../x509/path.ts';
import { derOrPem } from '../x509/pem.ts';

export type X5cProblem = 'no_x5c' | 'malformed' | 'untrusted_root' | 'certificate_expired' | 'certificate_not_yet_valid';

const MAX_CERTIFICATES = 6;
const MAX_TRUST_BYTES = 128 * 1024;
const MAX_TRUST_CERTIFICATES = 20;
/** subjectAltName, certificatePolicies, extKeyUsage: none of them limits what a token may say here. */
const KNOWN_CRITICAL = ['2.5.29.17', '2.5.29.32', '2.5.29.37'];

const memo = new IssuerMemo();

/** Of a root that is shipped with the product: one that cannot be read is a fault of ours. */
export function pinnedCertificate(der: Uint8Array): Certificate {
  const [certificate] = memo.certificates(der);
  if (certificate === undefined) throw new Error('a pinned root holds no certificate');
  return certificate;
}

export interface Trust {
  readonly roots: readonly Certificate[];
  /** Certificates that may help to find the way, and are nobody's root. */
  readonly helpers: readonly Certificate[];
}

/** A file of certificates that are trusted: roots are the ones that signed themselves. Undefined when it cannot be read. */
export function readTrust(pem: Uint8Array): Trust | undefined {
  if (pem.length > MAX_TRUST_BYTES) return undefined;
  try {
    const all = derOrPem(pem, 'CERTIFICATE', MAX_TRUST_CERTIFICATES).flatMap((der) => memo.certificates(der));
    const isRoot = (one: Certificate) => equalBytes(one.subject.whole, one.issuer.whole);
    return { roots: all.filter(isRoot), helpers: all.filter((one) => !isRoot(one)) };
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

export interface VerifiedX5c {
  readonly problems: readonly X5cProblem[];
  /** There as soon as the first certificate could be read, trusted or not. */
  readonly leaf?: Certificate;
  readonly root?: Certificate;
  /** From the leaf to the root, both included. */
  readonly path?: readonly Certificate[];
}

/** The leaf comes first; the order of the others is not believed, and one that leads nowhere takes nothing away. */
export function verifyX5c(x5c: unknown, { roots, helpers }: Trust, now: Date): VerifiedX5c {
  if (x5c === undefined) return { problems: ['no_x5c'] };
  const [leaf, ...issuers] = readX5c(x5c);
  if (leaf === undefined) return { problems: [...(isEmpty(x5c) ? (['no_x5c'] as const) : []), 'malformed', 'untrusted_root'] };
  const known = issuers.filter((issuer) => issuer !== undefined);
  if (known.length < issuers.length) return { problems: ['malformed', 'untrusted_root'], leaf };
  const path = pathToRoot(leaf, { issuers: [...known, ...helpers], roots, memo, knownCritical: KNOWN_CRITICAL });
  const root = path?.at(-1);
  if (path === undefined || root === undefined) return { problems: ['untrusted_root'], leaf };
  const problems: X5cProblem[] = [];
  if (path.some(({ notAfter }) => now.getTime() > notAfter.getTime())) problems.push('certificate_expired', 'untrusted_root');
  if (path.some(({ notBefore }) => now.getTime() < notBefore.getTime())) problems.push('certificate_not_yet_valid', 'untrusted_root');
  return { problems, leaf, root, path };
}

function isEmpty(x5c: unknown): boolean {
  return Array.isArray(x5c) && x5c.length === 0;
}

/** Undefined in the place of each that is no certificate; nothing at all when the list is none. */
function readX5c(x5c: unknown): ReadonlyArray<Certificate | undefined> {
  if (!Array.isArray(x5c) || x5c.length > MAX_CERTIFICATES) return [];
  return x5c.map((text: unknown) => {
    try {
      return memo.certificates(base64(text))[0];
    } catch (error) {
      if (error instanceof Malformed) return undefined;
      throw error;
    }
  });
}

function base64(text: unknown): Uint8Array {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'base64') : undefined;
  if (bytes === undefined || bytes.toString('base64') !== text) throw new Malformed('not base64');
  return new Uint8Array(bytes);
}
