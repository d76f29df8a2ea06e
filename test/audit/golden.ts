/** The drafts behind test/vectors/audit/leaves.json. Changing one breaks a published format: add a new one instead. */
import { loggable, loggableMap, type RecordDraft } from '../../src/audit/record.ts';
import { sha256Hex, utf8 } from '../../src/domain/bytes.ts';
import {
  type AdministratorId,
  type Digest,
  type Incarnation,
  type KeyId,
  type ModelId,
  type Namespace,
  parseId,
  parseName,
  parseObjectPath,
  type RecordId,
  type ReleaseId,
  type RequestId,
  type SubjectId,
  type VaultId,
  type VersionId,
} from '../../src/domain/ids.ts';

const id = <T extends string>(last: number): T => parseId<T>(`01900000-0000-7000-8000-${String(last).padStart(12, '0')}`, 'id');
const digest = (of: string) => sha256Hex(utf8(of)) as Digest; // a digest by construction

export const AMBIENT = {
  vaultId: id<VaultId>(1),
  node: id<Incarnation>(2),
  configDigest: digest('configuration'),
  now: new Date('2026-07-01T12:00:00.005Z'),
  random: (length: number) => new Uint8Array(length).fill(7),
};

const namespace = parseName<Namespace>('research', 'namespace');
const administrator = {
  kind: 'administrator',
  administratorId: id<AdministratorId>(3),
  authenticatorId: loggable('totp-1', 64),
  workstation: digest('workstation'),
} as const;
const requester = { kind: 'requester', subjectId: id<SubjectId>(4), spkiDigest: digest('spki') } as const;
const object = { modelId: id<ModelId>(5), versionId: id<VersionId>(6), versionDigest: digest('manifest'), class: 'restricted' } as const;

export const GOLDEN: Readonly<Record<string, RecordDraft>> = {
  'the smallest': { recordId: id<RecordId>(10), type: 'vault.started', outcome: 'success', actor: { kind: 'system' } },
  'a release begins': {
    recordId: id<RecordId>(11),
    namespace,
    type: 'release.begin',
    outcome: 'permit',
    actor: requester,
    request: { requestId: id<RequestId>(7) },
    object,
    decision: { policySetDigest: digest('policies'), determining: [loggable('release-to-known-machines', 128)] },
    attestation: {
      kinds: ['tpm2'],
      tier: 'affirming',
      fresh: true,
      keyBound: true,
      hardware: true,
      evidenceDigest: digest('evidence'),
      referenceValuesDigest: digest('reference values'),
      matched: [loggable('gpu-host-2026-06', 128)],
      facts: loggableMap({ resetCount: '4', clock: '123456' }, 128),
    },
    release: { releaseId: id<ReleaseId>(8), expiresAt: new Date('2026-07-01T13:00:00.005Z') },
    personal: { remoteAddress: '192.0.2.7' },
  },
  'the release ends': {
    recordId: id<RecordId>(12),
    namespace,
    type: 'release.end',
    outcome: 'success',
    actor: requester,
    object,
    release: {
      releaseId: id<ReleaseId>(8),
      begin: id<RecordId>(11),
      outcome: 'completed',
      bytes: 9_007_199_254_740_991,
      completedObjects: 3,
      abortedStreams: 0,
    },
  },
  'a release of names that lead nowhere is denied': {
    recordId: id<RecordId>(13),
    namespace,
    type: 'release.denied',
    outcome: 'deny',
    reason: 'model_unknown',
    detail: loggable('bidi \u202e, newline \n, lone \ud800, é', 200),
    actor: { kind: 'requester', spkiDigest: digest('spki') },
    request: { requestId: loggable('req-1', 64) },
    evidenceDigest: digest('evidence'),
    object: { requested: { model: loggable('no such\u2028model', 64), version: loggable('v1', 64) } },
  },
  'an object is found altered': {
    recordId: id<RecordId>(14),
    namespace,
    type: 'object.integrity',
    outcome: 'failure',
    reason: 'object_integrity',
    actor: { kind: 'system' },
    object: { ...object, path: parseObjectPath('weights/model-\u200b00001.safetensors') },
  },
  'an administrator logs in': {
    recordId: id<RecordId>(15),
    type: 'admin.login',
    outcome: 'success',
    actor: administrator,
    personal: { administratorName: 'zoe\u0308', remoteAddress: '2001:db8::1' },
  },
  'policies are activated by two people': {
    recordId: id<RecordId>(16),
    namespace,
    type: 'document.activated',
    outcome: 'success',
    actor: administrator,
    operation: { requestId: id<RequestId>(9), kind: 'policy-set', operationDigest: digest('operation') },
    document: { kind: 'policy-set', digest: digest('policies'), counter: 2 },
  },
  'the vault is initialized': {
    recordId: id<RecordId>(17),
    type: 'vault.initialized',
    outcome: 'success',
    actor: administrator,
    key: { id: parseName<KeyId>('kek', 'key'), version: 1 },
  },
};
