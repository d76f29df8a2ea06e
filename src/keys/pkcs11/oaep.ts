/**
 * Tier 3: RSA-OAEP with SHA-256 over secret ‖ SHA-256(AAD). Sealing needs the public key only, so it happens here; opening happens in the
 * token. The modulus is read from the private key's own object: a public object beside it could be anybody's.
 */
import { constants, createPublicKey, type KeyObject, publicEncrypt, randomBytes } from 'node:crypto';
import { equalBytes } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { secretCopy, secretRoom } from '../../domain/secret.ts';
import { bindSecret, unbindSecret } from '../bound-secret.ts';
import { CK, type Handle, type Mechanism, type Pkcs11Module, type RsaOAEP, view } from './module.ts';

/** Largest first: a TPM has 2048 bits and often no more. */
export const MODULUS_BITS = [3072, 2048] as const;
const MODULUS_BYTES: ReadonlySet<number> = new Set([256, 384, 512]);
const EXPONENT = 65_537n;
/** CKZ_DATA_SPECIFIED: the label is the (empty) source data; SoftHSM and NSS refuse a parameter without it. */
const CKZ_DATA_SPECIFIED = 1;

const parameter: RsaOAEP = { type: CK.CK_PARAMS_RSA_OAEP, hashAlg: CK.CKM_SHA256, mgf: CK.CKG_MGF1_SHA256, source: CKZ_DATA_SPECIFIED };
const mechanism: Mechanism = { mechanism: CK.CKM_RSA_PKCS_OAEP, parameter };

export interface RsaHalf {
  readonly key: KeyObject;
  readonly modulus: Uint8Array;
}

export function publicHalf(module: Pkcs11Module, session: Handle, privateKey: Handle): RsaHalf {
  const read = module.C_GetAttributeValue(session, privateKey, [{ type: CK.CKA_MODULUS }, { type: CK.CKA_PUBLIC_EXPONENT }]);
  const [n, e] = read.map(({ value }) => (Buffer.isBuffer(value) ? value : Buffer.alloc(0)));
  const modulus = withoutZeros(n ?? Buffer.alloc(0));
  const exponent = BigInt(`0x${(e ?? Buffer.alloc(0)).toString('hex') || '0'}`);
  if (!MODULUS_BYTES.has(modulus.length) || exponent !== EXPONENT)
    throw new VaultError('hsm_mechanism_missing', 'an RSA kek has 2048, 3072 or 4096 bits and exponent 65537');
  const key = createPublicKey({ key: { kty: 'RSA', n: modulus.toString('base64url'), e: 'AQAB' }, format: 'jwk' });
  return { key, modulus: new Uint8Array(modulus) };
}

export function sealOaep(half: RsaHalf, aad: Uint8Array, secret: Uint8Array): Uint8Array {
  const bound = bindSecret(secret, aad);
  try {
    return encrypt(half.key, bound);
  } finally {
    bound.fill(0);
  }
}

/**
 * Throws what the token throws when the padding does not fit; what is no number below the modulus never gets there (RFC 8017 section 7.1.2),
 * because tokens answer it in their own ways. The caller owns and wipes the result.
 */
export function openOaep(
  module: Pkcs11Module,
  session: Handle,
  privateKey: Handle,
  half: RsaHalf,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array {
  if (sealed.length !== half.modulus.length || Buffer.compare(sealed, half.modulus) >= 0)
    throw new VaultError('key_unwrap_refused', 'the wrapped key was made for another RSA key');
  return unbindSecret(decrypt(module, session, privateKey, sealed), aad);
}

/** The known answer of this very key: what was encrypted outside must come out, and no other bytes. Throws `hsm_mechanism_missing`. */
export function proveOaep(module: Pkcs11Module, session: Handle, privateKey: Handle, half: RsaHalf): void {
  const known = new Uint8Array(randomBytes(64));
  let opened: Uint8Array;
  try {
    opened = decrypt(module, session, privateKey, encrypt(half.key, known));
  } catch (cause) {
    throw new VaultError('hsm_mechanism_missing', 'RSA-OAEP with SHA-256: the token does not open what was made for its key', { cause });
  }
  if (!equalBytes(opened, known)) throw new VaultError('hsm_mechanism_missing', 'RSA-OAEP with SHA-256: the token opens other bytes');
}

function encrypt(publicKey: KeyObject, plain: Uint8Array): Uint8Array {
  return new Uint8Array(publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, plain));
}

function decrypt(module: Pkcs11Module, session: Handle, privateKey: Handle, sealed: Uint8Array): Uint8Array {
  const out = view(secretRoom(sealed.length));
  try {
    module.C_DecryptInit(session, mechanism, privateKey);
    return secretCopy(module.C_Decrypt(session, view(sealed), out));
  } finally {
    out.fill(0);
  }
}

function withoutZeros(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  return bytes.subarray(first < 0 ? bytes.length : first);
}
