/**
 * `npm run soak -- [--minutes N] [--seed S] [--only rewrap|evidence|log-faults|log-growth|tokens|object-lock]`: a real vault under a mix of work, stops, rotations, backups and killed processes, with everything
 * it promises checked all the time and at the end. Exit 0 when every invariant held. docs/soak.md says what is done and what is asked.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { withRequester, withTpmRequester } from '../../src/cli/requester.ts';
import { codeOf } from '../../src/domain/errors.ts';
import { generator } from '../audit/faults/calls.ts';
import { LARGE, type RealVault, type ServerProcess, startRealVault, wv, wvJson } from '../e2e/real-vault.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string', default: String(Date.now()) },
    only: { type: 'string' },
    versions: { type: 'string', default: '10000' },
    kills: { type: 'string', default: '200' },
    points: { type: 'string', default: '5000' },
    cuts: { type: 'string', default: '20000' },
    records: { type: 'string', default: '10000000' },
    folder: { type: 'string' },
  },
});
const minutes = Number(values.minutes);
if (!(minutes > 0 && minutes <= 24 * 60)) throw new Error('--minutes is 1 to 1440');
const random = generator(Number(values.seed));
if (values.only !== undefined) {
  const found = await only(values.only);
  console.log(found.length === 0 ? 'every invariant held' : `${found.length} violated:\n${found.slice(0, 20).join('\n')}`);
  process.exit(found.length === 0 ? 0 : 1);
}
const deadline = Date.now() + minutes * 60_000;
const running = () => Date.now() < deadline && violations.length === 0;
const CUT_MS = 5_000;
const MAX_RSS_MIB = 700;

const counts = new Map<string, number>();
const count = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1);
const violations: string[] = [];
const violated = (what: string) => {
  violations.push(`${new Date().toISOString()} ${what}`);
  console.log(`VIOLATED: ${what}`);
};
let server: ServerProcess;
/** Since when nothing may leave any more; undefined while nothing is stopped. */
let stoppedAt: number | undefined;
let lastByteAfterStopMs = 0;
let worstCutMs = 0;
let worstReadyMs = 0;
let maxRssMiB = 0;
const serverLog: string[] = [];
let lastQuote: Promise<unknown> = Promise.resolve();

const vault = await startRealVault();
server = vault.server;
try {
  await soak(vault);
} finally {
  await vault.stop();
}
report();
process.exitCode = violations.length === 0 ? 0 : 1;

async function only(which: string): Promise<readonly string[]> {
  if (which === 'rewrap') return (await import('./rewrap-killed.ts')).killRewraps(Number(values.versions), Number(values.kills), random);
  if (which === 'evidence') return (await import('./flipped-evidence.ts')).flipEvidence(minutes, random);
  if (which === 'log-faults') {
    const [points = 0, cuts = 0, seed = 0] = [values.points, values.cuts, values.seed].map(Number);
    return (await import('./log-faults.ts')).logFaults({ points, cuts, seed }, random);
  }
  if (which === 'log-growth') return (await import('./grown-log.ts')).grownLog(Number(values.records), values.folder);
  if (which === 'tokens') return (await import('./tokens.ts')).tryTokens();
  if (which === 'object-lock') return (await import('./object-lock.ts')).lockCopies();
  throw new Error('--only knows: rewrap, evidence, log-faults, log-growth, tokens, object-lock');
}

async function soak(site: RealVault): Promise<void> {
  const machines = [await site.enrolled('node-1'), await site.enrolled('node-2', { ak: 'rsa' })];
  await site.promote();
  console.log(`seed ${values.seed}, ${minutes} minutes, vault at ${site.folder}`);
  const minutely = setInterval(() => console.log(line()), 60_000);
  const watch = setInterval(() => watchProcess(), 2_000);
  try {
    await Promise.all([...machines.map((machine) => fetcher(site, machine)), stranger(site), chaos(site)]);
  } finally {
    clearInterval(minutely);
    clearInterval(watch);
  }
  await finalChecks(site, machines[0] ?? '');
}

/** Reads the model again and again, whole or in part, and compares every byte that comes. */
async function fetcher(site: RealVault, machine: string): Promise<void> {
  while (running()) {
    const whole = random() < 0.7;
    await attempt('fetch', () =>
      withRequester(machine, async ({ client, attester }) => {
        const challenge = await client.challenge();
        const granted = await client.release('tiny-llm', site.versionId, challenge.id, [
          await quoted(() => client.evidence(challenge, attester)),
        ]);
        count('released');
        const wanted = site.model.get(LARGE) ?? Buffer.alloc(0);
        const start = whole ? 0 : Math.floor(random() * (wanted.length - 1));
        const response = await client.object(granted.releaseId, LARGE, { start, end: wanted.length });
        let at = start;
        for await (const chunk of response as AsyncIterable<Buffer>) {
          if (stoppedAt !== undefined) noteAfterStop(Date.now() - stoppedAt);
          if (!chunk.equals(wanted.subarray(at, at + chunk.length))) violated(`other bytes than were published at ${at}`);
          at += chunk.length;
          if (!whole && random() < 0.02) break; // a client that has had enough
          if (random() < 0.02) await sleep(50);
        }
        if (whole && at !== wanted.length) throw new Error('the stream ended early without an error');
        count(whole ? 'whole reads' : 'partial reads');
        await client.end(granted.releaseId).catch((error) => count(`end: ${codeOf(error)}`));
      }),
    );
  }
}

function noteAfterStop(ms: number): void {
  lastByteAfterStopMs = Math.max(lastByteAfterStopMs, ms);
  if (ms > CUT_MS) violated(`a byte left ${ms} ms after a stop was acknowledged`);
}

/** One TPM serves all machines here, without a resource manager: it holds few keys at a time. */
function quoted<T>(work: () => Promise<T>): Promise<T> {
  const next = lastQuote.then(work);
  lastQuote = next.catch(() => undefined);
  return next;
}

/** Somebody with a key of their own and nothing else: never gets anything. */
async function stranger(site: RealVault): Promise<void> {
  const machine = await site.requester('stranger', { ak: 'ecc' });
  await withTpmRequester(machine, ({ attester }) => attester.prepare());
  while (running()) {
    await attempt('stranger', () =>
      withRequester(machine, async ({ client, attester }) => {
        const challenge = await client.challenge();
        const evidence = random() < 0.5 ? [] : [await quoted(() => client.evidence(challenge, attester))];
        await client.release('tiny-llm', site.versionId, challenge.id, evidence);
        violated('a stranger was released weights');
      }),
    );
    await sleep(500);
  }
}

/** One act after another, each followed by some quiet. */
async function chaos(site: RealVault): Promise<void> {
  const doings: ReadonlyArray<readonly [string, () => Promise<void>]> = [
    ['kill the server', () => restart(site, () => server.kill())],
    ['stop and start', () => restart(site, async () => void (await server.stop()))],
    ['kill the keeper', async () => killKeeper()],
    ['rotate', () => rotate(site, false)],
    ['rotate, and kill the server', () => rotate(site, true)],
    ['suspend and lift', () => suspendAndLift(site)],
    ['back up', async () => void (await wvJson('backup', '--config', join(site.folder, 'vault.json'), site.at('soak-backup')))],
  ];
  for (let next = 0; running(); next++) {
    const [name, act] = doings[next < doings.length ? next : Math.floor(random() * doings.length)] ?? ['', async () => {}];
    await act().then(
      () => count(name),
      (error) => violated(`${name}: ${error instanceof Error ? error.message : String(error)}`),
    );
    await sleep(4_000);
  }
}

async function restart(site: RealVault, end: () => Promise<void>): Promise<void> {
  serverLog.push(...server.log);
  await end();
  const begun = Date.now();
  server = await site.serve();
  worstReadyMs = Math.max(worstReadyMs, Date.now() - begun);
  if (worstReadyMs > 30_000) violated(`a start took ${worstReadyMs} ms`);
}

function killKeeper(): void {
  const [keeper] = childrenOf(server.pid);
  if (keeper !== undefined) process.kill(keeper, 'SIGKILL');
}

async function rotate(site: RealVault, kill: boolean): Promise<void> {
  const login = await site.code('alice');
  const asked = await wvJson('keys', 'rotate', '--kit', site.kit('alice'), '--code', login);
  await site.approve(asked as never, 'system');
  if (kill) await restart(site, () => server.kill());
}

async function suspendAndLift(site: RealVault): Promise<void> {
  lastByteAfterStopMs = 0;
  const { stopId } = await wvJson('suspend', 'tiny-llm', '--kit', site.kit('bob'));
  stoppedAt = Date.now();
  await sleep(CUT_MS + 1_000);
  stoppedAt = undefined;
  worstCutMs = Math.max(worstCutMs, lastByteAfterStopMs);
  const asked = await wvJson('lift', String(stopId), '--kit', site.kit('bob'), '--code', await site.code('bob'));
  await approveBesides(site, asked);
}

/** bob asked, so another consents. */
function approveBesides(site: RealVault, asked: Record<string, unknown>): Promise<void> {
  return site.approve(asked as never, 'default', 'bob');
}

/** Whatever an attempt ends in must be a code that the vault or the client knows. */
async function attempt(who: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const code = codeOf(error);
    if (code === 'internal' && !isReset(error)) violated(`${who}: ${error instanceof Error ? error.message : String(error)}`);
    count(`${who}: ${isReset(error) ? 'connection reset' : code}`);
    await sleep(200);
  }
}

function isReset(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE';
}

function watchProcess(): void {
  try {
    const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
    maxRssMiB = Math.max(maxRssMiB, Math.round(rss));
    if (rss > MAX_RSS_MIB) violated(`the server holds ${Math.round(rss)} MiB`);
  } catch {
    // between two servers
  }
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
}

async function finalChecks(site: RealVault, machine: string): Promise<void> {
  const kit = ['--kit', site.kit('alice')];
  for (let waited = 0; waited < 120 && (await left(kit)) > 0; waited++) await sleep(500);
  if ((await left(kit)) > 0) violated('keys are still wrapped under a version that was rotated away');
  const out = site.at('final');
  await wvJson('fetch', '--requester', machine, '--model', 'tiny-llm', '--version', site.versionId, '--out', out);
  for (const [path, bytes] of site.model) if (!readFileSync(join(out, path)).equals(bytes)) violated(`${path} is not what was published`);
  await sleep(3_000); // ends are written within two seconds
  await wvJson('log', 'export', '--kit', site.kit('bob'), site.at('log'));
  const verified = await wv('log', 'verify', '--vkey', site.vkey, '--json', site.at('log'));
  const { ok, size, releases } = JSON.parse(verified.out) as { ok: boolean; size: number; releases: Record<string, number> };
  if (!ok) violated('the access log does not verify');
  const { begin = 0, end = 0, unknown = 0, live = 0 } = releases;
  if (begin !== end + unknown + live) violated(`releases: ${JSON.stringify(releases)}`);
  if (begin < (counts.get('released') ?? 0)) violated(`${counts.get('released')} releases were granted, ${begin} are on record`);
  counts.set('records', size);
  serverLog.push(...server.log);
  if (serverLog.some((one) => /"code":"internal"/.test(one))) violated('the operational log has an error nobody foresaw');
  const half = readdirSync(join(site.folder, 'blobs', 'tmp'));
  if (half.length > 0) violated(`half-written blobs: ${half.length}`);
}

async function left(kit: readonly string[]): Promise<number> {
  const { keks } = (await wvJson('keys', 'show', ...kit)) as { keks: Array<{ state: string; wrapped: number }> };
  return keks.filter(({ state }) => state !== 'active').reduce((sum, { wrapped }) => sum + wrapped, 0);
}

function line(): string {
  const minute = Math.round(minutes - (deadline - Date.now()) / 60_000);
  return `minute ${minute}: ${[...counts].map(([what, times]) => `${what} ${times}`).join(', ')}; ${maxRssMiB} MiB`;
}

function report(): void {
  console.log(`\nseed ${values.seed}, ${minutes} minutes`);
  for (const [what, times] of [...counts].sort()) console.log(`  ${String(times).padStart(6)}  ${what}`);
  console.log(
    `  last byte after a suspension: at most ${worstCutMs} ms; longest start ${worstReadyMs} ms; server at most ${maxRssMiB} MiB`,
  );
  console.log(violations.length === 0 ? 'every invariant held' : `${violations.length} violated:\n${violations.join('\n')}`);
}
