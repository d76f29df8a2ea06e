/** For every rule that can fire a stream of leaves that makes it, and one that comes close and must not. Built by the real buildLeaf. */
import { buildLeaf, loggable, type RecordDraft, type RecordType, type Signal } from '../../src/audit/record.ts';
import { sha256Hex, utf8 } from '../../src/domain/bytes.ts';
import type { ErrorCode } from '../../src/domain/errors.ts';
import {
  type AdministratorId,
  type Digest,
  type ModelId,
  type Namespace,
  parseId,
  parseName,
  type RecordId,
  type ReleaseId,
  type RequestId,
  type SubjectId,
  type VersionId,
} from '../../src/domain/ids.ts';
import { AMBIENT } from '../audit/golden.ts';

export const START = new Date('2026-07-01T12:00:00.000Z');

/** What happened so many seconds after START. */
export interface At {
  readonly seconds: number;
  readonly draft: RecordDraft;
  readonly configDigest?: Digest;
}
export interface GoldenCase {
  readonly fires: readonly At[];
  readonly silent: readonly At[];
}

export function leavesOf(stream: readonly At[], start = START): readonly Uint8Array[] {
  return stream.map(({ seconds, draft, configDigest = AMBIENT.configDigest }) => {
    const now = new Date(start.getTime() + seconds * 1000);
    return buildLeaf(draft, { ...AMBIENT, configDigest, now }).leaf;
  });
}

const id = <T extends string>(last: number): T => parseId<T>(`01900000-0000-7000-8000-${String(last).padStart(12, '0')}`, 'id');
const digest = (of: string) => sha256Hex(utf8(of)) as Digest; // a digest by construction
const namespace = parseName<Namespace>('research', 'namespace');
const requester = (key = 'key', subject?: number) =>
  ({ kind: 'requester', spkiDigest: digest(key), ...(subject !== undefined && { subjectId: id<SubjectId>(subject) }) }) as const;
const administrator = (last = 3) =>
  ({
    kind: 'administrator',
    administratorId: id<AdministratorId>(last),
    authenticatorId: loggable(`totp-${last}`, 64),
    workstation: digest(`workstation ${last}`),
  }) as const;
const system = { kind: 'system' } as const;
const model = (last = 5) => ({ modelId: id<ModelId>(last), versionId: id<VersionId>(last + 100) });
const operation = { requestId: id<RequestId>(9), kind: 'policy-set', operationDigest: digest('operation') } as const;

const at = (seconds: number, type: RecordType, more: Partial<RecordDraft> = {}): At => ({
  seconds,
  draft: { namespace, type, outcome: 'success', actor: system, ...more },
});
const denied = (seconds: number, reason: ErrorCode = 'policy_denied', more: Partial<RecordDraft> = {}) =>
  at(seconds, 'release.denied', { outcome: 'deny', reason, actor: requester(), ...more });
const ended = (seconds: number, sharePpm: number, more: { subject?: number; model?: number; smallRanges?: number } = {}) =>
  at(seconds, 'release.end', {
    object: model(more.model),
    release: {
      releaseId: id<ReleaseId>(1000 + seconds),
      outcome: 'completed',
      bytes: sharePpm * 10,
      subjectId: id<SubjectId>(more.subject ?? 4),
      sharePpm,
      smallRanges: more.smallRanges,
    },
  });
const begunAt = (seconds: number, subject: number, site?: string) =>
  at(seconds, 'release.begin', {
    outcome: 'permit',
    actor: requester(`key ${subject}`, subject),
    object: model(),
    release: { releaseId: id<ReleaseId>(2000 + seconds), site: site === undefined ? undefined : loggable(site, 64) },
  });
const noticed = (seconds: number, signals: readonly Signal[], smallRanges?: number) =>
  at(seconds, 'release.noticed', {
    actor: requester('key', 4),
    object: model(),
    release: { releaseId: id<ReleaseId>(8), begin: id<RecordId>(31), subjectId: id<SubjectId>(4), smallRanges },
    ...(signals.length > 0 && { signals }),
  });
const begun = (seconds: number, key: string, subject: number, facts: Readonly<Record<string, string>> = {}) =>
  at(seconds, 'release.begin', {
    outcome: 'permit',
    actor: requester(key, subject),
    object: model(),
    attestation: {
      kinds: ['tdx'],
      tier: 'affirming',
      fresh: true,
      keyBound: true,
      hardware: true,
      evidenceDigest: digest('evidence'),
      referenceValuesDigest: digest('reference values'),
      matched: [loggable('image-12', 64)],
      facts: Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, loggable(value, 64)])),
    },
  });
const login = (seconds: number, more: Partial<RecordDraft> = {}) => at(seconds, 'admin.login', { actor: administrator(), ...more });
const times = (count: number, make: (n: number) => At): readonly At[] => Array.from({ length: count }, (_, n) => make(n));
const HOUR = 3_600;
const DAY = 24 * HOUR;

/** By title of the rule. */
export const GOLDEN_ALERTS: Readonly<Record<string, GoldenCase>> = {
  'Many refusals of one TLS key': {
    fires: times(5, (n) => denied(n * 60)),
    silent: [...times(4, (n) => denied(n * 60)), denied(301, 'policy_denied', { actor: requester('another key') }), denied(400)],
  },
  'Many refusals of one requester': {
    fires: times(5, (n) => denied(n * 60, 'policy_denied', { actor: requester(`key ${n}`, 4) })),
    silent: times(5, (n) => denied(n * 60, 'policy_denied', { actor: requester(`key ${n}`, n) })),
  },
  'Many refusals on one workstation': {
    fires: times(5, (n) => at(n, 'admin.denied', { outcome: 'deny', reason: 'action_denied', actor: administrator() })),
    silent: times(5, (n) => at(n, 'admin.denied', { outcome: 'deny', reason: 'action_denied', actor: administrator(n) })),
  },
  'Many refusals in the vault': {
    fires: times(20, (n) => denied(n * 10, 'policy_denied', { actor: requester(`key ${n}`) })),
    silent: times(40, (n) => denied(n * 16, 'policy_denied', { actor: requester(`key ${n}`) })),
  },
  'Several failed attestations of one workload': {
    fires: times(3, (n) => denied(n * 200, 'measurement_mismatch')),
    silent: [...times(2, (n) => denied(n, 'measurement_mismatch')), denied(3, 'policy_denied'), denied(700, 'measurement_mismatch')],
  },
  'Forged evidence': { fires: [denied(0, 'evidence_signature_invalid')], silent: [denied(0, 'evidence_malformed')] },
  'Replayed evidence': { fires: [denied(0, 'challenge_spent')], silent: [denied(0, 'challenge_expired')] },
  'An allowed requester shows something for the first time': {
    fires: [noticed(0, ['first-seen-measurement', 'first-seen-network'])],
    silent: [noticed(0, ['first-seen-network'])],
  },
  'More than twice a model to one requester in a day': {
    fires: [ended(0, 1_000_000), ended(HOUR, 1_000_000), ended(2 * HOUR, 1)],
    silent: [ended(0, 1_000_000), ended(HOUR, 1_000_000), ended(DAY + 1000, 1), ended(DAY + 1001, 1_900_000, { subject: 14 })],
  },
  'More than one and a half times a model to one requester in a day': {
    fires: [ended(0, 1_000_000), ended(HOUR, 500_001)],
    silent: [ended(0, 1_000_000), ended(HOUR, 500_000), ended(HOUR, 900_000, { model: 15 })],
  },
  'Slow drip': {
    fires: times(112, (n) => ended(n * HOUR, 9_000)),
    silent: [...times(100, (n) => ended(n * HOUR, 9_000)), ...times(20, (n) => ended((n + 100) * HOUR, 20_000))],
  },
  'More replicas of a model at one site than declared': {
    fires: Array.from({ length: 9 }, (_, at) => begunAt(at * 60, at, 'berlin')),
    silent: [
      ...Array.from({ length: 8 }, (_, at) => begunAt(at * 60, at, 'berlin')),
      ...Array.from({ length: 8 }, (_, at) => begunAt(at * 60 + 1, at + 8, 'oslo')),
      ...Array.from({ length: 9 }, (_, at) => begunAt(at * 60 + 2, at + 20)), // where no sites are declared
      begunAt(90_000, 40, 'berlin'), // a day later
    ],
  },
  'A budget refused a release': {
    fires: [denied(0, 'policy_denied', { detail: loggable('minilm prod: forbidden by egress-two-copies-a-day', 512) })],
    silent: [denied(0, 'policy_denied', { detail: loggable('minilm prod: forbidden by restricted-needs-hardware-evidence', 512) })],
  },
  'A budget cut a release': {
    fires: [at(0, 'object.denied', { outcome: 'deny', reason: 'egress_exhausted', actor: requester('key', 4) })],
    silent: [at(0, 'object.denied', { outcome: 'deny', reason: 'release_cut', actor: requester('key', 4) })],
  },
  'More machines than declared for one model in a day': {
    fires: times(17, (n) => begun(n * HOUR, `key ${n}`, n + 200)),
    silent: [...times(16, (n) => begun(n * HOUR, `key ${n}`, n + 200)), begun(17 * HOUR, 'key 1', 201)],
  },
  'More TLS keys than declared for one requester and model in a day': {
    fires: times(17, (n) => begun(n * HOUR, `key ${n}`, 200)),
    silent: times(20, (n) => begun(n * 2 * HOUR, `key ${n}`, 200)),
  },
  'Range scraping': {
    fires: [...times(4, (n) => noticed(n * 600, [], 250)), ended(2_500, 100, { smallRanges: 1 })],
    silent: [...times(4, (n) => noticed(n * 600, [], 250)), ended(4_000, 100, { smallRanges: 1 })],
  },
  'Scattered reads': { fires: [noticed(0, ['scattered-reads'])], silent: [noticed(0, ['overdue'], 100)] },
  'A release outside the hours that were declared': { fires: [noticed(0, ['outside-window'])], silent: [noticed(0, ['first-seen-gpu'])] },
  'A release to a network that was never seen': { fires: [noticed(0, ['first-seen-network'])], silent: [noticed(0, ['outside-window'])] },
  'A release to a country that was never seen': {
    fires: [noticed(0, ['first-seen-country'])],
    silent: [noticed(0, ['first-seen-network'])],
  },
  'A decoy was touched': {
    fires: [at(0, 'decoy.touched', { outcome: 'deny', actor: requester('key', 4), object: model() })],
    silent: [denied(0, 'model_unknown', { detail: loggable('decoy.touched', 512) })],
  },
  'The access log is not what was signed': {
    fires: [at(0, 'log.halted', { outcome: 'failure', reason: 'log_entry_mismatch' })],
    silent: [at(0, 'log.read')],
  },
  'Something that follows the log is behind': {
    fires: [at(0, 'log.lagging', { outcome: 'failure', detail: loggable('sink siem', 128) })],
    silent: [at(0, 'log.lagging', { detail: loggable('sink siem has caught up', 128) }), at(1, 'log.heartbeat')],
  },
  'Nothing new is released': {
    fires: [at(0, 'log.refusing', { outcome: 'failure', reason: 'log_sink_behind', detail: loggable('sink siem', 128) })],
    silent: [at(0, 'log.accepting', { detail: loggable('sink siem', 128) })],
  },
  'The heartbeat of the log was missing': { fires: [at(0, 'log.heartbeat', { signals: ['late'] })], silent: [at(0, 'log.heartbeat')] },
  'A control was changed': {
    fires: [at(0, 'document.activated', { operation, document: { kind: 'policy-set', digest: digest('policies'), counter: 2 } })],
    silent: [at(0, 'approval.executed', { operation })],
  },
  'A control was changed without consent': {
    fires: [at(0, 'document.activated', { document: { kind: 'policy-set', digest: digest('policies'), counter: 2 } })],
    silent: [at(0, 'document.activated', { operation, document: { kind: 'policy-set', digest: digest('policies'), counter: 2 } })],
  },
  'A new authenticator': { fires: [at(0, 'authenticator.claimed', { actor: administrator() })], silent: [login(0)] },
  'Two countries within an hour': {
    fires: [login(0, { signals: ['other-country'] })],
    silent: [login(0, { signals: ['other-network'] }), login(1, { outcome: 'failure', signals: ['other-country'] })],
  },
  'A login from a workstation or network that was never seen': {
    fires: [login(0, { signals: ['first-seen-workstation'] })],
    silent: [login(0, { signals: ['other-network'] }), login(1, { outcome: 'failure', signals: ['first-seen-network'] })],
  },
  'Two networks within an hour': {
    fires: [login(0, { signals: ['other-network'] })],
    silent: [login(0, { signals: ['first-seen-network'] })],
  },
  'A lockout': {
    fires: [at(0, 'admin.denied', { outcome: 'deny', reason: 'login_locked', actor: administrator() })],
    silent: [at(0, 'admin.denied', { outcome: 'deny', reason: 'login_refused', actor: administrator() })],
  },
  'A login at night': { fires: [login(11 * HOUR)], silent: [login(0), login(9.9 * HOUR)] },
  'The clock is wrong': { fires: [at(0, 'clock.anomaly', { outcome: 'failure' })], silent: [at(0, 'log.heartbeat')] },
  'The clock stands before the newest record': {
    fires: [at(0, 'admin.denied', { outcome: 'deny', reason: 'clock_regressed' })],
    silent: [at(0, 'admin.denied', { outcome: 'deny', reason: 'login_refused' })],
  },
  'The HSM or its keeper is not well': {
    fires: [at(0, 'hsm.event', { outcome: 'failure', reason: 'pin_incorrect' })],
    silent: [at(0, 'key.rewrapped')],
  },
  'Stored bytes are not what was signed': {
    fires: [at(0, 'object.integrity', { outcome: 'failure', reason: 'object_integrity', actor: requester('key', 4) })],
    silent: [at(0, 'object.denied', { outcome: 'deny', reason: 'object_unknown', actor: requester('key', 4) })],
  },
  'A release whose end nobody saw': { fires: [at(0, 'release.unknown', { outcome: 'failure' })], silent: [ended(0, 1_000_000)] },
  'A release that does not end': { fires: [noticed(0, ['overdue'])], silent: [noticed(0, ['scattered-reads'])] },
  'Promoted by its uploader': {
    fires: [
      at(0, 'version.published', { actor: administrator(), object: model() }),
      at(DAY, 'version.promoted', { actor: administrator(), object: { ...model(), class: 'internal' } }),
    ],
    silent: [
      at(0, 'version.promoted', { actor: administrator(), object: { ...model(), class: 'internal' } }),
      at(1, 'version.published', { actor: administrator(), object: model() }),
      at(2, 'version.promoted', { actor: administrator(7), object: { ...model(), class: 'internal' } }),
      at(3, 'version.promoted', { actor: administrator(), object: { ...model(), class: 'public' } }),
    ],
  },
  Probing: {
    fires: times(21, (n) =>
      n % 2 === 0
        ? denied(n * 20, 'model_unknown', { object: { requested: { model: loggable(`model-${n}`, 64) } } })
        : at(n * 20, 'object.denied', { outcome: 'deny', reason: 'object_unknown', actor: requester(), detail: loggable(`file-${n}`, 64) }),
    ),
    silent: times(60, (n) => denied(n * 9, 'model_unknown', { object: { requested: { model: loggable(`model-${n % 20}`, 64) } } })),
  },
  'Something expires soon, or is past its date': { fires: [at(0, 'expiry.near')], silent: [at(0, 'collateral.imported')] },
  'Evidence was judged by what is past its date': {
    fires: [begun(0, 'key', 4, { collateralStale: 'true' })],
    silent: [begun(0, 'key', 4, { collateralStale: 'false' })],
  },
  'Something was stopped': { fires: [at(0, 'stop.placed')], silent: [at(0, 'stop.lifted')] },
  'A stop was lifted': { fires: [at(0, 'stop.lifted')], silent: [at(0, 'stop.placed')] },
  'A second signer of the log': {
    fires: [at(0, 'log.conflict', { outcome: 'failure', detail: loggable('another signer published first', 512) })],
    silent: [at(0, 'log.conflict', { outcome: 'failure', detail: loggable('witness w1.example: HTTP 422', 512) })],
  },
  'A witness saw another log': {
    fires: [at(0, 'log.conflict', { outcome: 'failure', detail: loggable('witness w1.example: HTTP 422', 512) })],
    silent: [at(0, 'log.conflict', { outcome: 'failure', detail: loggable('another signer published first', 512) })],
  },
  'The configuration is another one': {
    fires: [at(0, 'vault.started'), { ...at(10 * DAY, 'vault.started'), configDigest: digest('another configuration') }],
    silent: [at(0, 'vault.started'), at(DAY, 'vault.started'), { ...at(40 * DAY, 'vault.started'), configDigest: digest('another') }],
  },
};
