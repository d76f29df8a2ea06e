/**
 * One report through configfs-tsm (Linux 6.7 and later, Documentation/ABI/testing/configfs-tsm): make a folder, write 64 bytes, read what
 * the hardware signed. Runs beside the model server.
 */

import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const TSM_FOLDER = '/sys/kernel/config/tsm/report';

/** Reports are 1184 bytes to 8 KiB; certificate tables a page or two. The kernel itself stops at 32 KiB. */
const MAX_BLOB_BYTES = 65_536;
/** Others may write between our write and our read only by an error of ours: names are random. Twice is enough. */
const ATTEMPTS = 2;
/** The firmware does one request at a time, and a quote takes up to a second: what is busy is asked again. */
const BUSY = ['EBUSY', 'EAGAIN', 'EINTR'];
const BUSY_ATTEMPTS = 8;
const BUSY_PAUSE_MS = 250;

/** Bytes that a report of each has at least: what is shorter was cut off. */
const LEAST_BYTES = { sev_guest: 1184, tdx_guest: 1020 } as const;
type Provider = keyof typeof LEAST_BYTES;

/** What an attester needs of the file system: the kernel's semantics, or a double of them under test. */
export interface TsmFiles {
  make(folder: string): Promise<void>;
  write(file: string, bytes: Uint8Array): Promise<void>;
  read(file: string): Promise<Uint8Array>;
  remove(folder: string): Promise<void>;
}

export const tsmFiles: TsmFiles = {
  make: (folder) => mkdir(folder).then(() => undefined),
  // One write call, and never a new file: an attribute that is not there must not become one.
  write: async (file, bytes) => {
    const handle = await open(file, 'r+');
    try {
      await handle.write(bytes);
    } finally {
      await handle.close();
    }
  },
  read: async (file) => new Uint8Array(await readFile(file)),
  remove: (folder) => rmdir(folder),
};

export interface TsmOptions {
  /** Default: /sys/kernel/config/tsm/report. */
  readonly folder?: string;
  readonly files?: TsmFiles;
  /** Between two requests to busy firmware. */
  readonly pauseMs?: number;
}

export interface TsmReport {
  /** The report or quote. */
  readonly output: Uint8Array;
  /** What the host gave along: certificates of SEV-SNP. Empty when it gave nothing. */
  readonly auxiliary: Uint8Array;
}

/** Rejects with what the kernel said. */
export async function readTsmReport(
  reportData: Uint8Array,
  provider: Provider,
  { folder = TSM_FOLDER, files = tsmFiles, pauseMs = BUSY_PAUSE_MS }: TsmOptions,
): Promise<TsmReport> {
  if (reportData.length !== 64) throw new RangeError('report data is 64 bytes');
  const entry = join(folder, `weight-vault-${randomUUID()}`);
  await making(entry, () => files.make(entry));
  try {
    const found = textOf(await files.read(join(entry, 'provider')));
    if (found !== provider) throw new Error(`this machine is a ${found} and not a ${provider}`);
    const report = await whenFree(pauseMs, () => readConsistently(reportData, entry, files));
    const least = LEAST_BYTES[provider];
    if (report.output.length < least) throw new Error(`${entry} gave ${report.output.length} bytes, and a report has at least ${least}`);
    return report;
  } finally {
    await files.remove(entry);
  }
}

/** Whole requests, from their write on: what busy firmware did not take is gone. */
async function whenFree<T>(pauseMs: number, ask: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (attempt === BUSY_ATTEMPTS || !BUSY.includes(codeIn(error))) throw error;
      await sleep(pauseMs);
    }
  }
}

/** The generation counts writes: when it moved by more than our own, what was read answers somebody else's. */
async function readConsistently(reportData: Uint8Array, entry: string, files: TsmFiles): Promise<TsmReport> {
  const generation = async () => Number(textOf(await files.read(join(entry, 'generation'))));
  const level = await leastLevel(entry, files);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const before = await generation();
    if (level > 0) await files.write(join(entry, 'privlevel'), new Uint8Array(Buffer.from(String(level))));
    await files.write(join(entry, 'inblob'), reportData);
    const output = await bounded(files, join(entry, 'outblob'));
    const auxiliary = await bounded(files, join(entry, 'auxblob')).catch(() => new Uint8Array(0)); // not every provider has one
    if ((await generation()) === before + (level > 0 ? 2 : 1)) return { output, auxiliary };
  }
  throw new Error(`another process writes to ${entry}`);
}

/**
 * Below a paravisor or SVSM a guest may not ask for privilege level 0, which is what the kernel asks for by itself. The report then says the level,
 * and what of that is acceptable is decided where it is appraised. Not every provider has levels.
 */
async function leastLevel(entry: string, files: TsmFiles): Promise<number> {
  try {
    const floor = Number(textOf(await files.read(join(entry, 'privlevel_floor'))));
    return Number.isSafeInteger(floor) && floor > 0 ? floor : 0;
  } catch (error) {
    if (codeIn(error) === 'ENOENT') return 0;
    throw error;
  }
}

function codeIn(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

async function bounded(files: TsmFiles, file: string): Promise<Uint8Array> {
  const bytes = await files.read(file);
  if (bytes.length > MAX_BLOB_BYTES) throw new Error(`${file} has more than ${MAX_BLOB_BYTES} bytes`);
  return bytes;
}

async function making<T>(entry: string, make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (cause) {
    throw new Error(`${entry} cannot be made: is this a confidential guest, with configfs mounted and its driver loaded?`, { cause });
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1').trim();
}
