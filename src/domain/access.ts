/** One release, as data: the types that pass from stage to stage (docs/architecture.md, "One release"). */
import type { Delivery } from './classes.ts';
import type { Earned } from './earned.ts';
import type { AttestationResult, Evidence, SpkiDigest } from './evidence.ts';
import type { ChallengeId, Digest, ModelId, Namespace, RecordId, ReleaseId, SubjectId, VersionId } from './ids.ts';
import type { Manifest } from './model.ts';

/** A request for a release after its bytes were bounded and parsed. Nothing in it is believed yet. */
export interface AccessRequest {
  readonly requestId: string;
  readonly namespace: Namespace;
  readonly challengeId: ChallengeId | undefined;
  readonly model: string;
  /** A version's id, or an alias of the model. */
  readonly version: string;
  /** Highest counter of that alias that the requester has seen: an older one is `alias_stale`. */
  readonly aliasCounter?: number | undefined;
  readonly evidence: readonly Evidence[];
  readonly delivery: Delivery;
  /** DER SubjectPublicKeyInfo of the TLS client key that sent the request. */
  readonly spki: Uint8Array;
  readonly remoteAddress: string;
  /** tls-exporter of the connection (RFC 9266), hex: recorded with the result. */
  readonly tlsExporter?: string | undefined;
}

/** PDP's answer when it permits. Made only by policy/decide.ts, out of an AttestationResult and a verified manifest. */
export type Permit = Earned<'Permit'> & {
  readonly attested: AttestationResult;
  readonly manifest: Manifest;
  readonly versionDigest: Digest;
  readonly delivery: Delivery;
  /** Ids of the policies that determined the decision. */
  readonly determining: readonly string[];
  readonly policySetDigest: Digest;
};

/**
 * A Permit whose record is as durable as its class demands: the only thing that opens a DEK. Made only by vault/record.ts, from a
 * Permit, or on another node from the signed release document that the first node left behind.
 */
export type RecordedPermit = Earned<'RecordedPermit'> & {
  readonly releaseId: ReleaseId;
  readonly recordId: RecordId;
  readonly namespace: Namespace;
  readonly subjectId: SubjectId;
  readonly modelId: ModelId;
  readonly versionId: VersionId;
  readonly versionDigest: Digest;
  /** The TLS key that every later request must present. */
  readonly spkiDigest: SpkiDigest;
  readonly expiresAt: Date;
};

/** How a release ended. `unknown`: the process that served it died before it could say. */
export type ReleaseOutcome = 'completed' | 'aborted' | 'cut' | 'expired' | 'unknown';
