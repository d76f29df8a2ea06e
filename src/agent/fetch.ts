/** Receives the files of a release by parallel ranged reads, verifies every digest, and only then gives them their names. */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { VaultError } from '../domain/errors.ts';
import type { DataClient, GrantedRelease } from './data-client.ts';

/** One request's share of a file: a multiple of the 1 MiB segment. */
const PART_BYTES = 16 * 1024 * 1024;
const PARALLEL = 4;

export type FetchProgress = (bytes: number) => void;

/**
 * Writes every object of `release` below `folder`. A file appears under its name only when its SHA-256 is the granted one; on any
 * failure, and when `signal` aborts, its partial file is removed and the error thrown.
 */
export async function fetchRelease(
  client: DataClient,
  release: GrantedRelease,
  folder: string,
  onBytes: FetchProgress = () => {},
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  for (const object of release.objects) await fetchObject(client, release, object, folder, onBytes, signal);
}

async function fetchObject(
  client: DataClient,
  release: GrantedRelease,
  object: GrantedRelease['objects'][number],
  folder: string,
  onBytes: FetchProgress,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const target = join(folder, object.path);
  const partial = join(dirname(target), `.${randomUUID()}.wv-part`); // no object's name, by design or by chance, and never too long
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  const abort = new AbortController();
  const file = await open(partial, 'wx', 0o600);
  try {
    const parts = partsOf(object.size); // shared: a worker takes the next one
    const worker = async () => {
      for (let next = parts.next(); !next.done; next = parts.next())
        await fetchPart(client, release, object.path, next.value, file, AbortSignal.any([signal, abort.signal]), onBytes);
    };
    const workers = Array.from({ length: PARALLEL }, worker);
    await Promise.all(workers).catch(async (error) => {
      abort.abort(error);
      await Promise.allSettled(workers); // nobody writes to the file any more when it is closed
      throw error;
    });
    await file.sync();
    await file.close();
    const got = await digestOf(partial);
    if (got !== object.sha256) throw new VaultError('digest_mismatch', `${object.path} has the digest ${got}`);
    await rename(partial, target);
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(partial, { force: true });
    throw error;
  }
}

interface Part {
  readonly start: number;
  readonly end: number;
}

/** One at a time: the size is whatever the vault said it is, and makes no list of ours. */
function* partsOf(size: number): Generator<Part, void> {
  for (let start = 0; start < size; start += PART_BYTES) yield { start, end: Math.min(size, start + PART_BYTES) };
}

async function fetchPart(
  client: DataClient,
  release: GrantedRelease,
  path: string,
  part: Part,
  file: FileHandle,
  signal: AbortSignal,
  onBytes: FetchProgress,
): Promise<void> {
  const response = await client.object(release.releaseId, path, part, signal);
  let at = part.start;
  for await (const chunk of unbroken(response, path)) {
    if (at + chunk.length > part.end) throw new VaultError('digest_mismatch', `${path}: more bytes than were asked for`);
    await file.write(chunk, 0, chunk.length, at);
    at += chunk.length;
    onBytes(chunk.length);
  }
  if (at !== part.end) throw new VaultError('digest_mismatch', `${path}: the answer was cut short`);
}

/** A connection that ends early says so with a code of ours: `vault_unreachable`. */
async function* unbroken(response: AsyncIterable<Buffer>, path: string): AsyncGenerator<Buffer, void> {
  try {
    yield* response;
  } catch (cause) {
    throw cause instanceof VaultError ? cause : new VaultError('vault_unreachable', `${path}: the connection broke`, { cause });
  }
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 })) hash.update(chunk);
  return hash.digest('hex');
}
