/** Tier 1: AES-256-GCM inside the token, 96-bit IV, 128-bit tag, the AAD as it is (docs/formats/wrapped-key.md). */
import { randomFillSync } from 'node:crypto';
import { VaultError } from '../../domain/errors.ts';
import { briefRoom } from '../../domain/secret.ts';
import { CK, type Handle, type Mechanism, type Pkcs11Module, view } from './module.ts';

export const IV_BYTES = 12;
export const TAG_BYTES = 16;

/** `token`: the module refuses an IV of ours and writes its own into the parameter (AWS CloudHSM, tokens in FIPS mode). */
export type IvSource = 'ours' | 'token';

export interface Sealed {
  readonly iv: Uint8Array;
  /** Ciphertext followed by the tag. */
  readonly bytes: Uint8Array;
}

function mechanism(iv: Uint8Array, aad: Uint8Array): Mechanism {
  const parameter = { type: CK.CK_PARAMS_GCM, iv: view(iv), ivBits: IV_BYTES * 8, aad: view(aad), tagBits: TAG_BYTES * 8 };
  return { mechanism: CK.CKM_AES_GCM, parameter };
}

/** Under a new IV each time. What is answered is the IV the token used, which is read back from the parameter. */
export function sealGcm(module: Pkcs11Module, session: Handle, key: Handle, source: IvSource, aad: Uint8Array, plain: Uint8Array): Sealed {
  const iv = new Uint8Array(IV_BYTES);
  if (source === 'ours') randomFillSync(iv);
  const bytes = encryptGcm(module, session, key, iv, aad, plain);
  if (iv.every((byte) => byte === 0)) throw new VaultError('hsm_mechanism_missing', 'the token was to choose an IV and chose none');
  return { iv, bytes };
}

/** `iv` is the parameter's own memory: a token that chooses its IV changes it. */
export function encryptGcm(
  module: Pkcs11Module,
  session: Handle,
  key: Handle,
  iv: Uint8Array,
  aad: Uint8Array,
  plain: Uint8Array,
): Uint8Array {
  module.C_EncryptInit(session, mechanism(iv, aad), key);
  return new Uint8Array(module.C_Encrypt(session, view(plain), Buffer.alloc(plain.length + TAG_BYTES)));
}

/** Throws what the token throws when the tag does not verify; then no plaintext byte stays behind. The caller owns and wipes the result, a `briefRoom`. */
export function decryptGcm(
  module: Pkcs11Module,
  session: Handle,
  key: Handle,
  iv: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array {
  const out = briefRoom(sealed.length);
  try {
    module.C_DecryptInit(session, mechanism(iv, aad), key);
    const { length } = module.C_Decrypt(session, view(sealed), view(out));
    out.fill(0, length);
    return out.subarray(0, length);
  } catch (error) {
    out.fill(0);
    throw error;
  }
}
