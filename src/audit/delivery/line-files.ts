/** Lines in files of a folder, durably: each line once, in order, over crashes and full disks. A full file is followed by another. */
import { type FileHandle, mkdir, open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DEFAULTS } from '../../domain/classes.ts';
import { VaultError } from '../../domain/errors.ts';
import { syncFolder } from '../durable-file.ts';

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
const LINE_BYTES = 262_144;
const PIECE_BYTES = 262_144;
const LF = 0x0a;

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

/** Where the lines end that were written whole; what follows is cut off. Undefined when there is no file. */
async function recover({ folder, indexOf }: LineFilesOptions): Promise<End | undefined> {
  await makeFolder(folder);
  const file = (await readdir(folder))
    .filter((name) => NAME.test(name))
    .sort()
    .at(-1);
  if (file === undefined) return undefined;
  const handle = await open(join(folder, file), 'r+');
  try {
    const { size } = await handle.stat();
    // A power cut takes of the last append what it likes, also its beginning and not its end; what was appended before is durable.
    const from = await lastAppendAfter(handle, size);
    const begun = { kept: from, next: from === 0 ? Number(file.slice(0, 16)) : 0 };
    const { kept, next } = await wholeLines(handle, begun, (line) => {
      const index = indexOf(line);
      if (index === undefined) throw new VaultError('target_unwritable', `${file} holds a line that no sink wrote`);
      return index;
    });
    if (kept < size) await cut(handle, kept);
    return { file, size: kept, next };
  } finally {
    await handle.close();
  }
}

interface Whole {
  /** Bytes up to the end of the last line before anything that a power cut left. */
  readonly kept: number;
  readonly next: number;
}

/** Where a line begins, and with or after it all that one append can have written. */
async function lastAppendAfter(handle: FileHandle, size: number): Promise<number> {
  let breaks = 0;
  for (let at = size; at > 0; ) {
    const length = Math.min(PIECE_BYTES, at);
    at -= length;
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, at);
    for (let found = buffer.lastIndexOf(LF); found >= 0; found = found === 0 ? -1 : buffer.lastIndexOf(LF, found - 1)) {
      if (++breaks > DEFAULTS.logFollowBatch) return at + found + 1;
    }
  }
  return 0;
}

/** Ends before the first line that is not whole: without its end, or with zeros in it, where a sector never arrived. */
async function wholeLines(handle: FileHandle, begun: Whole, indexOf: (line: string) => number): Promise<Whole> {
  let found = begun;
  let rest: Uint8Array = new Uint8Array(0);
  for (let at = begun.kept; rest.length <= LINE_BYTES; at += PIECE_BYTES) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(PIECE_BYTES), 0, PIECE_BYTES, at);
    const piece = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    let begin = 0;
    for (let end = piece.indexOf(LF); end >= 0; end = piece.indexOf(LF, begin)) {
      const line = piece.subarray(begin, end);
      if (line.includes(0)) return found;
      found = { kept: found.kept + line.length + 1, next: indexOf(line.toString('utf8')) + 1 };
      begin = end + 1;
    }
    rest = piece.subarray(begin);
    if (bytesRead < PIECE_BYTES || rest.includes(0)) return found;
  }
  throw new VaultError('target_unwritable', 'the newest file does not consist of lines');
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    if (codeOfNode(error) === 'EEXIST') return;
    throw error;
  }
  await syncFolder(dirname(folder)); // its name must outlive a power cut, as what is in it does
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
