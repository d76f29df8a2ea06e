/** AWS KMS when AWS or the network is in trouble. No emulator throttles, denies or breaks: the proxy of test/harness/kms.ts does. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { utf8 } from '../../src/domain/bytes.ts';
import { codeOf, type ErrorCode } from '../../src/domain/errors.ts';
import type { KeyId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import type { KmsEvent } from '../../src/keys/aws-kms/calls.ts';
import { createAwsKmsKeyProvider } from '../../src/keys/aws-kms/provider.ts';
import type { KeyProvider, KeyRef } from '../../src/keys/port.ts';
import { credentials, noKms, startKms, type TestKms } from '../harness/kms.ts';
import { undisturbed } from '../harness/standstill.ts';

const ref = (id: string, version = 1): KeyRef => ({ id: id as KeyId, version });
const aad = utf8('the context of one key');
const secret = () => new SecretBytes(Uint8Array.from({ length: 32 }, (_, at) => at));
const refuses = (work: Promise<unknown>, code: ErrorCode) => expect(work).rejects.toMatchObject({ name: 'VaultError', code });

(noKms === undefined ? describe : describe.skip)(noKms ?? 'AWS KMS', () => {
  let kms: TestKms;
  let provider: KeyProvider;
  const events: KmsEvent[] = [];
  const kek = ref('kek-main');
  const asked = (operation: string) => kms.asked.filter((one) => one.operation === operation);
  const fresh = () => createAwsKmsKeyProvider(kms.config, (event) => events.push(event));
  const opened = async (of: Promise<SecretBytes>) => (await of).expose((bytes) => [...bytes]);
  const whole = [...Array(32).keys()];

  beforeAll(async () => {
    kms = await startKms();
    provider = fresh();
    await provider.generate(kek, 'kek');
  });
  const afresh = () => {
    kms.heal();
    kms.asked.length = 0;
    events.length = 0;
  };
  afterEach(afresh);
  afterAll(async () => {
    await provider?.close();
    await kms?.stop();
  });
  /** An operation has 4.5 s, and each of its tries two, on this process's clock. */
  const timely = (work: () => Promise<void>) =>
    undisturbed(async () => {
      afresh();
      await work();
    });

  describe('when AWS is in trouble', () => {
    let wrapped: Awaited<ReturnType<KeyProvider['wrap']>>;
    beforeAll(async () => {
      wrapped = await provider.wrap(kek, secret(), aad);
      kms.asked.length = 0;
    });

    test.each<[string, Parameters<TestKms['fail']>[1]]>([
      ['throttled', { answer: 400, error: 'ThrottlingException' }],
      ['an internal error', { answer: 500, error: 'KMSInternalException' }],
      ['a dependency too slow', { answer: 503, error: 'DependencyTimeoutException' }],
      ['a key not available just then', { answer: 500, error: 'KeyUnavailableException' }],
      ['a connection that breaks', { reset: 'before' }],
      ['an answer that is lost', { reset: 'after' }],
    ])('%s three times: the operation succeeds, after pauses that grow', (_, fault) =>
      timely(async () => {
        kms.fail('Decrypt', fault, 3);
        expect(await opened(provider.unwrap(wrapped, aad))).toEqual(whole);
        const [first = 0, second = 0, third = 0, fourth = 0] = asked('Decrypt').map(({ atMs }) => atMs);
        expect(asked('Decrypt')).toHaveLength(4);
        expect([second - first >= 49, third - second >= 99, fourth - third >= 199]).toEqual([true, true, true]);
        expect(events).toHaveLength(3);
      }),
    );

    test('throttled without end: kms_throttled before the keeper gives up, after a few tries', () =>
      timely(async () => {
        kms.fail('Decrypt', { answer: 400, error: 'ThrottlingException' });
        await refuses(provider.unwrap(wrapped, aad), 'kms_throttled');
        expect(asked('Decrypt').length).toBeGreaterThanOrEqual(4);
        expect(asked('Decrypt').length).toBeLessThanOrEqual(9);
      }));

    test('no answer: the first try is given up for a second, and in the end hsm_unavailable', () =>
      timely(async () => {
        kms.fail('Decrypt', { delayMs: 30_000 }, 1);
        expect(await opened(provider.unwrap(wrapped, aad))).toEqual(whole);
        kms.fail('Decrypt', { delayMs: 30_000 });
        await refuses(provider.unwrap(wrapped, aad), 'hsm_unavailable');
      }));

    test.each<[string, string, number, ErrorCode]>([
      ['access denied', 'AccessDeniedException', 400, 'kms_access_denied'],
      ['credentials nobody knows', 'UnrecognizedClientException', 400, 'kms_credentials_refused'],
      ['a wrong signature', 'InvalidSignatureException', 400, 'kms_credentials_refused'],
      ['a ciphertext of another key', 'IncorrectKeyException', 400, 'key_unwrap_refused'],
      ['a refusal nobody foresaw', 'SomethingNewException', 400, 'kms_refused'],
    ])('%s is final, and asked once', (_, error, answer, code) =>
      timely(async () => {
        kms.fail('Decrypt', { answer, error });
        await refuses(provider.unwrap(wrapped, aad), code);
        expect(asked('Decrypt')).toHaveLength(1);
      }),
    );

    test('an error carries the AWS request id, and nothing of what AWS says about accounts, roles and keys', () =>
      timely(async () => {
        kms.fail('Decrypt', { answer: 400, error: 'AccessDeniedException' });
        const error = await provider.unwrap(wrapped, aad).catch((thrown: unknown) => thrown);
        const id = '00000000-1111-2222-3333-444444444444';
        expect(error).toMatchObject({ detail: `Decrypt: AccessDeniedException (AWS request ${id})` });
        expect(events).toEqual([{ event: 'kms', code: 'kms_access_denied', detail: `Decrypt AccessDeniedException ${id}` }]);
      }));

    test('expired credentials are tried again with what is in the file by then', () =>
      timely(async () => {
        kms.fail('Decrypt', { answer: 400, error: 'ExpiredTokenException' }, 1);
        const unwrapping = provider.unwrap(wrapped, aad);
        writeFileSync(join(kms.folder, 'credentials.json'), credentials('AKIANEXT'));
        expect(await opened(unwrapping)).toEqual(whole);
        expect(asked('Decrypt').at(-1)?.accessKeyId).toBe('AKIANEXT');
        kms.fail('Decrypt', { answer: 400, error: 'ExpiredTokenException' });
        await refuses(provider.unwrap(wrapped, aad), 'kms_credentials_expired');
      }));

    test('health says why', () =>
      timely(async () => {
        const health = async (error: string) => {
          kms.heal();
          kms.fail('GenerateRandom', { answer: 400, error });
          return provider.health();
        };
        expect(await health('AccessDeniedException')).toEqual({ ok: false, code: 'kms_access_denied' });
        expect(await health('UnrecognizedClientException')).toEqual({ ok: false, code: 'kms_credentials_refused' });
        expect(await health('SomethingNewException')).toEqual({ ok: false, code: 'hsm_unavailable' });
        kms.heal();
        expect(await provider.health()).toEqual({ ok: true });
      }));

    test('nobody there: hsm_unavailable, and not one key is unknown for it', () =>
      timely(async () => {
        const alone = createAwsKmsKeyProvider({ ...kms.config, endpoint: 'http://127.0.0.1:9' });
        await Promise.all([
          refuses(alone.unwrap(wrapped, aad), 'hsm_unavailable'),
          refuses(alone.describe(kek), 'hsm_unavailable'),
          expect(alone.health()).resolves.toEqual({ ok: false, code: 'hsm_unavailable' }),
        ]);
        await alone.close();
      }));

    test('an error is never "not there": nothing is made when KMS cannot say whether the key exists', () =>
      timely(async () => {
        kms.fail('DescribeKey', { answer: 400, error: 'AccessDeniedException' });
        await refuses(provider.generate(ref('perhaps'), 'kek'), 'kms_access_denied');
        expect(asked('CreateKey')).toEqual([]);
      }));

    test('at most 32 calls at once, and beyond 256 waiting ones a refusal', () =>
      timely(async () => {
        kms.fail('GenerateRandom', { answer: 400, error: 'AccessDeniedException', afterMs: 20 });
        const all = await Promise.all(Array.from({ length: 300 }, () => provider.random(16).catch(codeOf)));
        expect(kms.atOnce()).toBeGreaterThan(1);
        expect(kms.atOnce()).toBeLessThanOrEqual(32);
        expect(all.filter((code) => code === 'keeper_queue_full')).toHaveLength(44);
        expect(all).toContain('kms_access_denied'); // a slow machine may not come to all 256 in the time of an operation
      }));

    test('close ends what is under way', () =>
      timely(async () => {
        const closing = fresh();
        await closing.describe(kek);
        kms.fail('Encrypt', { answer: 400, error: 'ThrottlingException' });
        const wrapping = closing.wrap(kek, secret(), aad);
        const refused = refuses(wrapping, 'keeper_unavailable');
        await closing.close();
        await refused;
      }));
  });

  describe('what must not happen twice', () => {
    const keysMade = async () => (await kms.admin.listKeys({ Limit: 1000 })).Keys?.length ?? 0;

    test('a lost answer of CreateAlias: the alias is ours, so the key was made', async () => {
      const before = await keysMade();
      kms.fail('CreateAlias', { reset: 'after' }, 1);
      await provider.generate(ref('lost-alias'), 'kek');
      expect(await keysMade()).toBe(before + 1);
      expect(await fresh().describe(ref('lost-alias'))).toMatchObject({ purpose: 'kek' });
    });

    test('a lost answer of CreateKey is not asked for again: no alias, so the key is nobody’s, and the name is free', async () => {
      kms.fail('CreateKey', { reset: 'after' }, 1);
      await refuses(provider.generate(ref('lost-key'), 'kek'), 'hsm_unavailable');
      expect(asked('CreateKey')).toHaveLength(1);
      await refuses(provider.describe(ref('lost-key')), 'key_unknown');
      await provider.generate(ref('lost-key'), 'kek');
    });

    test('CreateKey that was throttled is: KMS did nothing', async () => {
      kms.fail('CreateKey', { answer: 400, error: 'ThrottlingException' }, 2);
      await provider.generate(ref('slow-start'), 'log');
      expect(asked('CreateKey')).toHaveLength(3);
    });

    test('a key whose alias is refused is sent away again', async () => {
      kms.fail('CreateAlias', { answer: 400, error: 'AccessDeniedException' });
      await refuses(provider.generate(ref('nameless'), 'kek'), 'kms_access_denied');
      const left = String(asked('ScheduleKeyDeletion')[0]?.body['KeyId']);
      expect((await kms.admin.describeKey({ KeyId: left })).KeyMetadata?.KeyState).toBe('PendingDeletion');
    });

    test('and one that cannot be sent away is named, so that somebody can', async () => {
      kms.fail('CreateAlias', { answer: 400, error: 'AccessDeniedException' });
      kms.fail('ScheduleKeyDeletion', { answer: 400, error: 'AccessDeniedException' });
      await refuses(provider.generate(ref('nameless-2'), 'kek'), 'kms_access_denied');
      expect(events.at(-1)?.detail).toMatch(/^a KMS key without an alias is left over, delete it: [0-9a-f-]{36}$/);
    });

    test('a lost answer of ScheduleKeyDeletion: asked again, KMS says that it is so', async () => {
      await provider.generate(ref('lost-end'), 'kek');
      kms.fail('ScheduleKeyDeletion', { reset: 'after' }, 1);
      expect((await provider.destroy(ref('lost-end'))).cancellableUntil).toBeInstanceOf(Date);
    });

    test('destroying is not said while KMS still says otherwise', async () => {
      await provider.generate(ref('not-yet'), 'kek');
      kms.fail('DescribeKey', { metadata: { KeyState: 'Enabled' } });
      await refuses(provider.destroy(ref('not-yet')), 'hsm_unavailable');
    });
  });
});
