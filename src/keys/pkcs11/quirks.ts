/** What is known of a library by its name, where finding out by trying does harm. Everything else is found out by the self-test. */
import type { Pkcs11Module } from './module.ts';
import { MODULUS_BITS } from './oaep.ts';
import { TEMPLATE_FORMS, type TemplateForm } from './templates.ts';

export interface Quirks {
  /** Tried in this order. */
  readonly templates: readonly TemplateForm[];
  readonly modulusBits: readonly number[];
}

const NONE: Quirks = { templates: TEMPLATE_FORMS, modulusBits: MODULUS_BITS };

/** By CK_INFO.libraryDescription. */
const KNOWN: Readonly<Record<string, Quirks>> = {
  // 1.9: a pair it refuses half way stays loaded in the TPM, which has room for three objects and then answers nothing any more.
  'TPM2.0 Cryptoki': { templates: ['plain'], modulusBits: [2048] },
};

export function quirksOf(module: Pkcs11Module): Quirks {
  return KNOWN[module.C_GetInfo().libraryDescription.replace(/[\0 ]+$/, '')] ?? NONE;
}
