/**
 * Schema 1. Ids and digests TEXT, times INTEGER milliseconds since 1970, bytes BLOB. STRICT tables, so a value of the wrong kind is refused.
 * Kinds and classes are not CHECKed: their lists grow, and a SQLite CHECK cannot be changed in place.
 * The separate roles of data plane and admin plane are a PostgreSQL matter; a SQLite file has one owner.
 */
export const SCHEMA_1 = `
CREATE TABLE models (
  namespace TEXT NOT NULL,
  model_id  TEXT PRIMARY KEY,
  name      TEXT NOT NULL,
  class     TEXT NOT NULL,
  UNIQUE (namespace, name),
  UNIQUE (namespace, model_id)
) STRICT;

CREATE TABLE versions (
  namespace        TEXT NOT NULL,
  model_id         TEXT NOT NULL,
  version_id       TEXT PRIMARY KEY,
  state            TEXT NOT NULL CHECK (state IN ('uploading', 'quarantined', 'promoted')),
  created_at       INTEGER NOT NULL,
  wrapped_dek      BLOB NOT NULL,
  version_digest   TEXT,
  promotion_digest TEXT,
  FOREIGN KEY (namespace, model_id) REFERENCES models (namespace, model_id)
) STRICT;
CREATE INDEX versions_newest ON versions (namespace, model_id, created_at, version_id);

-- Objects of versions that are being uploaded; afterwards the signed manifest says it.
CREATE TABLE uploaded_objects (
  version_id  TEXT NOT NULL REFERENCES versions (version_id),
  folded_path TEXT NOT NULL,
  path        TEXT NOT NULL,
  object      TEXT NOT NULL,
  PRIMARY KEY (version_id, folded_path)
) STRICT;

CREATE TABLE documents (
  digest    TEXT PRIMARY KEY,
  kind      TEXT NOT NULL,
  bytes     BLOB NOT NULL,
  signature BLOB NOT NULL
) STRICT;
CREATE TRIGGER documents_stay BEFORE DELETE ON documents BEGIN SELECT RAISE(ABORT, 'documents are kept for ever'); END;
CREATE TRIGGER documents_never_change BEFORE UPDATE ON documents BEGIN SELECT RAISE(ABORT, 'documents never change'); END;

CREATE TABLE document_slots (
  namespace TEXT NOT NULL,
  slot      TEXT NOT NULL,
  digest    TEXT NOT NULL REFERENCES documents (digest),
  counter   INTEGER NOT NULL CHECK (counter > 0),
  PRIMARY KEY (namespace, slot)
) STRICT;

CREATE TABLE administrators (
  administrator_id TEXT PRIMARY KEY,
  name             TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE subjects (
  subject_id      TEXT PRIMARY KEY,
  namespace       TEXT NOT NULL,
  name            TEXT NOT NULL,
  attester_key    TEXT NOT NULL,
  document_digest TEXT NOT NULL,
  UNIQUE (namespace, name),
  UNIQUE (namespace, attester_key)
) STRICT;

CREATE TABLE time_steps (
  authenticator_id TEXT PRIMARY KEY,
  last_step        INTEGER NOT NULL
) STRICT;

CREATE TABLE login_failures (
  administrator TEXT NOT NULL,
  workstation   TEXT NOT NULL,
  failed_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX login_failures_of ON login_failures (administrator, workstation, failed_at);

CREATE TABLE sessions (
  token_digest     TEXT PRIMARY KEY,
  administrator_id TEXT NOT NULL REFERENCES administrators (administrator_id),
  authenticator_id TEXT NOT NULL,
  workstation      TEXT NOT NULL,
  created_at       INTEGER NOT NULL,
  last_seen_at     INTEGER NOT NULL,
  step_up_at       INTEGER NOT NULL,
  step_up_for      TEXT
) STRICT;
CREATE INDEX sessions_of ON sessions (administrator_id);

-- Authenticators that were begun and not yet confirmed. The seed opens only for exactly this row.
CREATE TABLE claims (
  administrator_id TEXT PRIMARY KEY REFERENCES administrators (administrator_id),
  authenticator_id TEXT NOT NULL,
  counter          INTEGER NOT NULL,
  workstation      TEXT NOT NULL,
  wrapped_seed     BLOB NOT NULL,
  begun_at         INTEGER NOT NULL
) STRICT;

CREATE TABLE approvals (
  request_id       TEXT PRIMARY KEY,
  namespace        TEXT NOT NULL,
  kind             TEXT NOT NULL,
  operation        BLOB NOT NULL,
  operation_digest TEXT NOT NULL,
  document_digest  TEXT NOT NULL,
  requested_by     TEXT NOT NULL,
  authenticator_id TEXT NOT NULL,
  workstation      TEXT NOT NULL,
  created_at       INTEGER NOT NULL,
  expires_at       INTEGER NOT NULL,
  state            TEXT NOT NULL CHECK (state IN ('pending', 'executed', 'cancelled'))
) STRICT;
CREATE INDEX approvals_pending ON approvals (namespace, created_at, request_id) WHERE state = 'pending';

CREATE TABLE challenges (
  challenge_id TEXT PRIMARY KEY,
  nonce        BLOB NOT NULL,
  spki_digest  TEXT NOT NULL,
  expires_at   INTEGER NOT NULL,
  spent_at     INTEGER
) STRICT;
CREATE INDEX challenges_expiry ON challenges (expires_at);

-- Tokens that answered no challenge: each is good once. SHA-256 of LP(issuer, token id).
CREATE TABLE spent_tokens (
  token_digest TEXT PRIMARY KEY,
  expires_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX spent_tokens_expiry ON spent_tokens (expires_at);

CREATE TABLE releases (
  release_id      TEXT PRIMARY KEY,
  namespace       TEXT NOT NULL,
  subject_id      TEXT NOT NULL,
  model_id        TEXT NOT NULL,
  version_id      TEXT NOT NULL,
  version_digest  TEXT NOT NULL,
  spki_digest     TEXT NOT NULL,
  record_id       TEXT NOT NULL,
  document_digest TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  expires_at      INTEGER NOT NULL,
  outcome         TEXT
) STRICT;
CREATE INDEX releases_open ON releases (created_at, release_id) WHERE outcome IS NULL;

CREATE TABLE release_progress (
  release_id        TEXT NOT NULL REFERENCES releases (release_id),
  node              TEXT NOT NULL,
  bytes             INTEGER NOT NULL,
  completed_objects INTEGER NOT NULL,
  aborted_streams   INTEGER NOT NULL,
  active_streams    INTEGER NOT NULL,
  PRIMARY KEY (release_id, node)
) STRICT;

-- Blocks, suspensions, lockdowns. Only a signed document lifts one; \`lift_digest\` points at it.
CREATE TABLE stops (
  stop_id     TEXT PRIMARY KEY,
  scope       TEXT NOT NULL,
  namespace   TEXT NOT NULL,
  target      TEXT,
  name        TEXT,
  created_at  INTEGER NOT NULL,
  lift_digest TEXT
) STRICT;
CREATE TRIGGER stops_stay BEFORE DELETE ON stops BEGIN SELECT RAISE(ABORT, 'stops are kept for ever'); END;
CREATE TRIGGER stops_never_change BEFORE UPDATE ON stops
WHEN old.stop_id <> new.stop_id OR old.scope <> new.scope OR old.namespace <> new.namespace OR old.target IS NOT new.target
  OR old.created_at <> new.created_at
BEGIN SELECT RAISE(ABORT, 'of a stop only the lift can be added'); END;

CREATE TABLE nodes (
  node        TEXT PRIMARY KEY,
  lease_until INTEGER NOT NULL
) STRICT;

-- \`position\` is the order of appending; AUTOINCREMENT never gives a number twice.
CREATE TABLE log_leaves (
  position   INTEGER PRIMARY KEY AUTOINCREMENT,
  record_id  TEXT NOT NULL UNIQUE,
  leaf       BLOB NOT NULL,
  leaf_index INTEGER UNIQUE CHECK (leaf_index >= 0)
) STRICT;
CREATE INDEX log_outbox ON log_leaves (position) WHERE leaf_index IS NULL;
CREATE TRIGGER log_leaves_stay BEFORE DELETE ON log_leaves BEGIN SELECT RAISE(ABORT, 'access records are never lost'); END;
CREATE TRIGGER log_leaves_never_change BEFORE UPDATE ON log_leaves
WHEN old.leaf_index IS NOT NULL OR old.position <> new.position OR old.record_id <> new.record_id OR old.leaf <> new.leaf
BEGIN SELECT RAISE(ABORT, 'access records are never changed or reordered'); END;

CREATE TABLE log_disclosures (
  record_id TEXT NOT NULL REFERENCES log_leaves (record_id),
  field     TEXT NOT NULL,
  salt      BLOB NOT NULL,
  value     TEXT NOT NULL,
  PRIMARY KEY (record_id, field)
) STRICT;

CREATE TABLE log_tiles (
  path  TEXT PRIMARY KEY,
  bytes BLOB NOT NULL
) STRICT;

CREATE TABLE log_head (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  size       INTEGER NOT NULL,
  checkpoint BLOB NOT NULL
) STRICT;

CREATE TABLE log_sequencer (
  one         INTEGER PRIMARY KEY CHECK (one = 1),
  holder      TEXT NOT NULL,
  lease_until INTEGER NOT NULL
) STRICT;
`;
