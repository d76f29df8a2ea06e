/** Keys as token objects. A key is known by CKA_ID = `purpose/id/version`, never by handle or position. */
import { utf8 } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import type { KeyInfo, KeyPurpose, KeyRef } from '../port.ts';
import {
  CK,
  CKK_EC_EDWARDS,
  CKM_EC_EDWARDS_KEY_PAIR_GEN,
  ED25519_PARAMS,
  type Handle,
  type Pkcs11Module,
  type Template,
} from './module.ts';

const PURPOSES: readonly KeyPurpose[] = ['kek', 'catalogue', 'log'];
const SIGNING: readonly KeyPurpose[] = ['catalogue', 'log'];
/** DER of SubjectPublicKeyInfo up to the 32 key bytes (RFC 8410 section 4). */
const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

export const keyName = (ref: KeyRef): string => `${ref.id}/${ref.version}`;

/** Throws `key_unknown`; the caller must make sure that the token is really there before it passes that on. */
export function findKek(module: Pkcs11Module, session: Handle, ref: KeyRef): Handle {
  const key = findOne(module, session, CK.CKO_SECRET_KEY, 'kek', ref);
  if (key === undefined) throw new VaultError('key_unknown', `no kek ${keyName(ref)}`);
  return key;
}

export function findSigningKey(module: Pkcs11Module, session: Handle, ref: KeyRef): Handle {
  const found = SIGNING.flatMap((purpose) => findOne(module, session, CK.CKO_PRIVATE_KEY, purpose, ref) ?? []);
  return exactlyOne(found, `signing key ${keyName(ref)}`);
}

/** What the token itself says about the key. */
export function describeKey(module: Pkcs11Module, session: Handle, ref: KeyRef): KeyInfo {
  const found = PURPOSES.filter((purpose) => findOne(module, session, classOf(purpose), purpose, ref) !== undefined);
  const purpose = exactlyOne(found, `key ${keyName(ref)}`);
  const key = findOne(module, session, classOf(purpose), purpose, ref);
  if (key === undefined) throw new VaultError('key_unknown', `no key ${keyName(ref)}`);
  const info = { ref: { id: ref.id, version: ref.version }, purpose, extractable: canLeave(module, session, key) };
  if (purpose === 'kek') return { ...info, tier: 1 };
  return { ...info, publicKey: publicKeyOf(module, session, purpose, ref), algorithm: 'ed25519' };
}

/** Makes a token key, refusing a ref that is taken for any purpose. Durable when this returns. */
export function generateKey(module: Pkcs11Module, session: Handle, ref: KeyRef, purpose: KeyPurpose): KeyInfo {
  const taken = PURPOSES.some((other) => findOne(module, session, classOf(other), other, ref) !== undefined);
  if (taken) throw new VaultError('key_exists', keyName(ref));
  const made = purpose === 'kek' ? [generateKek(module, session, ref)] : generatePair(module, session, purpose, ref);
  try {
    return describeKey(module, session, ref);
  } catch (cause) {
    for (const object of made) module.C_DestroyObject(session, object); // a second process made the same ref meanwhile, or the token kept it wrongly
    throw cause;
  }
}

/** Throws `key_unknown`. The token is asked again afterwards: an object that is still there was not destroyed. */
export function destroyKek(module: Pkcs11Module, session: Handle, ref: KeyRef): void {
  module.C_DestroyObject(session, findKek(module, session, ref));
  if (findOne(module, session, CK.CKO_SECRET_KEY, 'kek', ref) !== undefined) {
    throw new VaultError('internal', `the token still holds ${keyName(ref)} after destroying it`);
  }
}

function classOf(purpose: KeyPurpose): number {
  return purpose === 'kek' ? CK.CKO_SECRET_KEY : CK.CKO_PRIVATE_KEY;
}

const idBytes = (purpose: KeyPurpose, ref: KeyRef): Buffer => Buffer.from(utf8(`${purpose}/${ref.id}/${ref.version}`));

/** Two objects of one identity are an error of its own: picking one would be a guess about which key holds the weights. */
function findOne(module: Pkcs11Module, session: Handle, objectClass: number, purpose: KeyPurpose, ref: KeyRef): Handle | undefined {
  const template = [
    { type: CK.CKA_CLASS, value: objectClass },
    { type: CK.CKA_TOKEN, value: true },
    { type: CK.CKA_ID, value: idBytes(purpose, ref) },
  ];
  module.C_FindObjectsInit(session, template);
  try {
    const found = module.C_FindObjects(session, 2);
    if (found.length > 1) throw new VaultError('internal', `the token holds two objects named ${purpose}/${keyName(ref)}; none is used`);
    return found[0];
  } finally {
    module.C_FindObjectsFinal(session);
  }
}

function exactlyOne<T>(found: readonly T[], what: string): T {
  const [only, second] = found;
  if (only === undefined) throw new VaultError('key_unknown', `no ${what}`);
  if (second !== undefined) throw new VaultError('internal', `the token holds ${what} for two purposes; none is used`);
  return only;
}

function generateKek(module: Pkcs11Module, session: Handle, ref: KeyRef): Handle {
  const template = [
    ...common(ref, 'kek'),
    ...guarded(),
    { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
    { type: CK.CKA_KEY_TYPE, value: CK.CKK_AES },
    { type: CK.CKA_VALUE_LEN, value: 32 },
    { type: CK.CKA_ENCRYPT, value: true },
    { type: CK.CKA_DECRYPT, value: true },
    { type: CK.CKA_WRAP, value: false },
    { type: CK.CKA_UNWRAP, value: false },
    { type: CK.CKA_DERIVE, value: false },
    { type: CK.CKA_SIGN, value: false },
    { type: CK.CKA_VERIFY, value: false },
  ];
  return module.C_GenerateKey(session, { mechanism: CK.CKM_AES_KEY_GEN }, template);
}

function generatePair(module: Pkcs11Module, session: Handle, purpose: KeyPurpose, ref: KeyRef): Handle[] {
  const publicTemplate = [
    ...common(ref, purpose),
    { type: CK.CKA_CLASS, value: CK.CKO_PUBLIC_KEY },
    { type: CK.CKA_KEY_TYPE, value: CKK_EC_EDWARDS },
    { type: CK.CKA_PRIVATE, value: false },
    { type: CK.CKA_VERIFY, value: true },
    { type: CK.CKA_EC_PARAMS, value: ED25519_PARAMS },
  ];
  const privateTemplate = [
    ...common(ref, purpose),
    ...guarded(),
    { type: CK.CKA_CLASS, value: CK.CKO_PRIVATE_KEY },
    { type: CK.CKA_KEY_TYPE, value: CKK_EC_EDWARDS },
    { type: CK.CKA_SIGN, value: true },
    { type: CK.CKA_DECRYPT, value: false },
    { type: CK.CKA_UNWRAP, value: false },
    { type: CK.CKA_DERIVE, value: false },
  ];
  const pair = module.C_GenerateKeyPair(session, { mechanism: CKM_EC_EDWARDS_KEY_PAIR_GEN }, publicTemplate, privateTemplate);
  return [pair.publicKey, pair.privateKey];
}

function common(ref: KeyRef, purpose: KeyPurpose): Template {
  return [
    { type: CK.CKA_TOKEN, value: true },
    { type: CK.CKA_LABEL, value: ref.id },
    { type: CK.CKA_ID, value: idBytes(purpose, ref) },
    { type: CK.CKA_MODIFIABLE, value: false },
  ];
}

function guarded(): Template {
  return [
    { type: CK.CKA_PRIVATE, value: true },
    { type: CK.CKA_SENSITIVE, value: true },
    { type: CK.CKA_EXTRACTABLE, value: false },
  ];
}

/** True unless the token says all of it: sensitive and unextractable, now and since it was made inside. */
function canLeave(module: Pkcs11Module, session: Handle, key: Handle): boolean {
  const read = module.C_GetAttributeValue(session, key, [
    { type: CK.CKA_EXTRACTABLE },
    { type: CK.CKA_NEVER_EXTRACTABLE },
    { type: CK.CKA_SENSITIVE },
    { type: CK.CKA_ALWAYS_SENSITIVE },
    { type: CK.CKA_LOCAL },
  ]);
  const [extractable, never, sensitive, always, local] = read.map(({ value }) => Buffer.isBuffer(value) && value[0] === 1);
  return extractable !== false || !never || !sensitive || !always || !local;
}

function publicKeyOf(module: Pkcs11Module, session: Handle, purpose: KeyPurpose, ref: KeyRef): Uint8Array {
  const key = findOne(module, session, CK.CKO_PUBLIC_KEY, purpose, ref);
  if (key === undefined) throw new VaultError('key_unknown', `no public key ${keyName(ref)}`);
  const [attribute] = module.C_GetAttributeValue(session, key, [{ type: CK.CKA_EC_POINT }]);
  return new Uint8Array(Buffer.concat([ED25519_SPKI_PREFIX, rawPoint(attribute?.value)]));
}

/** CKA_EC_POINT is a DER OCTET STRING in PKCS #11 v3.0 and the bare 32 bytes in some tokens. */
function rawPoint(value: unknown): Buffer {
  if (Buffer.isBuffer(value)) {
    if (value.length === 34 && value[0] === 0x04 && value[1] === 32) return value.subarray(2);
    if (value.length === 32) return value;
  }
  throw new VaultError('internal', 'the token gives an Ed25519 point of an unknown form');
}
