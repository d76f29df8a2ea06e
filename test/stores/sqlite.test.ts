/** The relational contract suites on SQLite, and what only SQLite has: a file, migrations, locks, crashes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import Database from 'better-sqlite3';
import { growTiles } from '../../src/audit/tiles.ts';
import type { Clock } from '../../src/domain/clock.ts';
import { VaultError } from '../../src/domain/errors.ts';
import type { RecordId, TreeSize } from '../../src/domain/ids.ts';
import type { Tx } from '../../src/domain/unit-of-work.ts';
import type { Stores } from '../../src/stores/port.ts';
import { type Connection, openDatabase } from '../../src/stores/sqlite/database.ts';
import { SCHEMA_WIDEST_TILES } from '../../src/stores/sqlite/log-tiles.ts';
import { MIGRATIONS, migrate, schemaVersion } from '../../src/stores/sqlite/migrations.ts';
import { openSqliteStores } from '../../src/stores/sqlite/sqlite-stores.ts';
import { SqliteTx } from '../../src/stores/sqlite/transaction.ts';
import { type Limits, SqliteUnitOfWork } from '../../src/stores/sqlite/unit-of-work.ts';
import { alertStoreContract } from '../contract/alert-store.ts';
import { approvalStoreContract } from '../contract/approval-store.ts';
import { attestationStoreContract } from '../contract/attestation-store.ts';
import { catalogStoreContract } from '../contract/catalog-store.ts';
import { cursorStoreContract } from '../contract/cursor-store.ts';
import { documentStoreContract } from '../contract/document-store.ts';
import { identityStoreContract } from '../contract/identity-store.ts';
import { logStoreContract } from '../contract/log-store.ts';
import { releaseStoreContract } from '../contract/release-store.ts';
import { searchStoreContract } from '../contract/search-store.ts';
import { bytes, digest, id, model, NS, type StoresUnderTest, timeOf, within } from '../contract/stores-under-test.ts';
import { unitOfWorkContract } from '../contract/unit-of-work.ts';

async function openSqlite(): Promise<StoresUnderTest> {
  const folder = mkdtempSync(join(tmpdir(), 'wv-sqlite-'));
  const clock = new TestClock();
  const opened: Stores[] = [];
  const another = async () => {
    const stores = await openSqliteStores({ file: join(folder, 'vault.db'), clock });
    opened.push(stores);
    return stores;
  };
  const stores = await another();
  return {
    stores,
    second: another,
    async reopen() {
      await stores.close();
      return another();
    },
    advance: async (milliseconds) => clock.move(milliseconds),
    async remove() {
      for (const each of opened) await each.close();
      rmSync(folder, { recursive: true });
    },
  };
}

for (const contract of [
  unitOfWorkContract,
  alertStoreContract,
  attestationStoreContract,
  catalogStoreContract,
  documentStoreContract,
  identityStoreContract,
  approvalStoreContract,
  releaseStoreContract,
  logStoreContract,
  cursorStoreContract,
  searchStoreContract,
]) {
  contract('SQLite', openSqlite);
}

describe('SQLite', () => {
  let folder = '';
  let file = '';
  const clock = new (class implements Clock {
    now = () => new Date();
    monotonicMs = () => performance.now();
  })();
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'wv-sqlite-'));
    file = join(folder, 'vault.db');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const open = () => openSqliteStores({ file, clock });

  describe('the file', () => {
    it('is made with mode 0600, and so are its companions; a wider mode is narrowed', async () => {
      const stores = await open();
      await within(stores, (tx) => stores.catalog.insertModel(tx, model()));
      for (const name of ['vault.db', 'vault.db-wal', 'vault.db-shm']) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
      await stores.close();
      chmodSync(file, 0o644);
      await (await open()).close();
      expect(statSync(file).mode & 0o777).toBe(0o600);
    });

    it('keeps a write-ahead log that is fsynced at every commit, and checks foreign keys', async () => {
      const { db } = openDatabase({ file, clock });
      expect(db.pragma('journal_mode', { simple: true })).toBe('wal');
      expect(db.pragma('synchronous', { simple: true })).toBe(2); // FULL
      expect(db.pragma('foreign_keys', { simple: true })).toBe(1);
      db.close();
    });

    it('is not made where its folder does not exist', async () => {
      file = join(folder, 'absent', 'vault.db');
      await expect(open()).rejects.toMatchObject({ code: 'configuration_invalid' });
      expect(existsSync(join(folder, 'absent'))).toBe(false);
    });

    it('is refused clearly when it is not a database, and left as it was', async () => {
      const noise = randomBytes(8192);
      writeFileSync(file, noise);
      await expect(open()).rejects.toMatchObject({ code: 'store_unavailable', detail: expect.stringContaining('damaged') });
      expect(readFileSync(file).equals(noise)).toBe(true);
    });

    it('is reported as damaged when its pages are, and not as empty', async () => {
      const stores = await open();
      for (let turn = 0; turn < 20; turn++) await within(stores, (tx) => stores.log.append(tx, id<RecordId>(), bytes(4000), []));
      await stores.close();
      const content = readFileSync(file);
      writeFileSync(file, Buffer.concat([content.subarray(0, 4096), Buffer.alloc(content.length - 4096, 0xa5)]));
      const read = async () => {
        const again = await open();
        await within(again, (tx) => again.log.assign(tx, 5)).finally(() => again.close());
      };
      await expect(read()).rejects.toMatchObject({ code: 'store_unavailable', detail: 'the database file is damaged' });
    });

    it('holds each tile of the log once, as wide as it is, however often it grew; a file that kept more is cleaned', async () => {
      const stores = await open();
      const leaf = bytes(400);
      for (let size = 0; size < 270; size++) {
        await within(stores, async (tx) => {
          const tiles = await growTiles(size, [leaf], (path) => stores.log.tile(tx, path));
          await stores.log.publish(tx, size as TreeSize, { size: (size + 1) as TreeSize, checkpoint: bytes() }, tiles);
        });
      }
      await stores.close();
      const paths = (db: Database.Database) => db.prepare('SELECT path FROM log_tiles ORDER BY path').pluck().all();
      const kept = ['tile/0/000', 'tile/0/001.p/14', 'tile/1/000.p/1', 'tile/entries/000', 'tile/entries/001.p/14'];
      const db = new Database(file);
      expect(paths(db)).toEqual(kept);
      db.prepare("INSERT INTO log_tiles VALUES ('tile/entries/000.p/7', x'00'), ('tile/0/000.p/255', x'00')").run();
      db.exec(SCHEMA_WIDEST_TILES);
      expect(paths(db)).toEqual(kept);
      db.close();
    });

    it("is refused when it is another program's database", async () => {
      const other = new Database(file);
      other.exec('CREATE TABLE notes (text TEXT)');
      other.close();
      await expect(open()).rejects.toMatchObject({ code: 'configuration_invalid' });
    });
  });

  describe('migrations', () => {
    it('give a fresh file all of them', async () => {
      const { db } = openDatabase({ file, clock });
      expect(schemaVersion(db)).toBe(MIGRATIONS.length);
      db.close();
    });

    it('leave a current file alone', async () => {
      await (await open()).close();
      const before = readFileSync(file);
      await (await open()).close();
      expect(readFileSync(file).equals(before)).toBe(true);
    });

    it('refuse a newer schema with store_schema_newer before anything is touched', async () => {
      await (await open()).close();
      const db = new Database(file);
      db.prepare('INSERT INTO schema_version VALUES (?, 0)').run(MIGRATIONS.length + 1);
      db.pragma('journal_mode = DELETE');
      db.close();
      chmodSync(file, 0o640);
      const before = readFileSync(file);
      await expect(open()).rejects.toMatchObject({ code: 'store_schema_newer' });
      await expect(openSqliteStores({ file, clock, readOnly: true })).rejects.toMatchObject({ code: 'store_schema_newer' });
      expect(readFileSync(file).equals(before)).toBe(true);
      expect(statSync(file).mode & 0o777).toBe(0o640);
    });

    it('go forward from where the file is, each in a transaction of its own that happens whole or not at all', async () => {
      const db = new Database(file);
      const first = 'CREATE TABLE one (a INTEGER)';
      migrate(db, new Date(), [first]);
      db.exec('INSERT INTO one VALUES (7)');
      const broken = [first, 'CREATE TABLE two (a INTEGER)', 'CREATE TABLE three (a INTEGER); INSERT INTO nowhere VALUES (1)'];
      expect(() => migrate(db, new Date(), broken)).toThrow('nowhere');
      expect(schemaVersion(db)).toBe(2);
      expect(db.prepare("SELECT count(*) FROM sqlite_master WHERE name = 'three'").pluck().get()).toBe(0);
      migrate(db, new Date(), [...broken.slice(0, 2), 'CREATE TABLE three (a INTEGER)']);
      expect(schemaVersion(db)).toBe(3);
      expect(db.prepare('SELECT a FROM one').pluck().get()).toBe(7);
      expect(() => migrate(db, new Date(), [first])).toThrow(expect.objectContaining({ code: 'store_schema_newer' }));
      db.close();
    });

    it('happen once when many open the fresh file at the same time', async () => {
      const all = await Promise.all(Array.from({ length: 5 }, open));
      for (const stores of all) await within(stores, (tx) => stores.log.append(tx, id<RecordId>(), bytes(), []));
      for (const stores of all) await stores.close();
    });
  });

  describe('read only', () => {
    it('needs a file that exists and has the current schema', async () => {
      await expect(openSqliteStores({ file, clock, readOnly: true })).rejects.toMatchObject({ code: 'store_unavailable' });
      expect(existsSync(file)).toBe(false);
      writeFileSync(file, '');
      await expect(openSqliteStores({ file, clock, readOnly: true })).rejects.toMatchObject({ code: 'store_unavailable' });
    });

    it('reads beside an unfinished transaction, sees none of it, and keeps its snapshot', async () => {
      const writer = await open();
      const reader = await openSqliteStores({ file, clock, readOnly: true });
      const seen = () => within(reader, (tx) => reader.catalog.modelByName(tx, NS, 'late'));
      await within(writer, async (tx) => {
        await writer.catalog.insertModel(tx, model('late'));
        expect(await seen()).toBeUndefined();
      });
      expect(await seen()).toBeDefined();
      await within(reader, async (tx) => {
        const before = await reader.catalog.modelByName(tx, NS, 'next');
        await within(writer, (other) => writer.catalog.insertModel(other, model('next')));
        expect(await reader.catalog.modelByName(tx, NS, 'next')).toEqual(before);
      });
      await reader.close();
      await writer.close();
    });

    it('writes nothing', async () => {
      await (await open()).close();
      const reader = await openSqliteStores({ file, clock, readOnly: true });
      const write = within(reader, (tx) => reader.catalog.insertModel(tx, model()));
      await expect(write).rejects.toMatchObject({ code: 'store_unavailable' });
      await reader.close();
    });
  });

  describe('transactions', () => {
    it('never go back in time, whatever the wall clock does', async () => {
      const moving = new TestClock();
      const stores = await openSqliteStores({ file, clock: moving });
      const before = await timeOf(stores);
      moving.move(-3_600_000);
      expect(await timeOf(stores)).toEqual(before);
      await stores.close();
    });

    it('have a time that nobody can change', async () => {
      const stores = await open();
      const [now, still] = await within(stores, async (tx) => {
        const first = tx.now.getTime();
        tx.now.setTime(0);
        return [first, tx.now.getTime()];
      });
      expect(still).toBe(now);
      await stores.close();
    });

    it('answer store_unavailable, with the cause, when another connection holds the lock too long, and work afterwards', async () => {
      const { connection, unitOfWork } = direct({ busyMs: 60, workMs: 1000 });
      const other = new Database(file);
      other.exec('BEGIN IMMEDIATE');
      const refused = unitOfWork.run(async () => 1);
      await expect(refused).rejects.toMatchObject({ code: 'store_unavailable', cause: { code: 'SQLITE_BUSY' } });
      other.exec('ROLLBACK');
      expect(await unitOfWork.run(async () => 1)).toBe(1);
      other.close();
      connection.close();
    });

    it('wait for the lock without blocking the event loop', async () => {
      const { connection, unitOfWork } = direct({ busyMs: 60_000, workMs: 60_000 });
      const other = new Database(file);
      other.exec('BEGIN IMMEDIATE');
      setTimeout(() => other.exec('COMMIT'), 50);
      expect(await unitOfWork.run(async () => 1)).toBe(1);
      other.close();
      connection.close();
    });

    it('are rolled back when their work never settles, so that the next one runs', async () => {
      const { connection, unitOfWork } = direct({ busyMs: 60, workMs: 50 });
      let stuck: Tx | undefined;
      const never = unitOfWork.run((tx) => {
        stuck = tx;
        return new Promise<never>(() => undefined);
      });
      const next = unitOfWork.run(async () => 'next');
      await expect(never).rejects.toMatchObject({ code: 'store_unavailable' });
      expect(await next).toBe('next');
      expect(stuck instanceof SqliteTx && stuck.live).toBe(false);
      connection.close();
    });

    it('answer store_unavailable when the disk is full, change nothing, and work afterwards', async () => {
      const { connection, unitOfWork } = direct({ busyMs: 60, workMs: 1000 });
      const pages = Number(connection.db.pragma('page_count', { simple: true }));
      connection.db.pragma(`max_page_count = ${pages + 4}`);
      const write = (size: number) =>
        unitOfWork.run(async (tx) => {
          const sql = 'INSERT INTO log_leaves (record_id, leaf) VALUES (:recordId, :leaf)';
          return (tx as SqliteTx).run(sql, { recordId: id(), leaf: bytes(size) });
        });
      await expect(write(200_000)).rejects.toMatchObject({ code: 'store_unavailable', detail: 'the disk of the database is full' });
      expect(connection.db.prepare('SELECT count(*) FROM log_leaves').pluck().get()).toBe(0);
      expect(await write(10)).toBe(1);
      connection.close();
    });

    it('never go on after the engine gave one up', async () => {
      const { connection, unitOfWork } = direct({ busyMs: 60, workMs: 1000 });
      const insert = (tx: Tx) => (tx as SqliteTx).run("INSERT INTO nodes VALUES ('n', 1)");
      const lost = unitOfWork.run(async (tx) => {
        connection.db.exec('ROLLBACK'); // as SQLite does by itself after some disk failures
        insert(tx);
      });
      await expect(lost).rejects.toThrow('gave this transaction up');
      const unnoticed = unitOfWork.run(async () => void connection.db.exec('ROLLBACK'));
      await expect(unnoticed).rejects.toMatchObject({ code: 'store_unavailable' });
      expect(connection.db.prepare('SELECT count(*) FROM nodes').pluck().get()).toBe(0);
      connection.close();
    });

    const joins = (name: string) => async (tx: Tx) => (tx as SqliteTx).run('INSERT INTO nodes VALUES (:name, 1)', { name });
    const names = (connection: Connection) => connection.db.prepare('SELECT node FROM nodes ORDER BY node').pluck().all();

    it('share one commit when they wait together, and one that fails takes back what it did and nothing else', async () => {
      const { connection, unitOfWork } = direct({ roundMs: 60_000 });
      const exec = jest.spyOn(connection.db, 'exec');
      const works = ['a', 'b', 'c', 'd'].map((name) =>
        unitOfWork.run(async (tx) => {
          await joins(name)(tx);
          if (name === 'b') throw new Error('its own failure');
          return name;
        }),
      );
      expect((await Promise.allSettled(works)).map((one) => (one.status === 'fulfilled' ? one.value : String(one.reason)))).toEqual([
        'a',
        'Error: its own failure',
        'c',
        'd',
      ]);
      expect(names(connection)).toEqual(['a', 'c', 'd']);
      expect(exec.mock.calls.filter(([sql]) => sql === 'COMMIT')).toHaveLength(1);
      connection.close();
    });

    it('do not lose what waited with them when the first of them fails, and keep nothing of it', async () => {
      const { connection, unitOfWork } = direct({ roundMs: 60_000 });
      const fails = unitOfWork.run(async (tx) => {
        await joins('first')(tx);
        throw new Error('its own failure');
      });
      const others = ['b', 'c'].map((name) => unitOfWork.run(joins(name)));
      await expect(fails).rejects.toThrow('its own failure');
      expect([await Promise.all(others), names(connection)]).toEqual([
        [1, 1],
        ['b', 'c'],
      ]);
      connection.close();
    });

    it('that share a commit which fails did not happen, none of them, and none is told what another of them made it see', async () => {
      const { connection, unitOfWork } = direct({ roundMs: 60_000 });
      const taken = async (tx: Tx) => {
        if ((tx as SqliteTx).get("SELECT 1 FROM nodes WHERE node = 'a'") !== undefined) throw new VaultError('subject_exists');
      };
      const lost = [joins('a'), taken, async () => void connection.db.exec('ROLLBACK')].map((work) => unitOfWork.run<unknown>(work));
      const next = unitOfWork.run(joins('b'));
      for (const one of await Promise.allSettled(lost)) expect(one).toMatchObject({ reason: { code: 'store_unavailable' } });
      expect([await next, names(connection)]).toEqual([1, ['b']]);
      connection.close();
    });

    it('leave everyone else in the process a turn, however many wait', async () => {
      const { connection, unitOfWork } = direct({ roundMs: 1 });
      let left = 3_000;
      const works = Array.from({ length: left }, (_, one) => unitOfWork.run(joins(`n${one}`)).finally(() => left--));
      const leftAtTurn = new Promise<number>((resolve) => setImmediate(() => setImmediate(() => resolve(left))));
      expect(await leftAtTurn).toBeGreaterThan(0);
      await Promise.all(works);
      connection.close();
    });

    it('leave the lock to other processes for longer than they sleep between two looks, however many wait here and however slow the disk', async () => {
      const { connection, unitOfWork } = direct({ roundMs: 1 });
      const exec = connection.db.exec.bind(connection.db);
      let committedAt = Number.POSITIVE_INFINITY;
      const gaps: number[] = [];
      jest.spyOn(connection.db, 'exec').mockImplementation((sql) => {
        if (sql === 'BEGIN IMMEDIATE') gaps.push(performance.now() - committedAt);
        if (sql === 'COMMIT') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 160); // the fsync
        const done = exec(sql);
        if (sql === 'COMMIT') committedAt = performance.now();
        return done;
      });
      for (let at = 0; at < 6; at++) await unitOfWork.run(joins(`n${at}`));
      expect(gaps.slice(1).map((ms) => ms > 6)).toEqual(Array(5).fill(true)); // 5 ms are slept at most
      connection.close();
    });

    function direct(limits: Partial<Limits>) {
      const connection = openDatabase({ file, clock });
      return { connection, unitOfWork: new SqliteUnitOfWork(connection, clock, limits) };
    }
  });

  describe('what the schema itself guards', () => {
    it('documents and log leaves cannot be changed or deleted, nor an index be moved', async () => {
      const stores = await open();
      await within(stores, async (tx) => {
        await stores.documents.put(tx, { kind: 'vault', digest: digest(), bytes: bytes(), signature: bytes() });
        await stores.log.append(tx, id<RecordId>(), bytes(), []);
        await stores.log.assign(tx, 1);
      });
      await stores.close();
      const db = new Database(file);
      for (const sql of [
        'DELETE FROM documents',
        "UPDATE documents SET kind = 'manifest'",
        'DELETE FROM log_leaves',
        "UPDATE log_leaves SET leaf = x'00'",
        'UPDATE log_leaves SET leaf_index = 5',
        'UPDATE log_leaves SET leaf_index = NULL',
      ]) {
        expect(() => db.exec(sql)).toThrow(/never|for ever/);
      }
      db.close();
    });

    it('a slot cannot point at a document that is not held, and numbers that are not safe integers are refused', async () => {
      const stores = await open();
      const dangling = within(stores, (tx) => stores.documents.point(tx, NS, 'policy-set', { digest: digest(), counter: 1 }));
      await expect(dangling).rejects.toThrow('FOREIGN KEY');
      await expect(within(stores, (tx) => stores.identity.claimTimeStep(tx, 'a', 1.5))).rejects.toThrow('safe integer');
      await expect(within(stores, (tx) => stores.identity.claimTimeStep(tx, 'a', 2 ** 53))).rejects.toThrow('safe integer');
      await stores.close();
    });
  });

  describe('processes', () => {
    it('killed with SIGKILL while they write lose nothing that was acknowledged', async () => {
      for (let round = 0; round < 3; round++) {
        const writer = startWriter(file, 1_000_000);
        const reported = await reportedUntil(writer, 40 + round * 7, () => writer.kill('SIGKILL'));
        expect(reported.length).toBeGreaterThanOrEqual(40);
        expect(await missing(reported)).toEqual([]);
      }
    });

    it('share the file: two others and this one write at once, and every record is there', async () => {
      const stores = await open();
      const writers = [startWriter(file, 60), startWriter(file, 60)];
      const theirs = Promise.all(writers.map((writer) => reportedUntil(writer, Number.POSITIVE_INFINITY, () => undefined)));
      const ours: string[] = [];
      for (let turn = 0; turn < 60; turn++) {
        const recordId = id<RecordId>();
        await within(stores, (tx) => stores.log.append(tx, recordId, bytes(), []));
        ours.push(recordId);
      }
      const all = [...ours, ...(await theirs).flat()];
      expect(all).toHaveLength(180);
      expect(await missing(all)).toEqual([]);
      expect(await within(stores, (tx) => stores.log.assign(tx, 1000))).toBe(180);
      await stores.close();
    });

    async function missing(records: readonly string[]): Promise<string[]> {
      const stores = await open();
      const lost: string[] = [];
      for (const recordId of records) {
        const leaf = await within(stores, (tx) => stores.log.leafByRecord(tx, recordId as RecordId));
        if (leaf === undefined) lost.push(recordId);
      }
      await stores.close();
      return lost;
    }
  });
});

class TestClock implements Clock {
  #ms = Date.parse('2026-05-01T00:00:00.000Z');
  now(): Date {
    return new Date(this.#ms);
  }
  monotonicMs(): number {
    return this.#ms;
  }
  move(milliseconds: number): void {
    this.#ms += milliseconds;
  }
}

function startWriter(file: string, count: number): ChildProcess {
  const script = fileURLToPath(new URL('./crash-writer.ts', import.meta.url));
  return spawn(process.execPath, [script, file, String(count)], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** Everything the writer reported before it ended; `reached` is called once after `count` reports. */
async function reportedUntil(writer: ChildProcess, count: number, reached: () => void): Promise<string[]> {
  let text = '';
  let called = false;
  writer.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    if (called || text.split('\n').length <= count) return;
    called = true;
    reached();
  });
  await once(writer, 'close');
  return text.split('\n').slice(0, -1);
}
