/** The only file that imports pkcs11js: the loaded module, the numbers it has no names for, and nothing that decides anything. */

import type { Attribute, Handle, Mechanism, PKCS11, Template } from 'pkcs11js';
import pkcs11js from 'pkcs11js';
import { VaultError } from '../../domain/errors.ts';

export type { Attribute, Handle, Mechanism, Template };
export type Pkcs11Module = PKCS11;
export const CK = pkcs11js;

/** PKCS #11 v3.0 section 2.3.1 and 2.3.5: pkcs11js 2.1.7 does not know them. */
export const CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055;
export const CKM_EDDSA = 0x1057;
export const CKK_EC_EDWARDS = 0x40;
/** DER of OID 1.3.101.112, id-Ed25519 (RFC 8410). */
export const ED25519_PARAMS = Buffer.from('06032b6570', 'hex');

/** `code` of anything pkcs11js throws for a CKR_ answer; undefined for every other error. */
export function ckrOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !error.message.startsWith('CKR_')) return undefined;
  const code = (error as Error & { code?: unknown }).code; // Pkcs11Error has it; its class differs between jest's realms
  return typeof code === 'number' ? code : undefined;
}

/** Loads the shared library; it stays loaded for the life of the process. */
export function loadModule(path: string): Pkcs11Module {
  const module = new pkcs11js.PKCS11();
  try {
    module.load(path);
  } catch (cause) {
    throw new VaultError('configuration_invalid', 'the PKCS#11 module cannot be loaded', { cause });
  }
  return module;
}
