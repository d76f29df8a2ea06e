import type { FoundStep, SearchEntry, SearchStep, SearchStore, SearchTerm, Tally } from '../../audit/search/port.ts';
import type { Join, SqliteTx } from './transaction.ts';

/**
 * What migrations.ts adds for this store. All of it is made from log_leaves and can be emptied. A block is 256 records: what it spans in time and
 * its largest release say whether a search need look into it at all, also when the clock was set back in between.
 */
export const SCHEMA_SEARCH = `
CREATE TABLE search_terms (
  term       INTEGER NOT NULL,
  leaf_index INTEGER NOT NULL,
  PRIMARY KEY (term, leaf_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE search_leaves (
  leaf_index INTEGER PRIMARY KEY,
  time_ms    INTEGER NOT NULL,
  bytes      INTEGER NOT NULL
) STRICT;

CREATE TABLE search_blocks (
  block     INTEGER PRIMARY KEY,
  first_ms  INTEGER NOT NULL,
  last_ms   INTEGER NOT NULL,
  max_bytes INTEGER NOT NULL
) STRICT;

CREATE TABLE search_tallies (
  day       TEXT NOT NULL,
  namespace TEXT NOT NULL,
  type      TEXT NOT NULL,
  outcome   TEXT NOT NULL,
  reason    TEXT NOT NULL,
  records   INTEGER NOT NULL,
  bytes     INTEGER NOT NULL,
  PRIMARY KEY (day, namespace, type, outcome, reason)
) STRICT, WITHOUT ROWID;
`;

const BLOCK = 256;
/** Records that one step looks at; a step takes some milliseconds, because everything else in the process waits for it. */
const CANDIDATES = 2_048;
/** Beyond this many, which of two terms is the rarer does not matter. */
const COUNTED = 1_000;

export function sqliteSearch(join: Join): SearchStore {
  return {
    async add(tx, entries) {
      add(join(tx), entries);
    },
    async find(tx, step) {
      return find(join(tx), step);
    },
    async tallies(tx, { fromDay, toDay, namespace }) {
      const only = namespace === undefined ? '' : 'AND namespace = :namespace';
      return join(tx).all<Tally>(
        `SELECT * FROM search_tallies WHERE day BETWEEN :fromDay AND :toDay ${only} ORDER BY day, namespace, type, outcome, reason`,
        { fromDay, toDay, namespace },
      );
    },
    async remove(tx, entries) {
      const joined = join(tx);
      for (const { index, terms } of entries) {
        joined.run('DELETE FROM search_leaves WHERE leaf_index = :index', { index });
        for (const term of terms) joined.run('DELETE FROM search_terms WHERE term = :term AND leaf_index = :index', { term, index });
      }
    },
    async clear(tx, most) {
      return clear(join(tx), most);
    },
  };
}

/** All at once it would hold the store for a second and a half of a million records: what is erased is overwritten. */
function clear(tx: SqliteTx, most: number): boolean {
  for (const [table, key] of [
    ['search_terms', 'term, leaf_index'],
    ['search_leaves', 'leaf_index'],
  ] as const) {
    const until = `(SELECT ${key} FROM ${table} ORDER BY ${key} LIMIT 1 OFFSET :most)`;
    if (tx.run(`DELETE FROM ${table} WHERE (${key}) < ${until}`, { most }) > 0) return true;
    tx.run(`DELETE FROM ${table}`); // at most so many are left
  }
  for (const table of ['search_blocks', 'search_tallies']) tx.run(`DELETE FROM ${table}`); // one for 256 records, and some for each day
  return false;
}

/** Terms in the order of their table, so that each of its pages is visited once; blocks and tallies summed up before they are written. */
function add(tx: SqliteTx, entries: readonly SearchEntry[]): void {
  const terms = entries.flatMap((entry) => entry.terms.map((term) => ({ term, index: entry.index })));
  const blocks = Map.groupBy(entries, ({ index }) => Math.floor(index / BLOCK));
  const tallies = Map.groupBy(entries, ({ tally }) => JSON.stringify(Object.values(tally)));
  const leaves = entries.flatMap(({ index, timeMs, bytes }) => [index, timeMs, bytes]);
  tx.insertMany('INSERT INTO search_leaves (leaf_index, time_ms, bytes) VALUES', 3, leaves);
  terms.sort((a, b) => a.term - b.term || a.index - b.index);
  const rows = terms.flatMap(({ term, index }) => [term, index]);
  tx.insertMany('INSERT INTO search_terms (term, leaf_index) VALUES', 2, rows);
  tx.runEach(
    WIDEN_BLOCK,
    [...blocks].map(([block, within]) => ({ block, ...spanned(within) })),
  );
  tx.runEach(COUNT, [...tallies.values()].map(counted));
}

function spanned(entries: readonly SearchEntry[]) {
  const times = entries.map(({ timeMs }) => timeMs);
  return { firstMs: Math.min(...times), lastMs: Math.max(...times), bytes: Math.max(...entries.map(({ bytes }) => bytes)) };
}

/** Of entries that have the same tally. */
function counted(alike: readonly SearchEntry[]) {
  return { ...alike[0]?.tally, records: alike.length, bytes: alike.reduce((sum, { bytes }) => sum + bytes, 0) };
}

const WIDEN_BLOCK = `
  INSERT INTO search_blocks (block, first_ms, last_ms, max_bytes) VALUES (:block, :firstMs, :lastMs, :bytes)
  ON CONFLICT (block) DO UPDATE SET first_ms = min(first_ms, excluded.first_ms), last_ms = max(last_ms, excluded.last_ms),
                                    max_bytes = max(max_bytes, excluded.max_bytes)`;
const COUNT = `
  INSERT INTO search_tallies (day, namespace, type, outcome, reason, records, bytes)
  VALUES (:day, :namespace, :type, :outcome, :reason, :records, :bytes)
  ON CONFLICT (day, namespace, type, outcome, reason)
  DO UPDATE SET records = records + excluded.records, bytes = bytes + excluded.bytes`;

interface Candidate {
  readonly index: number;
  readonly fits: number;
}

function narrowed({ fromMs, toMs, minBytes }: SearchStep): boolean {
  return fromMs !== undefined || toMs !== undefined || minBytes !== undefined;
}

/** The stretch of records to look at next, inclusive. */
interface Stretch {
  readonly low: number;
  readonly high: number;
}

function find(tx: SqliteTx, step: SearchStep): FoundStep {
  const stretch = nextStretch(tx, step);
  if (stretch === undefined) return { indexes: [] };
  const [rarest, ...others] = byRarity(tx, step.terms, stretch);
  const sql = statement({ driven: rarest !== undefined, others: others.length, narrowed: narrowed(step), order: step.order });
  const named = Object.fromEntries(others.map((term, at) => [`term${at}`, term]));
  const { fromMs = 0, toMs = Number.MAX_SAFE_INTEGER, minBytes = 0, limit } = step;
  const candidates = others.length === 0 && !narrowed(step) ? limit : CANDIDATES;
  const rows = tx.each<Candidate>(sql, { ...stretch, ...named, term: rarest, candidates, fromMs, toMs, minBytes });
  return pageOf(rows, { ...stretch, candidates }, step);
}

/** Where the first run of blocks that can hold something lies. Without conditions on time and bytes: all that is left. */
function nextStretch(tx: SqliteTx, step: SearchStep): Stretch | undefined {
  const { order, start, fromMs, toMs, minBytes } = step;
  if (start < 0) return undefined;
  const newest = order === 'newest';
  if (!narrowed(step)) return newest ? { low: 0, high: start } : { low: start, high: Number.MAX_SAFE_INTEGER };
  const blocks = tx.all<{ block: number }>(newest ? BLOCKS_DOWN : BLOCKS_UP, {
    block: Math.floor(start / BLOCK),
    fromMs: fromMs ?? 0,
    toMs: toMs ?? Number.MAX_SAFE_INTEGER,
    minBytes: minBytes ?? 0,
  });
  const [first] = blocks;
  if (first === undefined) return undefined;
  const run = blocks.findIndex(({ block }, at) => block !== first.block + (newest ? -at : at));
  const last = blocks[(run === -1 ? blocks.length : run) - 1]?.block ?? first.block;
  const [low, high] = newest ? [last, first.block] : [first.block, last];
  const edges = { low: low * BLOCK, high: high * BLOCK + BLOCK - 1 };
  return newest ? { ...edges, high: Math.min(edges.high, start) } : { ...edges, low: Math.max(edges.low, start) };
}

const BLOCKS_WHERE = 'last_ms >= :fromMs AND first_ms <= :toMs AND max_bytes >= :minBytes';
const BLOCKS_UP = `SELECT block FROM search_blocks WHERE block >= :block AND ${BLOCKS_WHERE} ORDER BY block LIMIT 64`;
const BLOCKS_DOWN = `SELECT block FROM search_blocks WHERE block <= :block AND ${BLOCKS_WHERE} ORDER BY block DESC LIMIT 64`;

/** The rarest first: its records are gone through, the other terms are looked up in each. */
function byRarity(tx: SqliteTx, terms: readonly SearchTerm[], { low, high }: Stretch): readonly SearchTerm[] {
  if (terms.length < 2) return terms;
  const count = (term: SearchTerm) => tx.get<{ count: number }>(COUNT_TERM, { term, low, high, most: COUNTED })?.count ?? 0;
  return terms
    .map((term) => ({ term, count: count(term) }))
    .sort((a, b) => a.count - b.count)
    .map(({ term }) => term);
}

const COUNT_TERM = `
  SELECT count(*) AS count FROM (SELECT 1 FROM search_terms WHERE term = :term AND leaf_index BETWEEN :low AND :high LIMIT :most)`;

interface Shape {
  /** By a term: its records are gone through; else all. */
  readonly driven: boolean;
  readonly others: number;
  readonly narrowed: boolean;
  readonly order: SearchStep['order'];
}

/** Without a sort, so that whoever has a page of it leaves the other candidates alone: each costs some pages that lie far apart. */
function statement({ driven, others, narrowed, order }: Shape): string {
  const within = 'time_ms BETWEEN :fromMs AND :toMs AND bytes >= :minBytes';
  const fits = [
    ...(narrowed ? [driven ? `(SELECT ${within} FROM search_leaves WHERE leaf_index = c.leaf_index)` : within] : []),
    ...Array.from(
      { length: others },
      (_, at) => `EXISTS (SELECT 1 FROM search_terms WHERE term = :term${at} AND leaf_index = c.leaf_index)`,
    ),
  ];
  return `
    SELECT leaf_index AS "index", (${fits.join(' AND ') || 'true'}) AS fits
    FROM ${driven ? 'search_terms AS c WHERE term = :term AND' : 'search_leaves AS c WHERE'} leaf_index BETWEEN :low AND :high
    ORDER BY leaf_index ${order === 'newest' ? 'DESC' : 'ASC'} LIMIT :candidates`;
}

function pageOf(
  rows: Iterable<Candidate>,
  { low, high, candidates }: Stretch & { readonly candidates: number },
  { order, limit }: SearchStep,
): FoundStep {
  const indexes: number[] = [];
  const beyond = (index: number) => (order === 'newest' ? index - 1 : index + 1);
  const going = (next: number): FoundStep => (next < 0 ? { indexes } : { indexes, next });
  let seen = 0;
  for (const { index, fits } of rows) {
    if (fits === 1) indexes.push(index);
    seen++;
    if (indexes.length === limit || seen === candidates) return going(beyond(index));
  }
  if (order === 'newest' ? low === 0 : high === Number.MAX_SAFE_INTEGER) return { indexes };
  return going(beyond(order === 'newest' ? low : high));
}
