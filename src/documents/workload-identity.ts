/** The fact by which a requester without a lasting key is known (domain/attester.ts). */
import { z } from 'zod';
import type { WorkloadKind } from '../domain/evidence.ts';
import { FACTS } from '../domain/facts.ts';
import { plain } from './forms.ts';

/** A value of zeros alone is what hardware states that has nothing to say: it is nobody's name. */
export function workloadIdentity(kind: WorkloadKind) {
  const facts = FACTS[kind];
  const names = Object.keys(facts).filter((fact) => facts[fact]?.identifies);
  return z
    .strictObject({ fact: z.string().refine((fact) => names.includes(fact), `must be one of ${names}`), value: plain(2048) })
    .refine(({ fact, value }) => facts[fact]?.type !== 'hex' || /^(?:[0-9a-f]{2})+$/.test(value), 'must be lower-case hex')
    .refine(({ value }) => !/^0*$/.test(value), 'zeros are nobody');
}
