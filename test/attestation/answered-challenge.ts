/** A challenge as it was answered, and what a vault knows besides, for the verifiers of TEEs and devices. */
import type { Collateral, CollateralType, VerificationContext } from '../../src/attestation/port.ts';
import { sha256Hex } from '../../src/domain/bytes.ts';
import { attesterKeyOf, type EnrolledWorkload, evidenceBinding, type TrustAnchor } from '../../src/domain/evidence.ts';
import { type Namespace, parseDigest, type SubjectId, type VaultId } from '../../src/domain/ids.ts';

const vaultId = '01a0b1c2-d3e4-7000-8000-000000000001' as VaultId;
export const answered = { challengeNonce: new Uint8Array(32).fill(7), spki: new Uint8Array(91).fill(3) };
export const answeredBinding = evidenceBinding({ vaultId, ...answered });
const namespace = 'lab' as Namespace;

export interface Kept {
  readonly type: CollateralType;
  readonly key: string;
  readonly bytes: Uint8Array;
}

export function enrolledBy(kind: EnrolledWorkload['kind'], fact: string, value: string): EnrolledWorkload {
  const subjectId = '01a0b1c2-d3e4-7000-8000-000000000016' as SubjectId;
  return { subjectId, namespace, name: `${kind}-1`, kind, identity: { fact, value }, attributes: {} };
}

export function contextOf(
  now: Date,
  anchors: readonly TrustAnchor[],
  enrolled?: EnrolledWorkload,
  kept: readonly Kept[] = [],
): VerificationContext {
  return {
    role: 'primary',
    binding: answeredBinding,
    ...answered,
    now,
    namespace,
    anchors,
    attester: async (key) => (enrolled !== undefined && key === attesterKeyOf(enrolled) ? enrolled : undefined),
    spendTokenId: () => Promise.reject(new Error('this is no token')),
    collateral: {
      find: async (type, key): Promise<Collateral | undefined> => {
        const found = kept.find((one) => one.type === type && one.key === key);
        return found && { ...found, digest: parseDigest(sha256Hex(found.bytes)) };
      },
    },
  };
}
