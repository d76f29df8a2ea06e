import type { Cursor, CursorStore } from '../../audit/port.ts';
import type { Join } from './transaction.ts';

/** What migrations.ts adds for this store. */
export const SCHEMA_CURSORS = `
CREATE TABLE log_cursors (
  name        TEXT PRIMARY KEY,
  next        INTEGER NOT NULL CHECK (next >= 0),
  holder      TEXT NOT NULL,
  lease_until INTEGER NOT NULL
) STRICT;
`;

export function sqliteCursors(join: Join): CursorStore {
  return {
    async cursor(tx, name) {
      const row = join(tx).get<CursorRow>(`${SELECT} WHERE name = :name`, { name });
      return row && cursorOf(row);
    },
    async acquire(tx, asked) {
      return join(tx).run(ACQUIRE, { ...asked, now: tx.now }) === 1;
    },
    async move(tx, step) {
      const sql = 'UPDATE log_cursors SET next = :to WHERE name = :name AND holder = :holder AND next = :from';
      return join(tx).run(sql, { ...step }) === 1;
    },
    async release(tx, name, holder) {
      join(tx).run('UPDATE log_cursors SET lease_until = 0 WHERE name = :name AND holder = :holder', { name, holder });
    },
    async drop(tx, name) {
      join(tx).run('DELETE FROM log_cursors WHERE name = :name', { name });
    },
    async all(tx) {
      return join(tx).all<CursorRow>(`${SELECT} ORDER BY name`).map(cursorOf);
    },
  };
}

const SELECT = 'SELECT name, next, holder, lease_until AS leaseUntil FROM log_cursors';

type CursorRow = Omit<Cursor, 'leaseUntil'> & { readonly leaseUntil: number };

function cursorOf(row: CursorRow): Cursor {
  return { ...row, leaseUntil: new Date(row.leaseUntil) };
}

const ACQUIRE = `
  INSERT INTO log_cursors (name, next, holder, lease_until) VALUES (:name, :next, :holder, :until)
  ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
  WHERE holder = excluded.holder OR lease_until <= :now`;
