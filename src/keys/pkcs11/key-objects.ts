/** Keys as token objects. A key is known by CKA_ID = `purpose/id/version`, never by handle or position. */
import type { KeyObject } from 'node:crypto';
import { VaultError } from '../../domain/errors.ts';
import type { KekWrap, WrapTier } from '../../domain/kek-wrap.ts';
import { SIGNATURE_ALGORITHMS, type SignatureAlgorithm } from '../../domain/signature.ts';
import type { KeyInfo, KeyPurpose, KeyRef } from '../port.ts';
import { CK, type Handle, type Pkcs11Module, type Template } from './module.ts';
import { publicHalf, type RsaHalf } from './oaep.ts';
import { publicKeyObject, SCHEMES, spkiOfPoint } from './signing.ts';
import { identity, keyName } from './templates.ts';

export const PURPOSES: readonly KeyPurpose[] = ['kek', 'catalogue', 'log'];
const SIGNING: readonly KeyPurpose[] = ['catalogue', 'log'];

/** A key that was found and read. Handles are the token's; they end with the connection. */
export interface Kek {
  readonly handle: Handle;
  readonly tier: WrapTier;
  /** Of tier 3. */
  readonly half?: RsaHalf;
  readonly extractable: boolean;
}

export interface SigningKey {
  readonly handle: Handle;
  readonly purpose: KeyPurpose;
  readonly algorithm: SignatureAlgorithm;
  readonly spki: Uint8Array;
  readonly publicKey: KeyObject;
  readonly extractable: boolean;
}

/** Throws `key_unknown`; the caller must make sure that the token is really there before it passes that on. */
export function findKek(module: Pkcs11Module, session: Handle, ref: KeyRef): Kek {
  const found = kekObject(module, session, ref);
  if (found === undefined) throw new VaultError('key_unknown', `no kek ${keyName(ref)}`);
  const { handle, rsa } = found;
  const extractable = canLeave(module, session, handle);
  if (rsa) return { handle, tier: 3, half: publicHalf(module, session, handle), extractable };
  return { handle, tier: aesTier(module, session, handle), extractable };
}

export function findSigningKey(module: Pkcs11Module, session: Handle, ref: KeyRef): SigningKey {
  const found = SIGNING.flatMap((purpose) => {
    const handle = findOne(module, session, CK.CKO_PRIVATE_KEY, purpose, ref);
    return handle === undefined ? [] : [{ purpose, handle }];
  });
  const { purpose, handle } = exactlyOne(found, `signing key ${keyName(ref)}`);
  const algorithm = algorithmOf(module, session, handle);
  const spki = spkiOf(module, session, algorithm, purpose, ref);
  return { handle, purpose, algorithm, spki, publicKey: publicKeyObject(spki), extractable: canLeave(module, session, handle) };
}

/** What the token itself says about the key. */
export function describeKey(module: Pkcs11Module, session: Handle, ref: KeyRef): KeyInfo {
  const purpose = exactlyOne(purposesOf(module, session, ref), `key ${keyName(ref)}`);
  const plain = { id: ref.id, version: ref.version };
  if (purpose === 'kek') {
    const kek = findKek(module, session, ref);
    return { ref: plain, purpose, extractable: kek.extractable, wrap: wrapOf(kek) };
  }
  const { extractable, spki, algorithm } = findSigningKey(module, session, ref);
  return { ref: plain, purpose, extractable, publicKey: spki, algorithm };
}

/** In the wrapped blobs. */
export const PROVIDER = 'pkcs11';

function wrapOf({ tier, half }: Kek): KekWrap {
  if (tier !== 3) return { tier, algorithm: tier === 1 ? 'AES-256-GCM' : 'AES-256-KWP', provider: PROVIDER };
  const bits = half?.modulus.length === 256 ? 2048 : half?.modulus.length === 384 ? 3072 : 4096; // publicHalf knows no other
  return { tier, algorithm: `RSA-${bits}-OAEP-SHA-256`, provider: PROVIDER };
}

/** For which purposes this ref is taken. */
export function purposesOf(module: Pkcs11Module, session: Handle, ref: KeyRef): readonly KeyPurpose[] {
  return PURPOSES.filter((purpose) =>
    purpose === 'kek'
      ? kekObject(module, session, ref) !== undefined
      : findOne(module, session, CK.CKO_PRIVATE_KEY, purpose, ref) !== undefined,
  );
}

/** Throws `key_unknown`. The token is asked again afterwards: an object that is still there was not destroyed. */
export function destroyKek(module: Pkcs11Module, session: Handle, ref: KeyRef): void {
  const found = kekObject(module, session, ref);
  if (found === undefined) throw new VaultError('key_unknown', `no kek ${keyName(ref)}`);
  module.C_DestroyObject(session, found.handle);
  const half = found.rsa ? findOne(module, session, CK.CKO_PUBLIC_KEY, 'kek', ref) : undefined;
  if (half !== undefined) module.C_DestroyObject(session, half);
  if (kekObject(module, session, ref) !== undefined)
    throw new VaultError('internal', `the token still holds ${keyName(ref)} after destroying it`);
}

/** Is the object behind this handle still that key? A handle may be given to another object once its own is gone. */
export function isStill(module: Pkcs11Module, session: Handle, handle: Handle, name: string): boolean {
  const [id] = module.C_GetAttributeValue(session, handle, [{ type: CK.CKA_ID }]);
  return Buffer.isBuffer(id?.value) && id.value.equals(Buffer.from(name));
}

/** An AES key, or the private half of an RSA pair: never both under one name. */
function kekObject(module: Pkcs11Module, session: Handle, ref: KeyRef): { handle: Handle; rsa: boolean } | undefined {
  const aes = findOne(module, session, CK.CKO_SECRET_KEY, 'kek', ref);
  const rsa = findOne(module, session, CK.CKO_PRIVATE_KEY, 'kek', ref);
  if (aes !== undefined && rsa !== undefined) throw twice(identity('kek', ref));
  if (aes !== undefined) return { handle: aes, rsa: false };
  return rsa === undefined ? undefined : { handle: rsa, rsa: true };
}

/** Two objects of one identity are an error of its own: picking one would be a guess about which key holds the weights. */
function findOne(module: Pkcs11Module, session: Handle, objectClass: number, purpose: KeyPurpose, ref: KeyRef): Handle | undefined {
  const name = identity(purpose, ref);
  const found = search(module, session, [
    { type: CK.CKA_CLASS, value: objectClass },
    { type: CK.CKA_TOKEN, value: true },
    { type: CK.CKA_ID, value: Buffer.from(name) },
  ]);
  const [only, second] = found;
  if (only !== undefined && !isStill(module, session, only, name)) throw new VaultError('hsm_mechanism_missing', SHORTENED);
  if (second !== undefined) throw twice(name);
  return only;
}

function search(module: Pkcs11Module, session: Handle, template: Template): readonly Handle[] {
  module.C_FindObjectsInit(session, template);
  try {
    return module.C_FindObjects(session, 2);
  } finally {
    module.C_FindObjectsFinal(session);
  }
}

/** The YubiHSM's library before 2.4.0 kept two bytes of a CKA_ID without a word: then every key is every other. */
const SHORTENED = 'the token finds another object than was asked for: it does not keep a CKA_ID whole';

const TWICE = Symbol('two objects of one identity');
const twice = (what: string) => new VaultError('internal', `the token holds two objects named ${what}; none is used`, { cause: TWICE });

/** Of a key that was just made: somebody else made it too. */
export const isTwice = (error: unknown): boolean => error instanceof VaultError && error.cause === TWICE;

function exactlyOne<T>(found: readonly T[], what: string): T {
  const [only, second] = found;
  if (only === undefined) throw new VaultError('key_unknown', `no ${what}`);
  if (second !== undefined) throw twice(what);
  return only;
}

function aesTier(module: Pkcs11Module, session: Handle, key: Handle): WrapTier {
  const [decrypts, unwraps] = booleans(module, session, key, [CK.CKA_DECRYPT, CK.CKA_UNWRAP]);
  if (decrypts) return 1;
  if (unwraps) return 2;
  throw new VaultError('internal', 'a kek on the token neither decrypts nor unwraps');
}

function algorithmOf(module: Pkcs11Module, session: Handle, key: Handle): SignatureAlgorithm {
  const [attribute] = module.C_GetAttributeValue(session, key, [{ type: CK.CKA_KEY_TYPE }]);
  const keyType = Buffer.isBuffer(attribute?.value) ? attribute.value.readUInt8(0) : -1; // CK_ULONG, and all of ours fit in a byte
  const found = SIGNATURE_ALGORITHMS.find((name) => SCHEMES[name].keyType === keyType);
  if (found === undefined) throw new VaultError('internal', 'a signing key on the token is of a type that nothing here verifies');
  return found;
}

/** True unless the token says all of it: sensitive and unextractable, now and since it was made inside (never true of an imported key). */
function canLeave(module: Pkcs11Module, session: Handle, key: Handle): boolean {
  const types = [CK.CKA_EXTRACTABLE, CK.CKA_NEVER_EXTRACTABLE, CK.CKA_SENSITIVE, CK.CKA_ALWAYS_SENSITIVE];
  const [extractable, never, sensitive, always] = booleans(module, session, key, types);
  return extractable !== false || !never || !sensitive || !always;
}

function booleans(module: Pkcs11Module, session: Handle, key: Handle, types: readonly number[]): ReadonlyArray<boolean> {
  const read = module.C_GetAttributeValue(
    session,
    key,
    types.map((type) => ({ type })),
  );
  return read.map(({ value }) => Buffer.isBuffer(value) && value[0] === 1);
}

function spkiOf(module: Pkcs11Module, session: Handle, algorithm: SignatureAlgorithm, purpose: KeyPurpose, ref: KeyRef): Uint8Array {
  const key = findOne(module, session, CK.CKO_PUBLIC_KEY, purpose, ref);
  if (key === undefined) throw new VaultError('key_unknown', `no public key ${keyName(ref)}`);
  const [attribute] = module.C_GetAttributeValue(session, key, [{ type: CK.CKA_EC_POINT }]);
  return spkiOfPoint(algorithm, attribute?.value);
}
