/** Making keys: the best tier and algorithm that this token proved to have, and only what reads back as it was asked for. */
import { VaultError } from '../../domain/errors.ts';
import { WRAP_TIERS, type WrapTier } from '../../domain/kek-wrap.ts';
import { SIGNATURE_ALGORITHMS, type SignatureAlgorithm } from '../../domain/signature.ts';
import type { KeyInfo, KeyPurpose, KeyRef } from '../port.ts';
import { describeKey, findKek, isTwice, purposesOf } from './key-objects.ts';
import { CK, ckrOf, type Handle, type Pkcs11Module } from './module.ts';
import { proveOaep } from './oaep.ts';
import { quirksOf } from './quirks.ts';
import type { Capabilities } from './self-test.ts';
import { SCHEMES } from './signing.ts';
import { aesKek, keyName, type PairTemplates, rsaKek, signingPair, type TemplateForm } from './templates.ts';

export interface Preferences {
  /** Only this tier, instead of the first that works. */
  readonly wrapTier?: WrapTier;
  /** Only this algorithm, instead of Ed25519 where the token can. */
  readonly signature?: SignatureAlgorithm;
}

/** Refuses a ref that is taken for any purpose. Durable when this returns; what failed half way is removed again. */
export function generateKey(
  module: Pkcs11Module,
  session: Handle,
  ref: KeyRef,
  purpose: KeyPurpose,
  can: Capabilities,
  prefer: Preferences,
): KeyInfo {
  if (purposesOf(module, session, ref).length > 0) throw new VaultError('key_exists', keyName(ref));
  const made = purpose === 'kek' ? makeKek(module, session, ref, can, prefer) : makePair(module, session, ref, purpose, can, prefer);
  try {
    const info = describeKey(module, session, ref);
    if (info.extractable) throw new VaultError('key_extractable', 'the token does not keep what it makes: the key could leave it');
    if (info.wrap?.tier === 3) {
      const { handle, half } = findKek(module, session, ref);
      if (half !== undefined) proveOaep(module, session, handle, half);
    }
    return info;
  } catch (cause) {
    for (const object of made) module.C_DestroyObject(session, object); // another process made the same ref meanwhile, or the token kept it wrongly
    throw isTwice(cause) ? new VaultError('key_raced', `${keyName(ref)} was made twice at once; this one is taken away again`) : cause;
  }
}

function makeKek(module: Pkcs11Module, session: Handle, ref: KeyRef, can: Capabilities, prefer: Preferences): Handle[] {
  const ladder = new Ladder();
  for (const tier of prefer.wrapTier === undefined ? WRAP_TIERS : [prefer.wrapTier]) {
    if (tier === 3) {
      for (const bits of quirksOf(module).modulusBits) {
        const pair = ladder.attempt(`RSA ${bits}`, () =>
          generatePair(module, session, CK.CKM_RSA_PKCS_KEY_PAIR_GEN, (form) => rsaKek(form, ref, bits)),
        );
        if (pair !== undefined) return pair;
      }
      continue;
    }
    const tested = tier === 1 ? can.gcm : can.keyWrap;
    if (tested.works) return [generateAes(module, session, ref, tier)];
    ladder.skip(tier === 1 ? 'AES-GCM' : 'RFC 5649', tested.why);
  }
  throw ladder.exhausted('the token can hold no kek');
}

function makePair(
  module: Pkcs11Module,
  session: Handle,
  ref: KeyRef,
  purpose: KeyPurpose,
  can: Capabilities,
  prefer: Preferences,
): Handle[] {
  const ladder = new Ladder();
  for (const algorithm of prefer.signature === undefined ? SIGNATURE_ALGORITHMS : [prefer.signature]) {
    const tested = can.signing[algorithm];
    const name = algorithm === 'ed25519' ? 'Ed25519' : 'ECDSA P-256';
    if (!tested.works) {
      ladder.skip(name, tested.why);
      continue;
    }
    const { generate } = SCHEMES[algorithm];
    const pair = ladder.attempt(name, () => generatePair(module, session, generate, (form) => signingPair(form, algorithm, purpose, ref)));
    if (pair !== undefined) return pair;
  }
  throw ladder.exhausted('the token makes no key that signs');
}

/** What was tried, and why it did not do. */
class Ladder {
  readonly #why: string[] = [];
  #unclear: unknown;

  skip(name: string, why: string): void {
    this.#why.push(`${name}: ${why}`);
  }

  /** Undefined leads to the next rung. That the token is full, read-only or gone is thrown: no other rung would do better. */
  attempt(name: string, make: () => Handle[]): Handle[] | undefined {
    try {
      return make();
    } catch (cause) {
      const ckr = ckrOf(cause) ?? -1;
      if (UNCLEAR.has(ckr)) this.#unclear = cause;
      else if (!INCAPABLE.has(ckr) && !REFUSES_TEMPLATE.has(ckr)) throw cause;
      this.#why.push(`${name}: CKR 0x${ckr.toString(16)}`);
      return undefined;
    }
  }

  /** An answer that may mean a lost token is passed on as it is, for the probe to judge. */
  exhausted(what: string): unknown {
    return this.#unclear ?? new VaultError('hsm_mechanism_missing', `${what} (${this.#why.join('; ')})`);
  }
}

function generateAes(module: Pkcs11Module, session: Handle, ref: KeyRef, tier: 1 | 2): Handle {
  return inSomeForm(quirksOf(module).templates, (form) =>
    module.C_GenerateKey(session, { mechanism: CK.CKM_AES_KEY_GEN }, aesKek(form, ref, tier)),
  );
}

function generatePair(
  module: Pkcs11Module,
  session: Handle,
  mechanism: number,
  templates: (form: TemplateForm) => PairTemplates,
): Handle[] {
  const pair = inSomeForm(quirksOf(module).templates, (form) => {
    const { publicKey, privateKey } = templates(form);
    return module.C_GenerateKeyPair(session, { mechanism }, publicKey, privateKey);
  });
  return [pair.publicKey, pair.privateKey];
}

function inSomeForm<T>(forms: readonly TemplateForm[], make: (form: TemplateForm) => T): T {
  const [first = 'full', ...others] = forms;
  try {
    return make(first);
  } catch (cause) {
    if (others.length === 0 || !REFUSES_TEMPLATE.has(ckrOf(cause) ?? -1)) throw cause;
    return inSomeForm(others, make);
  }
}

/** CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED: some tokens say so of a size they do not have. */
const UNCLEAR: ReadonlySet<number> = new Set([0x05, 0x06]);
/** CKR_ARGUMENTS_BAD, CKR_ATTRIBUTE_*, CKR_TEMPLATE_*. */
const REFUSES_TEMPLATE: ReadonlySet<number> = new Set([0x07, 0x10, 0x11, 0x12, 0x13, 0xd0, 0xd1]);
/** CKR_FUNCTION_NOT_SUPPORTED, CKR_KEY_SIZE_RANGE, CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_CURVE_NOT_SUPPORTED. */
const INCAPABLE: ReadonlySet<number> = new Set([0x54, 0x62, 0x70, 0x71, 0x140]);
