/** Receives the files of a release by parallel ranged reads, verifies every digest, and only then gives them their names. Goes on where it was. */
import { DEFAULTS } from '../domain/classes.ts';
import { codeOf, type ErrorCode, VaultError } from '../domain/errors.ts';
import { type ByteRange, missingPieces } from './byte-ranges.ts';
import type { DataClient } from './data-client.ts';
import type { LastingRelease } from './lasting-release.ts';
import { PartFile, partNames } from './part-file.ts';
import type { Expected } from './part-journal.ts';
import { createRetries, type Retries } from './retry.ts';
import { digestOf, openTargetFolder, type TargetFolder } from './target-folder.ts';

/** One request's share of a file: a multiple of the 1 MiB segment. A process that is killed loses at most this much of each stream. */
const PIECE_BYTES = 16 * 1024 * 1024;

export interface FetchOptions {
  /** Reads at the same time, over all files. */
  readonly streams?: number;
  /** Bytes that came over the wire. */
  readonly onBytes?: (bytes: number) => void;
  /** Bytes that were here already. */
  readonly onResumed?: (bytes: number) => void;
  readonly retries?: Retries;
  readonly signal?: AbortSignal;
}

interface Job {
  readonly client: DataClient;
  readonly release: LastingRelease;
  readonly folder: TargetFolder;
  readonly open: Set<PartFile>;
  readonly onBytes: (bytes: number) => void;
  readonly onResumed: (bytes: number) => void;
  readonly retries: Retries;
  readonly signal: AbortSignal;
}

/** A part of one file, and how many parts of it are still to come. */
interface Piece {
  readonly part: PartFile;
  readonly range: ByteRange;
  readonly left: { pieces: number };
}

/**
 * Writes every object of `release` below `folder`. A file appears under its name only when its SHA-256 is the granted one. After a failure
 * that may pass (also: the process is killed) what came stays in `<folder>/.wv-part` for the next call, which fetches the rest; after a refusal nothing does.
 */
export async function fetchRelease(client: DataClient, release: LastingRelease, folder: string, options: FetchOptions = {}): Promise<void> {
  const { streams = DEFAULTS.fetchStreams, signal = new AbortController().signal, retries = createRetries() } = options;
  const { onBytes = () => {}, onResumed = () => {} } = options;
  signal.throwIfAborted();
  const failed = new AbortController();
  const target = await openTargetFolder(folder);
  const job: Job = {
    ...{ client, release, onBytes, onResumed, retries },
    folder: target,
    open: new Set(),
    signal: AbortSignal.any([signal, failed.signal]),
  };
  try {
    await target.removeOthers(new Set(expectedOf(release).flatMap((one) => Object.values(partNames(one)))));
    const pieces = piecesOf(job);
    const worker = async () => {
      // Not `for await`: it would end the shared generator for the others.
      for (let next = await pieces.next(); !next.done; next = await pieces.next()) await fetchPiece(job, next.value);
    };
    const workers = Array.from({ length: streams }, () => worker().catch((error) => failed.abort(error)));
    await Promise.all(workers); // nobody writes any more when the files are closed
    failed.signal.throwIfAborted(); // the first failure, not what it did to the others
    await target.removeOthers(new Set());
  } catch (error) {
    await Promise.all([...job.open].map((part) => part.close()));
    if (!mayPass(error)) await target.removeOthers(new Set());
    throw error;
  } finally {
    await target.release();
  }
}

const MAY_PASS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...(['target_unwritable', 'release_expired', 'release_ended', 'object_integrity', 'internal'] as const),
]);

/** Is it worth running again? Whoever is refused, or sent wrong bytes, keeps no half of a model. */
function mayPass(error: unknown): boolean {
  return MAY_PASS.has(codeOf(error)) || (error instanceof VaultError && error.retryable);
}

function expectedOf({ current: { versionDigest, objects } }: LastingRelease): Expected[] {
  return objects.map(({ path, size, sha256 }) => ({ versionDigest, path, size, sha256 }));
}

/** What is still to be fetched, file by file. Files that are here and right are passed over. */
async function* piecesOf(job: Job): AsyncGenerator<Piece, void> {
  for (const expected of expectedOf(job.release)) {
    job.signal.throwIfAborted();
    const place = await job.folder.place(expected.path);
    if ((await digestOf(place, expected.size, job.signal)) === expected.sha256) {
      job.onResumed(expected.size);
      continue;
    }
    const part = await openPart(job, expected);
    job.onResumed(part.resumedBytes);
    const left = { pieces: countPieces(part) };
    if (left.pieces === 0) await finish(job, part);
    for (const range of missingPieces(part.resumed, expected.size, PIECE_BYTES)) yield { part, range, left };
  }
}

function countPieces({ resumed, expected: { size } }: PartFile): number {
  const gaps = missingPieces(resumed, size, Number.POSITIVE_INFINITY);
  return [...gaps].reduce((sum, { start, end }) => sum + Math.ceil((end - start) / PIECE_BYTES), 0);
}

async function openPart(job: Job, expected: Expected): Promise<PartFile> {
  const part = await PartFile.open(job.folder, expected, await job.folder.place(expected.path));
  job.open.add(part);
  return part;
}

async function fetchPiece(job: Job, { part, range, left }: Piece): Promise<void> {
  await fetchRange(job, part, range);
  left.pieces--;
  if (left.pieces === 0) await finish(job, part);
}

async function finish(job: Job, part: PartFile): Promise<void> {
  try {
    await part.finish(job.signal);
  } catch (error) {
    if (codeOf(error) !== 'digest_mismatch' || part.resumedBytes === 0) throw error;
    return fetchAfresh(job, part); // it may be what was here before that is wrong
  } finally {
    job.open.delete(part);
    await part.close();
  }
}

async function fetchAfresh(job: Job, wrong: PartFile): Promise<void> {
  job.onResumed(-wrong.resumedBytes);
  await wrong.discard();
  const part = await openPart(job, wrong.expected);
  for (const range of missingPieces([], part.expected.size, PIECE_BYTES)) await fetchRange(job, part, range);
  await finish(job, part);
}

/** The bytes of `range`, however many connections and releases that takes. What came before a failure is kept. */
async function fetchRange(job: Job, part: PartFile, range: ByteRange): Promise<void> {
  const come = { start: range.start, end: range.start };
  try {
    for (let attempt = 0; come.end < range.end; attempt++) {
      const before = come.end;
      const under = job.release.current.releaseId;
      try {
        await receive(job, part, { start: come.end, end: range.end }, come);
      } catch (error) {
        if (come.end > before) attempt = 0;
        await again(job, error, under, attempt);
      }
    }
  } catch (error) {
    await part.keep(come).catch(() => undefined); // the first failure is the one to tell
    throw error;
  }
  await part.keep(come);
}

/** Resolves when it is worth trying again; else throws. */
async function again(job: Job, error: unknown, under: LastingRelease['current']['releaseId'], attempt: number): Promise<void> {
  job.signal.throwIfAborted();
  const code = codeOf(error);
  if (code === 'release_expired' || code === 'release_ended') return job.release.renewOr(error, under);
  await job.retries.waitOr(error, attempt, job.signal);
}

async function receive(job: Job, part: PartFile, range: ByteRange, come: { end: number }): Promise<void> {
  const { path } = part.expected;
  const response = await job.client.object(job.release.current.releaseId, path, range, job.signal);
  for await (const chunk of unbroken(response, path)) {
    if (come.end + chunk.length > range.end) throw new VaultError('digest_mismatch', `${path}: more bytes than were asked for`);
    await part.write(chunk, come.end);
    come.end += chunk.length;
    job.retries.progressed();
    job.release.bore();
    job.onBytes(chunk.length);
  }
  if (come.end !== range.end) throw new VaultError('digest_mismatch', `${path}: the answer was cut short`);
}

/** A connection that ends early says so with a code of ours: `vault_unreachable`. */
async function* unbroken(response: AsyncIterable<Buffer>, path: string): AsyncGenerator<Buffer, void> {
  try {
    yield* response;
  } catch (cause) {
    throw cause instanceof VaultError ? cause : new VaultError('vault_unreachable', `${path}: the connection broke`, { cause });
  }
}
