/** The drafts behind test/vectors/audit/leaves-v2.json: words that schema 1 does not know. Changing one breaks a published format. */
import { loggable, type RecordDraft } from '../../src/audit/record.ts';
import { sha256Hex, utf8 } from '../../src/domain/bytes.ts';
import {
  type AdministratorId,
  type Digest,
  type KeyId,
  type KeyName,
  type Namespace,
  parseId,
  parseName,
  type RecordId,
  type RequestId,
  type StopId,
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
};
