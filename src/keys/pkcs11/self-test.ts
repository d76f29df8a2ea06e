/** Before the first operation: does this token do what we need, and do it right? The same mechanism number means different things in different modules. */
import { createCipheriv, randomBytes } from 'node:crypto';
import { equalBytes } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { decryptGcm, encryptGcm } from './gcm.ts';
import { CK, CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EDDSA, type Handle, type Pkcs11Module } from './module.ts';

const NEEDED: ReadonlyArray<readonly [name: string, mechanism: number]> = [
  ['CKM_AES_KEY_GEN', CK.CKM_AES_KEY_GEN],
  ['CKM_AES_GCM', CK.CKM_AES_GCM],
  ['CKM_EC_EDWARDS_KEY_PAIR_GEN', CKM_EC_EDWARDS_KEY_PAIR_GEN],
  ['CKM_EDDSA', CKM_EDDSA],
];

const missing = (what: string, cause?: unknown) => new VaultError('hsm_mechanism_missing', what, { cause });

/** Throws `hsm_mechanism_missing` unless the token lists every mechanism and its AES-GCM agrees with node:crypto and refuses what it must. */
export function selfTest(module: Pkcs11Module, slot: Handle, session: Handle): void {
  const listed = new Set(module.C_GetMechanismList(slot));
  const absent = NEEDED.filter(([, mechanism]) => !listed.has(mechanism)).map(([name]) => name);
  if (absent.length > 0) throw missing(`the token lacks ${absent.join(', ')}`);
  selfTestGcm(module, session);
}

/** Under a session key of known bytes, which is the reason it is imported and not generated; it dies with this call. */
export function selfTestGcm(module: Pkcs11Module, session: Handle): void {
  const [keyBytes, iv, aad, plain] = [randomBytes(32), randomBytes(12), randomBytes(61), randomBytes(32)];
  const cipher = createCipheriv('aes-256-gcm', keyBytes, iv).setAAD(aad);
  const expected = new Uint8Array(Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]));
  try {
    const key = module.C_CreateObject(session, sessionKey(keyBytes));
    try {
      const sealed = encryptGcm(module, session, key, iv, aad, plain);
      if (!equalBytes(sealed, expected)) throw missing('AES-GCM of the token gives other bytes than SP 800-38D');
      if (!equalBytes(decryptGcm(module, session, key, iv, aad, expected), new Uint8Array(plain)))
        throw missing('AES-GCM of the token does not open what it sealed');
      mustRefuse('another AAD', () => decryptGcm(module, session, key, iv, new Uint8Array(61), expected));
      mustRefuse('an altered tag', () => decryptGcm(module, session, key, iv, aad, flipLast(expected)));
    } finally {
      module.C_DestroyObject(session, key);
    }
  } catch (cause) {
    throw cause instanceof VaultError ? cause : missing('the AES-GCM self-test could not be run', cause);
  }
}

function mustRefuse(what: string, open: () => Uint8Array): void {
  try {
    open();
  } catch {
    return;
  }
  throw missing(`AES-GCM of the token opens ${what}`);
}

function flipLast(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte, at) => (at === bytes.length - 1 ? byte ^ 1 : byte));
}

function sessionKey(value: Buffer) {
  return [
    { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
    { type: CK.CKA_KEY_TYPE, value: CK.CKK_AES },
    { type: CK.CKA_TOKEN, value: false },
    { type: CK.CKA_ENCRYPT, value: true },
    { type: CK.CKA_DECRYPT, value: true },
    { type: CK.CKA_VALUE, value },
  ];
}
