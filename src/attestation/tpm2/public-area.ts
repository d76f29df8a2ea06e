/** TPM2B_PUBLIC of an attestation or endorsement key (TPM 2.0 Library part 2, 12.2): parsed, named, and as a Node key. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { concat, toHex } from '../../domain/bytes.ts';
import * as alg from './algorithms.ts';
import { Malformed, readWhole, type TpmReader, u16 } from './reader.ts';

/** RSA-4096 needs about 600 bytes. */
export const MAX_PUBLIC_BYTES = 1024;

type ReadHash = (id: number) => alg.SignedHash;

/** Bits of TPMA_OBJECT (part 2, 8.3). */
export const ATTRIBUTES = {
  fixedTPM: 1 << 1,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  restricted: 1 << 16,
  decrypt: 1 << 17,
  sign: 1 << 18,
} as const;

export interface PublicArea {
  /** nameAlg || H(TPMT_PUBLIC), lower-case hex (part 1, 16). The identity of the key, attributes included. */
  readonly name: string;
  readonly nameAlg: alg.HashName;
  readonly attributes: number;
  /** AES-CFB key bits a storage key protects its children with; absent for signing keys. */
  readonly aesBits?: 128 | 256;
  /** The one scheme this key signs with; absent when the key leaves it open (never so for a restricted signing key). */
  readonly scheme?: alg.SigningScheme;
  readonly type: 'rsa' | 'ecc';
  readonly curve?: alg.CurveName;
  readonly key: KeyObject;
}

/** Parses a whole TPM2B_PUBLIC. Throws Malformed. */
export function parsePublicArea(bytes: Uint8Array): PublicArea {
  const area = readWhole('TPM2B_PUBLIC', bytes, MAX_PUBLIC_BYTES, (reader) => reader.sized(MAX_PUBLIC_BYTES));
  return parseTpmtPublic(area);
}

/** Parses a whole TPMT_PUBLIC, the part that is hashed into the name. Throws Malformed; so is a scheme with SHA-1, unless `readHash` takes it. */
export function parseTpmtPublic(area: Uint8Array, readHash: ReadHash = alg.hashName): PublicArea {
  return readWhole('TPMT_PUBLIC', area, MAX_PUBLIC_BYTES, (reader) => {
    const type = reader.u16();
    const nameAlgId = reader.u16();
    const nameAlg = alg.hashName(nameAlgId);
    const attributes = reader.u32();
    reader.sized(64); // authPolicy: part of the name; says nothing we rely on
    const name = toHex(concat(u16(nameAlgId), alg.digest(nameAlg, area)));
    if (type === alg.ALG_RSA) return { name, nameAlg, attributes, type: 'rsa', ...readRsa(reader, readHash) };
    if (type === alg.ALG_ECC) return { name, nameAlg, attributes, type: 'ecc', ...readEcc(reader, readHash) };
    throw new Malformed('neither an RSA nor an ECC key');
  });
}

/** True when every bit of `all` is set and none of `none`. */
export function hasAttributes(
  area: PublicArea,
  all: readonly (keyof typeof ATTRIBUTES)[],
  none: readonly (keyof typeof ATTRIBUTES)[],
): boolean {
  const isSet = (name: keyof typeof ATTRIBUTES) => (area.attributes & ATTRIBUTES[name]) !== 0;
  return all.every(isSet) && !none.some(isSet);
}

function readRsa(reader: TpmReader, readHash: ReadHash) {
  const common = { ...readSymmetric(reader), ...readScheme(reader, false, readHash) };
  const bits = reader.u16();
  const exponent = reader.u32();
  const modulus = reader.sized(512);
  if (![2048, 3072, 4096].includes(bits)) throw new Malformed(`RSA of ${bits} bits`);
  // 0 stands for 2^16+1 (part 2, 12.2.3.5). TPMs make no other, and small exponents are a known trap.
  if (exponent !== 0 && exponent !== 65_537) throw new Malformed('RSA exponent is not 65537');
  if (modulus.length * 8 !== bits || ((modulus[0] ?? 0) & 0x80) === 0) throw new Malformed('the RSA modulus is not as long as stated');
  return { ...common, key: importJwk({ kty: 'RSA', n: base64url(modulus), e: 'AQAB' }) };
}

function readEcc(reader: TpmReader, readHash: ReadHash) {
  const common = { ...readSymmetric(reader), ...readScheme(reader, true, readHash) };
  const curve = alg.curveName(reader.u16());
  if (reader.u16() !== alg.ALG_NULL) throw new Malformed('a key derivation scheme (TPM 2.0 allows none)');
  const x = leftPad(reader.sized(alg.CURVE_BYTES[curve]), alg.CURVE_BYTES[curve]);
  const y = leftPad(reader.sized(alg.CURVE_BYTES[curve]), alg.CURVE_BYTES[curve]);
  return { ...common, curve, key: importJwk({ kty: 'EC', crv: curve, x: base64url(x), y: base64url(y) }) };
}

/** TPMT_SYM_DEF_OBJECT: nothing, or AES-CFB. */
function readSymmetric(reader: TpmReader): { aesBits?: 128 | 256 } {
  const algorithm = reader.u16();
  if (algorithm === alg.ALG_NULL) return {};
  if (algorithm !== alg.ALG_AES) throw new Malformed('a symmetric algorithm that is not AES');
  const bits = reader.u16();
  if (bits !== 128 && bits !== 256) throw new Malformed(`AES of ${bits} bits`);
  if (reader.u16() !== alg.ALG_CFB) throw new Malformed('AES in a mode that is not CFB');
  return { aesBits: bits };
}

/** TPMT_RSA_SCHEME or TPMT_ECC_SCHEME: none, or a signature scheme of the key's own type. */
function readScheme(reader: TpmReader, ecc: boolean, readHash: ReadHash): { scheme?: alg.SigningScheme } {
  const id = reader.u16();
  if (id === alg.ALG_NULL) return {};
  const name = alg.schemeName(id);
  if ((name === 'ecdsa') !== ecc) throw new Malformed('a scheme of another key type');
  return { scheme: { name, hash: readHash(reader.u16()) } };
}

/** Node checks that a point lies on its curve. */
function importJwk(jwk: { kty: string; n?: string; e?: string; crv?: string; x?: string; y?: string }): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch (cause) {
    throw new Malformed('not a valid public key', { cause });
  }
}

/** TPMs may drop leading zeros of a coordinate (part 2, 11.2.5.1). `bytes` is never longer than `length`. */
export function leftPad(bytes: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  out.set(bytes, length - bytes.length);
  return out;
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
