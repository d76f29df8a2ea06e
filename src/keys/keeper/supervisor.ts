/**
 * Starts the keeper as a child process and keeps one running: a native module can crash or hang, and must take down only itself.
 *
 * A keeper that died, or whose event loop stood still for `hangMs`, is started again after a bounded backoff. One whose PIN
 * was refused is not: each start is a C_Login, and tokens lock. Until then every call answers a retryable error.
 */
import { type ChildProcess, type ChildProcessWithoutNullStreams, type StdioOptions, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, isErrorCode, VaultError } from '../../domain/errors.ts';
import type { KeeperConfig } from './config.ts';

const BACKOFF_MS = { first: 100, most: 5_000 };
/** A keeper that lived this long starts the backoff anew. */
const STEADY_MS = 10_000;
const HANG_MS = 15_000;
const START_MS = 30_000;
const STOP_MS = 3_000;
/** No signal opens a debugger in the process that has the PIN. */
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning', '--disable-sigusr1'];
const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

/** `login`, `connected`, `lost`, `refused`, `stuck`, `kms`, `ready`, `fatal` come from the keeper; `line` is its standard error; the rest is ours. */
export interface KeeperEvent {
  readonly event: 'started' | 'login' | 'connected' | 'lost' | 'refused' | 'stuck' | 'kms' | 'ready' | 'fatal' | 'line' | 'exited' | 'hung';
  readonly detail: string;
  readonly code?: ErrorCode;
}

export type KeeperStart = KeeperConfig & {
  /** All of the child's environment: what the PKCS#11 library needs (SOFTHSM2_CONF), and none of the vault's own secrets. */
  readonly env?: Readonly<Record<string, string>>;
  readonly onEvent?: (event: KeeperEvent) => void;
  /** A keeper silent for this long is killed and started again; it speaks every second. */
  readonly hangMs?: number;
};

export interface RunningKeeper {
  readonly socket: string;
  /** Ends the keeper for good; resolves when it is gone. */
  stop(): Promise<void>;
  /** Undefined while it is down. */
  pid(): number | undefined;
}

/**
 * Resolves when the keeper serves its socket, also when the token is absent or the PIN refused: its health says so. Rejects with
 * `configuration_invalid` when it cannot start with these settings, and `keeper_unavailable` when it does not get ready in time.
 */
export async function startKeeper(start: KeeperStart): Promise<RunningKeeper> {
  const { env = {}, onEvent = () => {}, hangMs = HANG_MS, ...settings } = start;
  let config: KeeperConfig = settings;
  let child: ChildProcess | undefined;
  let stopping = false;
  let terminal: VaultError | undefined;
  let waitMs = BACKOFF_MS.first;
  let restart: NodeJS.Timeout | undefined;
  const ready = Promise.withResolvers<void>();

  function launch(): void {
    const startedAt = performance.now();
    const spawned = spawn(process.execPath, [...NODE_FLAGS, MAIN], {
      env: { ...env, ...pinVariableOf(config) },
      stdio: stdioOf(config),
    }) as ChildProcessWithoutNullStreams; // the first three are pipes
    child = spawned;
    let watchdog = setTimeout(hung, START_MS);
    spawned.stdin.on('error', () => {}); // it died before it read its configuration: `close` tells
    spawned.stdin.write(`${JSON.stringify(config)}\n`);
    createInterface({ input: spawned.stderr }).on('line', (detail) => onEvent({ event: 'line', detail }));
    createInterface({ input: spawned.stdout }).on('line', (line) => {
      clearTimeout(watchdog);
      watchdog = setTimeout(hung, hangMs);
      hear(line);
    });
    spawned.once('error', () => onEvent({ event: 'line', detail: 'the keeper process cannot be started' }));
    spawned.once('close', (code, signal) => {
      clearTimeout(watchdog);
      child = undefined;
      onEvent({ event: 'exited', detail: signal ?? `exit ${code}` });
      if (performance.now() - startedAt > STEADY_MS) waitMs = BACKOFF_MS.first;
      again();
    });
    onEvent({ event: 'started', detail: `pid ${spawned.pid ?? 'none'}` });

    function hung(): void {
      onEvent({ event: 'hung', detail: 'no sign of life; killed' });
      spawned.kill('SIGKILL');
    }
  }

  function again(): void {
    if (terminal !== undefined) ready.reject(terminal);
    if (terminal !== undefined || stopping) return;
    restart = setTimeout(launch, waitMs);
    waitMs = Math.min(waitMs * 2, BACKOFF_MS.most);
  }

  function hear(line: string): void {
    const heard = parseEvent(line);
    if (heard === undefined) onEvent({ event: 'line', detail: line });
    if (heard === undefined || heard.event === 'alive') return;
    // The token seen first is the only one accepted later, also by the next process.
    if (heard.identity !== undefined && config.provider !== 'aws-kms') config = { ...config, tokenIdentity: heard.identity };
    if (heard.event === 'fatal' && heard.code === 'configuration_invalid') terminal = new VaultError(heard.code, heard.detail);
    if (heard.event === 'refused' && heard.code !== undefined) terminal = new VaultError(heard.code, heard.detail);
    if (heard.event === 'ready') ready.resolve();
    onEvent({ event: heard.event, detail: heard.detail, ...(heard.code === undefined ? {} : { code: heard.code }) });
  }

  async function stop(): Promise<void> {
    stopping = true;
    clearTimeout(restart);
    const last = child;
    if (last === undefined) return;
    const gone = new Promise<void>((resolve) => last.once('close', () => resolve()));
    last.stdin?.end();
    const kill = setTimeout(() => last.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(kill);
  }

  launch();
  const late = setTimeout(() => ready.reject(new VaultError('keeper_unavailable', 'the keeper did not get ready in time')), START_MS);
  try {
    await ready.promise;
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(late);
  }
  return { socket: start.socket, stop, pid: () => child?.pid };
}

/** The one variable of ours that a keeper may see: the one it was told to find its PIN in. */
function pinVariableOf(config: KeeperConfig): Record<string, string> {
  const name = config.provider === 'aws-kms' ? undefined : config.pinVariable;
  const pin = name === undefined ? undefined : process.env[name];
  return name === undefined || pin === undefined ? {} : { [name]: pin };
}

/** Three pipes, and the descriptor of the PIN under its own number. */
function stdioOf(config: KeeperConfig): StdioOptions {
  const pipes = ['pipe', 'pipe', 'pipe'] as const;
  const descriptor = config.provider === 'aws-kms' ? undefined : config.pinDescriptor;
  if (descriptor === undefined) return [...pipes];
  return [...pipes, ...Array.from({ length: descriptor - pipes.length }, () => 'ignore' as const), descriptor];
}

interface HeardEvent {
  readonly event: 'login' | 'connected' | 'lost' | 'refused' | 'stuck' | 'kms' | 'ready' | 'fatal' | 'alive';
  readonly detail: string;
  readonly code?: ErrorCode;
  readonly identity?: string;
}

const HEARD: ReadonlySet<string> = new Set(['login', 'connected', 'lost', 'refused', 'stuck', 'kms', 'ready', 'fatal', 'alive']);

/** Undefined for a line that is no event of ours: a native library may print to standard output as well. */
function parseEvent(line: string): HeardEvent | undefined {
  try {
    const { event, code, detail, identity, attempt, outcome, ok } = JSON.parse(line);
    if (!HEARD.has(event)) return undefined;
    const text = event === 'login' ? `attempt ${attempt}: ${outcome}` : event === 'ready' ? (ok ? 'ok' : 'not ok') : String(detail ?? '');
    return {
      event,
      detail: text,
      ...(isErrorCode(String(code)) ? { code } : {}),
      ...(event === 'connected' && typeof identity === 'string' ? { identity } : {}),
    };
  } catch {
    return undefined;
  }
}
