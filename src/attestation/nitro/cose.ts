/** COSE_Sign1 (RFC 9052 section 4.2) as the Nitro Security Module writes it: ES384, an empty unprotected header, an attached payload. */
import type { KeyObject } from 'node:crypto';
import { concat, equalBytes } from '../../domain/bytes.ts';
import { Malformed } from '../x509/der.ts';
import { curveOf, ecdsaVerifies } from '../x509/signature.ts';
import { readItems } from './cbor.ts';

const TAG_18 = 0xd2;
const ARRAY_OF_FOUR = 0x84;
/** {1: -35}: ES384. The only algorithm, and only where the signature covers it. */
const ES384_HEADER = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);
/** r and s of P-384 (RFC 9053 section 2.1). */
const SIGNATURE_BYTES = 96;

export interface CoseSign1 {
  readonly isTagged: boolean;
  /** Protected header is ES384 and nothing else, unprotected header empty, signature of 96 bytes. */
  readonly isSound: boolean;
  readonly protectedHeader: Uint8Array;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
  readonly trailingBytes: number;
}

/** The four parts, however wrong the headers are. Throws Malformed when they cannot be told apart. */
export function readCoseSign1(bytes: Uint8Array): CoseSign1 {
  const isTagged = bytes[0] === TAG_18;
  const from = isTagged ? 1 : 0;
  if (bytes[from] !== ARRAY_OF_FOUR) throw new Malformed('not an array of four');
  const [protectedHeader, unprotected, payload, signature] = readItems(bytes.subarray(from + 1), 4);
  if (!(protectedHeader instanceof Uint8Array && payload instanceof Uint8Array && signature instanceof Uint8Array)) {
    throw new Malformed('a part that is not a byte string');
  }
  const isEmpty = unprotected instanceof Map && unprotected.size === 0;
  return {
    isTagged,
    isSound: equalBytes(protectedHeader, ES384_HEADER) && isEmpty && signature.length === SIGNATURE_BYTES,
    protectedHeader,
    payload,
    signature,
    trailingBytes: bytes.byteOffset + bytes.length - (signature.byteOffset + signature.length),
  };
}

/** False for a key that is not P-384, and for everything that is not an ES384 signature over exactly these parts. */
export function coseVerifies({ protectedHeader, payload, signature }: CoseSign1, key: KeyObject): boolean {
  if (curveOf(key) !== 'secp384r1' || signature.length !== SIGNATURE_BYTES) return false;
  const [r, s] = [signature.subarray(0, SIGNATURE_BYTES / 2), signature.subarray(SIGNATURE_BYTES / 2)];
  return ecdsaVerifies('sha384', signedBytes(protectedHeader, payload), { r, s }, key);
}

/** Sig_structure (RFC 9052 section 4.4): ["Signature1", protected, h'', payload]. */
function signedBytes(protectedHeader: Uint8Array, payload: Uint8Array): Uint8Array {
  const context = concat(Uint8Array.of(0x6a), new TextEncoder().encode('Signature1'));
  return concat(Uint8Array.of(0x84), context, byteString(protectedHeader), byteString(new Uint8Array(0)), byteString(payload));
}

/** At most 65535 bytes, which is more than a whole document has. */
function byteString(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  const head = length < 24 ? [0x40 + length] : length < 256 ? [0x58, length] : [0x59, length >>> 8, length & 0xff];
  return concat(Uint8Array.from(head), bytes);
}
