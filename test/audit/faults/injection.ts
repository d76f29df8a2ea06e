/**
 * A child (log-writer.ts) in which strace makes the n-th system call of a kind kill the process or fail, and what is left afterwards: every record that was
 * acknowledged is there, once, in a log that verifies with our verifier and with Go's. Used by the tests and, with thousands of points, by the soak.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createHeadFile } from '../../../src/audit/head-file/head-file.ts';
import { createSequencer } from '../../../src/audit/sequencer.ts';
import { allTiles, tilePath } from '../../../src/audit/tile-path.ts';
import { verifyLog } from '../../../src/audit/verify.ts';
import { formatVkey, verifierKey } from '../../../src/audit/vkey.ts';
import { systemClock } from '../../../src/domain/clock.ts';
import { type Incarnation, newId } from '../../../src/domain/ids.ts';
import { openSqliteStores } from '../../../src/stores/sqlite/sqlite-stores.ts';

const WRITER = fileURLToPath(new URL('log-writer.ts', import.meta.url));
const GO = fileURLToPath(new URL('../../../.cache/foreign-verifiers/foreign-verifiers', import.meta.url));
const ORIGIN = 'vault.example/access';
const RUN_MS = 200_000;

/** Why faults cannot be injected here; undefined when they can. */
export function whyNoInjection(): string | undefined {
  const tried = spawnSync('strace', ['-f', '-qq', '-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO', '-o', '/dev/null', 'true']);
  if (tried.error !== undefined) return 'there is no strace here';
  return tried.status === 0 ? undefined : 'this machine allows no tracing';
}

/** A database with its schema, a key and an empty kept checkpoint; runs work on copies of it. */
export async function emptySite(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'wv-fault-'));
  writeFileSync(join(folder, 'log.pem'), generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }));
  writeFileSync(join(folder, 'head'), '');
  await (await openSqliteStores({ file: join(folder, 'vault.db'), clock: systemClock })).close();
  return folder;
}

/** What strace is told: `pwrite64:signal=SIGKILL:when=7`. */
export interface Fault {
  readonly inject: string;
  readonly records?: number;
}

export interface Survived {
  readonly exit: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly acknowledged: readonly string[];
  /** The child said that its disk failed. */
  readonly failed: boolean;
  /** Records that were acknowledged after that. */
  readonly acknowledgedLate: number;
  /** From that to its end. */
  readonly endedAfterMs: number;
  readonly refused: number;
  readonly done: boolean;
  /** Of the log that the next process publishes. */
  readonly records: number;
}

/** Runs the writer under the fault, then starts anew and verifies. Throws when something acknowledged is missing or anything does not verify. */
export async function surviving(site: string, { inject, records = 60 }: Fault): Promise<Survived> {
  const folder = mkdtempSync(join(tmpdir(), 'wv-faulty-'));
  try {
    cpSync(site, folder, { recursive: true });
    const ran = await runWriter(folder, inject, records);
    return { ...ran, records: await verified(folder, ran.acknowledged) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function runWriter(folder: string, inject: string, records: number): Promise<Omit<Survived, 'records'>> {
  const [call = ''] = inject.split(':');
  // Its quicker way, --seccomp-bpf, loses the signals that strace 6.1 is to inject.
  const strace = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${inject}`];
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', WRITER, folder, String(records)];
  const child = spawn('strace', [...strace, ...node], { stdio: ['ignore', 'pipe', 'ignore'], timeout: RUN_MS, killSignal: 'SIGKILL' });
  let text = '';
  let failedAt: number | undefined;
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
    if (failedAt === undefined && text.includes('failed ')) failedAt = performance.now();
  });
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (exit, signal) => {
      const lines = text.split('\n').slice(0, -1); // a line that was cut off was acknowledged to nobody
      const acknowledged = lines.filter((line) => line.startsWith('ack ')).map((line) => line.slice(4));
      const failedLine = lines.findIndex((line) => line.startsWith('failed '));
      done({
        exit,
        signal,
        acknowledged,
        failed: failedLine >= 0,
        acknowledgedLate: failedLine < 0 ? 0 : lines.slice(failedLine).filter((line) => line.startsWith('ack ')).length,
        endedAfterMs: failedAt === undefined ? 0 : performance.now() - failedAt,
        refused: lines.filter((line) => line === 'refused').length,
        done: lines.includes('done'),
      });
    });
  });
}

/** What the next start finds. */
async function verified(folder: string, acknowledged: readonly string[]): Promise<number> {
  const privateKey = createPrivateKey(readFileSync(join(folder, 'log.pem'), 'utf8'));
  const publicKey = new Uint8Array(createPublicKey(privateKey).export({ format: 'der', type: 'spki' }));
  const vkey = formatVkey(verifierKey(ORIGIN, publicKey));
  // The lease of the process that died is still running: the next one starts when it is over.
  const clock = { now: () => new Date(Date.now() + 60_000), monotonicMs: () => performance.now() };
  const stores = await openSqliteStores({ file: join(folder, 'vault.db'), clock });
  try {
    const { unitOfWork, log } = stores;
    const sequencer = createSequencer({
      ...{ unitOfWork, log, origin: ORIGIN, publicKey, clock, node: newId<Incarnation>(new Date()) },
      sign: async (text) => new Uint8Array(sign(null, text, privateKey)),
      heads: createHeadFile(join(folder, 'head')),
    });
    while ((await sequencer.tick()) === 'published');
    if (sequencer.halted() !== undefined) throw sequencer.halted();
    const head = await unitOfWork.run((tx) => log.head(tx));
    const size = head?.size ?? 0;
    const rows = await unitOfWork.run((tx) => log.leaves(tx, 0, size + 1));
    const ids = rows.map(({ recordId }) => String(recordId));
    const missing = acknowledged.filter((id) => !ids.includes(id));
    if (missing.length > 0) throw new Error(`${missing.length} acknowledged records are lost, the first ${missing[0]}`);
    if (new Set(ids).size !== ids.length || rows.some(({ index }, at) => index !== at))
      throw new Error('an index or a record is there twice');
    if (head === undefined) return 0;
    const tile = (path: string) => unitOfWork.run((tx) => log.tile(tx, path));
    const report = await verifyLog({ checkpoint: async () => head.checkpoint, tile }, vkey);
    if (!report.ok || report.size !== size) throw new Error(`the log does not verify: ${JSON.stringify(report.problems)}`);
    if (existsSync(GO)) await verifiedByGo(join(folder, 'copy'), head.checkpoint, size, tile, vkey);
    return size;
  } finally {
    await stores.close();
  }
}

/** Throws what Go says when it does not accept the copy. */
async function verifiedByGo(
  copy: string,
  checkpoint: Uint8Array,
  size: number,
  tile: (path: string) => Promise<Uint8Array | undefined>,
  vkey: string,
): Promise<void> {
  for (const name of allTiles(size as Parameters<typeof allTiles>[0])) {
    const path = join(copy, tilePath(name));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, (await tile(tilePath(name))) ?? '');
  }
  writeFileSync(join(copy, 'checkpoint'), checkpoint);
  execFileSync(GO, ['log', copy, vkey], { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** `count` numbers from 1 to `last`, evenly. */
export function spread(count: number, last: number): number[] {
  return [...new Set(Array.from({ length: count }, (_, at) => 1 + Math.round((at * (last - 1)) / Math.max(1, count - 1))))];
}

/** One after the other would take twice as long on two cores. */
export async function twoAtOnce<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = [...items.entries()];
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next[0]] = await work(next[1]);
  };
  await Promise.all([worker(), worker()]);
  return results;
}
