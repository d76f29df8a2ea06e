/** Tokens that are slow, hang, are full, write-protected, blank or two: each is said by its name, and nothing waits for ever. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { codeOf, VaultError } from '../../src/domain/errors.ts';
import type { KeyId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import type { KeyProvider } from '../../src/keys/port.ts';
import type { WrappedKey } from '../../src/keys/wrapped-key.ts';
import { type SoftHsm, startSoftHsm } from '../harness/softhsm.ts';
import { quickest } from '../harness/standstill.ts';
import { nss } from '../harness/tokens/kinds.ts';
import type { TestToken } from '../harness/tokens/token.ts';
import { type Unkindness, unkind } from '../harness/tokens/unkind-module.ts';
import { eventually, pidOf, softHsmToken, startTokenKeeper, type TestKeeperOptions, type TokenKeeper } from './keeper-harness.ts';

const kek = { id: 'kek' as KeyId, version: 1 };
const aad = new Uint8Array([1, 2, 3]);
const dek = () => new SecretBytes(new Uint8Array(32).fill(7));
const codeOfFailure = (work: Promise<unknown>) => work.then(() => 'no error', codeOf);

let hsm: SoftHsm;
let wrapped: WrappedKey;
let count = 0;
beforeAll(async () => {
  hsm = await startSoftHsm();
  await using({}, {}, async ({ client }) => {
    await client.generate(kek, 'kek');
    wrapped = await client.wrap(kek, dek(), aad);
  });
});
afterAll(() => hsm?.remove());

/** A keeper on the one token, with its own socket. */
async function using<T>(unkindness: Unkindness, options: TestKeeperOptions, work: (keeper: TokenKeeper) => Promise<T>): Promise<T> {
  return keeping(unkind(softHsmToken(hsm), unkindness), options, work);
}

async function keeping<T>(token: TestToken, options: TestKeeperOptions, work: (keeper: TokenKeeper) => Promise<T>): Promise<T> {
  const made = await startTokenKeeper({ ...token, folder: join(hsm.folder, `k${++count}`) }, options);
  try {
    return await work(made);
  } finally {
    await made.stop();
  }
}

async function unwraps(client: KeyProvider, count: number): Promise<void> {
  const opened = await Promise.all(Array.from({ length: count }, () => client.unwrap(wrapped, aad)));
  expect(opened.every((secret) => secret.equals(dek()))).toBe(true);
}

describe('a token that takes 50 ms for each call', () => {
  const slow = { delayMs: 50 };

  test('serves more the more sessions there are, each on its thread', async () => {
    const one = await using(slow, { calls: 'threads', sessions: 1 }, ({ client }) =>
      quickest(Number.POSITIVE_INFINITY, () => unwraps(client, 8)),
    );
    expect(one).toBeGreaterThan(750); // 8 times two calls
    const four = await using(slow, { calls: 'threads', sessions: 4 }, ({ client }) => quickest(3_200, () => unwraps(client, 32)));
    expect(four).toBeLessThan(3_200); // 800, with nothing else to do; one session cannot do 64 calls sooner, on any machine
  });
});

describe('a call that does not return', () => {
  const hung = (name: string) => join(hsm.folder, name);

  test('on a thread: its caller hears of the deadline, the others go on, and at last another keeper takes its place', async () => {
    const when = hung('hang-1');
    await using({ calls: { C_Decrypt: 'hang' }, when }, { calls: 'threads', sessions: 2, deadlineMs: 1_000 }, async (made) => {
      const { client, keeper, events } = made;
      await eventually(() => client.unwrap(wrapped, aad));
      const pid = keeper.pid();
      writeFileSync(when, '');
      expect(await codeOfFailure(client.unwrap(wrapped, aad))).toBe('keeper_deadline');
      expect(await eventually(() => client.random(8))).toHaveLength(8); // the other session
      rmSync(when);
      const secret = await eventually(() => client.unwrap(wrapped, aad));
      expect(secret.equals(dek())).toBe(true);
      await eventually(async () => expect(keeper.pid()).not.toBe(pid));
      await eventually(async () => expect(events).toContainEqual(expect.objectContaining({ event: 'stuck' })));
    });
  });

  test('does not let the queue grow without end: one too many is refused, and all are answered', async () => {
    const when = hung('hang-2');
    const options: TestKeeperOptions = { calls: 'threads', sessions: 1, queue: 3, deadlineMs: 1_000 };
    await using({ calls: { C_Decrypt: 'hang' }, when }, options, async ({ client }) => {
      await eventually(() => client.unwrap(wrapped, aad));
      writeFileSync(when, '');
      const answers = await Promise.all(Array.from({ length: 8 }, () => codeOfFailure(client.unwrap(wrapped, aad))));
      expect(answers.sort()).toEqual([...Array(4).fill('keeper_deadline'), ...Array(4).fill('keeper_queue_full')]);
      rmSync(when);
    });
  });
});

test('a keeper whose library crashes under load, on threads, is started again; callers get an answer or may try again', async () => {
  await using({ delayMs: 1 }, { calls: 'threads', sessions: 4 }, async ({ client, keeper }) => {
    const codes = new Set<string>();
    let loading = true;
    const load = Array.from({ length: 16 }, async () => {
      while (loading) {
        const said = await client.unwrap(wrapped, aad).then(
          (secret) => (secret.equals(dek()) ? 'ok' : 'WRONG'),
          (error) => (error instanceof VaultError && error.retryable ? 'retry' : `FINAL ${String(error)}`),
        );
        codes.add(said);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    });
    await eventually(() => client.random(1));
    const killed = pidOf(keeper);
    process.kill(killed, 'SIGSEGV');
    await eventually(async () => expect(keeper.pid() ?? killed).not.toBe(killed));
    await eventually(() => client.random(1));
    loading = false;
    await Promise.all(load);
    expect([...codes].sort()).toEqual(['ok', 'retry']);
  });
});

describe('a token that cannot do what is asked', () => {
  test('is full: no key is made, and what it has goes on working', async () => {
    await using({ calls: { C_GenerateKey: 0x31 } }, {}, async ({ client }) => {
      expect(await codeOfFailure(client.generate({ ...kek, version: 2 }, 'kek'))).toBe('hsm_token_full');
      expect(await codeOfFailure(client.describe({ ...kek, version: 2 }))).toBe('key_unknown');
      expect((await client.unwrap(wrapped, aad)).equals(dek())).toBe(true);
    });
  });

  test('is write-protected: it opens and wraps, and makes and destroys nothing', async () => {
    if (nss.missing !== undefined) return console.warn(`left out: ${nss.missing}`);
    const token = await nss.start();
    await keeping(token, {}, ({ client }) => client.generate(kek, 'kek'));
    await keeping(nss.open(token.folder, 'readOnly'), {}, async ({ client }) => {
      const made = await client.wrap(kek, dek(), aad);
      expect((await client.unwrap(made, aad)).equals(dek())).toBe(true);
      expect(await codeOfFailure(client.generate({ ...kek, version: 2 }, 'kek'))).toBe('hsm_token_read_only');
      expect(await codeOfFailure(client.destroy(kek))).toBe('hsm_token_read_only');
      expect((await client.unwrap(made, aad)).equals(dek())).toBe(true);
    });
    await token.remove();
  });

  test('is not initialized, or has no user PIN: no login, and no restart once it is', async () => {
    const { conf, module } = hsm;
    const init = `const p = require('pkcs11js'); const m = new p.PKCS11(); m.load(${JSON.stringify(module)}); m.C_Initialize({ flags: 2 });
      const s = m.C_GetSlotList(true).find((each) => (m.C_GetTokenInfo(each).flags & 0x400) === 0);
      m.C_InitToken(s, '12345678', 'half-made'.padEnd(32)); m.C_Finalize();`;
    spawnSync(process.execPath, ['-e', init], { env: { ...process.env, SOFTHSM2_CONF: conf } });
    await keeping(softHsmToken(hsm), { tokenLabel: 'half-made' }, async ({ client, logins }) => {
      expect(await client.health()).toEqual({ ok: false, code: 'hsm_token_uninitialized' });
      expect(await codeOfFailure(client.random(1))).toBe('hsm_token_uninitialized');
      expect(logins()).toBe(0);
    });
  });

  test('is one of two of a label: neither is logged in to, until the serial says which', async () => {
    const token = softHsmToken(hsm);
    await hsm.addToken('twin');
    const module = JSON.stringify(hsm.module);
    const init = `const p = require('pkcs11js'); const m = new p.PKCS11(); m.load(${module}); m.C_Initialize({ flags: 2 });
      const s = m.C_GetSlotList(true).find((each) => (m.C_GetTokenInfo(each).flags & 0x400) === 0);
      m.C_InitToken(s, '12345678', 'twin'.padEnd(32)); const o = m.C_OpenSession(s, 6); m.C_Login(o, 0, '12345678'); m.C_InitPIN(o, '1234');
      console.log(m.C_GetTokenInfo(s).serialNumber.trim()); m.C_Finalize();`;
    const made = spawnSync(process.execPath, ['-e', init], { env: { ...process.env, SOFTHSM2_CONF: hsm.conf }, encoding: 'utf8' });
    const pinFile = join(hsm.folder, 'second.pin');
    writeFileSync(pinFile, '1234', { mode: 0o600 });
    await keeping(token, { tokenLabel: 'twin', pinFile }, async ({ client, logins }) => {
      expect(await client.health()).toEqual({ ok: false, code: 'hsm_token_ambiguous' });
      expect(logins()).toBe(0);
    });
    await keeping(token, { tokenLabel: 'twin', tokenSerial: made.stdout.trim(), pinFile }, async ({ client }) => {
      expect(await client.health()).toMatchObject({ ok: true });
    });
  });
});

describe('the token by URI and the PIN from elsewhere', () => {
  const unlabelled = (): TestToken => {
    const { module } = softHsmToken(hsm).settings;
    return { ...softHsmToken(hsm), settings: { module } };
  };

  test('a URI names token and PIN file', async () => {
    const tokenUri = `pkcs11:token=${hsm.label};serial=${hsm.serial}?pin-source=file:${hsm.pinFile}`;
    await keeping(unlabelled(), { tokenUri }, async ({ client, logins }) => {
      expect((await client.unwrap(wrapped, aad)).equals(dek())).toBe(true);
      expect(logins()).toBe(1);
    });
  });

  test('the PIN comes from one variable of the environment, and the keeper sees no other', async () => {
    process.env['WV_TEST_PIN'] = hsm.pin;
    process.env['WV_TEST_OTHER'] = 'not-for-the-keeper';
    const { settings } = softHsmToken(hsm);
    await keeping(softHsmToken(hsm), { pin: 'elsewhere', pinVariable: 'WV_TEST_PIN', tokenLabel: settings.tokenLabel }, async (made) => {
      expect((await made.client.unwrap(wrapped, aad)).equals(dek())).toBe(true);
      const seen = spawnSync('cat', [`/proc/${made.keeper.pid()}/environ`], { encoding: 'latin1' }).stdout;
      expect(seen).toContain('WV_TEST_PIN');
      expect(seen).not.toContain('WV_TEST_OTHER');
    });
    delete process.env['WV_TEST_PIN'];
    delete process.env['WV_TEST_OTHER'];
  });

  test('a descriptor that a PIN file is open on serves every login, also that of the next keeper; a pipe is refused', async () => {
    const { settings, env } = softHsmToken(hsm);
    const { pinFile: _, ...others } = settings;
    const start = { ...others, pinDescriptor: 3, socket: join(hsm.folder, 'fd', 'socket'), env };
    const at = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
    // In a process of its own: a test cannot choose its descriptors.
    const script = `
      const { startKeeper } = await import(${at('../../src/keys/keeper/supervisor.ts')});
      const { createKeeperClient } = await import(${at('../../src/keys/keeper/client.ts')});
      const keeper = await startKeeper(${JSON.stringify(start)}).catch((error) => { console.log(error.code, error.detail); process.exit(); });
      const client = createKeeperClient({ socket: keeper.socket });
      const health = async () => { for (let n = 0; n < 200; n++) { const { ok } = await client.health(); if (ok) return ok; await new Promise((r) => setTimeout(r, 50)); } };
      const first = await health();
      process.kill(keeper.pid(), 'SIGKILL');
      await new Promise((r) => setTimeout(r, 300));
      console.log(first, await health());
      await client.close(); await keeper.stop();`;
    const run = (descriptor: number | 'pipe') =>
      spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit', descriptor],
        encoding: 'utf8',
      }).stdout.trim();
    const descriptor = openSync(hsm.pinFile, 'r');
    expect(run(descriptor)).toBe('true true');
    closeSync(descriptor);
    expect(run('pipe')).toMatch(/^configuration_invalid the PIN descriptor is not a regular file/);
  });

  test('a token that wants a PIN and is given none is a mistake of the configuration', async () => {
    await keeping(softHsmToken(hsm), { pin: 'elsewhere' }, async ({ client, logins }) => {
      expect(await codeOfFailure(client.random(1))).toBe('configuration_invalid');
      expect(logins()).toBe(0);
    });
  });
});
