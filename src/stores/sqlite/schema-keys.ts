/** The life of keys: how far a rewrap has come. What is wrapped under which key the wrapped blobs say; this is for whoever watches and goes on. */
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
`;
