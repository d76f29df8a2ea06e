/** Leaf bytes: an AccessRecord written once as RFC 8785 JSON, then stored, hashed and published as exactly those bytes. */
import { randomBytes } from 'node:crypto';
import { lp, sha256, toBase64 } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import { type Digest, type Incarnation, isId, newId, type RecordId, type VaultId } from '../domain/ids.ts';
import { leafJson } from './leaf-json.ts';
import { leafVersion } from './leaf-version.ts';
import { loggable } from './loggable.ts';
import type { Disclosure } from './port.ts';
import type { PersonalData, RecordAlert, RecordDraft } from './record.ts';

/** What every leaf of one process says besides what happened. */
export interface Ambient {
  readonly vaultId: VaultId;
  readonly node: Incarnation;
  readonly configDigest: Digest;
  /** The database's time (`Tx.now`). */
  readonly now: Date;
  /** `length` random bytes; replaced only by tests that need the same leaf twice. */
  readonly random?: ((length: number) => Uint8Array) | undefined;
}

export interface BuiltLeaf {
  readonly recordId: RecordId;
  readonly leaf: Uint8Array;
  readonly disclosures: readonly Disclosure[];
}

const SALT_BYTES = 16;
const FACT_NAME_CHARS = 64;
const PATH_CHARS = 4096;
const UTF8 = new TextDecoder('utf-8', { fatal: true });
/** Finds the id in a leaf that is no longer JSON. */
const RECORD_ID = /"recordId":"([0-9a-f-]{36})"/;

/**
 * Members are taken by name, so an object that carries more than its type says brings nothing along.
 * Throws `log_leaf_too_large` above DEFAULTS.logLeafBytes: the transaction then fails and nothing is released.
 */
export function buildLeaf(draft: RecordDraft, ambient: Ambient): BuiltLeaf {
  const recordId = draft.recordId ?? newId<RecordId>(ambient.now);
  const disclosures = disclose(recordId, draft.personal, ambient.random ?? randomBytes);
  const leaf = leafJson({
    v: leafVersion(draft),
    vaultId: ambient.vaultId,
    namespace: draft.namespace,
    node: ambient.node,
    recordId,
    time: ambient.now.toISOString(),
    clock: { source: 'database' },
    configDigest: ambient.configDigest,
    ...statement(draft),
    commitments: commitments(disclosures),
  });
  if (leaf.length > DEFAULTS.logLeafBytes) throw new VaultError('log_leaf_too_large', `${draft.type} of ${leaf.length} bytes`);
  return { recordId, leaf, disclosures };
}

/** base64 SHA-256(LP("weight-vault commitment v1", salt, field, value)): hides a short value behind 16 random bytes. */
export function commitment(salt: Uint8Array, field: string, value: string): string {
  return toBase64(sha256(lp('weight-vault commitment v1', salt, field, value)));
}

export interface LeafSummary {
  readonly recordId?: RecordId;
  readonly type?: string;
  /** recordId of the begin, in a record that ends a release. */
  readonly begin?: RecordId;
}

/** Enough of a leaf to name it in a report. The leaf may be anything, also forged: what is not plainly an id or a type is left out. */
export function parseLeaf(bytes: Uint8Array): LeafSummary {
  const json = tryJson(bytes);
  const recordId = member(json, 'recordId') ?? RECORD_ID.exec(Buffer.from(bytes).toString('latin1'))?.[1];
  const type = member(json, 'type');
  const begin = member(member(json, 'release'), 'begin');
  return {
    ...(isRecordId(recordId) ? { recordId } : {}),
    ...(typeof type === 'string' && /^[a-z]{1,20}\.[a-z]{1,20}$/.test(type) ? { type } : {}),
    ...(isRecordId(begin) ? { begin } : {}),
  };
}

/** What happened, section by section. What is undefined is left out. */
function statement(draft: RecordDraft): object {
  const { attestation, object, release } = draft;
  return {
    ...pick(draft, ['type', 'outcome', 'reason', 'detail', 'evidenceDigest', 'resultDigest']),
    actor: actor(draft.actor),
    request: draft.request && pick(draft.request, ['requestId']),
    object: object && {
      ...pick(object, ['modelId', 'versionId', 'versionDigest', 'class']),
      path: object.path && loggable(object.path, PATH_CHARS), // a path has no backslash, so this loses nothing
      requested: object.requested && pick(object.requested, ['model', 'version']),
    },
    decision: draft.decision && pick(draft.decision, ['policySetDigest', 'determining']),
    attestation: attestation && {
      ...pick(attestation, ['kinds', 'tier', 'fresh', 'keyBound', 'hardware', 'tee', 'evidenceDigest', 'referenceValuesDigest', 'matched']),
      facts: Object.fromEntries(Object.entries(attestation.facts).map(([name, value]) => [loggable(name, FACT_NAME_CHARS), value])),
    },
    release: release && {
      ...pick(release, ['releaseId', 'begin', 'outcome', 'bytes', 'completedObjects', 'abortedStreams']),
      ...pick(release, ['subjectId', 'sharePpm', 'smallRanges', 'site']),
      expiresAt: release.expiresAt?.toISOString(),
    },
    signals: draft.signals,
    alert: draft.alert && alert(draft.alert),
    pruned: draft.pruned && pick(draft.pruned, ['from', 'before', 'kept']),
    closed: draft.closed && { ...pick(draft.closed, ['size', 'root']), until: draft.closed.until.toISOString() },
    operation: draft.operation && pick(draft.operation, ['requestId', 'kind', 'operationDigest']),
    document: draft.document && pick(draft.document, ['kind', 'digest', 'counter', 'item']),
    key: draft.key && pick(draft.key, ['id', 'version']),
    stop: draft.stop && pick(draft.stop, ['stopId', 'kind', 'scope', 'target']),
    destruction: draft.destruction && {
      keks: draft.destruction.keks,
      remains: draft.destruction.remains.map(({ what, id, until }) => ({ what, id, until: until?.toISOString() })),
    },
  };
}

function alert({ group, ...fired }: RecordAlert): object {
  return {
    ...pick(fired, ['rule', 'ruleId', 'level', 'matches', 'first', 'last', 'indexesDigest']),
    group: Object.fromEntries(Object.entries(group).map(([name, value]) => [loggable(name, FACT_NAME_CHARS), value])),
  };
}

function actor(who: RecordDraft['actor']): object {
  if (who.kind === 'requester') return pick(who, ['kind', 'subjectId', 'spkiDigest']);
  if (who.kind === 'administrator') return pick(who, ['kind', 'administratorId', 'authenticatorId', 'workstation']);
  return { kind: who.kind };
}

function pick<T extends object, K extends keyof T>(from: T, names: readonly K[]): Partial<Pick<T, K>> {
  const out: Partial<Pick<T, K>> = {};
  for (const name of names) out[name] = from[name];
  return out;
}

function disclose(recordId: RecordId, personal: PersonalData | undefined, random: (length: number) => Uint8Array): readonly Disclosure[] {
  return Object.entries(pick(personal ?? {}, ['administratorName', 'remoteAddress'])).flatMap(([field, value]) =>
    // Normalized here because the commitment hashes NFC, and a disclosure must open it byte for byte.
    value === undefined
      ? []
      : [{ recordId, field, salt: new Uint8Array(random(SALT_BYTES)), value: value.toWellFormed().normalize('NFC') }],
  );
}

function commitments(disclosures: readonly Disclosure[]): object | undefined {
  if (disclosures.length === 0) return undefined;
  return Object.fromEntries(disclosures.map(({ field, salt, value }) => [field, commitment(salt, field, value)]));
}

function tryJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(UTF8.decode(bytes));
  } catch {
    return undefined; // not JSON: there is nothing to name
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

function isRecordId(value: unknown): value is RecordId {
  return typeof value === 'string' && isId(value);
}
