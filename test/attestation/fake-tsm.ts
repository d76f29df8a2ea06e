/**
 * configfs-tsm as Linux 6.7 to 6.12 has it (drivers/virt/coco/tsm.c), in memory: there is no confidential hardware here. Making a folder
 * makes its attributes; `inblob` takes 1 to 64 bytes in one write and counts a generation; `outblob` cannot be read before; attributes that
 * are not there are ENOENT, reading what is for writing EACCES. Busy firmware answers EBUSY. A provider with privilege levels refuses (EINVAL)
 * a report below its floor; its `privlevel` is 0 until somebody writes it, which counts a generation too.
 */
import { basename, dirname } from 'node:path';
import type { TsmFiles } from '../../src/attestation/tsm/report.ts';

export interface FakeTsm {
  readonly files: TsmFiles;
  /** Folders that were not removed. */
  readonly left: ReadonlyMap<string, unknown>;
}

export interface FakeTsmWishes {
  readonly folder: string;
  readonly provider: string;
  readonly report: (reportData: Uint8Array) => Uint8Array;
  readonly auxiliary?: Uint8Array;
  /** Called after each write of inblob with another write to the same entry: a process that interferes. */
  readonly interfere?: (write: () => void) => void;
  /** Reads of outblob that find the firmware busy. */
  readonly busy?: number;
  /** With levels; absent: a provider that has none. */
  readonly levelFloor?: number;
}

interface Entry {
  input: Uint8Array;
  generation: number;
  level: number;
}

export function fakeTsm(wishes: FakeTsmWishes): FakeTsm {
  const { levelFloor } = wishes;
  let busy = wishes.busy ?? 0;
  const entries = new Map<string, Entry>();
  const entryOf = (file: string) => entries.get(dirname(file)) ?? fail('ENOENT');
  const read = (file: string): Uint8Array => {
    const entry = entryOf(file);
    switch (basename(file)) {
      case 'provider':
        return Buffer.from(`${wishes.provider}\n`);
      case 'generation':
        return Buffer.from(`${entry.generation}\n`);
      case 'outblob':
        if (busy-- > 0) fail('EBUSY');
        if (entry.input.length === 0 || entry.level < (levelFloor ?? 0)) fail('EINVAL');
        return wishes.report(entry.input);
      case 'privlevel_floor':
        return levelFloor === undefined ? fail('ENOENT') : Buffer.from(`${levelFloor}\n`);
      case 'privlevel':
        return fail(levelFloor === undefined ? 'ENOENT' : 'EACCES');
      case 'auxblob':
        return entry.input.length === 0 ? fail('EINVAL') : (wishes.auxiliary ?? fail('ENOENT'));
      case 'inblob':
        return fail('EACCES');
      default:
        return fail('ENOENT');
    }
  };
  const write = (file: string, bytes: Uint8Array): void => {
    const entry = entryOf(file);
    if (basename(file) === 'privlevel' && levelFloor !== undefined) {
      entry.level = Number(Buffer.from(bytes).toString('latin1'));
      if (!(entry.level >= levelFloor && entry.level <= 3)) fail('EINVAL');
      entry.generation += 1;
      return;
    }
    if (basename(file) !== 'inblob') fail(['outblob', 'auxblob', 'provider', 'generation'].includes(basename(file)) ? 'EACCES' : 'ENOENT');
    if (bytes.length === 0 || bytes.length > 64) fail('EINVAL');
    entry.input = bytes.slice();
    entry.generation += 1;
  };
  return {
    left: entries,
    files: {
      make: async (folder) => {
        if (dirname(folder) !== wishes.folder) fail('ENOENT');
        if (entries.has(folder)) fail('EEXIST');
        entries.set(folder, { input: new Uint8Array(0), generation: 0, level: 0 });
      },
      write: async (file, bytes) => {
        write(file, bytes);
        wishes.interfere?.(() => write(file, new Uint8Array(64).fill(0xee)));
      },
      read: async (file) => read(file),
      remove: async (folder) => {
        if (!entries.delete(folder)) fail('ENOENT');
      },
    },
  };
}

function fail(code: string): never {
  throw Object.assign(new Error(code), { code });
}
