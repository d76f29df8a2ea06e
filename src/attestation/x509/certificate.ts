/** One X.509 certificate (RFC 5280), read strictly: exactly one DER structure, both algorithm fields alike, no extension twice. */
import type { KeyObject } from 'node:crypto';
import { equalBytes, sha256Hex, toHex } from '../../domain/bytes.ts';
import { child, type DerNode, expectTag, Malformed, oidText, parseDer, smallInteger, TAG, timeOf, wholeBytes } from './der.ts';
import { type Name, readName } from './names.ts';
import { isSignedBy, readAlgorithm, readPublicKey, type Signed } from './signature.ts';

/** AMD's are 1.7 KiB, Azure's vTPM certificates 2 KiB. */
export const MAX_CERTIFICATE_BYTES = 8192;
const MAX_NODES = 400;

export interface Extension {
  readonly critical: boolean;
  /** Contents of the OCTET STRING. */
  readonly value: Uint8Array;
}

export interface Certificate extends Signed {
  readonly der: Uint8Array;
  /** SHA-256 of `der`, hex: what roots are pinned by. */
  readonly fingerprint: string;
  /** Contents of the INTEGER, hex, without leading zeros: as lists of revoked certificates compare them. */
  readonly serial: string;
  readonly issuer: Name;
  readonly subject: Name;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: KeyObject;
  /** By dotted object identifier. */
  readonly extensions: ReadonlyMap<string, Extension>;
  /** basicConstraints cA, and keyCertSign unless there is no keyUsage. */
  readonly issuesCertificates: boolean;
  /** cRLSign, or no keyUsage. */
  readonly issuesCrls: boolean;
  /** CA certificates that may follow below. */
  readonly pathLength: number | undefined;
}

const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
/** Bits of keyUsage (RFC 5280, 4.2.1.3), from the highest bit of the first byte. */
const KEY_CERT_SIGN = 0x04;
const CRL_SIGN = 0x02;

/** Throws Malformed. */
export function readCertificate(der: Uint8Array): Certificate {
  const copy = der.slice(); // what was verified cannot change with the caller's buffer
  const whole = expectTag(parseDer(copy, { maxBytes: MAX_CERTIFICATE_BYTES, maxNodes: MAX_NODES }), TAG.sequence);
  const tbs = child(whole, 0, TAG.sequence);
  const algorithm = child(whole, 1, TAG.sequence);
  const signature = wholeBytes(whole.children[2]);
  const [version, serial, innerAlgorithm, issuer, validity, subject, spki, ...optional] = tbs.children;
  if (whole.children.length !== 3 || version?.tag !== 0xa0 || smallInteger(version.children[0]) !== 2) {
    throw new Malformed('not a version 3 certificate');
  }
  if (!equalBytes(expectTag(innerAlgorithm, TAG.sequence).whole, algorithm.whole)) throw new Malformed('two signature algorithms');
  const extensions = readExtensions(optional.at(-1));
  return {
    der: copy,
    fingerprint: sha256Hex(copy),
    tbs: tbs.whole,
    algorithm: readAlgorithm(algorithm),
    signature,
    serial: serialText(serial),
    issuer: readName(issuer),
    subject: readName(subject),
    notBefore: timeOf(expectTag(validity, TAG.sequence).children[0]),
    notAfter: timeOf(validity?.children[1]),
    publicKey: readPublicKey(expectTag(spki, TAG.sequence).whole),
    extensions,
    ...readUses(extensions),
  };
}

export function serialText(node: DerNode | undefined): string {
  return toHex(expectTag(node, TAG.integer).contents).replace(/^0+(?=.)/, '');
}

function readExtensions(node: DerNode | undefined): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>();
  if (node?.tag !== 0xa3) return extensions;
  for (const extension of child(node, 0, TAG.sequence).children) {
    const [id, second, third] = expectTag(extension, TAG.sequence).children;
    const oid = oidText(id);
    const critical = second?.tag === TAG.boolean;
    if (critical && second.contents[0] === 0) throw new Malformed('a default value that is written out');
    if (extension.children.length !== (critical ? 3 : 2)) throw new Malformed('an extension that is not one');
    if (extensions.has(oid)) throw new Malformed(`extension ${oid} twice`);
    extensions.set(oid, { critical, value: expectTag(critical ? third : second, TAG.octetString).contents });
  }
  return extensions;
}

function readUses(extensions: ReadonlyMap<string, Extension>): Pick<Certificate, 'issuesCertificates' | 'issuesCrls' | 'pathLength'> {
  const [isCa, pathLength] = parsed(extensions.get(BASIC_CONSTRAINTS), TAG.sequence)?.children ?? [];
  const usage = parsed(extensions.get(KEY_USAGE), TAG.bitString)?.contents[1];
  const may = (bit: number) => usage === undefined || (usage & bit) !== 0;
  return {
    issuesCertificates: isCa?.tag === TAG.boolean && isCa.contents[0] === 0xff && may(KEY_CERT_SIGN),
    issuesCrls: may(CRL_SIGN),
    pathLength: pathLength === undefined ? undefined : smallInteger(pathLength),
  };
}

function parsed(extension: Extension | undefined, tag: number): DerNode | undefined {
  return extension && expectTag(parseDer(extension.value, { maxBytes: MAX_CERTIFICATE_BYTES, maxNodes: MAX_NODES }), tag);
}

/** Names byte for byte, the right to issue, and the signature over the exact bytes. Says nothing about dates or anchors. */
export function isIssuedBy(subject: Certificate, issuer: Certificate): boolean {
  return equalBytes(subject.issuer.whole, issuer.subject.whole) && issuer.issuesCertificates && isSignedBy(subject, issuer.publicKey);
}

/** Critical extensions that neither RFC 5280 basics nor `known` cover (RFC 5280, 4.2): the certificate must not be used. */
export function unknownCritical(certificate: Certificate, known: readonly string[] = []): readonly string[] {
  return [...certificate.extensions]
    .filter(([oid, { critical }]) => critical && ![BASIC_CONSTRAINTS, KEY_USAGE, ...known].includes(oid))
    .map(([oid]) => oid);
}
