/** The checkpoint in the HSM: SoftHSM, a keeper, and a database that is put back together with its head file. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { beginHeadFile, createHeadFile } from '../../src/audit/head-file/head-file.ts';
import { createHsmHead, hsmHeadName } from '../../src/audit/head-hsm/head-hsm.ts';
import { createTrailingHead, type TrailingHead } from '../../src/audit/trailing-head.ts';
import { parseVkey } from '../../src/audit/vkey.ts';
import { utf8 } from '../../src/domain/bytes.ts';
import { VaultError } from '../../src/domain/errors.ts';
import { createKeeperClient } from '../../src/keys/keeper/client.ts';
import { startKeeperServer } from '../../src/keys/keeper/server.ts';
import { createMovingKeyProvider } from '../../src/keys/moving-provider.ts';
import { writeHead } from '../../src/keys/pkcs11/head-objects.ts';
import { CK, type Handle, loadModule, type Pkcs11Module } from '../../src/keys/pkcs11/module.ts';
import { withPin } from '../../src/keys/pkcs11/pin-source.ts';
import type { HeadObjects, KeyProvider } from '../../src/keys/port.ts';
import { headStoreContract } from '../contract/head-store.ts';
import { createMemoryKeyProvider } from '../doubles/memory-key-provider.ts';
import { createMemoryLog } from '../doubles/memory-log-store.ts';
import { startTestKeeper, type TestKeeper } from '../keys/keeper-harness.ts';
import { appendRecords, createLogKey, type LogKey, sequencerOn } from './small-log.ts';

let keeper: TestKeeper;
const clients: KeyProvider[] = [];
const folder = mkdtempSync(join(tmpdir(), 'wv-head-hsm-'));
beforeAll(async () => {
  keeper = await startTestKeeper();
});
afterAll(async () => {
  for (const client of clients) await client.close();
  await keeper?.stop();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => {
  jest.useRealTimers();
});

function objectsOf({ heads }: KeyProvider): HeadObjects {
  if (heads === undefined) throw new Error('this provider keeps no data');
  return heads;
}

const headsOf = (key: LogKey) => createHsmHead(objectsOf(keeper.client), parseVkey(key.vkey));

/** Three states of one log, and what was signed at each. */
async function history(key: LogKey) {
  const memory = createMemoryLog();
  const { sequencer } = sequencerOn(memory, key);
  const checkpoints: Uint8Array[] = [];
  for (let at = 0; at < 3; at++) {
    await appendRecords(memory, 3);
    await sequencer.tick();
    checkpoints.push(memory.state.head?.checkpoint ?? new Uint8Array(0));
  }
  return checkpoints as [Uint8Array, Uint8Array, Uint8Array];
}

headStoreContract('a file', async () => {
  const file = join(mkdtempSync(join(folder, 'file-')), 'log-head');
  await beginHeadFile(file);
  return { store: createHeadFile(file), reopen: async () => createHeadFile(file), checkpoints: await history(createLogKey()) };
});

headStoreContract('an object of a SoftHSM token, by its keeper', async () => {
  const key = createLogKey();
  const reopen = async () => {
    const client = createKeeperClient({ socket: keeper.keeper.socket });
    clients.push(client);
    return createHsmHead(objectsOf(client), parseVkey(key.vkey));
  };
  return { store: headsOf(key), reopen, checkpoints: await history(key) };
});

describe('the object', () => {
  test('never goes back, is one alone, and is of its own log and key', async () => {
    const key = createLogKey();
    const [first, second, last] = await history(key);
    const store = headsOf(key);
    await store.write(last);
    await store.write(first);
    await store.write(second);
    const kept = await objectsOf(keeper.client).read(hsmHeadName(parseVkey(key.vkey)));
    expect(kept.map((note) => Buffer.from(note))).toEqual([Buffer.from(last)]);
    expect(await headsOf(createLogKey()).read()).toBeUndefined(); // the same origin, another key: what a recovery begins with
  });

  test('two after a crash between making and destroying: the larger that verifies counts, whatever others put beside; the next write leaves one', async () => {
    const key = createLogKey();
    const log = hsmHeadName(parseVkey(key.vkey));
    const [first, second, last] = await history(key);
    const forged = utf8('vault.example/access\n99999\nAAAA\n\n— nobody AAAA\n');
    const { module, session, end } = ownSession();
    try {
      const dies = new Proxy(module, {
        get: (of, name: keyof Pkcs11Module) =>
          name === 'C_DestroyObject'
            ? () => {
                throw new Error('killed here');
              }
            : (of[name] as (...args: unknown[]) => unknown).bind(of),
      });
      writeHead(module, session, log, first);
      expect(() => writeHead(dies, session, log, second)).toThrow('killed here');
      expect(await objectsOf(keeper.client).read(log)).toHaveLength(2);
      expect(Buffer.from((await headsOf(key).read()) ?? [])).toEqual(Buffer.from(second));
      await headsOf(key).write(last);
      expect(await objectsOf(keeper.client).read(log)).toHaveLength(1);
      expect(() => writeHead(dies, session, log, forged)).toThrow('killed here');
      expect(Buffer.from((await headsOf(key).read()) ?? [])).toEqual(Buffer.from(last));
      writeHead(module, session, log, forged);
      for (const other of await objectsOf(keeper.client).read(log)) expect(Buffer.from(other).toString()).toContain('99999');
    } finally {
      end();
    }
    await expect(headsOf(key).read()).rejects.toMatchObject({ code: expect.stringMatching(/^note_/) });
  });

  test.each([
    ['5 KiB', utf8(`a\n1\n${'x'.repeat(5000)}`)],
    ['no size', utf8('vault.example/access\nmany\n')],
    ['a zero byte', utf8('a\n1\n\0')],
  ])('is no place for %s', async (_what, bytes) => {
    await expect(objectsOf(keeper.client).write('a log', bytes)).rejects.toMatchObject({ code: 'request_invalid' });
    expect(await objectsOf(keeper.client).read('a log')).toEqual([]);
  });
});

function ownSession(): { readonly module: Pkcs11Module; readonly session: Handle; end(): void } {
  const module = loadModule(keeper.hsm.module);
  module.C_Initialize({ flags: CK.CKF_OS_LOCKING_OK });
  const slot = module.C_GetSlotList(true).find((each) => module.C_GetTokenInfo(each).serialNumber.trim() === keeper.hsm.serial);
  if (slot === undefined) throw new Error('no token');
  const session = module.C_OpenSession(slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION);
  withPin({ file: keeper.hsm.pinFile }, (pin) => module.C_Login(session, CK.CKU_USER, pin));
  return { module, session, end: () => module.C_Finalize() };
}

describe('a database that is put back together with its head file', () => {
  test('is refused beside the HSM that remembers more, longer or not, and starts where nothing does', async () => {
    const key = createLogKey();
    const file = join(folder, 'log-head');
    await beginHeadFile(file);
    const trailing = createTrailingHead(headsOf(key), () => undefined);
    const memory = createMemoryLog();
    const run = async (on = memory, hsm: TrailingHead | 'no HSM' = trailing) => {
      await appendRecords(on, 2);
      const { sequencer } = sequencerOn(on, key, { heads: createHeadFile(file), trailing: hsm === 'no HSM' ? undefined : hsm });
      await sequencer.tick();
      await sequencer.stop();
      return sequencer.halted()?.code ?? 'goes on';
    };
    expect(await run()).toBe('goes on');
    const older = { ...memory.state, lease: undefined };
    copyFileSync(file, `${file}.older`);
    for (let more = 0; more < 3; more++) expect(await run()).toBe('goes on');
    const putBack = () => {
      const store = createMemoryLog();
      store.state = { ...older, outbox: [...older.outbox], disclosures: [] };
      copyFileSync(`${file}.older`, file);
      return store;
    };

    expect(await run(putBack())).toBe('log_rolled_back');
    const fork = putBack();
    for (let more = 0; more < 6; more++) expect(await run(fork, 'no HSM')).toBe('goes on'); // the file alone sees nothing
    expect(await run(fork)).toBe('log_conflict');
    await objectsOf(keeper.client).write(hsmHeadName(parseVkey(key.vkey)), new Uint8Array(0)); // what `wv restore --accept-lost-records` does
    expect(await run(fork)).toBe('goes on');
  });
});

describe('what trails', () => {
  const note = (size: number) => utf8(`log\n${size}\n`);
  function recorder(refusal?: VaultError) {
    const written: string[] = [];
    const errors: unknown[] = [];
    const write = async (bytes: Uint8Array) => {
      written.push(Buffer.from(bytes).toString().split('\n')[1] ?? '');
      if (refusal !== undefined) throw refusal;
    };
    const trailing = createTrailingHead({ read: async () => undefined, write }, (error) => errors.push(error));
    return { trailing, written, errors };
  }

  test('is written once a second, the newest only, and at the end', async () => {
    jest.useFakeTimers();
    const { trailing, written } = recorder();
    for (let size = 1; size <= 50; size++) {
      trailing.offer(note(size));
      await jest.advanceTimersByTimeAsync(100);
    }
    expect(written).toEqual(['1', '10', '20', '30', '40', '50']);
    trailing.offer(note(99));
    await trailing.settle();
    expect(written.at(-1)).toBe('99');
  });

  test('refused for good, it is not tried again; refused for now, it is tried with the next; either is said once', async () => {
    for (const [code, times] of [
      ['hsm_mechanism_missing', 1],
      ['hsm_unavailable', 2],
    ] as const) {
      const { trailing, written, errors } = recorder(new VaultError(code));
      for (const size of [1, 2]) {
        trailing.offer(note(size));
        await trailing.settle();
      }
      expect([written.length, errors.length]).toEqual([times, 1]);
    }
  });
});

test('a keeper that serves forgets nothing: only a ceremony begins anew', async () => {
  const serving = await startTestKeeper({ ceremony: false });
  try {
    const key = createLogKey();
    const [first] = await history(key);
    const store = createHsmHead(objectsOf(serving.client), parseVkey(key.vkey));
    await store.write(first);
    await expect(store.write(new Uint8Array(0))).rejects.toMatchObject({ code: 'action_denied' });
    expect(Buffer.from((await store.read()) ?? [])).toEqual(Buffer.from(first));
  } finally {
    await serving.stop();
  }
});

test('a provider that keeps no data says so by its keeper, and the log then knows of no checkpoint there', async () => {
  const socket = join(folder, 'none', 'socket');
  const provider = createMemoryKeyProvider();
  const server = await startKeeperServer({ provider, socket, ceremony: true });
  const client = createKeeperClient({ socket });
  try {
    await expect(objectsOf(client).write('a log', utf8('a log\n1\n'))).rejects.toMatchObject({ code: 'hsm_mechanism_missing' });
    expect(await createHsmHead(objectsOf(client), parseVkey(createLogKey().vkey)).read()).toBeUndefined();
    const moving = createMovingKeyProvider({ current: provider, former: keeper.client });
    const key = createLogKey();
    const [first] = await history(key);
    await headsOf(key).write(first);
    const former = createHsmHead(objectsOf(moving), parseVkey(key.vkey));
    expect(Buffer.from((await former.read()) ?? [])).toEqual(Buffer.from(first)); // what the HSM that is left remembers still counts
    await expect(former.write(first)).rejects.toMatchObject({ code: 'hsm_mechanism_missing' });
  } finally {
    await client.close();
    await server.close();
  }
});
