/** Finds the requester that evidence without a lasting key is of (docs/decisions/010-workloads.md). For every kind in WORKLOAD_KINDS. */
import { type EnrolledWorkload, failedClaim, type Refusal, refuse, type WorkloadKind, workloadAttesterKey } from '../domain/evidence.ts';
import { FACTS, type Facts, factText } from '../domain/facts.ts';
import type { VerificationContext } from './port.ts';

/**
 * The one requester of this namespace that is enrolled by a fact of `facts`, which must be verified. None: `attester_key_unknown`, also for
 * another namespace's. Two or more: `attester_ambiguous`; a stop of one of them must not be passed by as the other.
 */
export async function findWorkload(
  kind: WorkloadKind,
  facts: Facts,
  { attester, namespace }: Pick<VerificationContext, 'attester' | 'namespace'>,
): Promise<EnrolledWorkload | Refusal> {
  const found: EnrolledWorkload[] = [];
  const tried: Array<readonly [fact: string, value: string]> = [];
  for (const fact of identifyingFacts(kind)) {
    const value = Object.hasOwn(facts, fact) ? factText(facts[fact] ?? '') : '';
    if (/^0*$/.test(value)) continue;
    tried.push([fact, value]);
    const known = await attester(workloadAttesterKey(kind, { fact, value }));
    if (known === undefined || !('identity' in known)) continue;
    const same = known.kind === kind && known.identity.fact === fact && known.identity.value === value && known.namespace === namespace;
    if (same) found.push(known);
  }
  const [only, ...more] = found;
  if (only === undefined) {
    const failed = tried.map(([claim, seen]) => ({ claim, expected: ['of somebody enrolled'], seen }));
    return refuse('attester_key_unknown', `no requester of this namespace is enrolled by a fact of this ${kind} evidence`, { failed });
  }
  if (more.length === 0) return only;
  const names = found.map(({ name }) => name).join(', ');
  return refuse('attester_ambiguous', `the evidence is of several requesters: ${names}`, {
    failed: failedClaim('requester', 'one', names),
  });
}

function identifyingFacts(kind: WorkloadKind): readonly string[] {
  return Object.entries(FACTS[kind]).flatMap(([fact, { identifies }]) => (identifies ? [fact] : []));
}
