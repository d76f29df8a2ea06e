/** AES-256-GCM inside the token: 96-bit IV, 128-bit tag, the AAD as it is (docs/formats/wrapped-key.md, tier 1). */
import { CK, type Handle, type Mechanism, type Pkcs11Module } from './module.ts';

export const IV_BYTES = 12;
export const TAG_BYTES = 16;

/** Views, not copies: pkcs11js passes their memory to the token, so they must stay referenced until the call returns. */
const view = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function mechanism(iv: Uint8Array, aad: Uint8Array): Mechanism {
  const parameter = { type: CK.CK_PARAMS_GCM, iv: view(iv), ivBits: IV_BYTES * 8, aad: view(aad), tagBits: TAG_BYTES * 8 };
  return { mechanism: CK.CKM_AES_GCM, parameter };
}

/** Ciphertext followed by the tag. */
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

/** Throws what the token throws when the tag does not verify; then no plaintext byte stays behind. The caller owns and wipes the result. */
export function decryptGcm(
  module: Pkcs11Module,
  session: Handle,
  key: Handle,
  iv: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array {
  const out = Buffer.alloc(sealed.length);
  try {
    module.C_DecryptInit(session, mechanism(iv, aad), key);
    return new Uint8Array(module.C_Decrypt(session, view(sealed), out)); // copies out of `out`, which is wiped below
  } finally {
    out.fill(0);
  }
}
