/** One kind of evidence to measure, and the whole appraisal around it. A new kind is a file beside these and a row in kinds.ts. */
import { appraise } from '../../src/attestation/appraise.ts';
import type { EvidenceVerifier, VerificationContext } from '../../src/attestation/port.ts';
import type { AttestationResult, EvidenceKind, ReferenceValue, Refusal } from '../../src/domain/evidence.ts';
import { parseDigest } from '../../src/domain/ids.ts';

export interface KindBench {
  /** Of the row: a kind may be measured in several shapes. */
  readonly name: string;
  /** Appraisals per second of one core. */
  readonly atLeast: number;
  prepare(): Promise<Sample>;
}

export interface Sample {
  readonly kind: EvidenceKind;
  readonly verifier: EvidenceVerifier;
  /** Genuine, and bound to `context.binding`. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly context: VerificationContext;
  /** The n-th reference value; number 0 is the one that the evidence matches. */
  referenceValue(n: number): ReferenceValue;
  /** A second piece, under the same context. */
  readonly beside?: Sample;
}

const DIGEST = parseDigest('0'.repeat(64));

/** One appraisal under `count` reference values, the first of number `from`: the leaf and the evidence are verified each time, what stands above them once. */
export function appraisalOf(sample: Sample, count: number, from = 0): () => Promise<AttestationResult | Refusal> {
  const { context } = sample;
  const pieces = [sample, ...(sample.beside === undefined ? [] : [sample.beside])];
  const referenceValues = pieces.flatMap((piece) => Array.from({ length: count }, (_, n) => piece.referenceValue(from + n)));
  const verifiers = new Map(pieces.map(({ kind, verifier }) => [kind, verifier]));
  const bindingOf = () => context.binding;
  const evidence = pieces.map(({ kind, body }) => ({ kind, body }));
  const known = { referenceValues, referenceValuesDigest: DIGEST, spkiDigest: DIGEST, appraisalPolicyId: 'bench', now: context.now };
  return () => appraise({ evidence, verifiers, bindingOf, context, ...known });
}
