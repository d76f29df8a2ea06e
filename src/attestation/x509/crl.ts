/** A complete list of revoked certificates (RFC 5280, 5), read as strictly as certificates are. */
import { equalBytes, toHex } from '../../domain/bytes.ts';
import { type Certificate, serialText } from './certificate.ts';
import { child, type DerNode, expectTag, Malformed, oidText, parseDer, smallInteger, TAG, timeOf, wholeBytes } from './der.ts';
import { type Name, readName } from './names.ts';
import { derOrPem } from './pem.ts';
import { isSignedBy, readAlgorithm, type Signed } from './signature.ts';
import type { Validity } from './validity.ts';

/** Intel's had 129 entries in 7 KiB in 2026. */
const MAX_CRL_BYTES = 262_144;
/** About 2,300 entries with a reason. */
const MAX_NODES = 16_384;

const CRL_NUMBER = '2.5.29.20';

export interface Crl extends Signed, Validity {
  readonly issuer: Name;
  /** Serials as `Certificate.serial` writes them, in the order of the list. */
  readonly revoked: ReadonlySet<string>;
  readonly number: number | undefined;
}

/** DER, or PEM of exactly one. Throws Malformed. */
export function readCrl(bytes: Uint8Array): Crl {
  if (bytes.length > MAX_CRL_BYTES) throw new Malformed(`longer than ${MAX_CRL_BYTES} bytes`);
  const [der = bytes] = derOrPem(bytes, 'X509 CRL', 1);
  const whole = expectTag(parseDer(der.slice(), { maxBytes: MAX_CRL_BYTES, maxNodes: MAX_NODES }), TAG.sequence);
  const tbs = child(whole, 0, TAG.sequence);
  const algorithm = child(whole, 1, TAG.sequence);
  const [version, innerAlgorithm, issuer, thisUpdate, nextUpdate, ...rest] = tbs.children;
  if (whole.children.length !== 3 || smallInteger(version) !== 1) throw new Malformed('not a version 2 list');
  if (!equalBytes(expectTag(innerAlgorithm, TAG.sequence).whole, algorithm.whole)) throw new Malformed('two signature algorithms');
  const entries = rest[0]?.tag === TAG.sequence ? rest[0].children : [];
  const number = readExtensions(rest.at(-1)).get(CRL_NUMBER);
  return {
    tbs: tbs.whole,
    algorithm: readAlgorithm(algorithm),
    signature: wholeBytes(whole.children[2]),
    issuer: readName(issuer),
    from: timeOf(thisUpdate),
    until: timeOf(nextUpdate),
    revoked: readEntries(entries),
    number: number && smallInteger(parseDer(number, { maxBytes: 32, maxNodes: 1 })),
  };
}

/** Most entries have one of a few times: each is read once. */
function readEntries(entries: readonly DerNode[]): ReadonlySet<string> {
  const times = new Set<string>();
  return new Set(entries.map((entry) => readEntry(entry, times)));
}

function readEntry(entry: DerNode, times: Set<string>): string {
  const [serial, time, extensions] = expectTag(entry, TAG.sequence).children;
  const written = time === undefined ? '' : toHex(time.whole);
  if (!times.has(written)) timeOf(time);
  times.add(written);
  if (extensions !== undefined) refuseCritical(expectTag(extensions, TAG.sequence));
  return serialText(serial);
}

/**
 * Values by object identifier. A critical extension makes a list mean something else: entries of other issuers, or only some
 * certificates (RFC 5280, 5.2.5). Such a list is refused, because what is not in it may be revoked elsewhere.
 */
function readExtensions(node: DerNode | undefined): ReadonlyMap<string, Uint8Array> {
  if (node?.tag !== 0xa0) return new Map();
  const list = child(node, 0, TAG.sequence);
  refuseCritical(list);
  return new Map(list.children.map((extension) => [oidText(extension.children[0]), child(extension, 1, TAG.octetString).contents]));
}

function refuseCritical(list: DerNode): void {
  const critical = list.children.find((extension) => expectTag(extension, TAG.sequence).children[1]?.tag === TAG.boolean);
  if (critical !== undefined) throw new Malformed(`critical extension ${oidText(critical.children[0])} is not processed here`);
}

/** The issuer's name byte for byte, its right to sign lists, and the signature. Says nothing about dates. */
export function isCrlOf(crl: Crl, issuer: Certificate): boolean {
  return equalBytes(crl.issuer.whole, issuer.subject.whole) && issuer.issuesCrls && isSignedBy(crl, issuer.publicKey);
}

/** CRLNumber (RFC 5280, 5.2.3) grows with each list of an issuer. */
export function listCounter({ number }: Crl): { readonly counters?: Readonly<Record<string, number>> } {
  return number === undefined ? {} : { counters: { list: number } };
}
