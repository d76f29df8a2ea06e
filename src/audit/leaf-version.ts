/**
 * Which schema a leaf is of: the lowest that knows every word it says, so that who reads schema 1 goes on reading most of the log.
 * A new word is added to schema 2 and here (record.ts takes its types from this list); schema 1 is closed (test/vectors/audit).
 */
import type { RecordDraft } from './record.ts';

/** Words that schema 1 does not know, by the member they stand in. */
export const SINCE_2 = {
  type: [
    'key.created',
    'key.compromised',
    'rewrap.requested',
    'collateral.imported',
    'version.erased',
    'version.destroyed',
    'vault.recovered',
    'alert.raised',
    'alert.undelivered',
    'release.noticed',
    'decoy.touched',
    'log.halted',
    'log.conflict',
    'log.lagging',
    'log.heartbeat',
    'clock.anomaly',
    'hsm.event',
    'expiry.near',
    'person.erased',
    'log.pruned',
    'log.closed',
    'log.refusing',
    'log.accepting',
    'vault.stopped',
    'metadata.read',
    'admin.logout',
    'version.started',
    'object.uploaded',
    'signing.rotated',
  ],
  operation: [
    'keep-key',
    'create-key',
    'compromise-key',
    'key-periods',
    'recovery-key',
    'destroy-version',
    'erase-person',
    'log-retention',
    'close-log',
    'alert-rules',
    'alert-delivery',
    'log-sinks',
    'decoy',
  ],
  document: ['recovery-key', 'version-destruction', 'alert-rules', 'alert-delivery', 'log-sinks', 'decoy', 'log-retention', 'closed-log'],
  stop: ['key'],
} as const satisfies {
  readonly type: readonly string[];
  readonly operation: ReadonlyArray<NonNullable<RecordDraft['operation']>['kind']>;
  readonly document: ReadonlyArray<NonNullable<RecordDraft['document']>['kind']>;
  readonly stop: ReadonlyArray<NonNullable<RecordDraft['stop']>['scope']>;
};

/** Schema 1 knows evidence of this kind alone. */
const EVIDENCE_OF_1 = 'tpm2';

const MEMBERS_OF_RELEASE = ['subjectId', 'sharePpm', 'smallRanges', 'site'] as const;

export function leafVersion(draft: RecordDraft): 1 | 2 {
  const { type, operation, document, stop, attestation, release, resultDigest, destruction, signals, alert, pruned, closed } = draft;
  const isNew = (words: readonly string[], word: string | undefined) => word !== undefined && words.includes(word);
  const newWord =
    isNew(SINCE_2.type, type) ||
    isNew(SINCE_2.operation, operation?.kind) ||
    isNew(SINCE_2.document, document?.kind) ||
    isNew(SINCE_2.stop, stop?.scope) ||
    resultDigest !== undefined ||
    attestation?.tee !== undefined ||
    destruction !== undefined ||
    signals !== undefined ||
    alert !== undefined ||
    pruned !== undefined ||
    closed !== undefined ||
    (release !== undefined && MEMBERS_OF_RELEASE.some((member) => release[member] !== undefined)) ||
    (attestation?.kinds.some((kind) => kind !== EVIDENCE_OF_1) ?? false);
  return newWord ? 2 : 1;
}
