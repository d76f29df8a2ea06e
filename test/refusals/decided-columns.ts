/** What an edit of each column of the catalogue may do: the answer to the honest request after it (catalogue-rows.test.ts). */
export const TABLES = ['models', 'versions', 'releases', 'subjects', 'document_slots'] as const;
export type Table = (typeof TABLES)[number];

/** The code of the honest request for `falcon` by `gpu-1`; `granted`: the edit changes nothing that is believed. */
type Expected = string;

interface Decided {
  /** The value exchanged with that of another row, by which row. */
  readonly exchanged: Readonly<Record<string, Expected>>;
  /** Set back to what it was before: SQL of the value, and what follows. */
  readonly earlier?: Readonly<Record<string, Expected>>;
}

/**
 * Row by row: `twin` is another version of the same model (or the same person's other row), `neighbour` belongs to another model or
 * machine of the namespace, `tenant` to another namespace.
 */
export const DECIDED: Readonly<Record<Table, Readonly<Record<string, Decided>>>> = {
  models: {
    namespace: { exchanged: { neighbour: 'granted', tenant: 'model_unknown' } },
    model_id: { exchanged: { neighbour: 'version_unknown', tenant: 'version_unknown' } },
    name: { exchanged: { neighbour: 'version_unknown', tenant: 'model_unknown' } },
    class: { exchanged: { neighbour: 'granted', tenant: 'granted' }, earlier: { internal: 'granted' } },
  },
  versions: {
    namespace: { exchanged: { twin: 'granted', neighbour: 'granted', tenant: 'version_unknown' } },
    model_id: { exchanged: { twin: 'granted', neighbour: 'version_unknown', tenant: 'version_unknown' } },
    version_id: { exchanged: { twin: 'manifest_mismatch', neighbour: 'version_unknown', tenant: 'version_unknown' } },
    state: {
      exchanged: { twin: 'granted', neighbour: 'granted', tenant: 'granted' },
      earlier: { quarantined: 'granted', uploading: 'granted' },
    },
    created_at: { exchanged: { twin: 'granted', neighbour: 'granted', tenant: 'granted' } },
    wrapped_dek: {
      exchanged: { twin: 'key_context_mismatch', neighbour: 'key_context_mismatch', tenant: 'key_context_mismatch' },
      earlier: { 'of the older key': 'granted' },
    },
    version_digest: {
      exchanged: { twin: 'manifest_mismatch', neighbour: 'manifest_mismatch', tenant: 'manifest_mismatch' },
      earlier: { none: 'version_quarantined' },
    },
    promotion_digest: {
      exchanged: { twin: 'manifest_mismatch', neighbour: 'manifest_mismatch', tenant: 'manifest_mismatch' },
      earlier: { none: 'version_quarantined' },
    },
  },
  // Asked by opening the release that gpu-1 was granted.
  releases: {
    release_id: { exchanged: { twin: 'release_ended', neighbour: 'release_key_mismatch', tenant: 'release_unknown' } },
    namespace: { exchanged: { twin: 'granted', neighbour: 'granted', tenant: 'release_unknown' } },
    subject_id: { exchanged: { twin: 'granted', neighbour: 'document_invalid', tenant: 'document_invalid' } },
    model_id: { exchanged: { twin: 'granted', neighbour: 'document_invalid', tenant: 'document_invalid' } },
    version_id: { exchanged: { twin: 'granted', neighbour: 'document_invalid', tenant: 'document_invalid' } },
    version_digest: { exchanged: { twin: 'granted', neighbour: 'document_invalid', tenant: 'document_invalid' } },
    spki_digest: { exchanged: { twin: 'granted', neighbour: 'release_key_mismatch', tenant: 'release_key_mismatch' } },
    record_id: { exchanged: { twin: 'document_invalid', neighbour: 'document_invalid', tenant: 'document_invalid' } },
    document_digest: {
      exchanged: { twin: 'document_invalid', neighbour: 'document_invalid', tenant: 'document_invalid' },
      earlier: { 'before the renewal': 'document_invalid' },
    },
    created_at: { exchanged: { twin: 'granted', neighbour: 'granted', tenant: 'granted' } },
    expires_at: {
      exchanged: { twin: 'document_invalid', neighbour: 'document_invalid', tenant: 'document_invalid' },
      earlier: { 'before the renewal': 'document_invalid' },
    },
    outcome: { exchanged: { twin: 'release_ended', neighbour: 'granted', tenant: 'granted' } },
  },
  subjects: {
    subject_id: { exchanged: { neighbour: 'document_invalid', tenant: 'document_invalid' } },
    namespace: { exchanged: { neighbour: 'granted', tenant: 'attester_key_unknown' } },
    name: { exchanged: { neighbour: 'document_invalid', tenant: 'document_invalid' } },
    attester_key: { exchanged: { neighbour: 'document_invalid', tenant: 'attester_key_unknown' } },
    document_digest: { exchanged: { neighbour: 'document_invalid', tenant: 'document_invalid' } },
  },
  // The policy set in force; `twin` is the one's reference values.
  document_slots: {
    namespace: { exchanged: { twin: 'granted', tenant: 'document_invalid' } },
    slot: { exchanged: { twin: 'document_invalid', tenant: 'granted' } },
    digest: { exchanged: { twin: 'document_invalid', tenant: 'document_invalid' }, earlier: { 'the set before': 'document_invalid' } },
    counter: { exchanged: { twin: 'document_invalid', tenant: 'document_invalid' }, earlier: { 'one less': 'document_invalid' } },
  },
};
