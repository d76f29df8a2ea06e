/** T3: disks of 1 MiB that fill up under the parts of the log: what is refused, what stays whole, and that it goes on by itself. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createHeadFile } from '../../../src/audit/head-file/head-file.ts';
import { mirrorLog } from '../../../src/audit/mirror.ts';
import { verifyLog } from '../../../src/audit/verify.ts';
import { copyIn } from '../../../src/cli/log-source.ts';
import { mirrorFolder } from '../../../src/cli/mirror-folder.ts';
import { systemClock } from '../../../src/domain/clock.ts';
import { codeOf } from '../../../src/domain/errors.ts';
import { newId, type RecordId } from '../../../src/domain/ids.ts';
import type { Stores } from '../../../src/stores/port.ts';
import { openSqliteStores } from '../../../src/stores/sqlite/sqlite-stores.ts';
import { createMemoryLog } from '../../doubles/memory-log-store.ts';
import { canMount, filled } from '../../harness/small-disk.ts';
import { quickest } from '../../harness/standstill.ts';
import { appendRecords, createLogKey, publishedFiles, sequencerOn, sourceOf } from '../small-log.ts';
import { emptySite } from './injection.ts';

const mountable = canMount();
const key = createLogKey();

(mountable ? describe : describe.skip)(
  `on a disk of 1 MiB that fills up${mountable ? '' : ' (not run: mounting a file system needs root)'}`,
  () => {
    let disk: string;
    beforeEach(() => {
      disk = mkdtempSync(join(tmpdir(), 'wv-full-'));
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=700', 'none', disk]);
    });
    afterEach(() => {
      execFileSync('umount', [disk]);
      rmSync(disk, { recursive: true, force: true });
    });

    test('the database refuses at once and loses nothing that it acknowledged; no half of a tile is ever published; with room it goes on', async () => {
      const site = await emptySite();
      cpSync(join(site, 'vault.db'), join(disk, 'vault.db'));
      rmSync(site, { recursive: true });
      writeFileSync(join(disk, 'filler'), Buffer.alloc(200_000));
      const failures: unknown[] = [];
      const stores = await openSqliteStores({
        file: join(disk, 'vault.db'),
        clock: systemClock,
        onDiskFailure: (error) => failures.push(error),
      });
      const log = await logOn(stores);
      let refused = '';
      while (refused === '') {
        refused = await log.append();
        if (refused === '') await log.sequencer.tick(); // which may be what does not fit
        expect((await log.verified()).problems).toEqual([]);
      }
      expect(refused).toBe('store_unavailable');
      expect(await quickest(2_000, log.append)).toBeLessThan(2_000);
      expect(log.acknowledged.length).toBeGreaterThan(5);
      rmSync(join(disk, 'filler'));
      for (let more = 0; more < 3; more++) expect(await log.append()).toBe('');
      while ((await log.sequencer.tick()) === 'published');
      expect(log.sequencer.halted()).toBeUndefined();
      expect(await log.verified()).toMatchObject({ ok: true, size: log.acknowledged.length });
      expect(await log.ids()).toEqual(log.acknowledged);
      expect(failures).toEqual([]); // a full disk is no failing disk: nobody ends
      await stores.close();
    });

    test('the kept checkpoint stays the one before, whole; records stay durable and nothing is published meanwhile; with room it goes on', async () => {
      const file = join(disk, 'head');
      writeFileSync(file, '');
      const memory = createMemoryLog();
      const failures: unknown[] = [];
      const { sequencer, events } = sequencerOn(memory, key, { heads: createHeadFile(file, (error) => failures.push(error)) });
      await appendRecords(memory, 3);
      expect(await sequencer.tick()).toBe('published');
      const before = readFileSync(file);
      const free = filled(disk);
      await appendRecords(memory, 4);
      expect([await sequencer.tick(), await sequencer.tick()]).toEqual(['failed', 'failed']);
      expect(events.at(-1)).toMatchObject({ kind: 'round_failed', code: 'log_unavailable' });
      expect([readFileSync(file), readdirSync(disk), memory.state.head?.size, memory.state.leaves.length]).toEqual([
        before,
        ['filler', 'head'],
        3,
        7,
      ]);
      free();
      expect(await sequencer.tick()).toBe('published');
      expect([memory.state.head?.size, failures]).toEqual([7, []]);
      expect(readFileSync(file).equals(memory.state.head?.checkpoint ?? Buffer.alloc(0))).toBe(true);
    });

    test('a mirror is target_unwritable and has no half of a file, and the next run completes it', async () => {
      const { files } = await publishedFiles(600, key);
      const mirror = join(disk, 'mirror');
      const free = filled(disk, 120_000); // the first bundle fits, the second does not
      const run = () => mirrorLog(sourceOf(files), mirrorFolder(mirror), key.vkey);
      expect(await run().catch((error) => [codeOf(error), error.detail])).toEqual([
        'target_unwritable',
        expect.stringContaining('the disk is full'),
      ]);
      const written = readdirSync(mirror, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
      expect(written.length).toBeGreaterThan(0);
      for (const entry of written) {
        const path = join(entry.parentPath, entry.name);
        expect([path, readFileSync(path).equals(files.get(path.slice(mirror.length + 1)) ?? Buffer.alloc(0))]).toEqual([path, true]);
      }
      free();
      await run();
      expect(await verifyLog(copyIn(mirror), key.vkey)).toMatchObject({ ok: true, size: 600 });
    });
  },
);

async function logOn(stores: Stores) {
  const { unitOfWork, log } = stores;
  const memory = createMemoryLog();
  const { sequencer } = sequencerOn(memory, key, { unitOfWork, log, clock: systemClock });
  const acknowledged: RecordId[] = [];
  return {
    sequencer,
    acknowledged,
    /** Empty when it is durable, or the code. */
    async append(): Promise<string> {
      const recordId = newId<RecordId>(new Date());
      try {
        await unitOfWork.run((tx) =>
          log.append(tx, recordId, new TextEncoder().encode(JSON.stringify({ recordId, pad: 'x'.repeat(900) })), []),
        );
        acknowledged.push(recordId);
        return '';
      } catch (error) {
        return codeOf(error);
      }
    },
    async verified() {
      const head = await unitOfWork.run((tx) => log.head(tx));
      if (head === undefined) return { ok: true, problems: [] };
      return verifyLog({ checkpoint: async () => head.checkpoint, tile: (path) => unitOfWork.run((tx) => log.tile(tx, path)) }, key.vkey);
    },
    ids: async () => (await unitOfWork.run((tx) => log.leaves(tx, 0, 100_000))).map(({ recordId }) => recordId),
  };
}
