/** Progress of long work, on standard error: a bar on a terminal, lines with `--progress plain`, else nothing. */
import { SingleBar } from 'cli-progress';
import { type Command, Option } from 'commander';
import { inUnits } from './output.ts';

export const PROGRESS_WAYS = ['auto', 'plain', 'off'] as const;

export interface ProgressOptions {
  readonly progress?: (typeof PROGRESS_WAYS)[number];
}

export interface Progress extends Disposable {
  /** Bytes that moved now. */
  add(bytes: number): void;
  /** Bytes that were there already: they count as done, but say nothing about the rate. */
  skip(bytes: number): void;
}

/** Where it writes; `process.stderr` fits. */
export interface ProgressStream extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
}

export function progressOption(command: Command): Command {
  const option = new Option('--progress <way>', 'auto: a bar when standard error is a terminal; plain: a line each second');
  return command.addOption(option.choices(PROGRESS_WAYS).default('auto'));
}

/** Dispose it before anything else is written. `totalBytes` may be 0: nothing to show, no division by it. With `unit` it counts those instead of bytes. */
export function startProgress(
  options: ProgressOptions,
  work: { readonly label: string; readonly totalBytes: number; readonly unit?: 'keys' },
  stream: ProgressStream = process.stderr,
): Progress {
  const startedAt = performance.now();
  let [moved, skipped] = [0, 0];
  const state = (): Seen => ({ ...work, moved, done: moved + skipped, seconds: (performance.now() - startedAt) / 1000 });
  const show =
    options.progress === 'plain' ? plainLines(stream) : options.progress !== 'off' && stream.isTTY ? bar(stream, work) : undefined;
  const timer = show && setInterval(() => show.update(state()), show.everyMs).unref();
  return {
    add: (bytes) => {
      moved += bytes;
    },
    skip: (bytes) => {
      skipped += bytes;
    },
    [Symbol.dispose]: () => {
      clearInterval(timer);
      show?.update(state());
      show?.stop();
    },
  };
}

interface Seen {
  readonly label: string;
  readonly totalBytes: number;
  readonly unit?: 'keys';
  readonly moved: number;
  readonly done: number;
  readonly seconds: number;
}

interface Shown {
  readonly everyMs: number;
  update(seen: Seen): void;
  stop(): void;
}

function plainLines(stream: ProgressStream): Shown {
  return {
    everyMs: 1000,
    update: (seen) => void stream.write(`${seen.label}: ${percent(seen)}, ${figures(seen)}\n`),
    stop: () => undefined,
  };
}

function bar(stream: ProgressStream, { label, totalBytes }: { label: string; totalBytes: number }): Shown {
  const drawn = new SingleBar({
    stream,
    format: `${label} [{bar}] {percentage}% {figures}`,
    hideCursor: true,
    clearOnComplete: false,
    stopOnComplete: false,
    gracefulExit: false, // signals are interruption.ts's
    barsize: 24,
    fps: 10,
  });
  drawn.start(Math.max(1, totalBytes), 0, { figures: '' });
  return {
    everyMs: 200,
    update: (seen) => drawn.update(totalBytes === 0 ? 1 : Math.min(seen.done, totalBytes), { figures: figures(seen) }),
    stop: () => drawn.stop(),
  };
}

const percent = ({ done, totalBytes }: Seen) => `${totalBytes === 0 ? 100 : Math.floor((100 * done) / totalBytes)}%`;

function figures({ done, totalBytes, moved, seconds, unit }: Seen): string {
  const shown = (amount: number) => (unit === undefined ? inUnits(amount) : `${amount} ${unit}`);
  const rate = seconds === 0 ? 0 : moved / seconds;
  return `${shown(done)} of ${shown(totalBytes)}, ${shown(Math.round(rate))}/s, ${timeLeft(totalBytes - done, rate)}`;
}

function timeLeft(bytes: number, rate: number): string {
  if (bytes <= 0) return 'done';
  if (rate === 0) return 'ETA unknown';
  const seconds = Math.ceil(bytes / rate);
  if (seconds < 60) return `ETA ${seconds} s`;
  return seconds < 3600 ? `ETA ${Math.ceil(seconds / 60)} min` : `ETA ${(seconds / 3600).toFixed(1)} h`;
}
