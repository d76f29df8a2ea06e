/** Sends records to the sinks that two people signed. Beside everything else: each sink has its own cursor, deadline and pauses, and no release waits for one. */
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { createLineFiles } from '../audit/delivery/line-files.ts';
import { sendSyslog } from '../audit/delivery/syslog-tls.ts';
import { postWebhook } from '../audit/delivery/webhook.ts';
import { createFollower, type Follower, type LogReader } from '../audit/follower.ts';
import { copyOf } from '../audit/formats/copied-record.ts';
import { LOG_FORMATS } from '../audit/formats/format.ts';
import type { LeafRow } from '../audit/port.ts';
import type { LogSink } from '../documents/log-sinks.ts';
import { sha256Hex, utf8 } from '../domain/bytes.ts';
import { codeOf, type ErrorCode, VaultError } from '../domain/errors.ts';
import { sinkStates, sinksInForce, tellLagging } from './sink-lag.ts';
import type { Vault } from './vault.ts';

export type SinkPorts = Pick<Vault, 'vaultId' | 'node' | 'stores' | 'catalogueKey' | 'accessLog' | 'logKey'>;

/** What of a sink is the machine's and not in the document. */
export interface SinkSurroundings {
  /** Where file sinks write, each into a folder of its name. */
  readonly files?: string | undefined;
  /** Of a webhook: 24 to 64 bytes. */
  secretOf(sink: string): Promise<Uint8Array | undefined>;
  /** PEM of the certificate and key that a syslog receiver or a webhook is shown. */
  clientOf(sink: string): Promise<{ readonly certificate: string; readonly privateKey: string } | undefined>;
}

export interface LogSinks {
  /** One look at the document and at who lags. Never rejects. */
  tick(): Promise<void>;
  start(): void;
  stop(): Promise<void>;
}

/** What the operational log and the figures are told. */
export interface SinkEvents {
  /** A delivery failed, and is tried again. */
  failed(failure: SinkFailure): void;
  /** The document or the store cannot be read: the sinks that run go on. */
  unreadable(code: ErrorCode): void;
}

export interface SinkFailure {
  readonly sink: string;
  readonly kind: LogSink['kind'];
  readonly code: ErrorCode;
}

/** How long a change of the document may take to come in force, at most. */
const LOOK_MS = 2_000;
const RETRY_MS = { first: 1_000, most: 60_000 };

export function createLogSinks(vault: SinkPorts, surroundings: SinkSurroundings, events: SinkEvents): LogSinks {
  const running = new Map<string, { readonly settings: string; readonly follower: Follower }>();
  const failures = new Map<string, ErrorCode>();
  const told = { lagging: new Set<string>(), refusing: new Set<string>(), failures };
  let timer: NodeJS.Timeout | undefined;
  let last: Promise<void> = Promise.resolve();
  let stopped = false;

  async function follow(sinks: readonly LogSink[]): Promise<void> {
    const wanted = new Map(sinks.map((sink) => [sink.name, JSON.stringify(sink)]));
    for (const [name, { settings, follower }] of running) {
      if (wanted.get(name) === settings) continue;
      running.delete(name);
      failures.delete(name);
      await follower.stop();
    }
    for (const sink of sinks) {
      if (running.has(sink.name) || stopped) continue;
      const follower = followerOf(sink, vault, surroundings, (code) => {
        if (code === undefined) failures.delete(sink.name);
        else failures.set(sink.name, code);
        if (code !== undefined) events.failed({ sink: sink.name, kind: sink.kind, code });
      });
      running.set(sink.name, { settings: wanted.get(sink.name) ?? '', follower });
      follower.start();
    }
  }

  async function look(): Promise<void> {
    try {
      const sinks = await vault.stores.unitOfWork.run((tx) => sinksInForce(tx, vault));
      await follow(sinks);
      await tellLagging(await sinkStates(vault), told, vault);
    } catch (error) {
      events.unreadable(codeOf(error));
    }
  }

  function tick(): Promise<void> {
    last = last.then(look);
    return last;
  }

  async function loop(): Promise<void> {
    await tick();
    if (!stopped) timer = setTimeout(() => void loop(), LOOK_MS);
  }

  return {
    tick,
    start: () => void loop(),
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await last;
      await Promise.all([...running.values()].map(({ follower }) => follower.stop()));
      running.clear();
    },
  };
}

export function followerOf(
  sink: LogSink,
  { stores, node, logKey }: Pick<SinkPorts, 'stores' | 'node' | 'logKey'>,
  surroundings: SinkSurroundings,
  tell: (code: ErrorCode | undefined) => void,
): Follower {
  const { unitOfWork, log, cursors } = stores;
  return createFollower({
    unitOfWork,
    log,
    cursors,
    node,
    name: `sink/${sink.name}`,
    from: sink.from,
    reader: sinkReader(sink, logKey.name, surroundings),
    retryMs: RETRY_MS,
    onEvent: (event) => tell(event.kind === 'failed' ? event.code : undefined),
  });
}

function sinkReader(sink: LogSink, origin: string, surroundings: SinkSurroundings): LogReader {
  switch (sink.kind) {
    case 'syslog':
      return {
        deliver: async (leaves, signal) =>
          sendSyslog(await targetOf(sink, surroundings), (await linesOf(leaves, origin, 'rfc5424')).map(utf8), signal),
      };
    case 'webhook':
      return { deliver: (leaves, signal) => post(sink, leaves, origin, surroundings, signal) };
    case 'file': {
      const files = filesOf(sink, surroundings);
      return {
        deliver: async (leaves) => {
          const lines = await linesOf(leaves, origin, sink.format);
          await files().append(leaves.map(({ index }, at) => ({ index, line: lines[at] ?? '' })));
        },
      };
    }
  }
}

async function post(
  sink: Extract<LogSink, { kind: 'webhook' }>,
  leaves: readonly LeafRow[],
  origin: string,
  surroundings: SinkSurroundings,
  signal: AbortSignal,
): Promise<void> {
  const secret = await surroundings.secretOf(sink.name);
  if (secret === undefined) throw new VaultError('sink_refused', `there is no secret for ${sink.name}`);
  const { path, format } = sink;
  const [first, last] = [leaves[0]?.index, leaves.at(-1)?.index];
  // The same records have the same id, so that the receiver knows a repetition.
  const id = `${sha256Hex(utf8(origin)).slice(0, 16)}-${first}-${last}`;
  const body = utf8(`[${(await linesOf(leaves, origin, format)).join(',')}]`); // JSON, because libraries that verify the signature parse it too
  const target = { ...(await targetOf(sink, surroundings)), path, secret };
  await postWebhook(target, { id, contentType: 'application/json', body }, new Date(), signal);
}

async function targetOf({ name, host, port, ca }: Extract<LogSink, { kind: 'syslog' | 'webhook' }>, surroundings: SinkSurroundings) {
  return { host, port, ...(ca !== undefined && { ca }), ...(await surroundings.clientOf(name)) };
}

function filesOf({ name, format, rotateBytes }: Extract<LogSink, { kind: 'file' }>, { files }: SinkSurroundings) {
  const made =
    files === undefined
      ? undefined
      : createLineFiles({ folder: join(files, name), rotateBytes, indexOf: (line) => LOG_FORMATS[format].read(line)?.index });
  return () => {
    if (made === undefined) throw new VaultError('target_unwritable', 'vault.json names no folder for file sinks (sinkFiles)');
    return made;
  };
}

const LINES_AT_ONCE = 16;

/** A batch takes some 50 ms of the thread that releases run in: in between they get their turn. */
async function linesOf(leaves: readonly LeafRow[], origin: string, format: keyof typeof LOG_FORMATS): Promise<string[]> {
  const lines: string[] = [];
  for (const { index, leaf } of leaves) {
    if (lines.length % LINES_AT_ONCE === 0) await setImmediate();
    lines.push(LOG_FORMATS[format].write(copyOf(origin, index, leaf)));
  }
  return lines;
}
