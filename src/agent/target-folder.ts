/**
 * The folder that files are received into. Nothing is followed out of it: below the folder itself, which the caller named, a symbolic link
 * is refused wherever it stands. (Whoever can write to the folder while we do can still win a race; give it to nobody else.)
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir, realpath, rm, rmdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { VaultError } from '../domain/errors.ts';
import { foldPath, type ObjectPath } from '../domain/ids.ts';

/** Where unfinished files lie, below the target folder. No object may be called so. */
export const PARTS = '.wv-part';
const READ_BYTES = 1024 * 1024;

export interface TargetFolder {
  /** Absolute path of an unfinished file. */
  part(name: string): string;
  /** Absolute path of the object, its folders made. */
  place(path: ObjectPath): Promise<string>;
  /** Removes unfinished files that are not in `keep`. */
  removeOthers(keep: ReadonlySet<string>): Promise<void>;
  /** Lets others fetch into the folder. */
  release(): Promise<void>;
}

/** Makes the folder where it is missing, and takes it for this process alone. Throws `target_unwritable`, `path_invalid`, `usage`. */
export async function openTargetFolder(folder: string): Promise<TargetFolder> {
  await writing(mkdir(folder, { recursive: true, mode: 0o700 }), folder);
  const root = await writing(realpath(folder), folder);
  const parts = join(root, PARTS);
  await makeFolder(parts);
  const lock = join(parts, 'lock');
  await takeLock(lock, folder);
  return {
    part: (name) => join(parts, name),
    async place(path) {
      if (foldPath(path).split('/')[0] === PARTS) throw new VaultError('path_invalid', `${PARTS} is where unfinished files lie`);
      const steps = path.split('/').slice(0, -1);
      for (let at = 1; at <= steps.length; at++) await makeFolder(join(root, ...steps.slice(0, at)));
      const place = join(root, path);
      const there = await lookAt(place);
      if (there?.isSymbolicLink()) throw new VaultError('path_invalid', `${path} is a symbolic link in the target folder`);
      if (there !== undefined && !there.isFile()) throw new VaultError('target_unwritable', `${path} is something else than a file`);
      return place;
    },
    async removeOthers(keep) {
      for (const name of await readdir(parts)) if (name !== 'lock' && !keep.has(name)) await rm(join(parts, name), { force: true });
    },
    async release() {
      await rm(lock, { force: true });
      await rmdir(parts).catch(() => undefined); // it stays when it still holds something
    },
  };
}

/** SHA-256 of a file that is no link; undefined when there is none, or not of that size. */
export async function digestOf(file: string, size: number, signal: AbortSignal): Promise<string | undefined> {
  const there = await lookAt(file);
  if (!there?.isFile() || there.size !== size) return undefined;
  const handle = await openFile(file, constants.O_RDONLY);
  try {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await handle.read(buffer, 0, buffer.length);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}

/** Opens through no link. */
export async function openFile(file: string, flags: number): Promise<FileHandle> {
  return writing(open(file, flags | constants.O_NOFOLLOW, 0o600), file);
}

/** Makes the names in the file's folder durable. */
export async function syncFolderOf(file: string): Promise<void> {
  const handle = await open(dirname(file), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync().catch(() => undefined); // a file system that cannot has nothing more to promise
  } finally {
    await handle.close();
  }
}

const WORDS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is used up',
  EFBIG: 'the file would be larger than this file system or its limits allow',
  EROFS: 'the file system is read-only',
  EACCES: 'no right to write there',
  EPERM: 'no right to write there',
  ENAMETOOLONG: 'a name is longer than this file system allows',
  EIO: 'the disk reports an error',
};

/** What the file system refuses is `target_unwritable`, in words; a link where none may be is `path_invalid`. */
export async function writing<T>(work: Promise<T>, where: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof VaultError) throw error;
    const errno = errnoOf(error);
    if (errno === 'ELOOP') throw new VaultError('path_invalid', `${where} is a symbolic link`, { cause: error });
    throw new VaultError('target_unwritable', `${where}: ${WORDS[errno] ?? (errno === '' ? 'it cannot be written' : errno)}`, {
      cause: error,
    });
  }
}

/** By `code`, not by class: errors of the system may come from another realm. */
function errnoOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

async function lookAt(path: string) {
  return lstat(path).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    return writing(Promise.reject(error), path);
  });
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: unknown) =>
    errnoOf(error) === 'EEXIST' ? undefined : writing(Promise.reject(error), path),
  );
  const there = await lookAt(path);
  if (there?.isSymbolicLink()) throw new VaultError('path_invalid', `${path} is a symbolic link`);
  if (!there?.isDirectory()) throw new VaultError('target_unwritable', `${path} is not a folder`);
}

/** Two processes writing one unfinished file would spoil what the other has just verified. */
async function takeLock(lock: string, folder: string): Promise<void> {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      const handle = await open(lock, 'wx', 0o600);
      await handle.writeFile(`${process.pid} ${hostname()}\n`);
      return await handle.close();
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') return writing(Promise.reject(error), lock);
    }
    const holder = await lockHolder(lock);
    if (holder !== undefined) throw new VaultError('usage', `${folder} is being written by ${holder}; if not, remove ${PARTS}/lock there`);
    await rm(lock, { force: true });
  }
  throw new VaultError('usage', `${folder} is being written by another process`);
}

/** Undefined when it has died, here, without a word. */
async function lockHolder(lock: string): Promise<string | undefined> {
  const handle = await openFile(lock, constants.O_RDONLY);
  const [pid = '', host = ''] = (await handle.readFile('utf8').finally(() => handle.close())).trim().split(' ');
  if (host !== hostname()) return host === '' ? undefined : `process ${pid} on ${host}`;
  return isAlive(Number(pid)) ? `process ${pid}` : undefined;
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return errnoOf(error) === 'EPERM';
  }
}
