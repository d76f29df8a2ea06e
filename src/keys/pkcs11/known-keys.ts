/**
 * The keys a session has used, so that an operation need not look its key up again: a search is three calls, and over a network each costs a
 * round trip. A key is judged once, when it is looked up: what may leave the token is not used, and RSA-OAEP is proven on the key itself.
 */
import { VaultError } from '../../domain/errors.ts';
import type { WrapTier } from '../../domain/kek-wrap.ts';
import { LruMap } from '../../domain/lru-map.ts';
import type { KeyRef } from '../port.ts';
import { findKek, findSigningKey, isStill, type Kek, type SigningKey } from './key-objects.ts';
import { ckrOf, type Handle, type Pkcs11Module } from './module.ts';
import { proveOaep } from './oaep.ts';
import type { Capabilities } from './self-test.ts';
import { identity, keyName } from './templates.ts';

const KEYS_REMEMBERED = 1024;
/** CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID: the object was destroyed by somebody else. */
const STALE: ReadonlySet<number> = new Set([0x60, 0x82]);

export interface KeyRules {
  readonly can: Capabilities;
  /** `dangerouslyAllowExtractableKek` */
  readonly allowExtractable: boolean;
}

export class KnownKeys {
  readonly #module: Pkcs11Module;
  readonly #rules: KeyRules;
  readonly #keks = new LruMap<string, Kek>(KEYS_REMEMBERED);
  readonly #signing = new LruMap<string, SigningKey>(KEYS_REMEMBERED);

  constructor(module: Pkcs11Module, rules: KeyRules) {
    this.#module = module;
    this.#rules = rules;
  }

  remembered(ref: KeyRef): Kek | undefined {
    return this.#keks.get(keyName(ref));
  }

  /** A handle may be another object's once its own is gone, so a remembered key is asked who it is. Throws `key_unknown`, `key_extractable`. */
  kek(session: Handle, ref: KeyRef): Kek {
    const known = this.remembered(ref);
    return known !== undefined && this.#holds(session, known.handle, identity('kek', ref)) ? known : this.lookUp(session, ref);
  }

  lookUp(session: Handle, ref: KeyRef): Kek {
    const kek = findKek(this.#module, session, ref);
    this.#judge(kek.extractable, ref);
    this.demand(kek.tier);
    if (kek.half !== undefined) proveOaep(this.#module, session, kek.handle, kek.half);
    this.#keks.set(keyName(ref), kek);
    return kek;
  }

  signingKey(session: Handle, ref: KeyRef): SigningKey {
    const known = this.#signing.get(keyName(ref));
    if (known !== undefined && this.#holds(session, known.handle, identity(known.purpose, ref))) return known;
    const key = findSigningKey(this.#module, session, ref);
    this.#judge(key.extractable, ref);
    this.#signing.set(keyName(ref), key);
    return key;
  }

  #holds(session: Handle, handle: Handle, name: string): boolean {
    try {
      return isStill(this.#module, session, handle, name);
    } catch (cause) {
      if (STALE.has(ckrOf(cause) ?? -1)) return false;
      throw cause;
    }
  }

  #judge(extractable: boolean, ref: KeyRef): void {
    if (extractable && !this.#rules.allowExtractable)
      throw new VaultError('key_extractable', `${keyName(ref)} may leave the token, or once could`);
  }

  /** A mechanism that no longer gives the right answers is not used, whatever it wrapped before. Throws `hsm_mechanism_missing`. */
  demand(tier: WrapTier): void {
    const { gcm, keyWrap } = this.#rules.can;
    const tested = tier === 1 ? gcm : tier === 2 ? keyWrap : undefined;
    if (tested?.works === false) throw new VaultError('hsm_mechanism_missing', `tier ${tier}: ${tested.why}`);
  }
}
