/**
 * Figures for Prometheus. Labels come from closed lists only (operations, statuses, codes, record types, verbs): never a model, a
 * requester, a namespace or an id, because whoever reads the figures is not whoever may read the access log.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { ClassName } from '../domain/classes.ts';
import type { ErrorCode } from '../domain/errors.ts';

export interface Answered {
  readonly plane: 'data' | 'admin';
  /** The route's, or `none`. */
  readonly operation: string;
  readonly status: number;
  readonly code: ErrorCode | undefined;
  readonly seconds: number;
}

export interface Recorded {
  readonly type: string;
  readonly outcome: string;
  readonly reason: ErrorCode | undefined;
  /** Of the model, where the record says it. */
  readonly class: ClassName | undefined;
}

/** What is asked for whenever somebody scrapes. */
export interface Gauges {
  readonly ready: () => Promise<boolean>;
  readonly revocationsStale: () => boolean;
  readonly logHalted: () => boolean;
  /** Records that a signed checkpoint covers, and those that have their index and wait for one. Rejects when the store does. */
  readonly log: () => Promise<{ readonly size: number; readonly waiting: number }>;
  /** 0 ample, 1 low, 2 the reserve was given up, 3 that is used up too. */
  readonly logRoom: () => number;
  /** Seconds that the newest checkpoint waits for a quorum of witnesses; undefined where there are none. */
  readonly witnessLag: () => number | undefined;
  /** Of those who read the log: how far the search index is behind, and how far the sink that is furthest behind. Rejects when the store does. */
  readonly readers: () => Promise<{
    readonly search: number;
    readonly sinks: number;
    readonly behind: number;
    readonly lagSeconds: number;
    /** Required sinks that are too far behind. */
    readonly refusing: number;
  }>;
  /** Sessions of the keeper's token; undefined when the keeper does not answer or has none. */
  readonly sessions: () => Promise<{ readonly sessions: number; readonly busy: number; readonly waiting: number } | undefined>;
  /** Days until a KEK should be rotated, key versions that are suspended, keys that wait to be rewrapped. */
  readonly keys: () => Promise<{ readonly daysLeft: number; readonly suspended: number; readonly rewrapLeft: number }>;
}

export interface Metrics {
  answered(answer: Answered): void;
  /** A stream of plaintext is open until the function is called. */
  streamOpened(): () => void;
  bytesSent(bytes: number): void;
  /** A record was written, in a transaction that may yet be undone: a figure, not the record. */
  recorded(record: Recorded): void;
  keyCalled(verb: string, seconds: number, code: ErrorCode | undefined): void;
  /** A delivery to a sink failed and will be tried again. */
  sinkFailed(kind: 'syslog' | 'webhook' | 'file', code: ErrorCode): void;
  watch(gauges: Gauges): void;
  /** The process's own: memory, descriptors, event-loop lag, garbage collection. */
  watchProcess(): void;
  readonly contentType: string;
  /** Prometheus text format. */
  text(): Promise<string>;
}

/** Records that say how a release began or ended. */
const RELEASES: ReadonlySet<string> = new Set(['release.begin', 'release.denied', 'release.end', 'release.unknown']);
const SECONDS = [0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60, 600];

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const answers = new Histogram({
    name: 'weight_vault_http_request_seconds',
    help: 'Requests by operation and status, from the first header to the last byte',
    labelNames: ['plane', 'operation', 'status'],
    buckets: SECONDS,
    registers,
  });
  const problems = new Counter({
    name: 'weight_vault_http_problems_total',
    help: 'Problem answers by operation and code (docs/errors.md)',
    labelNames: ['plane', 'operation', 'code'],
    registers,
  });
  const streams = new Gauge({ name: 'weight_vault_streams_open', help: 'Streams of plaintext under way', registers });
  const sent = new Counter({ name: 'weight_vault_plaintext_bytes_total', help: 'Plaintext bytes handed to connections', registers });
  const records = new Counter({
    name: 'weight_vault_records_total',
    help: 'Access records by type, outcome and reason; release.begin, release.denied and release.end count releases',
    labelNames: ['type', 'outcome', 'reason'],
    registers,
  });
  const releases = new Counter({
    name: 'weight_vault_releases_total',
    help: 'Releases by class of the model and outcome: permit or deny, and how those that were permitted ended. A class that is not known is `unknown`',
    labelNames: ['class', 'outcome'],
    registers,
  });
  const calls = new Histogram({
    name: 'weight_vault_key_call_seconds',
    help: 'Calls to the keeper by verb',
    labelNames: ['verb'],
    buckets: SECONDS,
    registers,
  });
  const failures = new Counter({
    name: 'weight_vault_key_call_failures_total',
    help: 'Calls to the keeper that failed, by verb and code',
    labelNames: ['verb', 'code'],
    registers,
  });
  const sinkFailures = new Counter({
    name: 'weight_vault_log_sink_failures_total',
    help: 'Deliveries of access records to sinks that failed and are tried again, by kind of sink and code',
    labelNames: ['kind', 'code'],
    registers,
  });
  return {
    answered({ plane, operation, status, code, seconds }) {
      answers.observe({ plane, operation, status }, seconds);
      if (code !== undefined) problems.inc({ plane, operation, code });
    },
    streamOpened() {
      streams.inc();
      return () => streams.dec();
    },
    bytesSent: (bytes) => sent.inc(bytes),
    recorded({ type, outcome, reason = '', class: className = 'unknown' }) {
      records.inc({ type, outcome, reason });
      if (RELEASES.has(type)) releases.inc({ class: className, outcome });
    },
    keyCalled(verb, seconds, code) {
      calls.observe({ verb }, seconds);
      if (code !== undefined) failures.inc({ verb, code });
    },
    sinkFailed: (kind, code) => sinkFailures.inc({ kind, code }),
    watch: (gauges) => watchGauges(gauges, registers),
    watchProcess: () => collectDefaultMetrics({ register: registry }),
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}

function watchGauges(gauges: Gauges, registers: Registry[]): void {
  const ask = (name: string, help: string, value: () => Promise<number> | number) =>
    new Gauge({
      name: `weight_vault_${name}`,
      help,
      registers,
      async collect() {
        this.set(await value());
      },
    });
  const known = { size: Number.NaN, waiting: Number.NaN }; // NaN: the store does not answer, which `ready` says
  const log = () => gauges.log().catch(() => known);
  ask('ready', '1 when the node should be sent requests', async () => Number(await gauges.ready()));
  ask('revocations_stale', '1 when the list of stops could not be read and every stream is cut', () => Number(gauges.revocationsStale()));
  ask('log_halted', '1 when the access log is no longer signed and nothing is released', () => Number(gauges.logHalted()));
  const keys = () => gauges.keys().catch(() => ({ daysLeft: Number.NaN, suspended: Number.NaN, rewrapLeft: Number.NaN }));
  ask('kek_days_left', 'Days until the first active KEK version should be rotated', async () => (await keys()).daysLeft);
  ask('keks_suspended', 'KEK versions that somebody has suspended', async () => (await keys()).suspended);
  ask('rewrap_keys_left', 'Keys that the rewrap under way has not looked at yet', async () => (await keys()).rewrapLeft);
  ask('log_records', 'Records under the newest checkpoint', async () => (await log()).size);
  ask('log_records_waiting', 'Records that have their index and wait for a signed checkpoint', async () => (await log()).waiting);
  ask('log_room', 'Room for the access log: 0 ample, 1 low, 2 the reserve was given up, 3 that is used up too', () => gauges.logRoom());
  ask(
    'log_witness_lag_seconds',
    'How long a checkpoint waits that no quorum of witnesses has seen; NaN without witnesses',
    () => gauges.witnessLag() ?? Number.NaN,
  );
  const nobody = { search: Number.NaN, refusing: Number.NaN, sinks: Number.NaN, behind: Number.NaN, lagSeconds: Number.NaN };
  const readers = () => gauges.readers().catch(() => nobody);
  ask('log_search_behind', 'Records that cannot be searched yet', async () => (await readers()).search);
  ask('log_sinks', 'Sinks of the access log that are in force', async () => (await readers()).sinks);
  ask('log_sink_behind', 'Records that wait for the sink that is furthest behind', async () => (await readers()).behind);
  ask('log_sink_lag_seconds', 'Age of the oldest record that waits for a sink', async () => (await readers()).lagSeconds);
  ask(
    'log_sinks_refusing',
    'Required sinks that are too far behind: while there is one nothing new is released',
    async () => (await readers()).refusing,
  );
  const pool = () => gauges.sessions().catch(() => undefined);
  ask('keeper_sessions', 'Sessions of the token', async () => (await pool())?.sessions ?? Number.NaN);
  ask('keeper_sessions_busy', 'Sessions of the token that an operation has', async () => (await pool())?.busy ?? Number.NaN);
  ask('keeper_operations_waiting', 'Operations that wait for a session of the token', async () => (await pool())?.waiting ?? Number.NaN);
}
