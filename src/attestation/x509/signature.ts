/** Signatures over X.509 structures: AlgorithmIdentifier read (RFC 5280, 4.1.1.2), verified by node:crypto over the exact bytes. */
import { constants, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { child, type DerNode, expectTag, Malformed, oidText, parseDer, smallInteger, TAG } from './der.ts';

export type Hash = 'sha256' | 'sha384' | 'sha512';
export interface SignatureAlgorithm {
  readonly scheme: 'ecdsa' | 'rsassa' | 'rsapss';
  readonly hash: Hash;
}

/** SHA-1 and MD5 are missing on purpose: whoever finds a collision makes a certificate. */
const ALGORITHMS: Readonly<Record<string, SignatureAlgorithm>> = {
  '1.2.840.10045.4.3.2': { scheme: 'ecdsa', hash: 'sha256' },
  '1.2.840.10045.4.3.3': { scheme: 'ecdsa', hash: 'sha384' },
  '1.2.840.10045.4.3.4': { scheme: 'ecdsa', hash: 'sha512' },
  '1.2.840.113549.1.1.11': { scheme: 'rsassa', hash: 'sha256' },
  '1.2.840.113549.1.1.12': { scheme: 'rsassa', hash: 'sha384' },
  '1.2.840.113549.1.1.13': { scheme: 'rsassa', hash: 'sha512' },
};
const RSASSA_PSS = '1.2.840.113549.1.1.10';
const MGF1 = '1.2.840.113549.1.1.8';
const HASHES: Readonly<Record<string, Hash>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};
export const HASH_BYTES: Readonly<Record<Hash, number>> = { sha256: 32, sha384: 48, sha512: 64 };

/** Throws Malformed for an algorithm that is not known here, or weak. */
export function readAlgorithm(node: DerNode): SignatureAlgorithm {
  const oid = oidText(node.children[0]);
  if (oid === RSASSA_PSS) return readPss(child(node, 1, TAG.sequence));
  const algorithm = Object.hasOwn(ALGORITHMS, oid) ? ALGORITHMS[oid] : undefined;
  if (algorithm === undefined) throw new Malformed(`signature algorithm ${oid} is not accepted`);
  checkNoParameters(node, algorithm.scheme === 'rsassa');
  return algorithm;
}

/** ECDSA has none (RFC 5758, 3.2); PKCS #1 has NULL (RFC 4055, 5). */
function checkNoParameters(node: DerNode, isNull: boolean): void {
  if (isNull) child(node, 1, TAG.null);
  if (node.children.length !== (isNull ? 2 : 1)) throw new Malformed('a signature algorithm with parameters it does not have');
}

/** RFC 4055, 3.1: one hash for both purposes and a salt as long as it. AMD writes the trailer field although 1 is its default. */
function readPss(parameters: DerNode): SignatureAlgorithm {
  const [hashPart, maskPart, saltPart, trailerPart, ...more] = parameters.children;
  const hash = hashOf(inner(hashPart, 0xa0));
  const mask = inner(maskPart, 0xa1);
  const sound =
    oidText(mask.children[0]) === MGF1 &&
    hashOf(child(mask, 1, TAG.sequence)) === hash &&
    smallInteger(inner(saltPart, 0xa2)) === HASH_BYTES[hash] &&
    (trailerPart === undefined || smallInteger(inner(trailerPart, 0xa3)) === 1) &&
    more.length === 0;
  if (!sound) throw new Malformed('RSASSA-PSS parameters that are not accepted');
  return { scheme: 'rsapss', hash };
}

function inner(node: DerNode | undefined, tag: number): DerNode {
  const [only, ...more] = expectTag(node, tag).children;
  if (only === undefined || more.length > 0) throw new Malformed('an explicit tag around not exactly one value');
  return only;
}

function hashOf(node: DerNode): Hash {
  const oid = oidText(expectTag(node, TAG.sequence).children[0]);
  const hash = Object.hasOwn(HASHES, oid) ? HASHES[oid] : undefined;
  if (hash === undefined) throw new Malformed(`hash ${oid} is not accepted`);
  return hash;
}

export interface Signed {
  /** The exact bytes that are signed. */
  readonly tbs: Uint8Array;
  readonly algorithm: SignatureAlgorithm;
  readonly signature: Uint8Array;
}

/** False for anything that does not fit, a key of another type among it; never throws for bad input. */
export function isSignedBy({ tbs, algorithm, signature }: Signed, key: KeyObject): boolean {
  const { scheme, hash } = algorithm;
  if (scheme === 'ecdsa') return key.asymmetricKeyType === 'ec' && verifies(hash, tbs, { key, dsaEncoding: 'der' }, signature);
  // An RSASSA-PSS key (RFC 4055, 1.2) may not make PKCS #1 signatures.
  if (key.asymmetricKeyType !== 'rsa' && !(scheme === 'rsapss' && key.asymmetricKeyType === 'rsa-pss')) return false;
  if (scheme === 'rsassa') return verifies(hash, tbs, { key, padding: constants.RSA_PKCS1_PADDING }, signature);
  return verifies(hash, tbs, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: HASH_BYTES[hash] }, signature);
}

function verifies(hash: Hash, tbs: Uint8Array, key: Parameters<typeof verify>[2], signature: Uint8Array): boolean {
  try {
    return verify(hash, tbs, key, signature);
  } catch {
    return false; // a key that cannot do this verifies nothing
  }
}

const EC_PUBLIC_KEY = '1.2.840.10045.2.1';
/** NIST's, by name (RFC 5480, 2.1.1.1), as node:crypto calls them. */
const CURVES: Readonly<Record<string, string>> = {
  '1.2.840.10045.3.1.7': 'prime256v1',
  '1.3.132.0.34': 'secp384r1',
  '1.3.132.0.35': 'secp521r1',
};
/** Asking a key for its curve exports it, which takes longer than reading its name where it stands. */
const curves = new WeakMap<KeyObject, string>();

export function curveOf(key: KeyObject): string | undefined {
  return curves.get(key) ?? key.asymmetricKeyDetails?.namedCurve;
}

/** Authorities have 65537. A long one makes verifying as slow as signing, for a sender to choose. */
const MAX_EXPONENT = 2n ** 32n;

/** A public key of a kind that is accepted: RSA of 2048 to 8192 bits, or EC on a NIST curve. DER SubjectPublicKeyInfo; throws Malformed. */
export function readPublicKey(spki: Uint8Array): KeyObject {
  const algorithm = child(parseDer(spki, { maxBytes: 2048, maxNodes: 32 }), 0, TAG.sequence);
  return oidText(algorithm.children[0]) === EC_PUBLIC_KEY ? readEcKey(spki, algorithm) : readRsaKey(spki);
}

/** OpenSSL gives a curve with parameters of its own the name of the curve that it resembles (CVE-2020-0601), so the name must be here. */
function readEcKey(spki: Uint8Array, algorithm: DerNode): KeyObject {
  const name = oidText(child(algorithm, 1, TAG.oid));
  const curve = Object.hasOwn(CURVES, name) ? CURVES[name] : undefined;
  if (curve === undefined) throw new Malformed('a public key of a kind that is not accepted');
  const key = importKey(spki);
  curves.set(key, curve);
  return key;
}

function readRsaKey(spki: Uint8Array): KeyObject {
  const key = importKey(spki);
  const { modulusLength = 0, publicExponent = MAX_EXPONENT } = key.asymmetricKeyDetails ?? {};
  const isRsa = key.asymmetricKeyType === 'rsa' || key.asymmetricKeyType === 'rsa-pss';
  if (!isRsa || modulusLength < 2048 || modulusLength > 8192 || publicExponent >= MAX_EXPONENT)
    throw new Malformed('a public key of a kind that is not accepted');
  return key;
}

/** SubjectPublicKeyInfo of P-256 up to x and y. */
const P256_SPKI = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');

/** x and y, 32 bytes each. Throws Malformed when they are no point of P-256. */
export function readP256Point(xy: Uint8Array): KeyObject {
  return readPublicKey(Buffer.concat([P256_SPKI, xy]));
}

function importKey(spki: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch (cause) {
    throw new Malformed('a public key that cannot be read', { cause });
  }
}

/**
 * ECDSA as r and s of the curve's width. Zero and values not below the order are refused here, before the library, because each
 * library has had its own day of accepting them.
 */
export function ecdsaVerifies(hash: Hash, data: Uint8Array, { r, s }: { r: Uint8Array; s: Uint8Array }, key: KeyObject): boolean {
  const curve = curveOf(key);
  const order = curve === 'prime256v1' ? P256_ORDER : curve === 'secp384r1' ? P384_ORDER : undefined;
  if (order === undefined || !inRange(r, order) || !inRange(s, order)) return false;
  return verifies(hash, data, { key, dsaEncoding: 'ieee-p1363' }, Buffer.concat([r, s]));
}

function inRange(value: Uint8Array, order: Buffer): boolean {
  return value.length === order.length && value.some((byte) => byte !== 0) && Buffer.compare(value, order) < 0;
}

/** SEC 2, 2.4.2 and 2.5.1. */
const P256_ORDER = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');
const P384_ORDER = Buffer.from('ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973', 'hex');
