/** The form of reference values: what two people sign, and what is read back. */
import { z } from 'zod';
import type { MeasuredKind, ReferenceValue } from '../domain/evidence.ts';
import { FACTS, type FixedKind } from '../domain/facts.ts';
import { isId } from '../domain/ids.ts';
import { claimName, issuer, name, plain } from './forms.ts';

const expires = z.iso.datetime().optional();
const pcrIndex = z.string().regex(/^(?:[0-9]|1[0-9]|2[0-3])$/);
const pcrValue = z.string().regex(/^(?:[0-9a-f]{64}|[0-9a-f]{96})$/);
const accepted = z.array(plain(256)).min(1).max(100);
/** Command lines are long. */
const acceptedTexts = z.array(plain(4096)).min(1).max(100);

const tpm2Shape = {
  id: name,
  kind: z.literal('tpm2'),
  pcrs: z.partialRecord(z.enum(['sha256', 'sha384']), z.record(pcrIndex, z.array(pcrValue).min(1))),
  expires,
};
const jwtShape = { id: name, kind: z.literal('jwt'), issuer, claims: z.record(claimName, accepted), expires };
/** What version 1 of the document can say. It is frozen: a new member or kind belongs into version 2. */
const valueV1 = z.discriminatedUnion('kind', [z.strictObject(tpm2Shape), z.strictObject(jwtShape)]);

const models = z.array(z.string().refine(isId, 'must be ids of models')).min(1).max(100).optional();

/** Since version 2. */
const scope = { models, source: plain(512).optional() };

const hasFact = (kind: FixedKind, fact: string) => Object.hasOwn(FACTS[kind], fact);
const hasNumber = (kind: FixedKind, fact: string) => hasFact(kind, fact) && FACTS[kind][fact]?.type === 'number';
const atLeast = z.record(z.string().max(64), z.int().min(0)).optional();

/** Which firmware the TPM of a guest is in: without it, any owner of such hardware can make a TPM that says what he likes. */
const NAMES_THE_TEE = ['teeMeasurement', 'teeIdKeyDigest'];
const tpm2V2 = z
  .strictObject({ ...tpm2Shape, claims: z.record(z.string().max(64), acceptedTexts).optional(), atLeast, ...scope })
  .refine(({ claims }) => Object.keys(claims ?? {}).every((fact) => hasFact('tpm2', fact)), 'claims are facts of tpm2')
  .refine(({ atLeast: least }) => Object.keys(least ?? {}).every((fact) => hasNumber('tpm2', fact)), 'atLeast names facts that are numbers')
  .refine(
    ({ claims }) => !claims?.['akTrust']?.includes('tee') || NAMES_THE_TEE.some((fact) => Object.hasOwn(claims, fact)),
    `claims that accept akTrust tee must say whose firmware: ${NAMES_THE_TEE}`,
  );

const measured = <K extends MeasuredKind>(kind: K) => {
  const facts = FACTS[kind];
  return z
    .strictObject({
      id: name,
      kind: z.literal(kind),
      claims: z.record(z.string().max(64), accepted),
      atLeast,
      ...scope,
      expires,
    })
    .refine(({ claims }) => Object.keys(claims).every((fact) => hasFact(kind, fact)), `claims are facts of ${kind}`)
    .refine(
      ({ atLeast: least }) => Object.keys(least ?? {}).every((fact) => hasNumber(kind, fact)),
      `atLeast names facts of ${kind} that are numbers`,
    )
    .refine(
      ({ claims }) => Object.keys(claims).some((fact) => facts[fact]?.measures),
      `claims must say what runs there: ${Object.keys(facts).filter((fact) => facts[fact]?.measures)}`,
    );
};

export const referenceValue = z.discriminatedUnion('kind', [
  tpm2V2,
  z.strictObject({ ...jwtShape, ...scope }),
  measured('sev-snp'),
  measured('tdx'),
  measured('nitro'),
  measured('nvidia-gpu'),
  measured('spiffe'),
]);
export const referenceValueList = z.array(referenceValue);
export const referenceValueListV1 = z.array(valueV1);

/** The lowest version of the document that can say this: a vault of before can still read it. */
export function referenceValuesVersion(values: readonly ReferenceValue[]): 1 | 2 {
  return referenceValueListV1.safeParse(values).success ? 1 : 2;
}
