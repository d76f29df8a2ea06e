/** Where blobs lie, and whether that place is still the one that was opened. */
import { randomUUID } from 'node:crypto';
import type { Stats } from 'node:fs';
import { lstat, mkdir, open, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { VaultError } from '../../domain/errors.ts';
import type { BlobName } from '../../domain/ids.ts';

/** Age at which a temporary file has no living writer: a put of one unit takes seconds, and each write makes the file younger. */
const ABANDONED_MS = 3_600_000;
const TEMPORARY = /^[0-9a-f-]{36}\.part$/;

export class BlobFolder {
  readonly #root: string;
  readonly #opened: Stats;
  /** Directories whose entry in their parent was fsynced by this process. */
  readonly #durable = new Set<string>();

  private constructor(root: string, opened: Stats) {
    this.#root = root;
    this.#opened = opened;
  }

  static async open(root: string): Promise<BlobFolder> {
    const opened = await stat(root).catch(() => undefined);
    if (!opened?.isDirectory()) throw new VaultError('configuration_invalid', 'the blob folder does not exist');
    await mkdirIfMissing(join(root, 'tmp'));
    return new BlobFolder(root, opened);
  }

  /** `name` was parsed: 64 hexadecimal digits cannot leave the folder. */
  pathOf(name: BlobName): string {
    return join(this.#root, ...BlobFolder.#parts(name), name);
  }

  temporaryPath(): string {
    return join(this.#root, 'tmp', `${randomUUID()}.part`);
  }

  async size(name: BlobName): Promise<number | undefined> {
    try {
      const facts = await lstat(this.pathOf(name));
      if (!facts.isFile()) throw new VaultError('blob_unavailable', 'something else than a file has the name of the blob');
      return facts.size;
    } catch (error) {
      if (await this.isMissing(error)) return undefined;
      throw blobFailure(error);
    }
  }

  /** True when `error` says that there is no such file *and* the folder is well; a folder that is gone says nothing about its blobs. */
  async isMissing(error: unknown): Promise<boolean> {
    if (errnoOf(error) !== 'ENOENT') return false;
    await this.requireWell();
    return true;
  }

  /** Throws `blob_unavailable` unless the folder is the directory that was opened: after an unmount another one shows in its place. */
  async requireWell(): Promise<void> {
    const now = await stat(this.#root).catch((error: unknown) => {
      throw blobFailure(error);
    });
    if (now.dev !== this.#opened.dev || now.ino !== this.#opened.ino)
      throw new VaultError('blob_unavailable', 'the blob folder was replaced');
  }

  /** One level at a time: a root that vanished is not made again. */
  async makeHome(name: BlobName): Promise<void> {
    const [first, second] = BlobFolder.#parts(name);
    await mkdirIfMissing(join(this.#root, first));
    await mkdirIfMissing(join(this.#root, first, second));
  }

  /** Makes the blob's name durable, and those of its directories, also when somebody else made them and has not got that far. */
  async syncHome(name: BlobName): Promise<void> {
    const [first, second] = BlobFolder.#parts(name);
    await this.#syncOnce(first, this.#root);
    await this.#syncOnce(join(first, second), join(this.#root, first));
    await syncDirectory(join(this.#root, first, second));
  }

  /** Removes temporary files that a crash left behind more than an hour ago. Younger ones may belong to another process. */
  async removeAbandoned(): Promise<void> {
    const folder = join(this.#root, 'tmp');
    for (const entry of await readdir(folder)) {
      if (!TEMPORARY.test(entry)) continue;
      const file = join(folder, entry);
      const facts = await lstat(file).catch(() => undefined); // gone: its writer or another start was quicker
      if (facts && Date.now() - facts.mtimeMs > ABANDONED_MS) await unlink(file).catch(() => undefined);
    }
  }

  async #syncOnce(child: string, parent: string): Promise<void> {
    if (this.#durable.has(child)) return;
    await syncDirectory(parent);
    this.#durable.add(child);
  }

  static #parts(name: BlobName): [first: string, second: string] {
    return [name.slice(0, 2), name.slice(2, 4)];
  }
}

/** Whatever the file system says, kept as the cause; a VaultError stays what it is. */
export function blobFailure(error: unknown): VaultError {
  if (error instanceof VaultError) return error;
  const full = ['ENOSPC', 'EDQUOT'].includes(errnoOf(error));
  return new VaultError('blob_unavailable', full ? 'the disk of the blobs is full' : '', { cause: error });
}

/** By `code`, not by class: errors of the system may come from another realm. */
function errnoOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

async function mkdirIfMissing(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
    if (errnoOf(error) !== 'EEXIST') throw blobFailure(error);
  });
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
