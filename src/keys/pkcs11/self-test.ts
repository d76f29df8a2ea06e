/**
 * Before the first operation of a connection: what does this token really do? Known answers decide, never the list of mechanisms: one number
 * means different things in different modules (0x210A is RFC 5649 in SoftHSM and not in NSS). RSA-OAEP is proven on each key itself (oaep.ts),
 * because some tokens make no key for a test.
 */
import { createCipheriv, randomBytes } from 'node:crypto';
import { equalBytes } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { SIGNATURE_ALGORITHMS, type SignatureAlgorithm } from '../../domain/signature.ts';
import { decryptGcm, encryptGcm, IV_BYTES, type IvSource } from './gcm.ts';
import { unwrapBytes, wrapBytes } from './key-wrap.ts';
import { CK, CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD, ckrOf, type Handle, type Pkcs11Module, type Template } from './module.ts';
import { RESULT_CODES } from './result-codes.ts';
import { publicKeyObject, SCHEMES, signWith, spkiOfPoint } from './signing.ts';
import { signingPair } from './templates.ts';

export type Verdict<T> = ({ readonly works: true } & T) | { readonly works: false; readonly why: string };

/** Plain data: it crosses to the threads of the pool. */
export interface Capabilities {
  /** `knownAnswer: false`: the token takes no key from outside, so only its own agreement with itself was seen. */
  readonly gcm: Verdict<{ readonly iv: IvSource; readonly knownAnswer: boolean }>;
  readonly keyWrap: Verdict<{ readonly mechanism: number }>;
  /** `untried`: the token makes no pair for a test. Every signature is verified before it is given out all the same. */
  readonly signing: Readonly<Record<SignatureAlgorithm, Verdict<{ readonly untried: boolean }>>>;
}

const missing = (what: string, cause?: unknown) => new VaultError('hsm_mechanism_missing', what, { cause });

/** Never throws: what does not work is a verdict with its reason. Leaves no object behind. */
export function selfTest(module: Pkcs11Module, session: Handle): Capabilities {
  return {
    gcm: verdict(() => testGcm(module, session)),
    keyWrap: verdict(() => ({ mechanism: findKeyWrap(module, session) })),
    signing: {
      ed25519: trySigning(module, session, 'ed25519'),
      'ecdsa-p256-sha256': trySigning(module, session, 'ecdsa-p256-sha256'),
    },
  };
}

/** One line for the log and the doctor. */
export function inWords({ gcm, keyWrap, signing }: Capabilities): string {
  const aes = gcm.works ? `works${gcm.iv === 'token' ? ', IV by the token' : ''}${gcm.knownAnswer ? '' : ', no known answer'}` : gcm.why;
  const wrap = keyWrap.works ? `works as 0x${keyWrap.mechanism.toString(16)}` : keyWrap.why;
  const signs = SIGNATURE_ALGORITHMS.map((name) => {
    const one = signing[name];
    return `${name}: ${one.works ? (one.untried ? 'untried' : 'works') : one.why}`;
  });
  return [`AES-GCM: ${aes}`, `RFC 5649: ${wrap}`, ...signs].join('; ');
}

function verdict<T extends object>(test: () => T): Verdict<T> {
  try {
    return { works: true, ...test() };
  } catch (cause) {
    return { works: false, why: cause instanceof VaultError ? cause.detail : ckrName(cause) };
  }
}

function ckrName(cause: unknown): string {
  const ckr = ckrOf(cause);
  return ckr === undefined ? 'failed' : (RESULT_CODES.get(ckr)?.[0] ?? `CKR 0x${ckr.toString(16)}`);
}

/** Under a session key of known bytes, which is the reason it is imported and not generated; it dies with this call. */
function testGcm(module: Pkcs11Module, session: Handle): { iv: IvSource; knownAnswer: boolean } {
  const value = randomBytes(32);
  const knownAnswer = imports(module, session, value);
  const key = knownAnswer
    ? module.C_CreateObject(session, sessionAes(value))
    : module.C_GenerateKey(session, { mechanism: CK.CKM_AES_KEY_GEN }, [...sessionAes(), { type: CK.CKA_VALUE_LEN, value: 32 }]);
  try {
    return { iv: testGcmUnder(module, session, key, knownAnswer ? value : undefined), knownAnswer };
  } finally {
    module.C_DestroyObject(session, key);
  }
}

function testGcmUnder(module: Pkcs11Module, session: Handle, key: Handle, value: Buffer | undefined): IvSource {
  const [ours, aad, plain] = [new Uint8Array(randomBytes(IV_BYTES)), new Uint8Array(randomBytes(61)), new Uint8Array(randomBytes(32))];
  const iv = ours.slice();
  let source: IvSource = 'ours';
  let sealed: Uint8Array;
  try {
    sealed = encryptGcm(module, session, key, iv, aad, plain);
  } catch (cause) {
    iv.fill(0); // AWS CloudHSM takes no IV but this one, and writes its own in its place
    sealed = tryOr(() => encryptGcm(module, session, key, iv, aad, plain), cause);
    source = 'token';
  }
  if (!equalBytes(iv, ours)) source = 'token';
  if (iv.every((byte) => byte === 0)) throw missing('the token was to choose an IV and chose none');
  if (sealed.length !== plain.length + 16) throw missing('AES-GCM of the token gives another number of bytes');
  if (value !== undefined && !equalBytes(sealed, gcm(value, iv, aad, plain)))
    throw missing('AES-GCM of the token gives other bytes than SP 800-38D');
  if (!equalBytes(decryptGcm(module, session, key, iv, aad, sealed), plain))
    throw missing('AES-GCM of the token does not open what it sealed');
  mustRefuse('AES-GCM', 'another AAD', () => decryptGcm(module, session, key, iv, new Uint8Array(61), sealed));
  mustRefuse('AES-GCM', 'an altered tag', () => decryptGcm(module, session, key, iv, aad, flipLast(sealed)));
  return source;
}

function tryOr<T>(work: () => T, otherwise: unknown): T {
  try {
    return work();
  } catch {
    throw otherwise;
  }
}

/** The number under which this token does RFC 5649, by a known answer. */
function findKeyWrap(module: Pkcs11Module, session: Handle): number {
  const value = randomBytes(32);
  const key = module.C_CreateObject(session, sessionAes(value));
  try {
    const why: string[] = [];
    for (const mechanism of [CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD]) {
      const tried = verdict(() => testKeyWrap(module, session, mechanism, key, value));
      if (tried.works) return mechanism;
      why.push(`0x${mechanism.toString(16)} ${tried.why}`);
    }
    throw missing(why.join(', '));
  } finally {
    module.C_DestroyObject(session, key);
  }
}

/** DEK and authenticator seed with their digests; SoftHSM 2.6 pads 52 bytes with zeros first and loses their number. */
const KEY_WRAP_LENGTHS = [64, 52];

function testKeyWrap(module: Pkcs11Module, session: Handle, mechanism: number, key: Handle, value: Buffer): object {
  for (const length of KEY_WRAP_LENGTHS) {
    const plain = new Uint8Array(randomBytes(length));
    const wrapped = wrapBytes(module, session, mechanism, key, plain);
    if (!equalBytes(wrapped, keyWrap(value, plain))) throw missing(`gives other bytes than RFC 5649 for ${length} bytes`);
    if (!equalBytes(unwrapBytes(module, session, mechanism, key, wrapped), plain)) throw missing('does not open what it wrapped');
    mustRefuse('key wrap', 'altered bytes', () => unwrapBytes(module, session, mechanism, key, flipLast(wrapped)));
  }
  return {};
}

function trySigning(module: Pkcs11Module, session: Handle, algorithm: SignatureAlgorithm): Verdict<{ untried: boolean }> {
  const { publicKey, privateKey } = signingPair('plain', algorithm, 'log');
  let pair: { publicKey: Handle; privateKey: Handle };
  try {
    pair = module.C_GenerateKeyPair(session, { mechanism: SCHEMES[algorithm].generate }, publicKey, privateKey);
  } catch (cause) {
    const known = UNKNOWN_MECHANISM.has(ckrOf(cause) ?? -1);
    return known ? { works: false, why: ckrName(cause) } : { works: true, untried: true };
  }
  try {
    return verdict(() => {
      const [point] = module.C_GetAttributeValue(session, pair.publicKey, [{ type: CK.CKA_EC_POINT }]);
      const spki = publicKeyObject(spkiOfPoint(algorithm, point?.value));
      signWith(module, session, algorithm, pair.privateKey, spki, new Uint8Array(randomBytes(100)));
      return { untried: false };
    });
  } finally {
    for (const handle of [pair.publicKey, pair.privateKey]) module.C_DestroyObject(session, handle);
  }
}

/** CKR_FUNCTION_NOT_SUPPORTED, CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_CURVE_NOT_SUPPORTED. */
const UNKNOWN_MECHANISM: ReadonlySet<number> = new Set([0x54, 0x63, 0x70, 0x71, 0x140]);

function mustRefuse(name: string, what: string, open: () => Uint8Array): void {
  try {
    open();
  } catch {
    return;
  }
  throw missing(`${name} of the token opens ${what}`);
}

/** Tokens in a strict mode make keys and take none. */
function imports(module: Pkcs11Module, session: Handle, value: Buffer): boolean {
  try {
    module.C_DestroyObject(session, module.C_CreateObject(session, sessionAes(value)));
    return true;
  } catch {
    return false;
  }
}

function gcm(key: Buffer, iv: Uint8Array, aad: Uint8Array, plain: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(aad);
  return new Uint8Array(Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]));
}

/** RFC 5649 by OpenSSL; the IV is the upper half of the alternative initial value (section 3). */
function keyWrap(key: Buffer, plain: Uint8Array): Uint8Array {
  const cipher = createCipheriv('id-aes256-wrap-pad', key, Buffer.from('a65959a6', 'hex'));
  return new Uint8Array(Buffer.concat([cipher.update(plain), cipher.final()]));
}

function flipLast(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte, at) => (at === bytes.length - 1 ? byte ^ 1 : byte));
}

function sessionAes(value?: Buffer): Template {
  return [
    { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
    { type: CK.CKA_KEY_TYPE, value: CK.CKK_AES },
    { type: CK.CKA_TOKEN, value: false },
    ...[CK.CKA_ENCRYPT, CK.CKA_DECRYPT, CK.CKA_WRAP, CK.CKA_UNWRAP].map((type) => ({ type, value: true })),
    ...(value === undefined ? [] : [{ type: CK.CKA_VALUE, value }]),
  ];
}
