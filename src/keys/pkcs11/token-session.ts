/** One PKCS#11 session and what is done on it, one operation at a time. */
import { equalBytes } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { secretCopy, secretRoom } from '../../domain/secret.ts';
import type { KeyRef } from '../port.ts';
import { aadDigest, type WrappedKey } from '../wrapped-key.ts';
import { decryptGcm, sealGcm } from './gcm.ts';
import { generateKey, type Preferences } from './generate.ts';
import { readHeads, writeHead } from './head-objects.ts';
import { describeKey, destroyKek, type Kek, PROVIDER } from './key-objects.ts';
import { openKeyWrap, sealKeyWrap } from './key-wrap.ts';
import { type KeyRules, KnownKeys } from './known-keys.ts';
import { ckrOf, type Handle, type Pkcs11Module, view } from './module.ts';
import { openOaep, sealOaep } from './oaep.ts';
import type { Operation, Result } from './operation.ts';
import { INTEGRITY_RESULTS, vaultErrorOf } from './result-codes.ts';
import { closeSession, openSession } from './sessions.ts';
import { signWith } from './signing.ts';

/** Plain data: it crosses to the threads of the pool. */
export interface SessionSettings extends KeyRules {
  readonly slot: Handle;
  readonly readOnly: boolean;
  readonly prefer: Preferences;
}

const DOING: Readonly<Record<Operation['verb'], string>> = {
  generate: 'generating a key',
  describe: 'describing a key',
  destroy: 'destroying a key',
  wrap: 'wrapping',
  unwrap: 'unwrapping',
  rewrap: 'rewrapping',
  sign: 'signing',
  random: 'drawing random bytes',
  readHead: 'reading the kept checkpoint',
  writeHead: 'keeping a checkpoint',
};

export class TokenSession {
  readonly #module: Pkcs11Module;
  readonly #settings: SessionSettings;
  readonly #keys: KnownKeys;
  #session: Handle;

  /** Throws what the token throws when no session can be opened. */
  constructor(module: Pkcs11Module, settings: SessionSettings) {
    this.#module = module;
    this.#settings = settings;
    this.#keys = new KnownKeys(module, settings);
    this.#session = openSession(module, settings.slot, settings.readOnly);
  }

  /** Throws `VaultError`. After a failure the session may still be in the middle of its operation, so it is replaced at once. */
  perform(operation: Operation): Result {
    try {
      return this.#perform(operation);
    } catch (cause) {
      this.#renew();
      throw vaultErrorOf(cause, DOING[operation.verb]);
    }
  }

  close(): void {
    closeSession(this.#module, this.#session);
  }

  #perform(operation: Operation): Result {
    const { can, prefer } = this.#settings;
    switch (operation.verb) {
      case 'generate':
        return generateKey(this.#module, this.#session, operation.ref, operation.purpose, can, prefer);
      case 'describe': {
        const info = describeKey(this.#module, this.#session, operation.ref);
        if (info.wrap !== undefined) this.#keys.demand(info.wrap.tier);
        return info;
      }
      case 'destroy':
        return void destroyKek(this.#module, this.#session, operation.ref);
      case 'wrap':
        return this.#wrap(operation.ref, operation.secret, operation.aad);
      case 'unwrap':
        return this.#unwrap(operation.wrapped, operation.aad);
      case 'rewrap':
        return this.#rewrap(operation);
      case 'sign': {
        const { algorithm, handle, publicKey } = this.#keys.signingKey(this.#session, operation.ref);
        return signWith(this.#module, this.#session, algorithm, handle, publicKey, operation.message);
      }
      case 'random':
        return drawRandom(this.#module, this.#session, operation.length);
      case 'readHead':
        return readHeads(this.#module, this.#session, operation.log);
      case 'writeHead':
        return void writeHead(this.#module, this.#session, operation.log, operation.checkpoint);
    }
  }

  #wrap(ref: KeyRef, secret: Uint8Array, aad: Uint8Array): WrappedKey {
    const kek = this.#keys.kek(this.#session, ref);
    const { iv, bytes } = this.#seal(kek, secret, aad);
    const named = { id: ref.id, version: ref.version };
    return { v: 1, tier: kek.tier, provider: PROVIDER, kek: named, iv, bytes, aadDigest: aadDigest(aad) };
  }

  /** With the remembered handle, unasked: the worst that another object can do is to refuse, and a refusal is believed only of a key looked up anew. */
  #unwrap(wrapped: WrappedKey, aad: Uint8Array): Uint8Array {
    const known = this.#keys.remembered(wrapped.kek);
    if (known === undefined) return this.#open(this.#keys.lookUp(this.#session, wrapped.kek), wrapped, aad);
    try {
      return this.#open(known, wrapped, aad);
    } catch {
      this.#renew();
      return this.#open(this.#keys.lookUp(this.#session, wrapped.kek), wrapped, aad);
    }
  }

  /** What was made is opened once before it is answered: then the old wrap may be forgotten. */
  #rewrap({ wrapped, aad, to, toAad }: Extract<Operation, { verb: 'rewrap' }>): WrappedKey {
    const secret = this.#unwrap(wrapped, aad);
    let opened: Uint8Array | undefined;
    try {
      const again = this.#wrap(to, secret, toAad);
      opened = this.#unwrap(again, toAad);
      if (!equalBytes(secret, opened))
        throw new VaultError('internal', 'the token gave back another secret than it was given; nothing was changed');
      return again;
    } finally {
      secret.fill(0);
      opened?.fill(0);
    }
  }

  #seal({ tier, handle, half }: Kek, secret: Uint8Array, aad: Uint8Array): Pick<WrappedKey, 'iv' | 'bytes'> {
    const { gcm, keyWrap } = this.#settings.can;
    if (tier === 1 && gcm.works) return sealGcm(this.#module, this.#session, handle, gcm.iv, aad, secret);
    const iv = new Uint8Array(0);
    if (tier === 2 && keyWrap.works) return { iv, bytes: sealKeyWrap(this.#module, this.#session, keyWrap.mechanism, handle, aad, secret) };
    if (tier === 3 && half !== undefined) return { iv, bytes: sealOaep(half, aad, secret) };
    throw new VaultError('hsm_mechanism_missing', `tier ${tier}`);
  }

  /** A tag that does not verify is `key_unwrap_refused`, if the probe then finds the token in good health. */
  #open({ tier, handle, half }: Kek, wrapped: WrappedKey, aad: Uint8Array): Uint8Array {
    if (wrapped.tier !== tier)
      throw new VaultError('key_unwrap_refused', `the key was wrapped in tier ${wrapped.tier}, its kek is of tier ${tier}`);
    const { keyWrap } = this.#settings.can;
    const { iv, bytes } = wrapped;
    try {
      if (tier === 1) return decryptGcm(this.#module, this.#session, handle, iv, aad, bytes);
      if (tier === 3 && half !== undefined) return openOaep(this.#module, this.#session, handle, half, aad, bytes);
      if (keyWrap.works) return openKeyWrap(this.#module, this.#session, keyWrap.mechanism, handle, aad, bytes);
    } catch (cause) {
      if (!INTEGRITY_RESULTS.has(ckrOf(cause) ?? -1)) throw cause;
      throw new VaultError('key_unwrap_refused', 'the wrapped key does not verify under this kek', { cause });
    }
    throw new VaultError('hsm_mechanism_missing', `tier ${tier}`);
  }

  #renew(): void {
    closeSession(this.#module, this.#session); // the probe session stays open, so this never logs us out
    try {
      this.#session = openSession(this.#module, this.#settings.slot, this.#settings.readOnly);
    } catch {
      // The token is going: the next operation fails on the closed session, and the probe says why.
    }
  }
}

/** A generator that leaves the buffer as it was (all zero) is broken; the odds for 16 honest bytes are 2^-128. */
function drawRandom(module: Pkcs11Module, session: Handle, length: number): Uint8Array {
  const buffer = view(secretRoom(Math.max(length, 16)));
  try {
    const drawn = module.C_GenerateRandom(session, buffer); // in `buffer`
    if (drawn.every((byte) => byte === 0)) throw new VaultError('hsm_unavailable', 'the random generator of the token gave zeros');
    return secretCopy(drawn.subarray(0, length));
  } finally {
    buffer.fill(0);
  }
}
