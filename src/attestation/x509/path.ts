/** From a certificate to a pinned root (RFC 5280, 6.1, without dates: whoever asks says for himself what is too old). */
import { sha256Hex } from '../../domain/bytes.ts';
import { LruMap } from '../../domain/lru-map.ts';
import { type Certificate, isIssuedBy, readCertificate, unknownCritical } from './certificate.ts';
import { Malformed } from './der.ts';
import { derOrPem } from './pem.ts';

/** Certificates in one file of issuers. Vendors send two or three. */
const MAX_ISSUERS = 6;
/** Of such a file: PEM of as many large certificates. Looked at before anything is digested. */
const MAX_FILE_BYTES = 98_304;

/**
 * Remembers what was read and verified of issuers, by digest, so that the thousandth report of a fleet costs two signatures and not
 * four. It only saves work: every answer is the one that a fresh instance gives. Leaves are not kept.
 */
export class IssuerMemo {
  readonly #files = new LruMap<string, readonly Certificate[]>(64);
  readonly #issued = new LruMap<string, boolean>(256);
  readonly #anything = new LruMap<string, object>(64);

  /** One DER certificate, or PEM of up to six. Throws Malformed. */
  certificates(file: Uint8Array): readonly Certificate[] {
    if (file.length > MAX_FILE_BYTES) throw new Malformed(`longer than ${MAX_FILE_BYTES} bytes`);
    const digest = sha256Hex(file);
    const known = this.#files.get(digest);
    if (known !== undefined) return known;
    const certificates = derOrPem(file, 'CERTIFICATE', MAX_ISSUERS).map(readCertificate);
    this.#files.set(digest, certificates);
    return certificates;
  }

  /** Exactly one, DER: of PEM, or of several, other evidence has none inside. Throws Malformed. */
  certificate(der: Uint8Array): Certificate {
    const [only, ...more] = der[0] === 0x30 ? this.certificates(der) : [];
    if (only === undefined || more.length > 0) throw new Malformed('not exactly one DER certificate');
    return only;
  }

  isIssuedBy(subject: Certificate, issuer: Certificate): boolean {
    const pair = `${subject.fingerprint} ${issuer.fingerprint}`;
    const known = this.#issued.get(pair);
    if (known !== undefined) return known;
    const answer = isIssuedBy(subject, issuer);
    this.#issued.set(pair, answer);
    return answer;
  }

  /** A leaf below its issuer: verified each time, because there are more leaves than could be kept. */
  isLeafIssuedBy(leaf: Certificate, issuer: Certificate): boolean {
    return isIssuedBy(leaf, issuer);
  }

  /** The same for another document that is named by its digest: made once, immutable. */
  once<T extends object>(name: string, make: () => T): T {
    const known = this.#anything.get(name);
    if (known !== undefined) return known as T; // `name` says what it is: every caller has a prefix of its own
    const made = make();
    this.#anything.set(name, made);
    return made;
  }
}

export interface PathInputs {
  /** In any order; nothing in here is trusted. */
  readonly issuers: readonly Certificate[];
  /** Pinned: a copy counts by its fingerprint, never by its name. */
  readonly roots: readonly Certificate[];
  readonly memo: IssuerMemo;
  /** Critical extensions that whoever asks understands, besides those of unknownCritical. */
  readonly knownCritical?: readonly string[];
}

/** From `leaf` to one of the roots, both included; undefined when there is no way. */
export function pathToRoot(
  leaf: Certificate,
  { issuers, roots, memo, knownCritical = [] }: PathInputs,
): readonly Certificate[] | undefined {
  const understood = (certificate: Certificate) => unknownCritical(certificate, knownCritical).length === 0;
  const step = (path: readonly Certificate[], last: Certificate): readonly Certificate[] | undefined => {
    if (roots.some(({ fingerprint }) => fingerprint === last.fingerprint)) return path;
    if (path.length > MAX_ISSUERS) return undefined;
    for (const issuer of [...roots, ...issuers]) {
      if (path.includes(issuer) || !understood(issuer) || !mayIssue(issuer, last, path.length - 1, memo)) continue;
      const found = step([...path, issuer], issuer);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return understood(leaf) ? step([leaf], leaf) : undefined;
}

/** `below`: CA certificates between the issuer and the leaf. */
function mayIssue(issuer: Certificate, subject: Certificate, below: number, memo: IssuerMemo): boolean {
  if (issuer.pathLength !== undefined && below > issuer.pathLength) return false;
  return below === 0 ? memo.isLeafIssuedBy(subject, issuer) : memo.isIssuedBy(subject, issuer);
}
