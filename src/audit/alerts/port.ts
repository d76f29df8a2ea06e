/** AlertStore: what was raised, what of it waits to be sent, and what the engine must remember. Suite: test/contract/alert-store.ts. */
import type { Digest, RecordId } from '../../domain/ids.ts';
import type { Tx } from '../../domain/unit-of-work.ts';
import type { AlertLevel } from '../record.ts';

/** A cache of the leaf `alert.raised`, and what became of it. */
export interface AlertRow {
  /** The leaf. */
  readonly recordId: RecordId;
  readonly raisedAt: Date;
  /** `A01`. */
  readonly rule: string;
  readonly ruleId: string;
  readonly title: string;
  readonly level: AlertLevel;
  /** The same for the same rule about the same thing. */
  readonly dedupeKey: string;
  readonly matches: number;
  readonly first: number;
  readonly last: number;
  readonly group: Readonly<Record<string, string>>;
  /** `repeated`: one of the same key was sent a moment ago; `storm`: too many were. */
  readonly sending: 'sent' | 'repeated' | 'storm' | 'nowhere';
  /** What the vault stopped by itself because of it. */
  readonly acted?: string | undefined;
}

export interface DeliveryRow {
  readonly recordId: RecordId;
  /** Name of the target. */
  readonly target: string;
  /** Alerts of the same key that were not sent since the last one that was. */
  readonly repeated: number;
  /** Alerts that a storm kept back. */
  readonly storm: number;
  readonly attempts: number;
  readonly since: Date;
}

/** The engine's memory as of the leaf before `at`. */
export interface KeptEngine {
  readonly ruleSet: Digest;
  readonly at: number;
  readonly state: Uint8Array;
}

export interface AlertStore {
  insert(tx: Tx, alert: AlertRow): Promise<void>;
  alert(tx: Tx, recordId: RecordId): Promise<AlertRow | undefined>;
  /** Newest first, at most `limit`, older than `before`. */
  alerts(tx: Tx, limit: number, before?: RecordId): Promise<readonly AlertRow[]>;
  /** Forgets alerts raised before `before`; their leaves stay. */
  purge(tx: Tx, before: Date): Promise<void>;
  /** When one of this key was last sent, and how many were not since. */
  lastSent(tx: Tx, dedupeKey: string): Promise<{ readonly at?: Date; readonly repeated: number }>;
  /** How many were sent since then. */
  sentSince(tx: Tx, since: Date): Promise<number>;
  /** Alerts that a storm kept back and nobody was told of: counts and forgets them. */
  takeStorm(tx: Tx): Promise<{ readonly count: number; readonly newest?: RecordId }>;
  enqueue(tx: Tx, delivery: Omit<DeliveryRow, 'attempts' | 'since'>): Promise<void>;
  /** Those whose time has come, oldest first, but for targets that are busy; nobody else gets them before `until`. */
  takeDue(
    tx: Tx,
    asked: { readonly limit: number; readonly until: Date; readonly busy: readonly string[] },
  ): Promise<readonly DeliveryRow[]>;
  /** It failed: once more at `next`. */
  retry(tx: Tx, recordId: RecordId, target: string, next: Date): Promise<void>;
  /** It arrived, or was given up. */
  settle(tx: Tx, recordId: RecordId, target: string): Promise<void>;
  keptEngine(tx: Tx): Promise<KeptEngine | undefined>;
  keepEngine(tx: Tx, engine: KeptEngine): Promise<void>;
  /** True for one of all callers within `everySeconds`; `late` when it was more than `lateSeconds` ago. The first call only begins. */
  beat(tx: Tx, everySeconds: number, lateSeconds: number): Promise<'not-yet' | 'beat' | 'late'>;
}
