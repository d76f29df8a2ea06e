/** Lines in files of a folder, durably: each line once, in order, over crashes and full disks. A full file is followed by another. */
import { type FileHandle, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { VaultError } from '../../domain/errors.ts';
import { syncFolder } from '../sync-folder.ts';

export interface NumberedLine {
  readonly index: number;
  /** Without a line break. */
  readonly line: string;
}

export interface LineFilesOptions {
  /** Made when it is missing; the folder it stands in is not. */
  readonly folder: string;
  readonly rotateBytes: number;
  /** The index of a line that was written before; undefined for what is none. */
  readonly indexOf: (line: string) => number | undefined;
}

export interface LineFiles {
  /**
   * Durable when it resolves. Lines below the newest that is there are skipped. Throws `target_unwritable`, and no half line stays; a line that
   * a crash cut is taken away by the next call.
   */
  append(lines: readonly NumberedLine[]): Promise<void>;
}

/** Sixteen digits: the index of its first line. */
const NAME = /^[0-9]{16}\.log$/;
/** A line is a record of 16 KiB at most, in a format that at most doubles it a few times over. */
const TAIL_BYTES = 262_144;

interface End {
  readonly file: string;
  readonly size: number;
  /** Index after the last line. */
  readonly next: number;
}

export function createLineFiles(options: LineFilesOptions): LineFiles {
  const { folder, rotateBytes } = options;
  let end: End | undefined;

  async function append(lines: readonly NumberedLine[]): Promise<void> {
    const known = end ?? (await recover(options));
    end = undefined; // what fails in between is looked at again
    const fresh = lines.filter(({ index }) => known === undefined || index >= known.next);
    const [first] = fresh;
    if (first === undefined) {
      end = known;
      return;
    }
    const goesOn = known !== undefined && known.size < rotateBytes && known.next === first.index;
    const at = goesOn ? known : { file: `${String(first.index).padStart(16, '0')}.log`, size: 0 };
    const text = Buffer.from(fresh.map(({ line }) => `${line}\n`).join(''));
    await write(join(folder, at.file), at.size, text);
    if (!goesOn) await syncFolder(folder);
    end = { file: at.file, size: at.size + text.length, next: (fresh.at(-1)?.index ?? first.index) + 1 };
  }

  return { append: (lines) => append(lines).catch((error) => Promise.reject(unwritable(error))) };
}

/** Where the last whole line ends; what follows it is cut off. Undefined when there is no file. */
async function recover({ folder, indexOf }: LineFilesOptions): Promise<End | undefined> {
  await mkdir(folder, { mode: 0o700 }).catch((error) => (codeOfNode(error) === 'EEXIST' ? undefined : Promise.reject(error)));
  const file = (await readdir(folder))
    .filter((name) => NAME.test(name))
    .sort()
    .at(-1);
  if (file === undefined) return undefined;
  const handle = await open(join(folder, file), 'r+');
  try {
    const { size } = await handle.stat();
    const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
    await handle.read(tail, 0, tail.length, size - tail.length);
    const whole = tail.lastIndexOf(0x0a) + 1;
    const lineStart = whole === 0 ? -1 : tail.lastIndexOf(0x0a, whole - 2) + 1;
    if (whole === 0 && size > TAIL_BYTES) throw new VaultError('target_unwritable', `${file} does not end in lines`);
    const kept = size - tail.length + whole;
    if (kept < size) await cut(handle, kept);
    if (whole === 0) return { file, size: 0, next: Number(file.slice(0, 16)) };
    const index = indexOf(tail.subarray(lineStart, whole - 1).toString('utf8'));
    if (index === undefined) throw new VaultError('target_unwritable', `${file} ends in a line that no sink wrote`);
    return { file, size: kept, next: index + 1 };
  } finally {
    await handle.close();
  }
}

async function write(file: string, at: number, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, 'a', 0o600);
  try {
    await handle.appendFile(bytes);
    await handle.datasync();
  } catch (error) {
    await cut(handle, at).catch(() => undefined); // what stays is cut off by the next call
    throw error;
  } finally {
    await handle.close();
  }
}

async function cut(handle: FileHandle, size: number): Promise<void> {
  await handle.truncate(size);
  await handle.datasync();
}

function unwritable(error: unknown): VaultError {
  if (error instanceof VaultError) return error;
  const code = codeOfNode(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new VaultError('target_unwritable', full ? 'the disk is full' : code, { cause: error });
}

function codeOfNode(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}
