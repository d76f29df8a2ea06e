/** Puts one blob: temporary file, fsync, rename, fsync of the directories. Nothing is seen under the name before it is all there. */
import { createHash } from 'node:crypto';
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { VaultError } from '../../domain/errors.ts';
import type { BlobName } from '../../domain/ids.ts';
import { type BlobFolder, blobFailure } from './blob-folder.ts';

/**
 * A file of that name and size is taken for the blob: what lies on the disk is checked by whoever reads it. One of another size is damage,
 * and is replaced.
 */
export async function putBlob(folder: BlobFolder, name: BlobName, chunks: readonly Uint8Array[]): Promise<void> {
  try {
    await folder.requireWell();
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if ((await folder.size(name)) === bytes) await requireDigest(name, chunks);
    else await writeBlob(folder, name, chunks);
    await folder.syncHome(name);
  } catch (error) {
    throw blobFailure(error);
  }
}

async function writeBlob(folder: BlobFolder, name: BlobName, chunks: readonly Uint8Array[]): Promise<void> {
  const temporary = folder.temporaryPath();
  const file = await open(temporary, 'wx', 0o600);
  try {
    await requireDigest(name, chunks, file);
    await file.sync();
    await file.close();
    await folder.makeHome(name);
    await rename(temporary, folder.pathOf(name));
  } catch (error) {
    await file.close().catch(() => undefined);
    await unlink(temporary).catch(() => undefined); // the first failure is the one to tell
    throw error;
  }
}

/** Throws `blob_digest_mismatch` unless `chunks` have the SHA-256 `name`, writing each to `file` on the way. */
async function requireDigest(name: BlobName, chunks: readonly Uint8Array[], file?: FileHandle): Promise<void> {
  const hash = createHash('sha256');
  for (const chunk of chunks) {
    hash.update(chunk);
    await (file ? file.writeFile(chunk) : setImmediate()); // hashing blocks: in between, others get a turn
  }
  if (hash.digest('hex') !== name) throw new VaultError('blob_digest_mismatch');
}
