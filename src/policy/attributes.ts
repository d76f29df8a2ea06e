/** PIP: what a policy sees, as Cedar entities and context. Everything here was verified before: evidence, signed manifest, session. */
import type { CedarValueJson, EntityJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';
import type { Delivery } from '../domain/classes.ts';
import type { AttestationResult, EnrolledAttester } from '../domain/evidence.ts';
import { type Facts, factText } from '../domain/facts.ts';
import type { AdministratorId, Digest, Namespace } from '../domain/ids.ts';
import type { Manifest } from '../domain/model.ts';
import type { AdminAction } from './actions.ts';
import type { CedarRequest } from './evaluate.ts';
import { isAnyStale, type PieceAttributes, recordsOf } from './evidence-attributes.ts';

/** What an appraisal proves, whether earned by one or only supposed: policies are tried out before any machine attests. */
export type EvidenceAttributes = Pick<
  AttestationResult,
  'tier' | 'kinds' | 'fresh' | 'keyBound' | 'hardware' | 'tee' | 'matched' | 'facts'
> & { readonly subject: RequesterAttributes; readonly pieces: readonly PieceAttributes[] };

export type RequesterAttributes = Pick<EnrolledAttester, 'namespace' | 'name' | 'attributes'>;

export type VersionAttributes = Pick<Manifest, 'namespace' | 'modelId' | 'versionId' | 'class' | 'attributes'>;

/** What the requester took of the model before, this release not counted. */
export interface EgressAttributes {
  /** Of the version that is asked for. */
  readonly versionBytes: number;
  readonly bytesLast24h: number;
  readonly bytesLast7d: number;
  readonly replicasLast24h: number;
  readonly machinesLast24h: number;
  /** The machine that asks is one of them. */
  readonly machineCounted: boolean;
}

/** Of a requester that took nothing yet: what is supposed where nothing is asked of the store. */
export const NO_EGRESS: EgressAttributes = {
  versionBytes: 0,
  bytesLast24h: 0,
  bytesLast7d: 0,
  replicasLast24h: 0,
  machinesLast24h: 0,
  machineCounted: false,
};

export interface ReleaseAttributes {
  readonly attested: EvidenceAttributes;
  readonly manifest: VersionAttributes;
  readonly versionDigest: Digest;
  readonly delivery: Delivery;
  /** Absent: nothing. */
  readonly egress?: EgressAttributes;
  readonly now: Date;
}

export interface AdministratorAttributes {
  readonly administratorId: AdministratorId;
  readonly name: string;
  readonly roles: readonly string[];
}

/** Second factors a session can be opened with. */
export const MFA_METHODS = ['totp'] as const;

export interface AdministrationContext {
  readonly mfa: (typeof MFA_METHODS)[number];
  /** The session is used on the workstation it was opened on. */
  readonly workstationBound: boolean;
  readonly now: Date;
}

export function releaseRequest({ attested, manifest, versionDigest, delivery, egress = NO_EGRESS, now }: ReleaseAttributes): CedarRequest {
  const subject = requester(attested.subject);
  const home = namespaceEntity(manifest.namespace);
  const model = entity('Model', `${manifest.namespace}/${manifest.modelId}`, { namespace: manifest.namespace }, [home.uid]);
  const attributes = { namespace: manifest.namespace, class: manifest.class, versionDigest, tags: tags(manifest.attributes) };
  const version = entity('ModelVersion', `${manifest.namespace}/${manifest.versionId}`, attributes, [model.uid]);
  return {
    principal: subject.uid,
    action: uid('Action', 'release'),
    resource: version.uid,
    context: { delivery, evidence: evidenceContext(attested), egress: { ...egress }, now: datetime(now) },
    // One namespace: decide.ts refuses a requester of another before it gets here. Cedar refuses an entity given twice.
    entities: [home, subject, model, version],
  };
}

export function administrationRequest(
  { administratorId, name, roles }: AdministratorAttributes,
  action: AdminAction,
  namespace: Namespace,
  { mfa, workstationBound, now }: AdministrationContext,
): CedarRequest {
  const person = entity('Administrator', administratorId, { name, roles: [...roles] }, []);
  const resource = namespaceEntity(namespace);
  return {
    principal: person.uid,
    action: uid('Action', action),
    resource: resource.uid,
    context: { mfa, workstationBound, now: datetime(now) },
    entities: [person, resource],
  };
}

function requester({ namespace, name, attributes }: RequesterAttributes): Entity {
  return entity('Requester', `${namespace}/${name}`, { namespace, name, tags: tags(attributes) }, [uid('Namespace', namespace)]);
}

function evidenceContext(attested: EvidenceAttributes): CedarValueJson {
  const { tier, kinds, fresh, keyBound, hardware, tee, matched, facts, pieces } = attested;
  return {
    ...{ tier, kinds: [...kinds], fresh, keyBound, hardware, tee, matched: [...matched], facts: tags(facts) },
    collateralStale: isAnyStale(pieces),
    ...recordsOf(pieces),
  };
}

/** `{fleet: 'production'}` as `["fleet=production"]`. Throws on a key with `=`, which no signed document has: two attributes must never give one tag. */
function tags(attributes: Facts): string[] {
  return Object.entries(attributes).map(([key, value]) => {
    if (key.includes('=')) throw new Error('an attribute key contains "="');
    return `${key}=${factText(value)}`;
  });
}

function datetime(time: Date): CedarValueJson {
  return { __extn: { fn: 'datetime', arg: time.toISOString() } };
}

type Entity = EntityJson & { uid: TypeAndId };

function namespaceEntity(namespace: Namespace): Entity {
  return entity('Namespace', namespace, {}, []);
}

function entity(type: string, id: string, attrs: Record<string, CedarValueJson>, parents: TypeAndId[]): Entity {
  return { uid: uid(type, id), attrs, parents };
}

function uid(type: string, id: string): TypeAndId {
  return { type: `WeightVault::${type}`, id };
}
