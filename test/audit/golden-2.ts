/** The drafts behind test/vectors/audit/leaves-v2.json: words that schema 1 does not know. Changing one breaks a published format. */
import { loggable, type RecordDraft } from '../../src/audit/record.ts';
import { sha256Hex, utf8 } from '../../src/domain/bytes.ts';
import {
  type AdministratorId,
  type Digest,
  type KeyId,
  type KeyName,
  type ModelId,
  type Namespace,
  parseId,
  parseName,
  type RecordId,
  type ReleaseId,
  type RequestId,
  type StopId,
  type SubjectId,
  type VersionId,
} from '../../src/domain/ids.ts';

const id = <T extends string>(last: number): T => parseId<T>(`01900000-0000-7000-8000-${String(last).padStart(12, '0')}`, 'id');
const digest = (of: string) => sha256Hex(utf8(of)) as Digest; // a digest by construction
const kek = { id: parseName<KeyId>('kek-default', 'key'), version: 2 };
const administrator = {
  kind: 'administrator',
  administratorId: id<AdministratorId>(3),
  authenticatorId: loggable('totp-1', 64),
  workstation: digest('workstation'),
} as const;

export const GOLDEN_2: Readonly<Record<string, RecordDraft>> = {
  'a namespace gets a KEK of its own': {
    recordId: id<RecordId>(21),
    namespace: parseName<Namespace>('research', 'namespace'),
    type: 'key.created',
    outcome: 'success',
    actor: administrator,
    operation: { requestId: id<RequestId>(9), kind: 'create-key', operationDigest: digest('operation') },
    document: { kind: 'key-ring', digest: digest('ring'), counter: 1 },
    key: { id: parseName<KeyId>('ns.research', 'key'), version: 1 },
  },
  'a key version is suspended': {
    recordId: id<RecordId>(22),
    namespace: parseName<Namespace>('system', 'namespace'),
    type: 'stop.placed',
    outcome: 'success',
    actor: administrator,
    request: { requestId: loggable('req-2', 64) },
    stop: { stopId: id<StopId>(23), kind: 'suspend', scope: 'key', target: 'kek-default/2' as KeyName },
  },
  'a key version is compromised': {
    recordId: id<RecordId>(24),
    type: 'key.compromised',
    outcome: 'success',
    actor: administrator,
    document: { kind: 'key-ring', digest: digest('ring'), counter: 4 },
    key: kek,
  },
  'a release to a TDX guest with a GPU, and the digest of its result': {
    recordId: id<RecordId>(31),
    namespace: parseName<Namespace>('research', 'namespace'),
    type: 'release.begin',
    outcome: 'permit',
    actor: { kind: 'requester', subjectId: id<SubjectId>(4), spkiDigest: digest('spki') },
    request: { requestId: loggable('req-3', 64) },
    object: {
      modelId: id<ModelId>(5),
      versionId: id<VersionId>(6),
      versionDigest: digest('version'),
      class: 'restricted',
    },
    decision: { policySetDigest: digest('policies'), determining: [loggable('restricted-to-confidential-h200', 64)] },
    attestation: {
      kinds: ['tdx', 'nvidia-gpu'],
      tier: 'affirming',
      fresh: true,
      keyBound: true,
      hardware: true,
      tee: true,
      evidenceDigest: digest('evidence'),
      referenceValuesDigest: digest('reference values'),
      matched: [loggable('inference-image-12', 64), loggable('h200-570', 64)],
      facts: { tcbStatus: loggable('UpToDate', 128) },
    },
    resultDigest: digest('result'),
    release: { releaseId: id<ReleaseId>(8), expiresAt: new Date('2026-07-01T13:00:00.005Z') },
    personal: { remoteAddress: '198.51.100.7' },
  },
  'a refusal whose result says which claim failed': {
    recordId: id<RecordId>(32),
    namespace: parseName<Namespace>('research', 'namespace'),
    type: 'release.denied',
    outcome: 'deny',
    reason: 'tcb_unacceptable',
    detail: loggable('falcon 1: the closest reference value, inference-image-12, differs in fact tcbStatus', 512),
    actor: { kind: 'requester', spkiDigest: digest('spki') },
    evidenceDigest: digest('evidence'),
    resultDigest: digest('result'),
  },
  'a revocation list is imported': {
    recordId: id<RecordId>(33),
    type: 'collateral.imported',
    outcome: 'success',
    detail: loggable(`amd-crl Milan ${digest('list')}`, 512),
    actor: administrator,
    request: { requestId: loggable('req-4', 64) },
  },
  'a version is destroyed, and one thing remains': {
    recordId: id<RecordId>(25),
    namespace: parseName<Namespace>('research', 'namespace'),
    type: 'version.destroyed',
    outcome: 'success',
    actor: { kind: 'system' },
    object: { modelId: id<ModelId>(5), versionId: id<VersionId>(6), versionDigest: digest('manifest') },
    document: { kind: 'version-destruction', digest: digest('destruction'), counter: 3, item: loggable(id<VersionId>(6), 64) },
    destruction: {
      keks: ['kek-default/1' as KeyName, 'kek-default/2' as KeyName],
      remains: [
        { what: 'recovery-wrap-in-backups', id: loggable('630dcd2966c43366', 64) },
        { what: 'cancellable-deletion', id: loggable('kek-default/2', 64), until: new Date('2026-07-08T12:00:00.000Z') },
      ],
    },
  },
  'a vault is recovered into another HSM': {
    recordId: id<RecordId>(26),
    type: 'vault.recovered',
    outcome: 'success',
    actor: { kind: 'system' },
    detail: loggable('12 versions recovered, 0 lost', 256),
    document: { kind: 'vault', digest: digest('vault') },
    key: { ...kek, version: 3 },
  },
};
