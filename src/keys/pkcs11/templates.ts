/** What our keys are on the token: sensitive, unextractable, and good for one thing only. */
import type { SignatureAlgorithm } from '../../domain/signature.ts';
import type { KeyPurpose, KeyRef } from '../port.ts';
import { CK, type Template } from './module.ts';
import { SCHEMES } from './signing.ts';

/** `plain` leaves out what only says "no" once more, for tokens that refuse attributes they do not know. Both are read back and judged. */
export const TEMPLATE_FORMS = ['full', 'plain'] as const;
export type TemplateForm = (typeof TEMPLATE_FORMS)[number];

const no = (form: TemplateForm, ...types: readonly number[]): Template =>
  form === 'plain' ? [] : types.map((type) => ({ type, value: false }));

export const keyName = (ref: KeyRef): string => `${ref.id}/${ref.version}`;
export const identity = (purpose: KeyPurpose, ref: KeyRef): string => `${purpose}/${keyName(ref)}`;

function named(form: TemplateForm, purpose: KeyPurpose, ref: KeyRef): Template {
  return [
    { type: CK.CKA_TOKEN, value: true },
    { type: CK.CKA_LABEL, value: ref.id },
    { type: CK.CKA_ID, value: Buffer.from(identity(purpose, ref)) },
    ...no(form, CK.CKA_MODIFIABLE),
  ];
}

const guarded: Template = [
  { type: CK.CKA_PRIVATE, value: true },
  { type: CK.CKA_SENSITIVE, value: true },
  { type: CK.CKA_EXTRACTABLE, value: false },
];

/** A tier-1 kek encrypts and decrypts, a tier-2 kek wraps and unwraps, and neither does what the other does: that is how its tier is known. */
export function aesKek(form: TemplateForm, ref: KeyRef, tier: 1 | 2): Template {
  const [yes, never] = tier === 1 ? [CIPHER, WRAPPER] : [WRAPPER, CIPHER];
  return [
    ...named(form, 'kek', ref),
    ...guarded,
    { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
    { type: CK.CKA_KEY_TYPE, value: CK.CKK_AES },
    { type: CK.CKA_VALUE_LEN, value: 32 },
    ...yes.map((type) => ({ type, value: true })),
    ...never.map((type) => ({ type, value: false })),
    ...no(form, CK.CKA_DERIVE, CK.CKA_SIGN, CK.CKA_VERIFY),
  ];
}

const CIPHER = [CK.CKA_ENCRYPT, CK.CKA_DECRYPT];
const WRAPPER = [CK.CKA_WRAP, CK.CKA_UNWRAP];

export interface PairTemplates {
  readonly publicKey: Template;
  readonly privateKey: Template;
}

export function rsaKek(form: TemplateForm, ref: KeyRef, modulusBits: number): PairTemplates {
  return {
    publicKey: [
      ...named(form, 'kek', ref),
      { type: CK.CKA_CLASS, value: CK.CKO_PUBLIC_KEY },
      { type: CK.CKA_KEY_TYPE, value: CK.CKK_RSA },
      { type: CK.CKA_PRIVATE, value: false },
      { type: CK.CKA_ENCRYPT, value: true },
      { type: CK.CKA_MODULUS_BITS, value: modulusBits },
      { type: CK.CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1]) },
    ],
    privateKey: [
      ...named(form, 'kek', ref),
      ...guarded,
      { type: CK.CKA_CLASS, value: CK.CKO_PRIVATE_KEY },
      { type: CK.CKA_KEY_TYPE, value: CK.CKK_RSA },
      { type: CK.CKA_DECRYPT, value: true },
      ...no(form, CK.CKA_UNWRAP, CK.CKA_SIGN, CK.CKA_DERIVE),
    ],
  };
}

/** `ref` absent: a pair that lives for one self-test. */
export function signingPair(form: TemplateForm, algorithm: SignatureAlgorithm, purpose: KeyPurpose, ref?: KeyRef): PairTemplates {
  const { keyType, params } = SCHEMES[algorithm];
  const name: Template = ref === undefined ? [{ type: CK.CKA_TOKEN, value: false }] : named(form, purpose, ref);
  return {
    publicKey: [
      ...name,
      { type: CK.CKA_CLASS, value: CK.CKO_PUBLIC_KEY },
      { type: CK.CKA_KEY_TYPE, value: keyType },
      { type: CK.CKA_PRIVATE, value: false },
      { type: CK.CKA_VERIFY, value: true },
      { type: CK.CKA_EC_PARAMS, value: params },
    ],
    privateKey: [
      ...name,
      ...guarded,
      { type: CK.CKA_CLASS, value: CK.CKO_PRIVATE_KEY },
      { type: CK.CKA_KEY_TYPE, value: keyType },
      { type: CK.CKA_SIGN, value: true },
      ...no(form, CK.CKA_DECRYPT, CK.CKA_UNWRAP, CK.CKA_DERIVE),
    ],
  };
}
