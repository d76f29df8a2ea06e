/** What the vault knows when a TEE guest asks, with one requester enrolled by a fact of it. */
import type { CollateralReader, VerificationContext } from '../../src/attestation/port.ts';
import { sha256Hex } from '../../src/domain/bytes.ts';
import {
  type EnrolledWorkload,
  type TrustAnchor,
  type WorkloadIdentity,
  type WorkloadKind,
  workloadAttesterKey,
} from '../../src/domain/evidence.ts';
import { type Namespace, parseDigest, type SubjectId } from '../../src/domain/ids.ts';

export const NAMESPACE = 'lab' as Namespace;
/** B of some challenge. */
export const BINDING = Uint8Array.from({ length: 120 }, (_, at) => at);

export function keeping(kept: Readonly<Record<string, Uint8Array>>): CollateralReader {
  return {
    find: async (type, key) => {
      const bytes = kept[`${type} ${key}`];
      return bytes && { type, key, bytes, digest: parseDigest(sha256Hex(bytes)) };
    },
  };
}

export function enrolledBy(kind: WorkloadKind, identity: WorkloadIdentity): EnrolledWorkload {
  return {
    subjectId: '0192f3a4-5b6c-7d8e-9fa0-000000000002' as SubjectId,
    namespace: NAMESPACE,
    name: 'guest-1',
    kind,
    identity,
    attributes: {},
  };
}

export interface ContextWishes {
  readonly kind: WorkloadKind;
  readonly identity: WorkloadIdentity;
  readonly anchors: readonly TrustAnchor[];
  readonly collateral: CollateralReader;
  readonly now: Date;
}

export function workloadContext({ kind, identity, anchors, collateral, now }: ContextWishes): VerificationContext {
  const known = workloadAttesterKey(kind, identity);
  return {
    role: 'primary',
    binding: BINDING,
    challengeNonce: new Uint8Array(32),
    spki: new Uint8Array(0),
    now,
    namespace: NAMESPACE,
    anchors,
    collateral,
    attester: async (key) => (key === known ? enrolledBy(kind, identity) : undefined),
    spendTokenId: () => Promise.reject(new Error('a report is no token')),
  };
}
