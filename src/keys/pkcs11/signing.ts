/** What a token signs with, and how its raw bytes become those of domain/signature.ts. */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { VaultError } from '../../domain/errors.ts';
import { type SignatureAlgorithm, verifySignature } from '../../domain/signature.ts';
import {
  CK,
  CKK_EC_EDWARDS,
  CKM_EC_EDWARDS_KEY_PAIR_GEN,
  CKM_EDDSA,
  ED25519_PARAMS,
  type Handle,
  P256_PARAMS,
  type Pkcs11Module,
  view,
} from './module.ts';

export const SIGNATURE_BYTES = 64;

interface Scheme {
  readonly keyType: number;
  readonly generate: number;
  readonly params: Buffer;
  /** DER of SubjectPublicKeyInfo up to the point. */
  readonly spkiPrefix: Buffer;
  readonly pointBytes: number;
}

/** In the order they are tried. */
export const SCHEMES: Readonly<Record<SignatureAlgorithm, Scheme>> = {
  ed25519: {
    keyType: CKK_EC_EDWARDS,
    generate: CKM_EC_EDWARDS_KEY_PAIR_GEN,
    params: ED25519_PARAMS,
    spkiPrefix: Buffer.from('302a300506032b6570032100', 'hex'), // RFC 8410 section 4
    pointBytes: 32,
  },
  'ecdsa-p256-sha256': {
    keyType: CK.CKK_EC,
    generate: CK.CKM_EC_KEY_PAIR_GEN,
    params: P256_PARAMS,
    spkiPrefix: Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex'), // RFC 5480 section 2
    pointBytes: 65,
  },
};

/** By the token, and checked against the public key before anyone gets it: a token that signs wrongly is not believed. */
export function signWith(
  module: Pkcs11Module,
  session: Handle,
  algorithm: SignatureAlgorithm,
  privateKey: Handle,
  publicKey: KeyObject,
  message: Uint8Array,
): Uint8Array {
  const ed25519 = algorithm === 'ed25519';
  // CKM_ECDSA takes the digest; CKM_ECDSA_SHA256 does not exist everywhere.
  const input = ed25519 ? view(message) : createHash('sha256').update(message).digest();
  module.C_SignInit(session, { mechanism: ed25519 ? CKM_EDDSA : CK.CKM_ECDSA }, privateKey);
  const raw = new Uint8Array(module.C_Sign(session, input, Buffer.alloc(SIGNATURE_BYTES * 2)));
  if (raw.length !== SIGNATURE_BYTES) throw wrong(algorithm);
  const signature = ed25519 ? raw : derOfRaw(raw);
  if (!verifySignature(publicKey, message, signature)) throw wrong(algorithm);
  return signature;
}

const wrong = (algorithm: SignatureAlgorithm) =>
  new VaultError('hsm_mechanism_missing', `the token answered a ${algorithm} signature that does not verify`);

/** PKCS #11 gives r ‖ s, 32 bytes each; the vault's signatures are DER (RFC 3279 section 2.2.3). */
export function derOfRaw(raw: Uint8Array): Uint8Array {
  const body = Buffer.concat([derInteger(raw.subarray(0, 32)), derInteger(raw.subarray(32))]);
  return new Uint8Array(Buffer.concat([Buffer.from([0x30, body.length]), body]));
}

function derInteger(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Buffer.from([0]) : Buffer.from(bytes.subarray(first));
  const positive = (digits[0] ?? 0) < 0x80 ? digits : Buffer.concat([Buffer.from([0]), digits]);
  return Buffer.concat([Buffer.from([0x02, positive.length]), positive]);
}

/** CKA_EC_POINT is a DER OCTET STRING in PKCS #11 v3.0 and the bare point in some tokens. Throws `internal` for any other form. */
export function spkiOfPoint(algorithm: SignatureAlgorithm, value: unknown): Uint8Array {
  const { spkiPrefix, pointBytes } = SCHEMES[algorithm];
  if (Buffer.isBuffer(value)) {
    const wrapped = value.length === pointBytes + 2 && value[0] === 0x04 && value[1] === pointBytes;
    const point = wrapped ? value.subarray(2) : value;
    if (point.length === pointBytes) return new Uint8Array(Buffer.concat([spkiPrefix, point]));
  }
  throw new VaultError('internal', `the token gives a point of ${algorithm} in an unknown form`);
}

export function publicKeyObject(spki: Uint8Array): KeyObject {
  return createPublicKey({ key: view(spki), format: 'der', type: 'spki' });
}
