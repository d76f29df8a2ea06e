import type { AlertRow, AlertStore, DeliveryRow, KeptEngine } from '../../audit/alerts/port.ts';
import { addSeconds } from '../../domain/clock.ts';
import type { RecordId } from '../../domain/ids.ts';
import { bytesOf, type Join } from './transaction.ts';

/** What migrations.ts adds for this store. */
export const SCHEMA_ALERTS = `
CREATE TABLE alerts (
  record_id  TEXT PRIMARY KEY,
  raised_at  INTEGER NOT NULL,
  rule       TEXT NOT NULL,
  rule_id    TEXT NOT NULL,
  title      TEXT NOT NULL,
  level      TEXT NOT NULL,
  dedupe_key TEXT NOT NULL,
  matches    INTEGER NOT NULL,
  first      INTEGER NOT NULL,
  last       INTEGER NOT NULL,
  about      TEXT NOT NULL,
  sending    TEXT NOT NULL,
  acted      TEXT,
  told       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX alerts_of_key ON alerts (dedupe_key, raised_at);
CREATE INDEX alerts_sent ON alerts (sending, raised_at);

CREATE TABLE alert_deliveries (
  record_id TEXT NOT NULL,
  target    TEXT NOT NULL,
  repeated  INTEGER NOT NULL,
  storm     INTEGER NOT NULL,
  attempts  INTEGER NOT NULL,
  since     INTEGER NOT NULL,
  next_at   INTEGER NOT NULL,
  PRIMARY KEY (record_id, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_deliveries_due ON alert_deliveries (next_at);

CREATE TABLE alert_engine (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  rule_set TEXT NOT NULL,
  at       INTEGER NOT NULL,
  state    BLOB NOT NULL
) STRICT;

CREATE TABLE alert_beat (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  beat_at INTEGER NOT NULL
) STRICT;
`;

type Part<K extends keyof AlertStore> = Pick<AlertStore, K>;

export function sqliteAlerts(join: Join): AlertStore {
  return { ...raised(join), ...deliveries(join), ...engine(join) };
}

function raised(join: Join): Part<'insert' | 'alert' | 'alerts' | 'purge' | 'lastSent' | 'sentSince' | 'takeStorm'> {
  return {
    async insert(tx, { group, acted, ...alert }) {
      join(tx).run(INSERT, { ...alert, about: JSON.stringify(group), acted });
    },
    async alert(tx, recordId) {
      const row = join(tx).get<StoredAlert>(`${SELECT} WHERE record_id = :recordId`, { recordId });
      return row && alertOf(row);
    },
    async alerts(tx, limit, before) {
      const older = before === undefined ? '' : 'WHERE record_id < :before';
      return join(tx).all<StoredAlert>(`${SELECT} ${older} ORDER BY record_id DESC LIMIT :limit`, { limit, before }).map(alertOf);
    },
    async purge(tx, before) {
      join(tx).run('DELETE FROM alerts WHERE raised_at < :before', { before });
    },
    async lastSent(tx, dedupeKey) {
      const sql = "SELECT max(raised_at) AS at FROM alerts WHERE dedupe_key = :dedupeKey AND sending = 'sent'";
      const at = join(tx).get<{ at: number | null }>(sql, { dedupeKey })?.at ?? undefined;
      const counted = join(tx).get<{ repeated: number }>(REPEATED, { dedupeKey, at: at ?? 0 });
      return { repeated: counted?.repeated ?? 0, ...(at !== undefined && { at: new Date(at) }) };
    },
    async sentSince(tx, since) {
      const sql = "SELECT count(*) AS sent FROM alerts WHERE sending = 'sent' AND raised_at > :since";
      return join(tx).get<{ sent: number }>(sql, { since })?.sent ?? 0;
    },
    async takeStorm(tx) {
      const sql = "SELECT count(*) AS count, max(record_id) AS newest FROM alerts WHERE sending = 'storm' AND told = 0";
      const { count, newest } = join(tx).get<{ count: number; newest: RecordId | null }>(sql) ?? { count: 0, newest: null };
      if (count > 0) join(tx).run("UPDATE alerts SET told = 1 WHERE sending = 'storm' AND told = 0");
      return { count, ...(newest !== null && { newest }) };
    },
  };
}

const INSERT = `
  INSERT INTO alerts (record_id, raised_at, rule, rule_id, title, level, dedupe_key, matches, first, last, about, sending, acted)
  VALUES (:recordId, :raisedAt, :rule, :ruleId, :title, :level, :dedupeKey, :matches, :first, :last, :about, :sending, :acted)`;
const SELECT = `
  SELECT record_id AS recordId, raised_at AS raisedAt, rule, rule_id AS ruleId, title, level, dedupe_key AS dedupeKey, matches, first, last,
         about, sending, acted
  FROM alerts`;
const REPEATED = "SELECT count(*) AS repeated FROM alerts WHERE dedupe_key = :dedupeKey AND raised_at >= :at AND sending = 'repeated'";

type StoredAlert = Omit<AlertRow, 'raisedAt' | 'group' | 'acted'> & {
  readonly raisedAt: number;
  readonly about: string;
  readonly acted: string | null;
};

function alertOf({ about, acted, ...row }: StoredAlert): AlertRow {
  return { ...row, raisedAt: new Date(row.raisedAt), group: JSON.parse(about), ...(acted !== null && { acted }) };
}

function deliveries(join: Join): Part<'enqueue' | 'takeDue' | 'retry' | 'settle'> {
  return {
    async enqueue(tx, delivery) {
      join(tx).run(ENQUEUE, { ...delivery, now: tx.now });
    },
    async takeDue(tx, { limit, until, busy }) {
      const rows = join(tx).all<DeliveryRow & { since: number }>(DUE, { limit, now: tx.now, busy: JSON.stringify(busy) });
      for (const { recordId, target } of rows) join(tx).run(MOVE, { recordId, target, next: until });
      return rows.map((row) => ({ ...row, since: new Date(row.since) }));
    },
    async retry(tx, recordId, target, next) {
      join(tx).run(
        'UPDATE alert_deliveries SET attempts = attempts + 1, next_at = :next WHERE record_id = :recordId AND target = :target',
        {
          recordId,
          target,
          next,
        },
      );
    },
    async settle(tx, recordId, target) {
      join(tx).run('DELETE FROM alert_deliveries WHERE record_id = :recordId AND target = :target', { recordId, target });
    },
  };
}

const ENQUEUE = `
  INSERT INTO alert_deliveries (record_id, target, repeated, storm, attempts, since, next_at)
  VALUES (:recordId, :target, :repeated, :storm, 0, :now, :now) ON CONFLICT DO NOTHING`;
const DUE = `
  SELECT record_id AS recordId, target, repeated, storm, attempts, since FROM alert_deliveries
  WHERE next_at <= :now AND target NOT IN (SELECT value FROM json_each(:busy)) ORDER BY next_at, record_id LIMIT :limit`;
const MOVE = 'UPDATE alert_deliveries SET next_at = :next WHERE record_id = :recordId AND target = :target';

function engine(join: Join): Part<'keptEngine' | 'keepEngine' | 'beat'> {
  return {
    async keptEngine(tx) {
      const row = join(tx).get<KeptEngine>('SELECT rule_set AS ruleSet, at, state FROM alert_engine');
      return row && { ...row, state: bytesOf(row.state) };
    },
    async keepEngine(tx, kept) {
      join(tx).run('INSERT OR REPLACE INTO alert_engine (one, rule_set, at, state) VALUES (1, :ruleSet, :at, :state)', { ...kept });
    },
    async beat(tx, everySeconds, lateSeconds) {
      const last = join(tx).get<{ at: number }>('SELECT beat_at AS at FROM alert_beat')?.at;
      if (last !== undefined && last > addSeconds(tx.now, -everySeconds).getTime()) return 'not-yet';
      join(tx).run('INSERT OR REPLACE INTO alert_beat (one, beat_at) VALUES (1, :now)', { now: tx.now });
      if (last === undefined) return 'not-yet';
      return last < addSeconds(tx.now, -lateSeconds).getTime() ? 'late' : 'beat';
    },
  };
}
