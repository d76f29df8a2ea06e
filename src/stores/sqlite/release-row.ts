/** A release as its row says it. */
import type { ReleaseOutcome } from '../../domain/access.ts';
import type { ReleaseRow } from '../../releases/port.ts';

export const SELECT_RELEASE = `
  SELECT release_id AS releaseId, namespace, subject_id AS subjectId, model_id AS modelId, version_id AS versionId,
         version_digest AS versionDigest, spki_digest AS spkiDigest, record_id AS recordId,
         document_digest AS documentDigest, created_at AS createdAt, expires_at AS expiresAt, outcome
  FROM releases`;

export type StoredRelease = Omit<ReleaseRow, 'createdAt' | 'expiresAt' | 'outcome'> & {
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly outcome: ReleaseOutcome | null;
};

export function releaseRow({ outcome, ...row }: StoredRelease): ReleaseRow {
  return { ...row, createdAt: new Date(row.createdAt), expiresAt: new Date(row.expiresAt), ...(outcome === null ? {} : { outcome }) };
}
