/**
 * Evidence of one machine, whole: what stands beside it is made first, then its own, whose B carries the digest of the rest
 * (docs/formats/evidence-binding.md, "Several pieces").
 */
import type { AnsweredChallenge, Attester, DeviceAttester } from '../attestation/port.ts';
import { additionalEvidenceDigest, type BindingInputs, type Evidence, evidenceBinding } from '../domain/evidence.ts';

/** What a machine attests with. */
export interface Attesters {
  /** Says which machine asks; it stands first. */
  readonly machine: Attester;
  /** Other words about the same machine, such as a token. */
  readonly beside: readonly Attester[];
  /** Devices in it. */
  readonly devices: readonly DeviceAttester[];
}

type Bound = Omit<BindingInputs, 'additionalEvidenceDigest'>;

/** Rejects with what the hardware said: one piece that cannot be made is no evidence, not less evidence. */
export async function gatherEvidence({ machine, beside, devices }: Attesters, bound: Bound): Promise<readonly [Evidence, ...Evidence[]]> {
  const challenge: AnsweredChallenge = { challengeNonce: bound.challengeNonce, spki: bound.spki };
  const others: Evidence[] = [];
  for (const { kind, attestDevices } of devices) {
    for (const body of await attestDevices(challenge)) others.push({ kind, body });
  }
  for (const { kind, attest } of beside) others.push({ kind, body: await attest(evidenceBinding(bound), challenge) });
  const digest = additionalEvidenceDigest([{ kind: machine.kind, body: {} }, ...others]);
  const binding = evidenceBinding(digest === undefined ? bound : { ...bound, additionalEvidenceDigest: digest });
  return [{ kind: machine.kind, body: await machine.attest(binding, challenge) }, ...others];
}
