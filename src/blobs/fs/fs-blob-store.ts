/**
 * BlobStore on a file system: `<folder>/ab/cd/<name>`, where abcd are the name's first digits. A blob appears under its name only whole and fsynced;
 * what is being written lies in `<folder>/tmp`. Any number of processes may share the folder.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { VaultError } from '../../domain/errors.ts';
import { type BlobName, parseDigest } from '../../domain/ids.ts';
import { giveBack } from '../../domain/memory.ts';
import type { BlobStore, ByteRange } from '../port.ts';
import { BlobFolder, blobFailure } from './blob-folder.ts';
import { putBlob } from './put-blob.ts';

/** Bytes per read: a whole sealed segment (1 MiB and 32 bytes), so that a reader of segments gets each in one piece and need not gather it. */
const READ_BYTES = (1 << 20) + 32;

/** The folder must exist (a missing mount is not made good by writing elsewhere). Removes what a crash left half written. */
export async function createFsBlobStore(options: { readonly folder: string }): Promise<BlobStore> {
  const folder = await BlobFolder.open(options.folder);
  await folder.removeAbandoned();
  return {
    async put(name, chunks) {
      await putBlob(folder, parseDigest<BlobName>(name, 'the blob name'), chunks);
    },
    async *read(name, range, signal) {
      yield* readBlob(folder, parseDigest<BlobName>(name, 'the blob name'), range, signal);
    },
    async size(name) {
      return folder.size(parseDigest<BlobName>(name, 'the blob name'));
    },
  };
}

/** Rejects with the signal's reason once it aborts. The file is closed then even when nobody asks for another chunk. */
async function* readBlob(folder: BlobFolder, name: BlobName, range: ByteRange, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  checkRange(range);
  signal.throwIfAborted();
  const file = await openBlob(folder, name);
  const close = () => void file.close().catch(() => undefined); // a second close is no harm; a failed one of a read-only file loses nothing
  signal.addEventListener('abort', close, { once: true });
  try {
    yield* chunks(file, range, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw blobFailure(error);
  } finally {
    signal.removeEventListener('abort', close);
    await file.close().catch(() => undefined);
  }
}

async function* chunks(file: FileHandle, range: ByteRange, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const facts = await file.stat();
  if (!facts.isFile()) throw new VaultError('blob_unavailable', 'something else than a file has the name of the blob');
  if (facts.size < range.end) throw new VaultError('blob_missing', 'the stored blob is shorter than the range');
  const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, range.end - range.start)); // reused: a chunk is the reader's until the next
  try {
    for (let at = range.start; at < range.end; ) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, range.end - at), at);
      if (bytesRead === 0) throw new VaultError('blob_missing', 'the stored blob was cut short');
      signal.throwIfAborted();
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    giveBack(buffer); // no read is under way: each was waited for
  }
}

async function openBlob(folder: BlobFolder, name: BlobName): Promise<FileHandle> {
  try {
    // Never through a link, and never waiting for the writer of a planted pipe.
    return await open(folder.pathOf(name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (await folder.isMissing(error)) throw new VaultError('blob_missing', 'there is no such blob', { cause: error });
    throw blobFailure(error);
  }
}

function checkRange({ start, end }: ByteRange): void {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start) throw new RangeError('not a byte range');
}
