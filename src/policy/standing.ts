/**
 * A standing authorization for critical weights: a permit of the policy set in force, so two people signed it, whose scope is one version by its id and
 * whose annotation says until when. Fleet and budget are its conditions. It permits nothing by itself: Cedar decides, and it must be among what decided.
 *
 *   @id("falcon-to-site-7") @standing_until("2027-03-31T00:00:00Z")
 *   permit (principal, action == WeightVault::Action::"release", resource == WeightVault::ModelVersion::"prod/0190...") when { ... };
 */
import { policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { LruMap } from '../domain/lru-map.ts';
import type { VersionAttributes } from './attributes.ts';
import type { LoadedPolicySet } from './policy-set.ts';

interface Standing {
  readonly policyId: string;
  /** `namespace/versionId`, as the entity is called. */
  readonly version: string;
  readonly untilMs: number;
}

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/;
const known = new LruMap<string, readonly Standing[]>(64);

/** Ids of the policies that authorize releases of this very version now. */
export function standingFor(set: LoadedPolicySet | undefined, version: VersionAttributes, now: Date): ReadonlySet<string> {
  const name = `${version.namespace}/${version.versionId}`;
  const good = set === undefined ? [] : standingIn(set).filter((one) => one.version === name && now.getTime() < one.untilMs);
  return new Set(good.map(({ policyId }) => policyId));
}

function standingIn({ policies, contentDigest }: LoadedPolicySet): readonly Standing[] {
  const found = known.get(contentDigest) ?? Object.entries(policies).flatMap(([policyId, text]) => standingOf(policyId, text));
  known.set(contentDigest, found);
  return found;
}

function standingOf(policyId: string, text: string): Standing[] {
  const parsed = policyToJson(text);
  if (parsed.type === 'failure' || parsed.json.effect !== 'permit') return [];
  const until = parsed.json.annotations?.['standing_until'] ?? '';
  const untilMs = TIME.test(until) ? Date.parse(until) : Number.NaN;
  const { resource } = parsed.json;
  if (Number.isNaN(untilMs) || resource.op !== '==' || !('entity' in resource)) return [];
  const entity = '__entity' in resource.entity ? resource.entity.__entity : resource.entity;
  return entity.type === 'WeightVault::ModelVersion' ? [{ policyId, version: entity.id, untilMs }] : [];
}
