/** A vault that moves from one HSM to another: the suite of every provider, keys that stay where they are, and a real move from SoftHSM to AWS KMS. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { utf8 } from '../../src/domain/bytes.ts';
import { type ErrorCode, VaultError } from '../../src/domain/errors.ts';
import type { KeyId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { createKeeperClient } from '../../src/keys/keeper/client.ts';
import { awsEnvironment } from '../../src/keys/keeper/environment.ts';
import { type RunningKeeper, startKeeper } from '../../src/keys/keeper/supervisor.ts';
import { createMovingKeyProvider } from '../../src/keys/moving-provider.ts';
import type { KeyProvider, KeyRef } from '../../src/keys/port.ts';
import { keyProviderContract } from '../contract/key-provider.ts';
import { createMemoryKeyProvider } from '../doubles/memory-key-provider.ts';
import { noKms, startKms, type TestKms } from '../harness/kms.ts';
import { startSoftHsm } from '../harness/softhsm.ts';
import { nss } from '../harness/tokens/kinds.ts';
import { softHsmToken, startTestKeeper, startTokenKeeper, type TestKeeper } from './keeper-harness.ts';

const ref = (id: string, version = 1): KeyRef => ({ id: id as KeyId, version });
const aad = utf8('the context of one key');
const whole = [...Array(32).keys()];
const secret = () => new SecretBytes(Uint8Array.from(whole));
const opened = async (of: Promise<SecretBytes>) => (await of).expose((bytes) => [...bytes]);
const refuses = (work: Promise<unknown>, code: ErrorCode) => expect(work).rejects.toMatchObject({ name: 'VaultError', code });

keyProviderContract('two HSMs, the former one empty', async () => ({
  provider: createMovingKeyProvider({ current: createMemoryKeyProvider(), former: createMemoryKeyProvider() }),
}));

describe('a move', () => {
  const failing = (code: ErrorCode): KeyProvider => ({
    ...createMemoryKeyProvider(),
    describe: async () => {
      throw new VaultError(code);
    },
  });
  let former: KeyProvider;
  let current: KeyProvider;
  let moving: KeyProvider;
  beforeAll(async () => {
    former = createMemoryKeyProvider({ tier: 2 });
    current = createMemoryKeyProvider();
    await former.generate(ref('kek'), 'kek');
    await former.generate(ref('log'), 'log');
    moving = createMovingKeyProvider({ current, former });
    await moving.generate(ref('kek', 2), 'kek');
  });

  test('makes new keys in the new HSM, and gives no name away that the old one has', async () => {
    expect(await current.describe(ref('kek', 2))).toMatchObject({ purpose: 'kek' });
    await refuses(former.describe(ref('kek', 2)), 'key_unknown');
    await refuses(moving.generate(ref('kek'), 'kek'), 'key_exists');
    await refuses(moving.generate(ref('kek', 2), 'kek'), 'key_exists');
  });

  test('rewraps from the old one to the new one, and back, and what was wrapped stays readable where it is', async () => {
    const old = await moving.wrap(ref('kek'), secret(), aad);
    const moved = await moving.rewrap(old, aad, ref('kek', 2), aad);
    expect([old.tier, moved.tier]).toEqual([2, 1]);
    expect(await opened(current.unwrap(moved, aad))).toEqual(whole);
    expect(await opened(moving.unwrap(old, aad))).toEqual(whole);
    expect(await opened(former.unwrap(await moving.rewrap(moved, aad, ref('kek'), aad), aad))).toEqual(whole);
    await refuses(moving.rewrap(old, utf8('another'), ref('kek', 2), aad), 'key_context_mismatch');
    await refuses(moving.rewrap({ ...old, bytes: old.bytes.map((byte) => byte ^ 1) }, aad, ref('kek', 2), aad), 'key_unwrap_refused');
  });

  test('signs with the key where it is, and destroys there', async () => {
    expect(await moving.describe(ref('log'))).toEqual(await former.describe(ref('log')));
    expect(await moving.sign(ref('log'), aad)).toEqual(await former.sign(ref('log'), aad)); // Ed25519 is deterministic
    await former.generate(ref('ended'), 'kek');
    await moving.destroy(ref('ended'));
    await refuses(former.describe(ref('ended')), 'key_unknown');
  });

  test('a blob whose new wrap does not open to the same secret is not answered', async () => {
    const lying = { ...current, unwrap: async () => new SecretBytes(new Uint8Array(32)) };
    const old = await former.wrap(ref('kek'), secret(), aad);
    await refuses(createMovingKeyProvider({ current: lying, former }).rewrap(old, aad, ref('kek', 2), aad), 'internal');
  });

  test('an HSM that cannot say whether it has a key is not passed over', async () => {
    const uncertain = createMovingKeyProvider({ current: failing('hsm_unavailable'), former });
    await refuses(uncertain.wrap(ref('kek'), secret(), aad), 'hsm_unavailable');
    const unsure = createMovingKeyProvider({ current: createMemoryKeyProvider(), former: failing('keeper_unavailable') });
    await refuses(unsure.generate(ref('kek', 3), 'kek'), 'keeper_unavailable');
    for (const code of ['key_disabled', 'key_pending_deletion', 'key_unsuitable'] as const)
      await refuses(createMovingKeyProvider({ current, former: failing(code) }).generate(ref('kek', 3), 'kek'), 'key_exists');
  });

  test('is healthy when both are', async () => {
    expect(await moving.health()).toEqual({ ok: true });
    const sick = { ...former, health: async () => ({ ok: false, code: 'hsm_token_missing' }) as const };
    expect(await createMovingKeyProvider({ current, former: sick }).health()).toEqual({ ok: false, code: 'hsm_token_missing' });
    expect(await createMovingKeyProvider({ current: sick, former }).health()).toEqual({ ok: false, code: 'hsm_token_missing' });
  });
});

(noKms === undefined ? describe : describe.skip)(noKms ?? 'from SoftHSM to AWS KMS, each in a keeper of its own', () => {
  let old: TestKeeper;
  let kms: TestKms;
  let keeper: RunningKeeper;
  let provider: KeyProvider;
  beforeAll(async () => {
    [old, kms] = await Promise.all([startTestKeeper(), startKms()]);
    const socket = join(kms.folder, 'keeper', 'socket');
    const formerKeeper = old.keeper.socket;
    keeper = await startKeeper({ provider: 'aws-kms', ...kms.config, formerKeeper, socket, ceremony: true, env: awsEnvironment({}) });
    provider = createKeeperClient({ socket });
    await old.client.generate(ref('log'), 'log'); // and so the token is not empty when the kek has gone: that would look like a lost one
  });
  afterAll(async () => {
    await provider?.close();
    await keeper?.stop();
    await old?.stop();
    await kms?.stop();
  });

  test('every secret moves, opens under KMS alone, and the old version can go', async () => {
    await old.client.generate(ref('kek'), 'kek');
    await provider.generate(ref('kek', 2), 'kek');
    const blobs = await Promise.all(Array.from({ length: 20 }, () => old.client.wrap(ref('kek'), secret(), aad)));
    const moved = await Promise.all(blobs.map((blob) => provider.rewrap(blob, aad, ref('kek', 2), aad)));
    expect(new Set(moved.map((blob) => blob.provider))).toEqual(new Set(['aws-kms']));
    expect(await provider.destroy(ref('kek'))).toEqual({});
    for (const blob of moved) expect(await opened(provider.unwrap(blob, aad))).toEqual(whole);
    for (const blob of blobs) await refuses(provider.unwrap(blob, aad), 'key_unknown');
  });

  test('a former keeper that is away: what is in KMS goes on, what is not says so, and it is asked again when it is back', async () => {
    await provider.generate(ref('kek', 3), 'kek');
    await old.keeper.stop();
    expect(await opened(provider.unwrap(await provider.wrap(ref('kek', 3), secret(), aad), aad))).toEqual(whole);
    await refuses(provider.sign(ref('log'), aad), 'keeper_unavailable');
    expect(await provider.health()).toEqual({ ok: false, code: 'keeper_unavailable' });
    old = await startTestKeeper({}, old.hsm);
    expect(await provider.sign(ref('log'), aad)).toHaveLength(64);
  });
});

test.each([
  ['SoftHSM', 'NSS softokn', async () => softHsmToken(await startSoftHsm()), () => nss.start()],
  ['NSS softokn', 'SoftHSM', () => nss.start(), async () => softHsmToken(await startSoftHsm())],
])('token to token, each in a keeper of its own: from %s to %s', async (_, __, leave, enter) => {
  if (nss.missing !== undefined) return console.warn(`left out: ${nss.missing}`);
  const [from, to] = [await leave(), await enter()];
  const former = await startTokenKeeper(from);
  const both = await startTokenKeeper(to, { formerKeeper: former.keeper.socket });
  await former.client.generate(ref('kek'), 'kek');
  await former.client.generate(ref('log'), 'log');
  await both.client.generate(ref('kek', 2), 'kek');
  await refuses(former.client.describe(ref('kek', 2)), 'key_unknown');
  const blob = await former.client.wrap(ref('kek'), secret(), aad);
  const moved = await both.client.rewrap(blob, aad, ref('kek', 2), aad);
  expect(await both.client.sign(ref('log'), aad)).not.toHaveLength(0);
  expect(await both.client.destroy(ref('kek'))).toEqual({});
  await refuses(both.client.unwrap(blob, aad), 'key_unknown');
  await both.stop();
  await former.stop();
  await from.remove();

  const alone = await startTokenKeeper(to);
  expect(await opened(alone.client.unwrap(moved, aad))).toEqual(whole);
  await alone.stop();
  await to.remove();
});
