/** The fields a rule may speak of: the members of a leaf (docs/formats/access-log.md), nested ones joined with dots. */
import { tryParse } from './parse-leaf.ts';

/** Scalars and lists of scalars. A test holds this against the published schema. */
export const LEAF_FIELDS = [
  ...['v', 'vaultId', 'namespace', 'node', 'recordId', 'time', 'clock.source', 'configDigest', 'type', 'outcome', 'reason', 'detail'],
  ...['actor.kind', 'actor.subjectId', 'actor.spkiDigest', 'actor.administratorId', 'actor.authenticatorId', 'actor.workstation'],
  ...['request.requestId', 'evidenceDigest', 'resultDigest', 'signals'],
  ...['object.modelId', 'object.versionId', 'object.versionDigest', 'object.class', 'object.path'],
  ...['object.requested.model', 'object.requested.version', 'decision.policySetDigest', 'decision.determining'],
  ...['attestation.kinds', 'attestation.tier', 'attestation.fresh', 'attestation.keyBound', 'attestation.hardware', 'attestation.tee'],
  ...['attestation.evidenceDigest', 'attestation.referenceValuesDigest', 'attestation.matched'],
  ...['release.releaseId', 'release.begin', 'release.expiresAt', 'release.outcome', 'release.bytes', 'release.completedObjects'],
  ...['release.abortedStreams', 'release.subjectId', 'release.sharePpm', 'release.smallRanges', 'release.site'],
  ...['operation.requestId', 'operation.kind', 'operation.operationDigest'],
  ...['document.kind', 'document.digest', 'document.counter', 'document.item', 'key.id', 'key.version'],
  ...['stop.stopId', 'stop.kind', 'stop.scope', 'stop.target', 'destruction.keks'],
  ...['alert.rule', 'alert.ruleId', 'alert.level', 'alert.matches', 'alert.first', 'alert.last', 'alert.indexesDigest'],
  ...['pruned.from', 'pruned.before', 'pruned.kept', 'closed.until', 'closed.size', 'closed.root'],
] as const;

/** Members whose names are not of ours. */
const OPEN = ['attestation.facts.', 'commitments.', 'alert.group.'];

export type FieldValue = string | number | boolean;
/** What a leaf says under a name; nothing when it does not. A list has each of its values. */
export type Fields = ReadonlyMap<string, readonly FieldValue[]>;

export function isLeafField(name: string): boolean {
  return (LEAF_FIELDS as readonly string[]).includes(name) || OPEN.some((prefix) => name.startsWith(prefix) && name.length > prefix.length);
}

/** Undefined for what is no JSON object: a leaf that somebody altered is found by verification, not by rules. */
export function fieldsOf(leaf: Uint8Array): Fields | undefined {
  const json = tryParse(leaf);
  if (json === undefined) return undefined;
  const fields = new Map<string, readonly FieldValue[]>();
  flatten(json, '', fields);
  return fields;
}

function flatten(value: object, prefix: string, into: Map<string, readonly FieldValue[]>): void {
  for (const [key, member] of Object.entries(value)) {
    const name = `${prefix}${key}`;
    if (isScalar(member)) into.set(name, [member]);
    else if (Array.isArray(member)) into.set(name, member.filter(isScalar));
    else if (typeof member === 'object' && member !== null) flatten(member, `${name}.`, into);
  }
}

function isScalar(value: unknown): value is FieldValue {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
