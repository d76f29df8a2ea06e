import { beforeEach, describe, expect, test } from '@jest/globals';
import type { RecordedPermit } from '../../src/domain/access.ts';
import { claimStage } from '../../src/domain/earned.ts';
import { VaultError } from '../../src/domain/errors.ts';
import type { KeyId, ModelId, Namespace, VaultId, VersionId } from '../../src/domain/ids.ts';
import { newId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { createDekLeases, type DekLeases } from '../../src/keys/dek-leases.ts';
import type { KeyProvider } from '../../src/keys/port.ts';
import { dekWrapAad, type WrappedKey } from '../../src/keys/wrapped-key.ts';
import { createMemoryKeyProvider } from '../doubles/memory-key-provider.ts';

const mint = claimStage('RecordedPermit'); // this test stands in for vault/record.ts
const now = new Date('2026-11-23T00:00:00Z');
const kek = { id: 'kek' as KeyId, version: 1 };
const where = { vaultId: newId<VaultId>(now), namespace: 'lab' as Namespace, modelId: newId<ModelId>(now) };

function permitFor(versionId: VersionId): RecordedPermit {
  return mint({ namespace: where.namespace, modelId: where.modelId, versionId }) as unknown as RecordedPermit; // what leases read of it
}

/** Time that moves when told. */
function fakeTimers() {
  let at = 0;
  const due = new Set<{ at: number; run: () => void }>();
  return {
    start(run: () => void, ms: number) {
      const entry = { at: at + ms, run };
      due.add(entry);
      return () => void due.delete(entry);
    },
    advance(seconds: number) {
      at += seconds * 1000;
      for (const entry of [...due]) {
        if (entry.at > at) continue;
        due.delete(entry);
        entry.run();
      }
    },
    pending: () => due.size,
  };
}

describe('DEK leases', () => {
  let provider: KeyProvider;
  let unwraps: SecretBytes[];
  let failing: VaultError | undefined;
  let gate: Promise<void>;
  let timers: ReturnType<typeof fakeTimers>;
  let leases: DekLeases;
  const versionId = newId<VersionId>(now);
  const aad = dekWrapAad({ ...where, versionId }, kek);
  let wrapped: WrappedKey;
  const isDek = (dek: SecretBytes) => dek.expose((bytes) => bytes.length === 32 && bytes.every((byte) => byte === 7));

  beforeEach(async () => {
    provider = createMemoryKeyProvider();
    await provider.generate(kek, 'kek');
    wrapped = await provider.wrap(kek, new SecretBytes(new Uint8Array(32).fill(7)), aad);
    unwraps = [];
    failing = undefined;
    gate = Promise.resolve();
    timers = fakeTimers();
    const counting = {
      async unwrap(key: WrappedKey, context: Uint8Array) {
        await gate;
        if (failing !== undefined) throw failing;
        const opened = await provider.unwrap(key, context);
        unwraps.push(opened);
        return opened;
      },
    };
    leases = createDekLeases({ provider: counting, timers });
  });

  test('50 leases at once cost one unwrap and share one DEK', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => leases.lease(permitFor(versionId), wrapped, aad)));
    expect(unwraps).toHaveLength(1);
    expect(all.every(({ dek }) => isDek(dek))).toBe(true);
    expect(new Set(all.map(({ dek }) => dek)).size).toBe(1);
  });

  test('the DEK stays while one lease lives and is wiped 60 s after the last one, not before', async () => {
    const [first, second] = [
      await leases.lease(permitFor(versionId), wrapped, aad),
      await leases.lease(permitFor(versionId), wrapped, aad),
    ];
    first.release();
    timers.advance(3600);
    expect(isDek(second.dek)).toBe(true);
    second.release();
    timers.advance(59.999);
    expect(unwraps[0]?.disposed).toBe(false);
    timers.advance(0.001);
    expect(unwraps[0]?.disposed).toBe(true);
    await leases.lease(permitFor(versionId), wrapped, aad);
    expect(unwraps).toHaveLength(2);
  });

  test('a lease within the linger takes the DEK over and stops the clock', async () => {
    (await leases.lease(permitFor(versionId), wrapped, aad)).release();
    timers.advance(59);
    const again = await leases.lease(permitFor(versionId), wrapped, aad);
    timers.advance(3600);
    expect(isDek(again.dek)).toBe(true);
    expect(unwraps).toHaveLength(1);
  });

  test('releasing twice counts once, and a released lease shows nothing', async () => {
    const [first, second] = [
      await leases.lease(permitFor(versionId), wrapped, aad),
      await leases.lease(permitFor(versionId), wrapped, aad),
    ];
    first.release();
    first.release();
    expect(timers.pending()).toBe(0);
    expect(() => first.dek).toThrow('release_cut');
    expect(isDek(second.dek)).toBe(true);
  });

  test('`using` ends a lease', async () => {
    {
      using lease = await leases.lease(permitFor(versionId), wrapped, aad);
      expect(isDek(lease.dek)).toBe(true);
    }
    expect(timers.pending()).toBe(1);
  });

  test('a failed unwrap is told to everyone who waited and is not remembered', async () => {
    failing = new VaultError('hsm_unavailable');
    const all = await Promise.allSettled([1, 2, 3].map(() => leases.lease(permitFor(versionId), wrapped, aad)));
    expect(all.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    failing = undefined;
    expect(isDek((await leases.lease(permitFor(versionId), wrapped, aad)).dek)).toBe(true);
    expect(unwraps).toHaveLength(1);
  });

  test('refuses a permit nobody earned: a literal, a copy, one of another stage', async () => {
    const real = permitFor(versionId);
    const other = claimStage('Permit')({ versionId, namespace: where.namespace, modelId: where.modelId });
    for (const forged of [{ ...real }, JSON.parse(JSON.stringify(real)), Object.create(real), other]) {
      await expect(leases.lease(forged, wrapped, aad)).rejects.toThrow('earned by its stage');
    }
    expect(unwraps).toHaveLength(0);
  });

  test('refuses to open a version with the permit for another one, without asking the HSM', async () => {
    await expect(leases.lease(permitFor(newId<VersionId>(now)), wrapped, aad)).rejects.toMatchObject({ code: 'key_context_mismatch' });
    await expect(leases.lease(permitFor(versionId), { ...wrapped, kek: { ...kek, version: 2 } }, aad)).rejects.toMatchObject({
      code: 'key_context_mismatch',
    });
    expect(unwraps).toHaveLength(0);
  });

  test('a cached DEK is no way around the HSM: another AAD for the same blob is unwrapped for itself, and refused', async () => {
    await leases.lease(permitFor(versionId), wrapped, aad);
    const otherVault = dekWrapAad({ ...where, vaultId: newId<VaultId>(now), versionId }, kek);
    await expect(leases.lease(permitFor(versionId), wrapped, otherVault)).rejects.toMatchObject({ code: 'key_context_mismatch' });
  });

  test('a rewrapped version is a key of its own', async () => {
    const rewrapped = await provider.wrap(kek, new SecretBytes(new Uint8Array(32).fill(7)), aad);
    await leases.lease(permitFor(versionId), wrapped, aad);
    await leases.lease(permitFor(versionId), rewrapped, aad);
    expect(unwraps).toHaveLength(2);
  });

  test('suspend wipes at once, whoever holds a lease, and only that version', async () => {
    const other = newId<VersionId>(now);
    const otherAad = dekWrapAad({ ...where, versionId: other }, kek);
    const otherWrapped = await provider.wrap(kek, new SecretBytes(new Uint8Array(32).fill(7)), otherAad);
    const held = await leases.lease(permitFor(versionId), wrapped, aad);
    const kept = await leases.lease(permitFor(other), otherWrapped, otherAad);
    leases.wipe(versionId);
    expect(unwraps.map(({ disposed }) => disposed)).toEqual([true, false]);
    expect(() => held.dek).toThrow('release_cut');
    expect(isDek(kept.dek)).toBe(true);
    held.release();
    expect(timers.pending()).toBe(0);
  });

  test('suspend during an unwrap: nobody gets the DEK that arrives afterwards', async () => {
    const arrive = Promise.withResolvers<void>();
    gate = arrive.promise;
    const waiting = leases.lease(permitFor(versionId), wrapped, aad);
    leases.wipe(versionId);
    arrive.resolve();
    await expect(waiting).rejects.toMatchObject({ code: 'release_cut' });
    expect(unwraps[0]?.disposed).toBe(true);
  });

  test('wipeIdle wipes what only lingers and leaves what is in use', async () => {
    const held = await leases.lease(permitFor(versionId), wrapped, aad);
    leases.wipeIdle();
    expect(isDek(held.dek)).toBe(true);
    held.release();
    leases.wipeIdle();
    expect(unwraps[0]?.disposed).toBe(true);
    expect(timers.pending()).toBe(0);
  });

  test('dispose wipes everything and gives out no lease again', async () => {
    const held = await leases.lease(permitFor(versionId), wrapped, aad);
    await leases.leaseForSealing(newId<VersionId>(now), wrapped, aad);
    leases.dispose();
    expect(unwraps.every(({ disposed }) => disposed)).toBe(true);
    expect(() => held.dek).toThrow('release_cut');
    await expect(leases.lease(permitFor(versionId), wrapped, aad)).rejects.toMatchObject({ code: 'keeper_unavailable' });
  });

  test('wipeAll wipes everything, and permitted leases may come again', async () => {
    await leases.lease(permitFor(versionId), wrapped, aad);
    leases.wipeAll();
    expect(unwraps[0]?.disposed).toBe(true);
    expect(isDek((await leases.lease(permitFor(versionId), wrapped, aad)).dek)).toBe(true);
  });

  test('a wrapped key that is not 32 bytes is no DEK: refused, wiped, not remembered', async () => {
    const seed = await provider.wrap(kek, new SecretBytes(new Uint8Array(20)), aad);
    await expect(leases.lease(permitFor(versionId), seed, aad)).rejects.toMatchObject({ code: 'key_unwrap_refused' });
    expect(unwraps[0]?.disposed).toBe(true);
  });

  test('sealing shares the DEK of the version under upload, once', async () => {
    const [first, second] = await Promise.all([1, 2].map(() => leases.leaseForSealing(versionId, wrapped, aad)));
    expect(first?.dek).toBe(second?.dek);
    expect(unwraps).toHaveLength(1);
  });
});
