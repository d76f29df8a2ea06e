/**
 * What may be deleted at last, and nothing else: documents of an erased person. The trigger looks for the decision, so a mistake elsewhere still
 * deletes nothing.
 */
export const SCHEMA_ERASURE = `
CREATE TABLE erased_documents (digest TEXT PRIMARY KEY) STRICT;
DROP TRIGGER documents_stay;
CREATE TRIGGER documents_stay BEFORE DELETE ON documents
WHEN old.kind <> 'administrator' OR NOT EXISTS (SELECT 1 FROM erased_documents WHERE digest = old.digest)
BEGIN SELECT RAISE(ABORT, 'documents are kept for ever'); END;

CREATE INDEX log_disclosures_of_names ON log_disclosures (value) WHERE field = 'administratorName';
`;
