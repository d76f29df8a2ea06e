/** Block, Suspend, Lockdown: what a stop covers. One person places it at once; lifting it takes two and a signed document. */
import type { KeyName, ModelId, Namespace, ReleaseId, StopId, SubjectId, VersionId } from './ids.ts';

/** A block stops a requester; a suspension a model, one version of it, or a key version; a lockdown a namespace or the whole vault. */
export type StopKind = 'block' | 'suspend' | 'lockdown';

/** What the target is; `namespace` and `vault` have none. Of a stop of the vault the namespace is SYSTEM; of a key, whose KEK it is. */
export const STOP_SCOPES = ['requester', 'model', 'version', 'namespace', 'vault', 'key'] as const;
export type StopScope = (typeof STOP_SCOPES)[number];

export interface Stop {
  readonly stopId: StopId;
  readonly scope: StopScope;
  readonly namespace: Namespace;
  readonly target?: SubjectId | ModelId | VersionId | KeyName;
  readonly createdAt: Date;
}

/** As far as a process knows: `lifted` by a signed document that it has verified. */
export interface KnownStop extends Stop {
  readonly lifted: boolean;
}

/** What may be stopped. Who asks before a version is known leaves the rest out. */
export interface Stoppable {
  readonly namespace: Namespace;
  readonly subjectId?: SubjectId;
  readonly modelId?: ModelId;
  readonly versionId?: VersionId;
  readonly releaseId?: ReleaseId;
  /** The KEK version that its DEK is wrapped under. */
  readonly kek?: KeyName;
}

const KINDS: Readonly<Record<StopScope, StopKind>> = {
  requester: 'block',
  model: 'suspend',
  version: 'suspend',
  key: 'suspend',
  namespace: 'lockdown',
  vault: 'lockdown',
};

export function kindOf({ scope }: Pick<Stop, 'scope'>): StopKind {
  return KINDS[scope];
}

/** The first stop that stops it: one in force, or one that was lifted but is younger than the release. What a stop ended stays ended. */
export function stopOf(stops: readonly KnownStop[], what: Stoppable): KnownStop | undefined {
  return stops.find((stop) => covers(stop, what) && (!stop.lifted || isOlder(what.releaseId, stop.stopId)));
}

export function covers({ scope, namespace, target }: Stop, what: Stoppable): boolean {
  if (scope === 'vault') return true;
  if (scope === 'key') return what.kek !== undefined && what.kek === target; // the vault's KEK wraps for many namespaces
  if (namespace !== what.namespace) return false;
  if (scope === 'namespace') return true;
  const named = scope === 'requester' ? what.subjectId : scope === 'model' ? what.modelId : what.versionId;
  return named !== undefined && named === target;
}

/** Both are UUIDv7: the first 13 characters are the milliseconds of the database's time (RFC 9562 section 5.7). */
function isOlder(releaseId: ReleaseId | undefined, stopId: StopId): boolean {
  return releaseId !== undefined && releaseId.slice(0, 13) < stopId.slice(0, 13);
}
