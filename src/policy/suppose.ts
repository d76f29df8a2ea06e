/** Questions nobody asked yet: what would be ruled for such a requester, with such evidence, on such a version. They open nothing (rule.ts). */
import { sha256Hex } from '../domain/bytes.ts';
import type { ClassName, Delivery } from '../domain/classes.ts';
import {
  type AdministratorId,
  type Digest,
  type ModelId,
  type Namespace,
  newId,
  parseDigest,
  SYSTEM,
  type VersionId,
} from '../domain/ids.ts';
import { canonicalJson } from '../domain/json.ts';
import type { AdminAction } from './actions.ts';
import {
  type AdministrationContext,
  type EgressAttributes,
  type EvidenceAttributes,
  NO_EGRESS,
  type RequesterAttributes,
  type VersionAttributes,
} from './attributes.ts';
import { type LoadedPolicySet, loadPolicySet } from './policy-set.ts';
import type { Policies } from './policy-text.ts';
import type { ReleaseSupposition } from './rule.ts';
import { type Ruling, ruleAdministration } from './rule.ts';

export type SupposedEvidence = Omit<EvidenceAttributes, 'subject'>;

/** A fresh, key-bound TPM quote that matched something. */
export const TPM_QUOTE: SupposedEvidence = {
  tier: 'affirming',
  kinds: ['tpm2'],
  fresh: true,
  keyBound: true,
  hardware: true,
  tee: false,
  matched: [],
  facts: {},
  pieces: [],
};

export interface SupposedVersion {
  readonly namespace: Namespace;
  readonly class: ClassName;
  readonly attributes: Readonly<Record<string, string>>;
  /** Left out for one that no policy knows. */
  readonly modelId?: ModelId;
  readonly versionId?: VersionId;
  readonly versionDigest?: Digest;
}

export interface Supposition {
  readonly requester: RequesterAttributes;
  readonly version: SupposedVersion;
  readonly evidence: SupposedEvidence;
  readonly delivery: Delivery;
  readonly egress?: EgressAttributes;
  readonly policySet: LoadedPolicySet | undefined;
  readonly now: Date;
}

// No policy knows these: ids of things that do not exist.
const NO_MODEL = newId<ModelId>(new Date(0));
const NO_VERSION = newId<VersionId>(new Date(0));
const NOBODY = newId<AdministratorId>(new Date(0));
const NO_DIGEST: Digest = parseDigest('0'.repeat(64));

export function supposeRelease({
  requester,
  version,
  evidence,
  delivery,
  egress = NO_EGRESS,
  policySet,
  now,
}: Supposition): ReleaseSupposition {
  const { versionDigest = NO_DIGEST, ...known } = version;
  const manifest: VersionAttributes = { modelId: NO_MODEL, versionId: NO_VERSION, ...known };
  return { attested: { ...evidence, subject: requester }, manifest, versionDigest, delivery, egress, policySet, now };
}

export interface SupposedAdministrator {
  /** Undefined for a person who is only thought of. */
  readonly administratorId?: AdministratorId | undefined;
  readonly name: string;
  readonly roles: readonly string[];
}

export function ruleOnAdministrator(
  { administratorId = NOBODY, name, roles }: SupposedAdministrator,
  action: AdminAction,
  namespace: Namespace,
  context: AdministrationContext,
  policySet: LoadedPolicySet | undefined,
): Ruling {
  return ruleAdministration({ administrator: { administratorId, name, roles }, action, namespace, context, policySet });
}

/** The policies as if they were in force. */
export function supposeSet(policies: Policies, namespace: Namespace = SYSTEM): LoadedPolicySet {
  return loadPolicySet({ namespace, policies }, parseDigest(sha256Hex(canonicalJson(policies))));
}
