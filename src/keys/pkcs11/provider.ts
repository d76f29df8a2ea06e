/** KeyProvider on a PKCS#11 token. Lives in the keeper process only; everyone else talks to it through keeper/client.ts. */
import { randomBytes } from 'node:crypto';
import { equalBytes } from '../../domain/bytes.ts';
import { type Clock, systemClock } from '../../domain/clock.ts';
import { type ErrorCode, VaultError } from '../../domain/errors.ts';
import { SecretBytes } from '../../domain/secret.ts';
import { checkAad, checkMessage, checkRandomLength, checkRef, checkSecret } from '../bounds.ts';
import type { KeyProvider, KeyProviderHealth } from '../port.ts';
import { aadDigest, decodeWrappedKey, encodeWrappedKey, type WrappedKey } from '../wrapped-key.ts';
import type { Connection, TokenConfig } from './connection.ts';
import { decryptGcm, encryptGcm, IV_BYTES } from './gcm.ts';
import { describeKey, destroyKek, findKek, findSigningKey, generateKey } from './key-objects.ts';
import { createLink, type LinkEvent } from './link.ts';
import { CKM_EDDSA, ckrOf, type Handle, loadModule, type Pkcs11Module } from './module.ts';
import { checkPinFile } from './pin-file.ts';
import { INTEGRITY_RESULTS, vaultErrorOf } from './result-codes.ts';

const PROVIDER = 'pkcs11';
const SIGNATURE_BYTES = 64;
/** Facts about the request; a lost token cannot cause them, so they need no probe. */
const CERTAIN: ReadonlySet<ErrorCode> = new Set(['request_invalid', 'key_exists', 'internal']);

export interface Pkcs11Config extends TokenConfig {
  /** Path of the shared library. */
  readonly module: string;
}

export interface Pkcs11Options {
  readonly clock?: Clock;
  readonly onEvent?: (event: LinkEvent) => void;
}

/** Throws `configuration_invalid` for a library that does not load or a PIN file others can read. Connects on first use. */
export function createPkcs11KeyProvider(config: Pkcs11Config, options: Pkcs11Options = {}): KeyProvider {
  checkPinFile(config.pinFile);
  const module = loadModule(config.module);
  const link = createLink(module, config, options.clock ?? systemClock, options.onEvent ?? (() => {}));

  /** One operation on one leased session. A failure is believed only after the token proved to be there. */
  async function operate<T>(doing: string, work: (session: Handle) => T): Promise<T> {
    const connection = await link.connected();
    try {
      return await connection.sessions.run(work);
    } catch (cause) {
      const error = vaultErrorOf(cause, doing);
      if (CERTAIN.has(error.code)) throw error;
      throw (await link.check(connection)) ?? error;
    }
  }

  const provider: KeyProvider = {
    async generate(ref, purpose) {
      checkRef(ref);
      return operate('generating a key', (session) => generateKey(module, session, ref, purpose));
    },
    async describe(ref) {
      checkRef(ref);
      return operate('describing a key', (session) => describeKey(module, session, ref));
    },
    async destroy(ref) {
      checkRef(ref);
      await operate('destroying a key', (session) => destroyKek(module, session, ref));
      return {};
    },
    async wrap(kek, secret, aad) {
      checkRef(kek);
      checkSecret(secret);
      checkAad(aad);
      const iv = new Uint8Array(randomBytes(IV_BYTES));
      const bytes = await operate('wrapping', (session) => {
        const key = findKek(module, session, kek);
        return secret.expose((plain) => encryptGcm(module, session, key, iv, aad, plain));
      });
      return { v: 1, tier: 1, provider: PROVIDER, kek: { id: kek.id, version: kek.version }, iv, bytes, aadDigest: aadDigest(aad) };
    },
    async unwrap(wrapped, aad) {
      checkAad(aad);
      checkBlob(wrapped, aad);
      return operate('unwrapping', (session) => openBlob(module, session, wrapped, aad));
    },
    async rewrap(wrapped, aad, to, toAad) {
      using secret = await provider.unwrap(wrapped, aad);
      const again = await provider.wrap(to, secret, toAad);
      using opened = await provider.unwrap(again, toAad);
      assertSame(secret, opened);
      return again;
    },
    async sign(ref, message) {
      checkRef(ref);
      checkMessage(message);
      return operate('signing', (session) => {
        module.C_SignInit(session, { mechanism: CKM_EDDSA }, findSigningKey(module, session, ref));
        return new Uint8Array(module.C_Sign(session, Buffer.from(message), Buffer.alloc(SIGNATURE_BYTES)));
      });
    },
    async random(length) {
      checkRandomLength(length);
      return operate('drawing random bytes', (session) => drawRandom(module, session, length));
    },
    health: () => healthOf(link.connected, link.check),
    close: () => link.close(),
  };
  return provider;
}

function assertSame(one: SecretBytes, other: SecretBytes): void {
  const same = one.expose((a) => other.expose((b) => equalBytes(a, b)));
  if (!same) throw new VaultError('internal', 'the token gave back another secret than it was given; nothing was changed');
}

function checkBlob(wrapped: WrappedKey, aad: Uint8Array): void {
  const { provider, tier, kek, aadDigest: digest } = decodeWrappedKey(encodeWrappedKey(wrapped)); // its sizes, as if read from storage
  if (provider !== PROVIDER) throw new VaultError('key_unwrap_refused', 'the key was wrapped by another provider');
  if (tier !== 1) throw new VaultError('key_unwrap_refused', 'the key was wrapped in another tier than its kek has');
  checkRef(kek);
  if (!equalBytes(digest, aadDigest(aad))) throw new VaultError('key_context_mismatch');
}

/** A tag that does not verify is `key_unwrap_refused`, if the probe then finds the token in good health. */
function openBlob(module: Pkcs11Module, session: Handle, wrapped: WrappedKey, aad: Uint8Array): SecretBytes {
  const key = findKek(module, session, wrapped.kek);
  try {
    return new SecretBytes(decryptGcm(module, session, key, wrapped.iv, aad, wrapped.bytes));
  } catch (cause) {
    if (!INTEGRITY_RESULTS.has(ckrOf(cause) ?? -1)) throw cause;
    throw new VaultError('key_unwrap_refused', 'the wrapped key does not verify under this kek', { cause });
  }
}

/** A generator that leaves the buffer as it was (all zero) is broken; the odds for 16 honest bytes are 2^-128. */
function drawRandom(module: Pkcs11Module, session: Handle, length: number): Uint8Array {
  const buffer = Buffer.alloc(Math.max(length, 16));
  try {
    const drawn = new Uint8Array(module.C_GenerateRandom(session, buffer));
    if (drawn.every((byte) => byte === 0)) throw new VaultError('hsm_unavailable', 'the random generator of the token gave zeros');
    const out = drawn.slice(0, length);
    drawn.fill(0);
    return out;
  } finally {
    buffer.fill(0);
  }
}

async function healthOf(
  connected: () => Promise<Connection>,
  check: (connection: Connection) => Promise<VaultError | undefined>,
): Promise<KeyProviderHealth> {
  try {
    const lost = await check(await connected());
    if (lost === undefined) return { ok: true };
    await connected(); // `check` gave the connection up and tried once; when that worked, the provider is well again
    return { ok: true };
  } catch (error) {
    return { ok: false, code: healthCode(vaultErrorOf(error, 'health').code) };
  }
}

function healthCode(code: ErrorCode): NonNullable<KeyProviderHealth['code']> {
  return code === 'pin_incorrect' || code === 'hsm_token_missing' || code === 'hsm_mechanism_missing' || code === 'keeper_unavailable'
    ? code
    : 'hsm_unavailable';
}
