// What the keeper does when the PIN is wrong, the token is gone, the process dies or hangs. On SoftHSM.

import { spawn } from 'node:child_process';
import { chmodSync, lstatSync, readdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { setupDevelopmentToken } from '../../softhsm/setup.ts';
import { codeOf, VaultError } from '../../src/domain/errors.ts';
import type { KeyId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { createKeeperClient } from '../../src/keys/keeper/client.ts';
import { type SoftHsm, startSoftHsm } from '../harness/softhsm.ts';
import { eventually, pidOf, startTestKeeper, type TestKeeper, type TestKeeperOptions } from './keeper-harness.ts';

const kek = { id: 'kek-1' as KeyId, version: 1 };
const aad = new Uint8Array([1, 2, 3]);
const dek = () => new SecretBytes(new Uint8Array(32).fill(0xd7));
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

let ends: Array<() => Promise<void> | void> = [];
afterEach(async () => {
  for (const end of ends.reverse()) await end();
  ends = [];
});

async function token(): Promise<SoftHsm> {
  const hsm = await startSoftHsm();
  ends.push(() => hsm.remove());
  return hsm;
}

async function keeperOn(hsm: SoftHsm, options?: TestKeeperOptions): Promise<TestKeeper> {
  const made = await startTestKeeper(options, hsm);
  ends.push(() => made.stop());
  return made;
}

const codeOfFailure = (work: Promise<unknown>) => work.then(() => 'no error', codeOf);

describe.each(['inline', 'threads'] as const)('calls %s', (calls) => {
  test('a wrong PIN is one login attempt, however much is asked and even after the keeper was killed', async () => {
    const hsm = await token();
    const pinFile = join(hsm.folder, 'wrong.pin');
    writeFileSync(pinFile, 'not-the-pin-9137', { mode: 0o600 });
    const { client, keeper, logins, events } = await keeperOn(hsm, { calls, pinFile });
    expect(await client.health()).toEqual({ ok: false, code: 'pin_incorrect' });
    for (let at = 0; at < 10; at++) expect(await codeOfFailure(client.random(16))).toBe('pin_incorrect');
    writeFileSync(pinFile, hsm.pin, { mode: 0o600 }); // corrected, but this keeper was told no
    await pause(300);
    expect(await codeOfFailure(client.describe(kek))).toBe('pin_incorrect');
    expect(logins()).toBe(1);
    expect(events).toContainEqual(expect.objectContaining({ event: 'refused', code: 'pin_incorrect' }));

    process.kill(pidOf(keeper), 'SIGKILL');
    await eventually(async () => expect(keeper.pid()).toBeUndefined());
    await pause(1500);
    expect(keeper.pid()).toBeUndefined(); // not started again: that would be a second attempt
    expect(logins()).toBe(1);
    expect(await codeOfFailure(client.random(16))).toBe('keeper_unavailable');
    expect(JSON.stringify(events)).not.toContain('not-the-pin');
  });

  test('gone and back: says so meanwhile, then works again in the same process with one more login', async () => {
    const hsm = await token();
    const { client, keeper, logins } = await keeperOn(hsm, { calls });
    const pid = keeper.pid();
    await client.generate(kek, 'kek');
    const wrapped = await client.wrap(kek, dek(), aad);
    const tokens = join(hsm.folder, 'tokens');

    renameSync(tokens, `${tokens}.away`);
    for (let at = 0; at < 3; at++) {
      expect(await codeOfFailure(client.unwrap(wrapped, aad))).toBe('hsm_token_missing');
      expect(await codeOfFailure(client.describe({ ...kek, version: 9 }))).toBe('hsm_token_missing'); // and not key_unknown
      expect(await client.health()).toEqual({ ok: false, code: 'hsm_token_missing' });
    }
    expect(logins()).toBe(1);

    renameSync(`${tokens}.away`, tokens);
    const secret = await eventually(() => client.unwrap(wrapped, aad));
    expect(secret.equals(dek())).toBe(true);
    expect(await client.health()).toMatchObject({ ok: true });
    expect(keeper.pid()).toBe(pid);
    await eventually(async () => expect(logins()).toBe(2)); // told on another channel than the answers
  });

  test('absent at the start: the keeper waits for it', async () => {
    const hsm = await token();
    const tokens = join(hsm.folder, 'tokens');
    renameSync(tokens, `${tokens}.away`);
    const { client, logins } = await keeperOn(hsm, { calls });
    expect(await client.health()).toEqual({ ok: false, code: 'hsm_token_missing' });
    expect(logins()).toBe(0);
    renameSync(`${tokens}.away`, tokens);
    expect(await eventually(() => client.random(16))).toHaveLength(16);
  });

  test('another token under the same label is refused, without a login', async () => {
    const hsm = await token();
    const { client, logins, keeper } = await keeperOn(hsm, { calls });
    await client.generate(kek, 'kek');
    const tokens = join(hsm.folder, 'tokens');
    renameSync(tokens, `${tokens}.away`);
    renameSync(hsm.pinFile, `${hsm.pinFile}.away`);
    renameSync(join(hsm.folder, `${hsm.label}.so-pin`), join(hsm.folder, 'so-pin.away'));
    await setupDevelopmentToken({ folder: hsm.folder, label: hsm.label });

    expect(await codeOfFailure(client.describe(kek))).toBe('hsm_token_missing');
    await pause(300);
    expect(await client.health()).toEqual({ ok: false, code: 'hsm_token_missing' });
    expect(logins()).toBe(1);

    process.kill(pidOf(keeper), 'SIGKILL'); // the next process must not forget which token it was
    expect(await eventually(async () => expectCode(await client.health(), 'hsm_token_missing'))).toBe(true);
    expect(logins()).toBe(1);
  });
});

describe('the PIN', () => {
  test('that was refused is not tried by a keeper of a later start either, until the file is written anew', async () => {
    const hsm = await token();
    const pinFile = join(hsm.folder, 'wrong.pin');
    writeFileSync(pinFile, 'not-the-pin-9137', { mode: 0o600 });
    const start = async () => {
      const { client, logins, stop } = await startTestKeeper({ pinFile }, hsm);
      const health = await client.health();
      await stop();
      return [health.ok ? 'ok' : health.code, logins()];
    };
    expect(await start()).toEqual(['pin_incorrect', 1]);
    for (let at = 0; at < 3; at++) expect(await start()).toEqual(['pin_incorrect', 0]);
    writeFileSync(pinFile, 'another-wrong-pin', { mode: 0o600 });
    expect(await start()).toEqual(['pin_incorrect', 1]);
    const kept = readdirSync(join(hsm.folder, 'keeper')).map((name) => readFileSync(join(hsm.folder, 'keeper', name), 'utf8'));
    expect(kept).toEqual([expect.stringMatching(/^\d+ \d+ \d+ \d+$/)]); // no PIN, and nothing made from it
    writeFileSync(pinFile, hsm.pin, { mode: 0o600 });
    expect(await start()).toEqual(['ok', 1]);
    expect(readdirSync(join(hsm.folder, 'keeper'))).toEqual([]);
  });

  test.each([
    ['readable by group', (file: string) => chmodSync(file, 0o640)],
    ['readable by others', (file: string) => chmodSync(file, 0o604)],
    ['missing', (file: string) => renameSync(file, `${file}.away`)],
  ])('refuses a PIN file that is %s, before any login', async (_, spoil) => {
    const hsm = await token();
    spoil(hsm.pinFile);
    await expect(startTestKeeper({}, hsm)).rejects.toMatchObject({ code: 'configuration_invalid' });
  });

  test('refuses a folder in the place of the PIN file, and follows a link only to a file that is private itself', async () => {
    const hsm = await token();
    await expect(startTestKeeper({ pinFile: hsm.folder }, hsm)).rejects.toMatchObject({ code: 'configuration_invalid' });
    const link = join(hsm.folder, 'link.pin');
    symlinkSync(hsm.pinFile, link);
    chmodSync(hsm.pinFile, 0o644);
    await expect(startTestKeeper({ pinFile: link }, hsm)).rejects.toMatchObject({ code: 'configuration_invalid' });
  });

  test('neither PIN nor key bytes are in an event, an error or the command line', async () => {
    const hsm = await token();
    const { client, keeper, events } = await keeperOn(hsm);
    await client.generate(kek, 'kek');
    const wrapped = await client.wrap(kek, dek(), aad);
    const texts = [JSON.stringify(events)];
    const failing = [
      () => client.unwrap({ ...wrapped, kek: { ...kek, version: 2 } }, aad),
      () => client.unwrap({ ...wrapped, iv: new Uint8Array(12) }, aad),
      () => client.wrap(kek, new SecretBytes(new Uint8Array(15).fill(0xd7)), aad),
    ];
    for (const work of failing) {
      await work().catch((error: Error) => texts.push(error.message, String(error.stack), JSON.stringify(error)));
    }
    for (const file of ['cmdline', 'environ']) texts.push(readFileSync(`/proc/${keeper.pid()}/${file}`, 'latin1'));
    for (const text of texts) {
      expect(text).not.toContain(hsm.pin);
      expect(text).not.toMatch(/d7d7d7d7|215,215,215|19fX19/);
    }
    expect(texts).toHaveLength(12);
  });
});

describe('the token', () => {
  test('the serial in the configuration decides, also among tokens of one label', async () => {
    const hsm = await token();
    const { client, logins } = await keeperOn(hsm, { tokenSerial: '0000000000000000' });
    expect(await client.health()).toEqual({ ok: false, code: 'hsm_token_missing' });
    expect(logins()).toBe(0);
  });
});

describe('the keeper process', () => {
  test('killed under load: every call ends, with its result or a retryable error, and it works again by itself', async () => {
    const hsm = await token();
    const { client, keeper } = await keeperOn(hsm);
    await client.generate(kek, 'kek');
    const wrapped = await client.wrap(kek, dek(), aad);
    const codes: string[] = [];
    let loading = true;
    const load = Array.from({ length: 20 }, async () => {
      while (loading) {
        await client.unwrap(wrapped, aad).then(
          (secret) => codes.push(secret.equals(dek()) ? 'ok' : 'WRONG'),
          (error) => codes.push(error instanceof VaultError && error.retryable ? error.code : `FINAL ${String(error)}`),
        );
        await pause(1);
      }
    });
    for (const signal of ['SIGKILL', 'SIGSEGV'] as const) {
      await pause(200);
      const killed = pidOf(keeper);
      process.kill(killed, signal);
      await eventually(() => client.random(1));
      expect(keeper.pid()).not.toBe(killed);
    }
    loading = false;
    await Promise.all(load);
    expect(new Set(codes)).toEqual(new Set(['ok', 'keeper_unavailable']));
    expect((await client.unwrap(wrapped, aad)).equals(dek())).toBe(true);
  });

  test('stopped in its tracks: calls end at their deadline, one too many is refused, and it goes on afterwards', async () => {
    const hsm = await token();
    const { client, keeper } = await keeperOn(hsm, { client: { deadlineMs: 1_000, queue: 5 } });
    await eventually(() => client.random(1));
    const pid = pidOf(keeper);
    process.kill(pid, 'SIGSTOP');
    const answers = await Promise.all([1, 2, 3, 4, 5, 6].map(() => codeOfFailure(client.random(1))));
    expect(answers.sort()).toEqual([...Array(5).fill('keeper_deadline'), 'keeper_queue_full']);
    expect(await client.health()).toEqual({ ok: false, code: 'keeper_deadline' });
    process.kill(pid, 'SIGCONT');
    expect(await eventually(() => client.random(8))).toHaveLength(8); // late answers are not taken for this one's
  });

  test('that hangs is killed and started again', async () => {
    const hsm = await token();
    const { client, keeper, events } = await keeperOn(hsm, { hangMs: 2_000, client: { deadlineMs: 500 } });
    const hanging = pidOf(keeper);
    process.kill(hanging, 'SIGSTOP');
    expect(await codeOfFailure(client.random(1))).toBe('keeper_deadline');
    expect(await eventually(() => client.random(4))).toHaveLength(4);
    expect(keeper.pid()).not.toBe(hanging);
    expect(events).toContainEqual(expect.objectContaining({ event: 'hung' }));
  });

  test('ends when it is stopped, and leaves no way in', async () => {
    const hsm = await token();
    const { client, keeper } = await keeperOn(hsm);
    await client.random(1);
    const pid = pidOf(keeper);
    await keeper.stop();
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(keeper.pid()).toBeUndefined();
    expect(await codeOfFailure(client.random(1))).toBe('keeper_unavailable');
  });

  test('ends when its parent is killed', async () => {
    const hsm = await token();
    const supervisor = new URL('../../src/keys/keeper/supervisor.ts', import.meta.url).href;
    const start = {
      module: hsm.module,
      tokenLabel: hsm.label,
      pinFile: hsm.pinFile,
      socket: join(hsm.folder, 'keeper', 'socket'),
      env: hsm.env,
    };
    const script = `const { startKeeper } = await import(${JSON.stringify(supervisor)}); console.log((await startKeeper(${JSON.stringify(start)})).pid());`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    const pid = Number(await new Promise<string>((resolve) => parent.stdout.once('data', (piece) => resolve(String(piece)))));
    expect(process.kill(pid, 0)).toBe(true);
    parent.kill('SIGKILL');
    await eventually(async () => expect(() => process.kill(pid, 0)).toThrow('ESRCH'));
  });

  test('answers on a socket of mode 0600 in a folder of mode 0700, and refuses a folder that is open', async () => {
    const hsm = await token();
    const { keeper, stop } = await startTestKeeper({}, hsm);
    expect(lstatSync(keeper.socket).mode & 0o777).toBe(0o600);
    expect(statSync(dirname(keeper.socket)).mode & 0o777).toBe(0o700);
    await stop();
    chmodSync(dirname(keeper.socket), 0o750);
    await expect(startTestKeeper({}, hsm)).rejects.toMatchObject({ code: 'configuration_invalid' });
  });

  test('a second keeper on the same socket is refused and the first goes on', async () => {
    const hsm = await token();
    const { client } = await keeperOn(hsm);
    await expect(startTestKeeper({}, hsm)).rejects.toMatchObject({ code: 'configuration_invalid' });
    expect(await client.health()).toMatchObject({ ok: true });
  });

  test('outside a ceremony makes nothing but keks, and destroys nothing', async () => {
    const hsm = await token();
    const { client } = await keeperOn(hsm, { ceremony: false });
    const next = { ...kek, version: 2 };
    expect(await codeOfFailure(client.generate(kek, 'catalogue'))).toBe('action_denied');
    expect(await codeOfFailure(client.generate(next, 'catalogue'))).toBe('action_denied');
    expect(await codeOfFailure(client.describe(kek))).toBe('key_unknown');
    expect(await client.generate(next, 'kek')).toMatchObject({ purpose: 'kek', extractable: false });
    expect(await codeOfFailure(client.destroy(next))).toBe('action_denied');
    expect(await client.describe(next)).toMatchObject({ ref: next });
  });

  test.each([
    ['a length over 128 KiB', [0, 2, 0, 1]],
    ['bytes that are not CBOR', [0, 0, 0, 1, 0xff]],
    ['CBOR that is not a map', [0, 0, 0, 1, 0x01]],
    ['a map with an unknown verb', [0, 0, 0, 12, 0xa2, 0x62, 0x69, 0x64, 0x01, 0x64, 0x76, 0x65, 0x72, 0x62, 0x61, 0x78]],
    [
      'a known verb with a member too many',
      [0, 0, 0, 20, 0xa3, 0x61, 0x78, 0x00, 0x62, 0x69, 0x64, 0x01, 0x64, 0x76, 0x65, 0x72, 0x62, 0x66, 0x68, 0x65, 0x61, 0x6c, 0x74, 0x68],
    ],
  ])('hangs up on %s, and serves the others', async (_, bytes) => {
    const hsm = await token();
    const { keeper, client } = await keeperOn(hsm);
    const answer = await new Promise<number>((resolve, reject) => {
      let got = 0;
      const peer = createConnection(keeper.socket, () => peer.write(Uint8Array.from(bytes)));
      peer.on('data', (chunk) => (got += chunk.length));
      peer.on('error', reject);
      peer.on('close', () => resolve(got));
    });
    expect(answer).toBe(0);
    expect(await client.health()).toMatchObject({ ok: true });
  });

  test('hangs up on one peer too many, and serves those it has', async () => {
    const hsm = await token();
    const { keeper, client } = await keeperOn(hsm);
    expect(await client.health()).toMatchObject({ ok: true }); // the first of 64
    const peers = Array.from({ length: 70 }, () => createConnection(keeper.socket));
    let closed = 0;
    for (const peer of peers) peer.on('error', () => undefined).on('close', () => closed++);
    await eventually(async () => expect(closed).toBe(7));
    expect(await client.health()).toMatchObject({ ok: true });
    for (const peer of peers) peer.destroy();
    await eventually(async () => expect(closed).toBe(70));
    const next = createKeeperClient({ socket: keeper.socket });
    expect(await eventually(() => next.random(4))).toHaveLength(4);
    await next.close();
  });

  test('a client without a keeper is keeper_unavailable at once', async () => {
    const client = createKeeperClient({ socket: '/nonexistent/keeper/socket' });
    expect(await codeOfFailure(client.random(1))).toBe('keeper_unavailable');
    expect(await client.health()).toEqual({ ok: false, code: 'keeper_unavailable' });
    await client.close();
  });
});

function expectCode(health: { code?: string }, code: string): boolean {
  if (health.code !== code) throw new Error(`health is ${health.code}`);
  return true;
}
