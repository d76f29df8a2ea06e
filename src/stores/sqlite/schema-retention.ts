/**
 * What may be deleted at last, and nothing else: documents of an erased person, and records of pruned bundles. The triggers look for the decision, so
 * a mistake elsewhere still deletes nothing.
 */
export const SCHEMA_ERASURE = `
CREATE TABLE erased_documents (digest TEXT PRIMARY KEY) STRICT;
DROP TRIGGER documents_stay;
CREATE TRIGGER documents_stay BEFORE DELETE ON documents
WHEN old.kind <> 'administrator' OR NOT EXISTS (SELECT 1 FROM erased_documents WHERE digest = old.digest)
BEGIN SELECT RAISE(ABORT, 'documents are kept for ever'); END;

CREATE INDEX log_disclosures_of_names ON log_disclosures (value) WHERE field = 'administratorName';
`;

export const SCHEMA_PRUNING = `
CREATE TABLE log_pruned (
  bundle INTEGER PRIMARY KEY CHECK (bundle >= 0)
) STRICT;
-- Bundles below were looked at; those that stay are not in log_pruned.
CREATE TABLE log_pruned_before (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  leaf_index INTEGER NOT NULL CHECK (leaf_index >= 0)
) STRICT;
DROP TRIGGER log_leaves_stay;
CREATE TRIGGER log_leaves_stay BEFORE DELETE ON log_leaves
WHEN old.leaf_index IS NULL OR NOT EXISTS (SELECT 1 FROM log_pruned WHERE bundle = old.leaf_index / 256)
BEGIN SELECT RAISE(ABORT, 'access records are never lost'); END;
`;
