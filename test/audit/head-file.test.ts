/** The head that is kept apart from the store: a store that was put back is noticed before anything is signed or served. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createAccessLog } from '../../src/audit/access-log.ts';
import { beginHeadFile, createHeadFile } from '../../src/audit/head-file/head-file.ts';
import { createSequencer } from '../../src/audit/sequencer.ts';
import { type Incarnation, newId } from '../../src/domain/ids.ts';
import type { Stores } from '../../src/stores/port.ts';
import { openSqliteStores } from '../../src/stores/sqlite/sqlite-stores.ts';
import { LOG_KEY } from '../../src/vault/init.ts';
import { ORIGIN, TestVault } from '../vault/test-vault.ts';

let vault: TestVault;
let folder: string;
let file: string;
beforeEach(async () => {
  vault = await TestVault.make();
  folder = mkdtempSync(join(tmpdir(), 'wv-head-'));
  file = join(folder, 'log-head');
  await beginHeadFile(file);
});
afterEach(async () => {
  await vault.remove();
  rmSync(folder, { recursive: true, force: true });
});

function sequencer(stores: Stores = vault.stores, heads = createHeadFile(file)) {
  const { clock, keys, made } = vault.site;
  const sign = (text: Uint8Array) => keys.sign(LOG_KEY, text);
  const { unitOfWork, log } = stores;
  return createSequencer({
    unitOfWork,
    log,
    origin: ORIGIN,
    publicKey: made.logPublicKey,
    sign,
    node: newId<Incarnation>(clock.now()),
    clock,
    heads,
  });
}
/** Takes the log on by some records, and gives the lease back. */
async function grow(times = 1) {
  const one = sequencer();
  for (let time = 0; time < times; time++) {
    await vault.login('alice');
    expect(await one.tick()).toBe('published');
  }
  await one.stop();
}

/** Another character inside the base64 of the signature. */
function altered(note: Buffer): Buffer {
  const out = Buffer.from(note);
  out[out.length - 20] = out[out.length - 20] === 0x41 ? 0x42 : 0x41;
  return out;
}

describe('the file', () => {
  test('is empty at first, then holds the published checkpoint, alone in its folder and for its owner only', async () => {
    expect(await createHeadFile(file).read()).toBeUndefined();
    await grow(2);
    const published = await vault.stores.unitOfWork.run((tx) => vault.stores.log.head(tx));
    expect(readFileSync(file)).toEqual(Buffer.from(published?.checkpoint ?? []));
    expect(readdirSync(folder)).toEqual(['log-head']);
  });

  test('that is gone stops everything: nobody can tell what was signed', async () => {
    await grow();
    rmSync(file);
    const one = sequencer();
    expect(await one.tick()).toBe('halted');
    expect(one.halted()).toMatchObject({ code: 'log_head_missing' });
  });

  test('that cannot be written stops the publishing, and loses nothing: the next round publishes', async () => {
    const heads = { ...createHeadFile(file), write: createHeadFile(join(folder, 'absent', 'log-head')).write };
    const one = sequencer(vault.stores, heads);
    expect(await one.tick()).toBe('failed');
    expect(await vault.stores.unitOfWork.run((tx) => vault.stores.log.head(tx))).toBeUndefined();
    await one.stop();
    await grow();
  });

  test.each([
    ['nonsense', 'note_malformed', () => Buffer.from('nonsense')],
    ['5 KiB', 'note_malformed', () => Buffer.alloc(5000, 'x')],
    ['a signature that was altered', 'note_signature_invalid', () => altered(readFileSync(file))],
  ])('that holds %s halts the log: %s', async (_what, code, content) => {
    await grow();
    writeFileSync(file, content());
    const one = sequencer();
    expect(await one.tick()).toBe('halted');
    expect(one.halted()).toMatchObject({ code });
  });
});

describe('a database that was put back', () => {
  test('to fewer records: log_rolled_back, whoever holds the lease', async () => {
    await grow(2);
    const copy = join(folder, 'copy.db');
    vault.database.exec(`VACUUM INTO '${copy}'`);
    await grow(2);
    const stores = await openSqliteStores({ file: copy, clock: vault.clock });
    const one = sequencer(stores);
    expect(await one.tick()).toBe('halted');
    expect(one.halted()).toMatchObject({ code: 'log_rolled_back' });
    await stores.close();
  });

  test('and grown again past it with other records: the log does not continue what was signed', async () => {
    await grow(1);
    const copy = join(folder, 'copy.db');
    vault.database.exec(`VACUUM INTO '${copy}'`);
    const kept = readFileSync(file);
    await grow(1);
    const newest = readFileSync(file);
    writeFileSync(file, kept);
    const stores = await openSqliteStores({ file: copy, clock: vault.clock });
    const forger = sequencer(stores); // has the HSM, but not the head
    vault.clock.advance(60);
    for (let time = 0; time < 3; time++) {
      const { vaultId, vaultDocument } = vault.site.made;
      const accessLog = createAccessLog({ log: stores.log, vaultId, node: vault.vault.node, configDigest: vaultDocument });
      const node = { ...vault.node, vault: { ...vault.vault, stores, accessLog } };
      await vault.login('bob', node);
      await forger.tick();
    }
    await forger.stop();
    writeFileSync(file, newest);
    const one = sequencer(stores);
    expect(await one.tick()).toBe('halted');
    expect(one.halted()).toMatchObject({ code: 'log_conflict' });
    await stores.close();
  });

  test('a crash between signing and publishing is no rollback: the same checkpoint is published next', async () => {
    const { publish } = vault.stores.log;
    vault.stores.log.publish = async () => {
      throw new Error('killed here');
    };
    expect(await sequencer().tick()).toBe('failed');
    vault.stores.log.publish = publish;
    const signed = readFileSync(file, 'utf8');
    vault.clock.advance(60);
    await vault.login('alice'); // more records since
    const one = sequencer();
    expect(await one.tick()).toBe('published');
    const head = await vault.stores.unitOfWork.run((tx) => vault.stores.log.head(tx));
    expect(
      Buffer.from(head?.checkpoint ?? [])
        .toString()
        .split('\n')
        .slice(0, 3),
    ).toEqual(signed.split('\n').slice(0, 3));
  });
});
