/** One file while it is received: its bytes and its journal below the target folder, then its name. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, rename, rm } from 'node:fs/promises';
import { VaultError } from '../domain/errors.ts';
import { type ByteRange, countBytes } from './byte-ranges.ts';
import { type Expected, headLine, rangeLine, readJournal } from './part-journal.ts';
import { digestOf, openFile, syncFolderOf, type TargetFolder, writing } from './target-folder.ts';

/** Names of the two files of an object; they say nothing about its path, and are never too long. */
export function partNames({ versionDigest, path }: Pick<Expected, 'versionDigest' | 'path'>): { data: string; journal: string } {
  const id = createHash('sha256').update(`${versionDigest}\0${path}`).digest('hex').slice(0, 32);
  return { data: `${id}.part`, journal: `${id}.journal` };
}

interface OpenPart {
  readonly path: string;
  readonly handle: FileHandle;
}

export class PartFile {
  readonly expected: Expected;
  /** What an earlier fetch left here. Believed only until the digest is taken. */
  readonly resumed: readonly ByteRange[];
  readonly #place: string;
  readonly #data: OpenPart;
  readonly #journal: OpenPart;

  private constructor(expected: Expected, place: string, data: OpenPart, journal: OpenPart, resumed: ByteRange[]) {
    this.expected = expected;
    this.#place = place;
    this.#data = data;
    this.#journal = journal;
    this.resumed = resumed;
  }

  static async open(folder: TargetFolder, expected: Expected, place: string): Promise<PartFile> {
    const names = partNames(expected);
    const flags = constants.O_RDWR | constants.O_CREAT;
    const data = await openPart(folder.part(names.data), flags);
    const journal = await openPart(folder.part(names.journal), flags | constants.O_APPEND).catch(async (error) => {
      await data.handle.close();
      throw error;
    });
    try {
      const { size } = await data.handle.stat();
      const said = await readJournal(journal.handle, expected);
      const resumed = said.filter(({ end }) => end <= size); // a file that was cut short holds less than its journal says
      const part = new PartFile(expected, place, data, journal, resumed);
      await part.#rewriteJournal(resumed);
      return part;
    } catch (error) {
      await Promise.all([data.handle.close(), journal.handle.close()]);
      return writing(Promise.reject(error), expected.path);
    }
  }

  get resumedBytes(): number {
    return countBytes(this.resumed);
  }

  async write(chunk: Uint8Array, at: number): Promise<void> {
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await writing(this.#data.handle.write(chunk, done, chunk.length - done, at + done), this.expected.path);
      done += bytesWritten;
    }
  }

  /** Says in the journal that the range is here, once the disk has it. */
  async keep(range: ByteRange): Promise<void> {
    if (range.start >= range.end) return;
    await writing(this.#data.handle.datasync(), this.expected.path);
    await writing(this.#journal.handle.write(rangeLine(range)), this.expected.path);
  }

  /** Throws `digest_mismatch` unless these are the announced bytes; only then do they get their name. */
  async finish(signal: AbortSignal): Promise<void> {
    const { path, size, sha256 } = this.expected;
    await writing(this.#data.handle.truncate(size), path); // an earlier fetch may have left more
    await writing(this.#data.handle.sync(), path);
    const got = await digestOf(this.#data.path, size, signal);
    if (got !== sha256) throw new VaultError('digest_mismatch', `${path} has the digest ${got}`);
    await writing(rename(this.#data.path, this.#place), path);
    await syncFolderOf(this.#place);
    await this.close();
    await rm(this.#journal.path, { force: true });
  }

  /** What is here stays, for the next fetch. */
  async close(): Promise<void> {
    await Promise.allSettled([this.#data.handle.close(), this.#journal.handle.close()]);
  }

  async discard(): Promise<void> {
    await this.close();
    for (const { path } of [this.#data, this.#journal]) await rm(path, { force: true });
  }

  async #rewriteJournal(ranges: readonly ByteRange[]): Promise<void> {
    await this.#journal.handle.truncate(0);
    await this.#journal.handle.write(headLine(this.expected) + ranges.map(rangeLine).join(''));
  }
}

async function openPart(path: string, flags: number): Promise<OpenPart> {
  const handle = await openFile(path, flags | constants.O_NONBLOCK); // a planted pipe would wait for ever
  if ((await handle.stat()).isFile()) return { path, handle };
  await handle.close();
  throw new VaultError('target_unwritable', `${path} is something else than a file`);
}
