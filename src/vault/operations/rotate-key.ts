import { VaultError } from '../../domain/errors.ts';
import { KEY_USES } from '../../domain/key-state.ts';
import type { Tx } from '../../domain/unit-of-work.ts';
import { keyRing, sameKey } from '../key-ring.ts';
import { assertState, changed, type KeyOperation, kekIdOf, makeKek, nextVersion, refOf, ringTarget, signRing } from './key-ring.ts';
import type { CompromiseKey, CreateKey, OperationPorts, OperationSpec, RotateKey } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

const ringSlot = {
  apply: (operation: KeyOperation, document: Parameters<typeof putInForce>[1], tx: Tx, vault: OperationPorts) =>
    putInForce(ringTarget(operation), document, tx, vault),
};
const recorded = (operation: KeyOperation, document: Parameters<typeof activated>[1]) => ({
  ...activated(ringTarget(operation), document),
  key: refOf(operation),
});

/** The next version of a KEK, or the first of a namespace's own, is made and waits: it is in the HSM, and wraps nothing. */
export const createKey: OperationSpec<CreateKey> = {
  action: 'rotateKey',
  async check(operation, tx, vault) {
    const ring = await assertNextKey(operation, tx, vault);
    const waiting = ring.keks.find(({ state }) => state === 'pre-activation');
    if (waiting !== undefined) throw new VaultError('key_state_conflict', `version ${waiting.version} waits already: rotate to it`);
  },
  async sign(operation, signing, vault) {
    const made = await makeKek(refOf(operation), vault);
    return signRing(operation, signing, vault, ({ keks }, now) => ({
      keks: [...keks, { ...refOf(operation), ...made, state: 'pre-activation', createdAt: now }],
    }));
  },
  ...ringSlot,
  record: (operation, document) => ({ ...recorded(operation, document), type: 'key.created' }),
};

/**
 * The next version of the KEK becomes the active one, and the one before it is deactivated: it opens what it wrapped and wraps nothing more.
 * rewrap.ts then goes through what is wrapped. No ciphertext of weights is read or written.
 */
export const rotateKey: OperationSpec<RotateKey> = {
  action: 'rotateKey',
  check: async (operation, tx, vault) => void (await assertNextKey(operation, tx, vault)),
  async sign(operation, signing, vault) {
    const next = refOf(operation);
    const made = await makeKek(next, vault);
    return signRing(operation, signing, vault, ({ keks }, now) => {
      const known = keks.find((kek) => sameKey(kek, next)) ?? { ...next, state: 'pre-activation' as const, createdAt: now };
      const others = keks.filter((kek) => !sameKey(kek, next));
      const before = others.map((kek) => (KEY_USES[kek.state].wraps ? { ...kek, state: 'deactivated' as const, deactivatedAt: now } : kek));
      return { keks: [...before, { ...known, ...made, state: 'active' as const, activatedAt: now }] };
    });
  },
  ...ringSlot,
  record: (operation, document) => ({ ...recorded(operation, document), type: 'key.rotated' }),
};

/** Somebody else may have the key. It opens what it wrapped, so that this can be rewrapped; it wraps nothing, and nothing is sealed under it. */
export const compromiseKey: OperationSpec<CompromiseKey> = {
  action: 'rotateKey',
  async check(operation, tx, vault) {
    await assertNext(ringTarget(operation), tx, vault);
    assertState(await keyRing(operation.namespace, tx, vault), refOf(operation), ['active', 'deactivated', 'pre-activation']);
  },
  sign: (operation, signing, vault) =>
    signRing(operation, signing, vault, ({ keks }, now) => ({
      keks: changed(keks, refOf(operation), { state: 'compromised', compromisedAt: now }),
    })),
  ...ringSlot,
  record: (operation, document) => ({ ...recorded(operation, document), type: 'key.compromised' }),
};

async function assertNextKey(operation: CreateKey | RotateKey, tx: Tx, vault: OperationPorts) {
  await assertNext(ringTarget(operation), tx, vault);
  const ring = await keyRing(operation.namespace, tx, vault);
  const [id, version] = [kekIdOf(ring, vault), nextVersion(ring)];
  if (operation.keyId !== id || operation.version !== version) {
    throw new VaultError('key_state_conflict', `the next version of ${id} is ${version}`);
  }
  return ring;
}
