/** Tier 2: AES key wrap with padding (RFC 5649) inside the token, over secret ‖ SHA-256(AAD). */
import { secretCopy } from '../../domain/secret.ts';
import { bindSecret, unbindSecret } from '../bound-secret.ts';
import { CK, type Handle, type Pkcs11Module, type Template, view } from './module.ts';

/** RFC 5649 section 4.1: blocks of 8, and 8 more. */
export const wrappedBytes = (plain: number): number => Math.ceil(plain / 8) * 8 + 8;

/** What is wrapped must be an object, so the bytes become a session object that lives for this call. */
const carrier = (value?: Uint8Array): Template => [
  { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
  { type: CK.CKA_KEY_TYPE, value: CK.CKK_GENERIC_SECRET },
  { type: CK.CKA_TOKEN, value: false },
  { type: CK.CKA_SENSITIVE, value: false },
  { type: CK.CKA_EXTRACTABLE, value: true },
  ...(value === undefined ? [] : [{ type: CK.CKA_VALUE, value: view(value) }]),
];

export function wrapBytes(module: Pkcs11Module, session: Handle, mechanism: number, key: Handle, plain: Uint8Array): Uint8Array {
  const object = module.C_CreateObject(session, carrier(plain));
  try {
    return new Uint8Array(module.C_WrapKey(session, { mechanism }, key, object, Buffer.alloc(wrappedBytes(plain.length))));
  } finally {
    module.C_DestroyObject(session, object);
  }
}

/** Throws what the token throws when the wrap does not verify. The caller owns and wipes the result. */
export function unwrapBytes(module: Pkcs11Module, session: Handle, mechanism: number, key: Handle, wrapped: Uint8Array): Uint8Array {
  const object = module.C_UnwrapKey(session, { mechanism }, key, view(wrapped), carrier());
  try {
    const [attribute] = module.C_GetAttributeValue(session, object, [{ type: CK.CKA_VALUE }]);
    const value = attribute?.value;
    if (!Buffer.isBuffer(value)) throw new Error('the token gives no CKA_VALUE');
    const out = secretCopy(value);
    value.fill(0);
    return out;
  } finally {
    module.C_DestroyObject(session, object);
  }
}

export function sealKeyWrap(
  module: Pkcs11Module,
  session: Handle,
  mechanism: number,
  key: Handle,
  aad: Uint8Array,
  secret: Uint8Array,
): Uint8Array {
  const bound = bindSecret(secret, aad);
  try {
    return wrapBytes(module, session, mechanism, key, bound);
  } finally {
    bound.fill(0);
  }
}

export function openKeyWrap(
  module: Pkcs11Module,
  session: Handle,
  mechanism: number,
  key: Handle,
  aad: Uint8Array,
  wrapped: Uint8Array,
): Uint8Array {
  return unbindSecret(unwrapBytes(module, session, mechanism, key, wrapped), aad);
}
