/**
 * The life of keys. How far a rewrap has come: what is wrapped under which key the wrapped blobs say, this is for whoever watches and goes on. The second
 * wrap of each DEK, for the day the HSM is lost; after that day documents are signed again by a new key, and what was signed before is kept beside.
 */
export const SCHEMA_KEYS = `
CREATE TABLE rewrap_job (
  one             INTEGER PRIMARY KEY CHECK (one = 1),
  target          TEXT NOT NULL,
  after           TEXT,
  total           INTEGER NOT NULL,
  done            INTEGER NOT NULL,
  rewrapped       INTEGER NOT NULL,
  failed          INTEGER NOT NULL,
  waiting         INTEGER NOT NULL,
  keys_per_second INTEGER NOT NULL,
  started_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  finished_at     INTEGER,
  holder          TEXT NOT NULL,
  lease_until     INTEGER NOT NULL
) STRICT;

CREATE TABLE recovery_wraps (
  version_id TEXT PRIMARY KEY REFERENCES versions (version_id),
  key_id     TEXT NOT NULL,
  wrapped    BLOB NOT NULL
) STRICT;

CREATE TABLE former_signatures (
  digest    TEXT NOT NULL REFERENCES documents (digest),
  signature BLOB NOT NULL,
  PRIMARY KEY (digest, signature)
) STRICT;
DROP TRIGGER documents_never_change;
CREATE TRIGGER documents_never_change BEFORE UPDATE ON documents
WHEN old.digest <> new.digest OR old.kind <> new.kind OR old.bytes <> new.bytes
BEGIN SELECT RAISE(ABORT, 'documents never change'); END;
`;

/** Who makes keys in the HSM: one at a time, because few tokens show two makers at once that they made the same key. */
export const SCHEMA_KEY_MAKING = `
CREATE TABLE key_making (
  one         INTEGER PRIMARY KEY CHECK (one = 1),
  maker       TEXT NOT NULL,
  lease_until INTEGER NOT NULL
) STRICT;
`;

export const ACQUIRE_MAKING = `
  INSERT INTO key_making (one, maker, lease_until) VALUES (1, :maker, :until)
  ON CONFLICT (one) DO UPDATE SET maker = excluded.maker, lease_until = excluded.lease_until WHERE lease_until <= :now`;
