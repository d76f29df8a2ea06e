/** Examinations of damaged evidence. */
import { expect } from '@jest/globals';
import fc from 'fast-check';
import type { Examination } from '../../src/attestation/examination.ts';
import { flipEachByte } from './damage.ts';

/** Authentic and altered must never be the same answer. */
export async function acceptsNoFlippedBit(
  honest: Uint8Array,
  seed: number,
  examine: (evidence: Uint8Array) => Examination,
  every = 1,
): Promise<void> {
  const accepted: number[] = [];
  const visit = (damaged: Uint8Array, at: number) => {
    const { valid, accept, reasons } = examine(damaged);
    if (valid || accept || reasons.length === 0) accepted.push(at);
  };
  await flipEachByte(honest, seed, visit, every);
  expect(accepted).toEqual([]);
}

/** Cut short, spliced, overwritten, lengthened, or nothing of the kind at all. */
export function hostileBytes(honest: Uint8Array): fc.Arbitrary<Uint8Array> {
  const at = fc.nat({ max: honest.length });
  const some = fc.uint8Array({ maxLength: 64 });
  return fc.oneof(
    fc.uint8Array({ maxLength: 512 }),
    at.map((end) => honest.slice(0, end)),
    fc.tuple(at, at).map(([from, to]) => Uint8Array.from([...honest.slice(0, from), ...honest.slice(to)])),
    fc.tuple(at, some).map(([from, bytes]) => Uint8Array.from([...honest.slice(0, from), ...bytes, ...honest.slice(from + bytes.length)])),
    fc.tuple(at, some).map(([from, bytes]) => Uint8Array.from([...honest.slice(0, from), ...bytes, ...honest.slice(from)])),
  );
}
