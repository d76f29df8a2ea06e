/** The only file that imports pkcs11js: the loaded module, the numbers it has no names for, and nothing that decides anything. */

import type { Attribute, Handle, Mechanism, PKCS11, RsaOAEP, Template } from 'pkcs11js';
import pkcs11js from 'pkcs11js';
import { VaultError } from '../../domain/errors.ts';

export type { Attribute, Handle, Mechanism, RsaOAEP, Template };
export type Pkcs11Module = PKCS11;
export const CK = pkcs11js;

/** PKCS #11 v3.0 section 2.3.1 and 2.3.5: pkcs11js 2.1.7 does not know them. */
export const CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055;
export const CKM_EDDSA = 0x1057;
export const CKK_EC_EDWARDS = 0x40;
/**
 * Two numbers that both mean RFC 5649 somewhere: 0x210A is CKM_AES_KEY_WRAP_PAD, RFC 5649 in SoftHSM and something else in NSS; 0x210B is
 * CKM_AES_KEY_WRAP_KWP (PKCS #11 v3.0 section 2.14), absent in SoftHSM. Which one it is, the self-test finds out.
 */
export const CKM_AES_KEY_WRAP_PAD = 0x210a;
export const CKM_AES_KEY_WRAP_KWP = 0x210b;
/** DER of OID 1.3.101.112, id-Ed25519 (RFC 8410). */
export const ED25519_PARAMS = Buffer.from('06032b6570', 'hex');
/** DER of OID 1.2.840.10045.3.1.7, secp256r1 (RFC 5480). */
export const P256_PARAMS = Buffer.from('06082a8648ce3d030107', 'hex');

const CKR_TEXT = /^CKR_[A-Z0-9_]+(?::(\d+))?/;

/** The number of anything pkcs11js throws for a CKR_ answer; undefined for every other error. */
export function ckrOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const text = CKR_TEXT.exec(error.message);
  if (text === null) return undefined;
  if (text[1] !== undefined) return Number(text[1]); // some methods leave the number in the text
  const code = (error as Error & { code?: unknown }).code; // Pkcs11Error has it; its class differs between jest's realms
  return typeof code === 'number' ? code : undefined;
}

/** Loads the shared library; it stays loaded for the life of the process. In a second thread it is the same library again. */
export function loadModule(path: string): Pkcs11Module {
  const module = new pkcs11js.PKCS11();
  try {
    module.load(path);
  } catch (cause) {
    throw new VaultError('configuration_invalid', 'the PKCS#11 module cannot be loaded', { cause });
  }
  return module;
}

/** The memory itself goes to the token. pkcs11js takes every typed array (Node-API's is_buffer); only its types ask for a Buffer. */
export const view = (bytes: Uint8Array): Buffer => bytes as Buffer;
