/** AWS KMS: the suite of every provider, what KMS is told, and keys that must not be used. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { sha256Hex, utf8 } from '../../src/domain/bytes.ts';
import type { ErrorCode } from '../../src/domain/errors.ts';
import type { KeyId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { createAwsKmsKeyProvider } from '../../src/keys/aws-kms/provider.ts';
import { createKeeperClient } from '../../src/keys/keeper/client.ts';
import { awsEnvironment } from '../../src/keys/keeper/environment.ts';
import { startKeeper } from '../../src/keys/keeper/supervisor.ts';
import type { KeyProvider, KeyRef } from '../../src/keys/port.ts';
import { keyProviderContract } from '../contract/key-provider.ts';
import { credentials, noKms, startKms, type TestKms } from '../harness/kms.ts';

const withKms = noKms === undefined ? describe : describe.skip;
const can = { algorithm: 'ecdsa-p256-sha256', keepsDestroyed: true } as const;
const ref = (id: string, version = 1): KeyRef => ({ id: id as KeyId, version });
const aad = utf8('the context of one key');
const secret = () => new SecretBytes(Uint8Array.from({ length: 32 }, (_, at) => at));
const refuses = (work: Promise<unknown>, code: ErrorCode) => expect(work).rejects.toMatchObject({ name: 'VaultError', code });

withKms(noKms ?? 'the suite of every provider', () => {
  keyProviderContract(
    'AWS KMS',
    async () => {
      const kms = await startKms();
      return { provider: createAwsKmsKeyProvider(kms.config), runs: 30, atOnce: 25, cleanUp: kms.stop };
    },
    can,
  );

  keyProviderContract(
    'AWS KMS through the keeper',
    async () => {
      const kms = await startKms();
      const socket = join(kms.folder, 'keeper', 'socket');
      const keeper = await startKeeper({ provider: 'aws-kms', ...kms.config, socket, ceremony: true, env: awsEnvironment({}) });
      const cleanUp = async () => {
        await keeper.stop();
        await kms.stop();
      };
      return { provider: createKeeperClient({ socket, deadlineMs: 60_000 }), runs: 20, atOnce: 25, cleanUp };
    },
    can,
  );
});

withKms(noKms ?? 'AWS KMS', () => {
  let kms: TestKms;
  let provider: KeyProvider;
  const kek = ref('kek-main');
  const alias = (of: KeyRef) => `alias/wv-test/${of.id}/${of.version}`;
  const asked = (operation: string) => kms.asked.filter((one) => one.operation === operation);
  const fresh = () => createAwsKmsKeyProvider(kms.config);
  const opened = async (of: Promise<SecretBytes>) => (await of).expose((bytes) => [...bytes]);
  const whole = [...Array(32).keys()];

  beforeAll(async () => {
    kms = await startKms();
    provider = fresh();
    await provider.generate(kek, 'kek');
    await provider.generate(ref('kek-main', 2), 'kek');
    await provider.generate(ref('log'), 'log');
  });
  afterEach(() => {
    kms.heal();
    kms.asked.length = 0;
  });
  afterAll(async () => {
    await provider?.close();
    await kms?.stop();
  });

  describe('what KMS is told', () => {
    test('an encryption context of one digest: no name or id of ours is in CloudTrail', async () => {
      const wrapped = await provider.wrap(kek, secret(), aad);
      await provider.unwrap(wrapped, aad);
      const context = { 'weight-vault-aad-sha256': sha256Hex(aad) };
      expect(asked('Encrypt')[0]?.body).toEqual({
        KeyId: expect.stringMatching(/^arn:aws:kms:/),
        Plaintext: expect.any(String),
        EncryptionContext: context,
      });
      expect(asked('Decrypt')[0]?.body).toEqual({
        KeyId: asked('Encrypt')[0]?.body['KeyId'],
        CiphertextBlob: Buffer.from(wrapped.bytes).toString('base64'),
        EncryptionContext: context,
      });
    });

    test('which key, by its ARN, in every Decrypt and ReEncrypt', async () => {
      const wrapped = await provider.wrap(kek, secret(), aad);
      const toAad = utf8('another context');
      await provider.rewrap(wrapped, aad, ref('kek-main', 2), toAad);
      const { KeyMetadata: from } = await kms.admin.describeKey({ KeyId: alias(kek) });
      const { KeyMetadata: to } = await kms.admin.describeKey({ KeyId: alias(ref('kek-main', 2)) });
      expect(asked('ReEncrypt')[0]?.body).toMatchObject({
        SourceKeyId: from?.Arn,
        SourceEncryptionContext: { 'weight-vault-aad-sha256': sha256Hex(aad) },
        DestinationKeyId: to?.Arn,
        DestinationEncryptionContext: { 'weight-vault-aad-sha256': sha256Hex(toAad) },
      });
    });

    test('to rewrap without opening the old blob: one ReEncrypt, and one look at what it made', async () => {
      const wrapped = await provider.wrap(kek, secret(), aad);
      kms.asked.length = 0;
      await provider.rewrap(wrapped, aad, ref('kek-main', 2), aad);
      expect(kms.asked.map(({ operation }) => operation)).toEqual(['ReEncrypt', 'Decrypt']);
      expect(asked('Decrypt')[0]?.body['CiphertextBlob']).not.toBe(Buffer.from(wrapped.bytes).toString('base64'));
    });

    test('the digest of what is signed, never the message', async () => {
      await provider.sign(ref('log'), utf8('the checkpoint'));
      const digest = Buffer.from(sha256Hex(utf8('the checkpoint')), 'hex').toString('base64');
      expect(asked('Sign')[0]?.body).toMatchObject({ Message: digest, MessageType: 'DIGEST', SigningAlgorithm: 'ECDSA_SHA_256' });
    });

    test('to make single-Region keys of its own material, each version a key of its own, and nothing else', async () => {
      await provider.generate(ref('kek-lab.eu', 7), 'kek');
      expect(asked('CreateKey').map(({ body }) => body)).toEqual([
        {
          KeySpec: 'SYMMETRIC_DEFAULT',
          KeyUsage: 'ENCRYPT_DECRYPT',
          Origin: 'AWS_KMS',
          MultiRegion: false,
          Description: 'weight-vault kek kek-lab.eu/7',
        },
      ]);
      expect(asked('CreateAlias')[0]?.body['AliasName']).toBe('alias/wv-test/kek-labDOTeu/7');
      expect(await fresh().describe(ref('kek-lab.eu', 7))).toMatchObject({ ref: ref('kek-lab.eu', 7), purpose: 'kek' });
    });
  });

  describe('a key that must not be used', () => {
    const made = async (of: KeyRef) => {
      await provider.generate(of, 'kek');
      return { wrapped: await provider.wrap(of, secret(), aad), keyId: String(asked('CreateAlias').at(-1)?.body['TargetKeyId']) };
    };

    test('KMS rotates it: nothing new is wrapped, what it wrapped still opens, and without rotation all is well again', async () => {
      const { wrapped, keyId } = await made(ref('rotating'));
      await kms.admin.enableKeyRotation({ KeyId: keyId });
      const other = fresh();
      await refuses(other.describe(ref('rotating')), 'key_unsuitable');
      await refuses(other.wrap(ref('rotating'), secret(), aad), 'key_unsuitable');
      await refuses(other.rewrap(wrapped, aad, ref('rotating'), aad), 'key_unsuitable');
      expect(await opened(other.unwrap(wrapped, aad))).toEqual(whole);
      await kms.admin.disableKeyRotation({ KeyId: keyId });
      expect(await other.describe(ref('rotating'))).toMatchObject({ purpose: 'kek' });
    });

    test('disabled: key_disabled for everything and at once, and usable again when it is enabled', async () => {
      const { wrapped, keyId } = await made(ref('disabled'));
      await kms.admin.disableKey({ KeyId: keyId });
      await refuses(provider.unwrap(wrapped, aad), 'key_disabled');
      await refuses(provider.wrap(ref('disabled'), secret(), aad), 'key_disabled');
      await refuses(provider.rewrap(wrapped, aad, kek, aad), 'key_disabled');
      await refuses(provider.describe(ref('disabled')), 'key_disabled');
      await refuses(fresh().unwrap(wrapped, aad), 'key_disabled');
      await kms.admin.enableKey({ KeyId: keyId });
      expect(await opened(provider.unwrap(wrapped, aad))).toEqual(whole);
    });

    test('pending deletion: says until when, and a deletion that was cancelled brings it back', async () => {
      const { wrapped, keyId } = await made(ref('ending'));
      const { cancellableUntil } = await provider.destroy(ref('ending'));
      await expect(provider.unwrap(wrapped, aad)).rejects.toMatchObject({
        code: 'key_pending_deletion',
        detail: `gone on ${cancellableUntil?.toISOString()}`,
      });
      expect(asked('ScheduleKeyDeletion')[0]?.body).toEqual({ KeyId: expect.stringContaining('arn:'), PendingWindowInDays: 7 });
      await kms.admin.cancelKeyDeletion({ KeyId: keyId });
      await kms.admin.enableKey({ KeyId: keyId }); // KMS leaves it disabled
      expect(await opened(provider.unwrap(wrapped, aad))).toEqual(whole);
    });

    test('a disabled key can be destroyed', async () => {
      const { keyId } = await made(ref('disabled-and-ended'));
      await kms.admin.disableKey({ KeyId: keyId });
      expect((await provider.destroy(ref('disabled-and-ended'))).cancellableUntil).toBeInstanceOf(Date);
    });

    test('imported material, or a place for it, is refused', async () => {
      const { KeyMetadata: key } = await kms.admin.createKey({ Origin: 'EXTERNAL', Description: 'weight-vault kek imported/1' });
      await kms.admin.createAlias({ AliasName: alias(ref('imported')), TargetKeyId: key?.KeyId });
      await refuses(provider.describe(ref('imported')), 'key_unsuitable');
      await refuses(provider.wrap(ref('imported'), secret(), aad), 'key_unsuitable');
    });

    test('a key of another kind under a name of ours is refused', async () => {
      const description = 'weight-vault kek odd/1';
      const { KeyMetadata: key } = await kms.admin.createKey({
        KeySpec: 'RSA_2048',
        KeyUsage: 'ENCRYPT_DECRYPT',
        Description: description,
      });
      await kms.admin.createAlias({ AliasName: alias(ref('odd')), TargetKeyId: key?.KeyId });
      await refuses(provider.wrap(ref('odd'), secret(), aad), 'key_unsuitable');
    });

    test('an alias that was moved is noticed: by who knew the key, and by who never saw it', async () => {
      const { wrapped } = await made(ref('moved'));
      const { KeyMetadata: other } = await kms.admin.createKey({});
      await kms.admin.updateAlias({ AliasName: alias(ref('moved')), TargetKeyId: other?.KeyId });
      await refuses(provider.describe(ref('moved')), 'key_unsuitable');
      await refuses(fresh().wrap(ref('moved'), secret(), aad), 'key_unsuitable');
      await kms.admin.updateKeyDescription({ KeyId: other?.KeyId, Description: 'weight-vault kek moved/1' });
      await refuses(provider.describe(ref('moved')), 'key_unsuitable');
      await refuses(fresh().unwrap(wrapped, aad), 'key_unwrap_refused');
    });

    test('an answer of another key is refused, whatever was asked', async () => {
      const { wrapped } = await made(ref('answers'));
      const signs = ref('answers-signs');
      await provider.generate(signs, 'log');
      const members = { KeyId: 'arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000' };
      const works: Record<string, () => Promise<unknown>> = {
        Decrypt: () => provider.unwrap(wrapped, aad),
        Encrypt: () => provider.wrap(ref('answers'), secret(), aad),
        ReEncrypt: () => provider.rewrap(wrapped, aad, kek, aad),
        Sign: () => provider.sign(signs, utf8('message')),
        GetPublicKey: () => provider.describe(signs),
      };
      for (const [operation, work] of Object.entries(works)) {
        await work();
        kms.fail(operation, { members }, 1);
        await expect(work()).rejects.toMatchObject({
          code: 'key_unsuitable',
          detail: `${operation}: KMS answered for another key than was asked`,
        });
      }
      kms.fail('ReEncrypt', { members: { SourceKeyId: members.KeyId } }, 1);
      await refuses(provider.rewrap(wrapped, aad, kek, aad), 'key_unsuitable');
    });

    test('the ARN of a version is told and can be pinned: then an alias that leads elsewhere opens, wraps and destroys nothing', async () => {
      const { wrapped } = await made(ref('pinned'));
      const arn = (await provider.describe(ref('pinned'))).wrap?.arn ?? '';
      expect(arn).toMatch(/^arn:aws:kms:[a-z0-9-]+:\d{12}:key\//);
      const pinned = (to: string) => createAwsKmsKeyProvider({ ...kms.config, keyArns: { 'pinned/1': to } });
      expect((await pinned(arn).unwrap(wrapped, aad)).length).toBe(32);
      const other = pinned(arn.replace(/key\/.*/, 'key/00000000-0000-0000-0000-000000000000'));
      await refuses(other.unwrap(wrapped, aad), 'key_unsuitable');
      await refuses(other.wrap(ref('pinned'), secret(), aad), 'key_unsuitable');
      await refuses(other.destroy(ref('pinned')), 'key_unsuitable');
    });

    // The emulator knows none of these: the proxy says them.
    test.each<[string, object, ErrorCode]>([
      ['a multi-Region key', { MultiRegion: true }, 'key_unsuitable'],
      ['a key of AWS', { KeyManager: 'AWS' }, 'key_unsuitable'],
      ['an external key store', { Origin: 'EXTERNAL_KEY_STORE' }, 'key_unsuitable'],
      ['a key store that is not connected', { KeyState: 'Unavailable' }, 'key_unavailable'],
      ['a key that is being made', { KeyState: 'Creating' }, 'key_unavailable'],
      ['a state that nobody knows yet', { KeyState: 'Sleeping' }, 'key_unavailable'],
      ['a replica that ends', { KeyState: 'PendingReplicaDeletion' }, 'key_pending_deletion'],
    ])('%s is refused', async (_, metadata, code) => {
      kms.fail('DescribeKey', { metadata: { ...metadata } });
      await refuses(fresh().wrap(kek, secret(), aad), code);
      await refuses(fresh().describe(kek), code);
      expect(asked('Encrypt')).toEqual([]);
    });

    test('a key in a CloudHSM key store, which KMS cannot rotate, is good', async () => {
      kms.fail('DescribeKey', { metadata: { Origin: 'AWS_CLOUDHSM' } });
      kms.fail('GetKeyRotationStatus', { answer: 400, error: 'UnsupportedOperationException' });
      expect(await fresh().describe(kek)).toMatchObject({ extractable: false });
    });
  });
});

describe('the credentials file', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'wv-aws-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test.each<[string, string, number, RegExp]>([
    ['readable for others', credentials('AKIA'), 0o644, /chmod 600/],
    ['without a version', '{"AccessKeyId":"AKIA","SecretAccessKey":"s3cr3t"}', 0o600, /"Version": 1/],
    ['without a secret', '{"Version":1,"AccessKeyId":"AKIA"}', 0o600, /lacks/],
    [
      'with a token that is a number',
      '{"Version":1,"AccessKeyId":"AKIA","SecretAccessKey":"s3cr3t","SessionToken":1}',
      0o600,
      /SessionToken/,
    ],
    ['no JSON', 's3cr3t', 0o600, /not JSON$/],
    ['null', 'null', 0o600, /"Version": 1/],
    ['too large', ' '.repeat(20_000), 0o600, /small/],
  ])('%s is refused, without a request and without a word of what is in it', async (name, text, mode, says) => {
    const credentialsFile = join(folder, name.replaceAll(' ', '-'));
    writeFileSync(credentialsFile, text, { mode });
    chmodSync(credentialsFile, mode);
    const provider = createAwsKmsKeyProvider({ region: 'eu-west-2', endpoint: 'http://127.0.0.1:9', credentialsFile, aliasPrefix: 'wv' });
    const error = (await provider.random(16).catch((thrown: unknown) => thrown)) as Error;
    expect(error).toMatchObject({ code: 'configuration_invalid', message: expect.stringMatching(says) });
    expect(JSON.stringify([error.message, String(error.cause)])).not.toContain('s3cr3t');
    await provider.close();
  });

  test('that is a pipe nobody writes to is refused, and not waited for', async () => {
    const credentialsFile = join(folder, 'pipe');
    execFileSync('mkfifo', ['-m', '600', credentialsFile]);
    const config = { region: 'eu-west-2', endpoint: 'http://127.0.0.1:9', credentialsFile, aliasPrefix: 'wv' };
    await refuses(createAwsKmsKeyProvider(config).random(16), 'configuration_invalid');
  });

  test('that is missing is refused', async () => {
    const config = { region: 'eu-west-2', endpoint: 'http://127.0.0.1:9', credentialsFile: join(folder, 'absent'), aliasPrefix: 'wv' };
    await refuses(createAwsKmsKeyProvider(config).random(16), 'configuration_invalid');
  });
});
