/** Damaged twins: one bit of every byte, chosen by a seed, so that a failure comes back with the same bit. */
import { createHash } from 'node:crypto';

export interface Twin {
  /** Index of the byte. */
  readonly at: number;
  readonly bit: number;
  readonly bytes: Uint8Array;
}

export function* flippedTwins(bytes: Uint8Array, seed: string): Generator<Twin> {
  for (let at = 0; at < bytes.length; at++) {
    const bit = (createHash('sha256').update(`${seed} ${at}`).digest()[0] ?? 0) % 8;
    yield flipped(bytes, at, bit);
  }
}

export function flipped(bytes: Uint8Array, at: number, bit: number): Twin {
  const twin = bytes.slice();
  twin[at] = (twin[at] ?? 0) ^ (1 << bit);
  return { at, bit, bytes: twin };
}
