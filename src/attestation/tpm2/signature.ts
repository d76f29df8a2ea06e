/** TPMT_SIGNATURE (TPM 2.0 Library part 2, 11.3.4): parsed and verified. */
import { constants, type KeyObject, verify } from 'node:crypto';
import { concat } from '../../domain/bytes.ts';
import { CURVE_BYTES, HASH_BYTES, hashName, type SignedHash, type SigningScheme, schemeName } from './algorithms.ts';
import { leftPad } from './public-area.ts';
import { Malformed, readWhole, type TpmReader } from './reader.ts';

/** RSA-4096 needs 518 bytes. */
export const MAX_SIGNATURE_BYTES = 640;

export type TpmSignature =
  | { readonly scheme: SigningScheme & { readonly name: 'rsassa' | 'rsapss' }; readonly value: Uint8Array }
  | { readonly scheme: SigningScheme & { readonly name: 'ecdsa' }; readonly r: Uint8Array; readonly s: Uint8Array };

/** Parses a whole TPMT_SIGNATURE. Throws Malformed; so is SHA-1, unless `readHash` takes it. */
export function parseSignature(bytes: Uint8Array, readHash: (id: number) => SignedHash = hashName): TpmSignature {
  return readWhole('TPMT_SIGNATURE', bytes, MAX_SIGNATURE_BYTES, (reader) => {
    const name = schemeName(reader.u16());
    const hash = readHash(reader.u16());
    if (name === 'ecdsa') return { scheme: { name, hash }, r: readPart(reader, 48), s: readPart(reader, 48) };
    return { scheme: { name, hash }, value: readPart(reader, 512) };
  });
}

/** True when `key` made `signature` over `data`. Answers false to anything that does not fit; it does not throw for bad input. */
export function signatureVerifies(data: Uint8Array, signature: TpmSignature, key: KeyObject): boolean {
  return 'r' in signature ? ecdsaVerifies(data, signature, key) : rsaVerifies(data, signature, key);
}

function rsaVerifies(data: Uint8Array, signature: Extract<TpmSignature, { value: Uint8Array }>, key: KeyObject): boolean {
  if (key.asymmetricKeyType !== 'rsa') return false;
  if (signature.scheme.name === 'rsassa') {
    return verify(signature.scheme.hash, data, { key, padding: constants.RSA_PKCS1_PADDING }, signature.value);
  }
  // Old TPMs use the longest salt that fits, newer ones the digest's length (part 1, B.7). No other length comes from a TPM.
  const { hash } = signature.scheme;
  const saltLengths = [HASH_BYTES[hash], longestSalt(key, HASH_BYTES[hash])];
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  return saltLengths.some((saltLength) => verify(hash, data, { key, padding, saltLength }, signature.value));
}

/** RFC 8017 section 9.1.1: emLen - hLen - 2 bytes, emLen being the octets of modulus bits minus one. */
function longestSalt(key: KeyObject, hashBytes: number): number {
  return Math.ceil(((key.asymmetricKeyDetails?.modulusLength ?? 0) - 1) / 8) - hashBytes - 2;
}

function ecdsaVerifies(data: Uint8Array, signature: Extract<TpmSignature, { r: Uint8Array }>, key: KeyObject): boolean {
  const width = fieldBytes(key);
  if (width === undefined || signature.r.length > width || signature.s.length > width) return false;
  const p1363 = concat(leftPad(signature.r, width), leftPad(signature.s, width)); // r and s may come without leading zeros
  return verify(signature.scheme.hash, data, { key, dsaEncoding: 'ieee-p1363' }, p1363);
}

function fieldBytes(key: KeyObject): number | undefined {
  if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return CURVE_BYTES['P-256'];
  if (key.asymmetricKeyDetails?.namedCurve === 'secp384r1') return CURVE_BYTES['P-384'];
  return undefined;
}

function readPart(reader: TpmReader, maximum: number): Uint8Array {
  const part = reader.sized(maximum);
  if (part.length === 0) throw new Malformed('an empty signature value');
  return part;
}
