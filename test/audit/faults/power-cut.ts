/** T4: recorded runs of what the log writes, cut by a power failure at any step, and what the next start makes of what is left. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mirrorLog } from '../../../src/audit/mirror.ts';
import { verifyLog } from '../../../src/audit/verify.ts';
import { copyIn } from '../../../src/cli/log-source.ts';
import { mirrorFolder } from '../../../src/cli/mirror-folder.ts';
import { createMemoryLog } from '../../doubles/memory-log-store.ts';
import { appendRecords, createLogKey, sequencerOn } from '../small-log.ts';
import { generator } from './calls.ts';
import { crashInto, durable, replayedFiles } from './crash-image.ts';
import { emptySite, WRITER } from './injection.ts';
import { appendFrom, LINES, lineFilesIn, lineOf } from './line-writer.ts';
import { nextStart } from './next-start.ts';
import { recordRun, type Step } from './recorded-run.ts';

/** One recorded run, and the question that is asked of whatever a power cut leaves of it. Rejects when something that was acknowledged is missing. */
export interface CutRun {
  readonly steps: readonly Step[];
  readonly before: ReadonlyMap<string, Buffer>;
  /** Whether the steps, replayed, give the very files that the run left: that nothing was missed. */
  readonly replays: boolean;
  survives(folder: string, acknowledged: readonly string[]): Promise<void>;
}

/** Where images are made: in memory, because a real disk would sync each of them. */
const IMAGES = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** Cuts the run at a step of the seed. With `lies` the disk does not do what it is told to sync. */
export async function cutBy(seed: number, run: CutRun, lies = false): Promise<void> {
  const random = generator(seed);
  const cut = Math.floor(random() * (run.steps.length + 1));
  const folder = mkdtempSync(join(IMAGES, 'wv-cut-'));
  try {
    crashInto(folder, run.before, run.steps, cut, random, lies);
    const said = run.steps.slice(0, cut).flatMap((step) => (step.kind === 'said' ? [step.line] : []));
    await run.survives(
      folder,
      said.filter((line) => line.startsWith('ack ')).map((line) => line.slice(4)),
    );
  } catch (cause) {
    throw new Error(`seed ${seed}, before step ${cut}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function recorded(site: string, script: string, args: readonly string[], survives: CutRun['survives']): CutRun {
  const before = durable(site);
  const steps = recordRun(site, script, args);
  const replayed = [...replayedFiles(before, steps)].filter(([path]) => !path.endsWith('-shm')); // that one is memory
  const replays = replayed.every(([path, bytes]) => readFileSync(join(site, path)).equals(bytes)) && replayed.length === durable(site).size;
  return { steps, before, replays, survives };
}

async function inFolder<T>(make: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'wv-recorded-'));
  try {
    return await make(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Database, its write-ahead log and the kept checkpoint, over 200 records, 18 checkpoints and an emptying of the write-ahead log. */
export async function loggingRun(): Promise<CutRun> {
  const site = await emptySite();
  try {
    return recorded(site, WRITER, ['200'], async (folder, acknowledged) => void (await nextStart(folder, acknowledged, false)));
  } finally {
    rmSync(site, { recursive: true, force: true });
  }
}

/** A file sink. The next process gives again what was not acknowledged; then each line is there once. */
export function sinkRun(): Promise<CutRun> {
  const script = fileURLToPath(new URL('line-writer.ts', import.meta.url));
  return inFolder(async (site) =>
    recorded(site, script, [], async (folder, acknowledged) => {
      await appendFrom(Number(acknowledged.at(-1) ?? 0), lineFilesIn(folder), () => undefined);
      const files = readdirSync(join(folder, 'sink')).sort();
      const lines = files.flatMap((file) =>
        readFileSync(join(folder, 'sink', file), 'utf8')
          .split('\n')
          .slice(0, -1),
      );
      const wrong = Array.from({ length: Math.max(LINES, lines.length) }, (_, at) => at).filter((at) => lines[at] !== lineOf(at).line);
      if (lines.length !== LINES || wrong.length > 0) throw new Error(`${lines.length} lines, wrong from ${wrong[0]}`);
    }),
  );
}

/** A mirror of a log at four sizes. What was acknowledged verifies as it lies there; the next run completes it. */
export function mirrorRun(): Promise<CutRun> {
  return inFolder(async (source) => {
    const key = createLogKey();
    const sizes = await grownLogs(source, key);
    const newest = readAll(join(source, String(sizes.at(-1))));
    const script = fileURLToPath(new URL('mirror-writer.ts', import.meta.url));
    return inFolder(async (site) =>
      recorded(site, script, [source, key.vkey, sizes.join()], async (folder, acknowledged) => {
        const mirror = join(folder, 'mirror');
        const settled = Number(acknowledged.at(-1) ?? 0);
        if (settled > 0) await sound(mirror, key.vkey, settled);
        await mirrorLog(newest, mirrorFolder(mirror), key.vkey);
        await sound(mirror, key.vkey, sizes.at(-1) ?? 0);
      }),
    );
  });
}

async function sound(mirror: string, vkey: string, least: number): Promise<void> {
  const { ok, size, problems } = await verifyLog(copyIn(mirror), vkey);
  if (!ok || size < least) throw new Error(`a mirror of ${size} records, ${least} acknowledged: ${JSON.stringify(problems)}`);
}

/** The published log at sizes around the width of a tile, one folder each. */
async function grownLogs(folder: string, key: ReturnType<typeof createLogKey>): Promise<readonly number[]> {
  const memory = createMemoryLog();
  const { sequencer } = sequencerOn(memory, key);
  const sizes: number[] = [];
  for (const more of [5, 251, 44, 260]) {
    await appendRecords(memory, more);
    await sequencer.tick();
    const { head, tiles } = memory.state;
    const files = new Map(tiles).set('checkpoint', head?.checkpoint ?? new Uint8Array(0));
    for (const [path, bytes] of files) {
      const file = join(folder, String(head?.size), path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, bytes);
    }
    sizes.push(head?.size ?? 0);
  }
  return sizes;
}

function readAll(folder: string) {
  const files = durable(folder);
  return { checkpoint: async () => new Uint8Array(files.get('checkpoint') ?? []), tile: async (path: string) => files.get(path) };
}
