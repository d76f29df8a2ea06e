/** The files of a folder to publish, under the paths they will have as objects; and their bytes, if they hold still while they are read. */
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { VaultError } from '../domain/errors.ts';
import { foldPath, type ObjectPath, parseObjectPath } from '../domain/ids.ts';

const READ_BYTES = 1024 * 1024;
/** What the admin plane takes as one announcement. */
const MAX_FILES = 10_000;

export interface SourceFile {
  readonly path: ObjectPath;
  /** What to open: no link, or what a link led to when the folder was walked. */
  readonly file: string;
  readonly size: number;
}

export interface Sources {
  readonly files: readonly SourceFile[];
  /** Links that led out of the folder. */
  readonly outside: readonly string[];
}

/**
 * Every file below `folder`, by path. A symbolic link is `usage` unless links are to be followed, and so is anything that is neither file nor
 * folder: leaving a part of a model out in silence would be worse.
 */
export async function findSources(folder: string, followSymlinks: boolean): Promise<Sources> {
  const root = await asUsage(realpath(folder), folder);
  const files: SourceFile[] = [];
  const outside: string[] = [];
  const walk = async (real: string, path: string, above: readonly string[]): Promise<void> => {
    if (above.includes(real)) throw new VaultError('usage', `${path} leads back to a folder it lies in`);
    for (const entry of await asUsage(readdir(real, { withFileTypes: true }), real)) {
      await take(join(real, entry.name), path === '' ? entry.name : `${path}/${entry.name}`, entry.isSymbolicLink(), [...above, real]);
    }
  };
  const take = async (shown: string, path: string, isLink: boolean, above: readonly string[]): Promise<void> => {
    if (isLink && !followSymlinks)
      throw new VaultError('usage', `${path} is a symbolic link: add --follow-symlinks to publish what it names`);
    const real = isLink ? await asUsage(realpath(shown), path) : shown;
    if (isLink && !`${real}${sep}`.startsWith(`${root}${sep}`)) outside.push(`${path} -> ${real}`);
    const facts = await asUsage(stat(real), path);
    if (facts.isDirectory()) return walk(real, path, above);
    if (!facts.isFile()) throw new VaultError('usage', `${path} is neither a file nor a folder`);
    files.push({ path: parseObjectPath(path.normalize('NFC')), file: real, size: facts.size });
  };
  await walk(root, '', []);
  if (files.length === 0) throw new VaultError('usage', `${folder} has no files`);
  if (files.length > MAX_FILES) throw new VaultError('usage', `${folder} has ${files.length} files; a version has at most ${MAX_FILES}`);
  refuseTwins(files);
  return { files: files.sort((a, b) => (a.path < b.path ? -1 : 1)), outside };
}

/** The vault would refuse the second of two paths that are one file somewhere, after it has come all the way. */
function refuseTwins(files: readonly SourceFile[]): void {
  const seen = new Map<string, string>();
  for (const { path } of files) {
    const twin = seen.get(foldPath(path));
    if (twin !== undefined) throw new VaultError('usage', `${twin} and ${path} are one file on some machines`);
    seen.set(foldPath(path), path);
  }
}

/**
 * The file's bytes; each chunk is its reader's. Throws `digest_mismatch` at the end of a file that changed under way: before its last
 * reader could take what came for a whole.
 */
export async function* steadyBytes({ file, path, size }: SourceFile): AsyncGenerator<Buffer, void> {
  const handle = await asUsage(open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK), path);
  try {
    const before = await fingerprint(handle);
    let read = 0;
    for (;;) {
      const buffer = Buffer.allocUnsafeSlow(READ_BYTES); // not reused: TLS may still hold the last one
      const { bytesRead } = await asUsage(handle.read(buffer, 0, READ_BYTES), path);
      if (bytesRead === 0) break;
      read += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    if (read !== size || (await fingerprint(handle)) !== before)
      throw new VaultError('digest_mismatch', `${path} changed while it was read`);
  } finally {
    await handle.close();
  }
}

/** Changes whenever the content does: the kernel sets ctime, and nobody can set it back. */
async function fingerprint(handle: FileHandle): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await handle.stat({ bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

async function asUsage<T>(work: Promise<T>, what: string): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw new VaultError('usage', `${what} cannot be read`, { cause });
  }
}
