import type { LogStore } from '../../audit/port.ts';
import { partsOf } from './log-tiles.ts';
import type { Join } from './transaction.ts';

/** Records of a full bundle. */
const WIDTH = 256;

export function sqlitePruning(join: Join): Pick<LogStore, 'eraseDisclosuresBefore' | 'prunedBefore' | 'isPruned' | 'prune'> {
  return {
    async eraseDisclosuresBefore(tx, time, limit) {
      return join(tx).run(ERASE_BEFORE, { before: firstIdAt(time), limit });
    },
    async prunedBefore(tx) {
      return join(tx).get<{ index: number }>('SELECT leaf_index AS "index" FROM log_pruned_before')?.index ?? 0;
    },
    async isPruned(tx, bundle) {
      return join(tx).get('SELECT 1 FROM log_pruned WHERE bundle = :bundle', { bundle }) !== undefined;
    },
    async prune(tx, bundles, before) {
      const joined = join(tx);
      for (const bundle of bundles) {
        const range = { start: bundle * WIDTH, end: (bundle + 1) * WIDTH };
        joined.run('INSERT INTO log_pruned (bundle) VALUES (:bundle) ON CONFLICT DO NOTHING', { bundle });
        joined.run(`DELETE FROM log_disclosures WHERE record_id IN (SELECT record_id FROM log_leaves WHERE ${RANGE})`, range);
        joined.run(`DELETE FROM log_leaves WHERE ${RANGE}`, range);
        const path = entriesPath(bundle);
        joined.run('DELETE FROM log_tiles WHERE path = :path', { path });
        joined.run('DELETE FROM log_tiles WHERE path >= :from AND path < :to', partsOf(path));
      }
      joined.run(MOVE_ON, { before });
    },
  };
}

const RANGE = 'leaf_index >= :start AND leaf_index < :end';
const ERASE_BEFORE = `
  DELETE FROM log_disclosures WHERE record_id IN (
    SELECT record_id FROM log_disclosures WHERE record_id < :before GROUP BY record_id ORDER BY record_id LIMIT :limit)`;
const MOVE_ON = `
  INSERT INTO log_pruned_before (one, leaf_index) VALUES (1, :before)
  ON CONFLICT (one) DO UPDATE SET leaf_index = max(leaf_index, excluded.leaf_index)`;

/** A record's id is a UUIDv7: in order of the time it was made (RFC 9562 section 5.7). */
function firstIdAt(time: Date): string {
  const hex = time.getTime().toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}`;
}

/** C2SP tlog-tiles: groups of three digits, all but the last after an x. */
function entriesPath(bundle: number): string {
  const digits = String(bundle);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/[0-9]{3}/g) ?? [];
  return `tile/entries/${groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join('/')}`;
}
