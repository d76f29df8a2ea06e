/** A vault whose keys are in AWS KMS, with nothing pretended but AWS itself: ceremony, publish, release, rotation, destruction, log. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readLeaves } from '../../deploy/demo/records.ts';
import { withCeremonyKeys } from '../../src/compose.ts';
import { loadConfig } from '../../src/config/config.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { destroyKeys } from '../../src/vault/destroy-keys.ts';
import { noKms, startKms, type TestKms } from '../harness/kms.ts';
import { MODEL, type RealVault, type ServerProcess, startRealVault, until, wv, wvJson } from './real-vault.ts';

(noKms === undefined ? describe : describe.skip)(noKms ?? 'a vault on AWS KMS', () => {
  let kms: TestKms;
  let vault: RealVault;
  let server: ServerProcess;
  let machine: string;
  beforeAll(async () => {
    kms = await startKms();
    vault = await startRealVault(kms.config);
    server = vault.server;
    machine = await vault.enrolled('gpu-node-1');
    await vault.promote();
  });
  afterAll(async () => {
    await vault?.stop();
    await kms?.stop();
  });

  const alice = () => ['--kit', vault.kit('alice')];
  const config = () => ['--config', join(vault.folder, 'vault.json')];
  const keys = async () => (await wvJson('keys', 'show', ...alice()))['keks'] as Array<{ version: number; state: string; wrapped: number }>;
  const approved = async (...args: string[]) => vault.approve((await wvJson(...args, ...alice())) as never, 'system');
  /** `wv keys erase` as it would be in so many days: nobody waits here. */
  const eraseAfterDays = (days: number) => {
    const settings = loadConfig(join(vault.folder, 'vault.json'));
    const own = { ...settings, keeperSocket: settings.keeperSocket.replace('.sock', '-erase.sock') };
    return withCeremonyKeys(own, createLogger(), destroyKeys, { ...systemClock, now: () => new Date(Date.now() + days * 86_400_000) });
  };
  const fetch = (name: string) =>
    wv('fetch', '--requester', machine, '--model', MODEL, '--version', vault.versionId, '--out', vault.at(name), '--json');
  const expectWhole = (name: string) => {
    for (const [path, bytes] of vault.model) expect(readFileSync(join(vault.at(name), path)).equals(bytes)).toBe(true);
  };

  test('was made without a token, and says in vault.json where its keys are and not how to reach them', () => {
    const file = JSON.parse(readFileSync(join(vault.folder, 'vault.json'), 'utf8'));
    expect(file).not.toHaveProperty('token');
    expect(file.kms).toEqual({ ...kms.config, credentialsFile: expect.stringMatching(/credentials\.json$/) });
    expect(JSON.stringify(file)).not.toContain('SECRET');
  });

  test('releases what was published, byte for byte', async () => {
    expect((await fetch('first')).exit).toBe(0);
    expectWhole('first');
  });

  test('tells KMS no name but that of the key: none of the vault, a model, a version, a namespace, a class or a person', () => {
    const told = kms.asked.map(({ body }) => JSON.stringify(body).replaceAll('kek-default', ''));
    expect(told.length).toBeGreaterThan(20);
    const { vaultId } = JSON.parse(readFileSync(join(vault.folder, 'vault.json'), 'utf8'));
    for (const name of [vaultId, MODEL, vault.versionId, 'default', 'restricted', 'alice'])
      expect(told.filter((one) => one.includes(name))).toEqual([]);
  });

  test('while KMS denies it a key, answers with the reason and a request id in its log, and serves again after it', async () => {
    await server.kill(); // a DEK that is still lent would be used on
    server = await vault.serve();
    kms.fail('Decrypt', { answer: 400, error: 'AccessDeniedException' });
    expect((await fetch('denied')).err).toContain('kms_access_denied');
    kms.heal();
    expect(server.log.join('\n')).toContain('00000000-1111-2222-3333-444444444444');
    expect((await fetch('again')).exit).toBe(0);
    expectWhole('again');
  });

  test('rotates to a KMS key of its own, and rewraps inside KMS', async () => {
    const wrapped = (await keys())[0]?.wrapped ?? 0; // one version, and the seed of each person
    kms.asked.length = 0;
    await approved('keys', 'rotate', '--code', await vault.code('alice')); // the login's may be older than five minutes
    expect(await until(async () => (await keys())[0]?.wrapped === 0)).toBe(true);
    expect(await keys()).toEqual([
      expect.objectContaining({ version: 1, state: 'deactivated', wrapped: 0 }),
      expect.objectContaining({ version: 2, state: 'active', wrapped }),
    ]);
    expect(kms.asked.filter(({ operation }) => operation === 'ReEncrypt')).toHaveLength(wrapped);
    expect(wrapped).toBeGreaterThan(4);
    expect(kms.asked.filter(({ operation }) => operation === 'CreateKey')).toHaveLength(1);
    expect((await fetch('rotated')).exit).toBe(0);
    expectWhole('rotated');
  });

  test('says which KMS key each version is, and does not start when the alias of the active one leads to another', async () => {
    const alias = 'alias/wv-test/kek-default/2';
    const { KeyMetadata: ours } = await kms.admin.describeKey({ KeyId: alias });
    const wrap = { tier: 1, algorithm: 'AES-256-GCM', provider: 'aws-kms', arn: ours?.Arn };
    expect((await keys())[1]).toMatchObject({ wrap });
    expect((await wv('keys', 'show', ...alice())).out).toContain(`AES-256-GCM, tier 1, ${ours?.Arn}`);
    const { KeyMetadata: other } = await kms.admin.createKey({ Description: ours?.Description });
    await kms.admin.updateAlias({ AliasName: alias, TargetKeyId: other?.KeyId });
    await server.kill();
    await expect(vault.serve()).rejects.toThrow('document_invalid');
    await kms.admin.updateAlias({ AliasName: alias, TargetKeyId: ours?.KeyId });
    server = await vault.serve();
  });

  test('destroys the old version by two people and a hand beside the keeper: KMS says that it is pending deletion', async () => {
    await approved('keys', 'destroy', '1', '--yes', '--code', await vault.code('alice'));
    const version1 = { id: 'kek-default', version: 1 };
    expect(await wvJson('keys', 'erase', ...config(), '--yes')).toMatchObject({ destroyed: [], waiting: [version1] });
    expect(await eraseAfterDays(15)).toMatchObject({ gone: [version1], waiting: [] });
    const { KeyMetadata: key } = await kms.admin.describeKey({ KeyId: 'alias/wv-test/kek-default/1' });
    expect(key?.KeyState).toBe('PendingDeletion');
    expect((await fetch('destroyed')).exit).toBe(0);
  });

  test('has a log that anybody verifies with the P-256 key of `wv init`', async () => {
    await wvJson('log', 'export', vault.at('log'), '--kit', vault.kit('bob'));
    expect(await wvJson('log', 'verify', vault.at('log'), '--vkey', vault.vkey)).toMatchObject({ ok: true });
    expect(Buffer.from(vault.vkey.split('+').slice(2).join('+'), 'base64')[0]).toBe(2); // signed-note's algorithm byte of ECDSA
  });

  test('whose record of the destruction says until when KMS can bring the key back, and its receipt proves that to anybody', async () => {
    const { bundle = '', offset = 0 } = (await readLeaves(vault.at('log'))).find(({ type }) => type === 'key.destroyed') ?? {};
    const bytes = readFileSync(vault.at('log', bundle));
    const destroyed = JSON.parse(bytes.subarray(offset, offset + bytes.readUInt16BE(offset - 2)).toString('utf8'));
    const { KeyMetadata: key } = await kms.admin.describeKey({ KeyId: 'alias/wv-test/kek-default/1' });
    const until = key?.DeletionDate?.toISOString();
    expect(until).toMatch(/^\d{4}-/);
    expect(destroyed).toMatchObject({ key: { id: 'kek-default', version: 1 } });
    expect(destroyed.destruction.remains).toContainEqual({
      what: 'cancellable-deletion',
      id: 'kek-default/1',
      until,
    });
    const out = vault.at('destroyed');
    await wvJson('log', 'prove', vault.at('log'), destroyed.recordId, '--out', out, '--vkey', vault.vkey);
    expect(readFileSync(`${out}.leaf`).equals(bytes.subarray(offset, offset + bytes.readUInt16BE(offset - 2)))).toBe(true);
    const receipt = [`${out}.tlog-proof`, `${out}.leaf`, '--vkey', vault.vkey];
    expect(await wvJson('log', 'check', ...receipt)).toMatchObject({ index: expect.any(Number) });
    writeFileSync(`${out}.leaf`, readFileSync(`${out}.leaf`, 'utf8').replace('cancellable-deletion', 'Cancellable-deletion'));
    expect((await wv('log', 'check', ...receipt)).exit).not.toBe(0);
  });
});
