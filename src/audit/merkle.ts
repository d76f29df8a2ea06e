/** RFC 6962 section 2.1 Merkle trees over SHA-256: hashes, roots, and proofs made and verified. No I/O. Sizes and indexes are safe integers. */
import { hash as digest } from 'node:crypto';
import { equalBytes, sha256 } from '../domain/bytes.ts';

export const HASH_BYTES = 32;
/** MTH({}) = SHA-256(). */
export const EMPTY_ROOT: Uint8Array = sha256();

/** Leaves [start, end) of a tree; `start` is a multiple of the largest power of two that fits in the range. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** The complete subtree over leaves [index * 2^level, (index + 1) * 2^level). */
export interface Subtree {
  readonly level: number;
  readonly index: number;
}

export type ReadSubtree = (subtree: Subtree) => Promise<Uint8Array>;

/** MTH({d}) = SHA-256(0x00 || d). */
export function leafHash(leaf: Uint8Array): Uint8Array {
  return hashPrefixed(0x00, leaf);
}

/** SHA-256(0x01 || left || right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return hashPrefixed(0x01, left, right);
}

/** MTH over hashes of equally high complete subtrees (leaf hashes, or one tile). An odd last hash moves up as it is, which is the RFC's split. */
export function treeRoot(hashes: readonly Uint8Array[]): Uint8Array {
  if (hashes.length === 0) return EMPTY_ROOT;
  const row = Buffer.allocUnsafe(hashes.length * HASH_BYTES); // each row is written over the one it is made from
  for (const [at, hash] of hashes.entries()) row.set(hash, at * HASH_BYTES);
  for (let width = hashes.length; width > 1; width = Math.ceil(width / 2)) {
    for (let at = 0; at < width; at += 2) {
      const children = row.subarray(at * HASH_BYTES, Math.min(at + 2, width) * HASH_BYTES);
      if (children.length === HASH_BYTES) row.set(children, (at / 2) * HASH_BYTES);
      else row.write(digestOf(0x01, children), (at / 2) * HASH_BYTES, 'binary');
    }
  }
  return new Uint8Array(row.subarray(0, HASH_BYTES));
}

/** The complete subtrees that tile a range, from left to right, each smaller than the one before. */
export function completeSubtrees({ start, end }: Range): readonly Subtree[] {
  const out: Subtree[] = [];
  for (let at = start; at < end; ) {
    let level = 0;
    while (2 ** (level + 1) <= end - at) level++;
    out.push({ level, index: at / 2 ** level });
    at += 2 ** level;
  }
  return out;
}

/** MTH of a range out of its complete subtrees: the smaller ones on the right are joined first. */
export async function rangeRoot(range: Range, read: ReadSubtree): Promise<Uint8Array> {
  const hashes: Uint8Array[] = [];
  for (const subtree of completeSubtrees(range)) hashes.push(await read(subtree));
  return foldRight(hashes);
}

export function foldRight(hashes: readonly Uint8Array[]): Uint8Array {
  return hashes.length === 0 ? EMPTY_ROOT : hashes.reduceRight((right, left) => nodeHash(left, right));
}

/** PATH(index, D[size]) of section 2.1.1, from the leaf's sibling up. */
export async function proveInclusion(index: number, size: number, read: ReadSubtree): Promise<readonly Uint8Array[]> {
  if (!isSize(size) || !isSize(index) || index >= size) throw new RangeError(`no leaf ${index} in a tree of ${size}`);
  return Promise.all(inclusionRanges(index, size).map((range) => rangeRoot(range, read)));
}

/** PROOF(size1, D[size2]) of section 2.1.2. A proof from the empty tree does not exist: it would prove nothing. */
export async function proveConsistency(size1: number, size2: number, read: ReadSubtree): Promise<readonly Uint8Array[]> {
  if (!isSize(size1) || !isSize(size2) || size1 < 1 || size1 > size2) throw new RangeError(`no proof from ${size1} to ${size2}`);
  return Promise.all(consistencyRanges(size1, size2).map((range) => rangeRoot(range, read)));
}

/** True when the leaf with this hash stands at `index` in the tree of `size` with `root`. A proof longer than needed is refused like a wrong one. */
export function verifyInclusion(index: number, size: number, leaf: Uint8Array, proof: readonly Uint8Array[], root: Uint8Array): boolean {
  if (!isSize(size) || !isSize(index) || index >= size || ![leaf, root, ...proof].every(isHash)) return false;
  const ranges = inclusionRanges(index, size);
  if (ranges.length !== proof.length) return false;
  const computed = proof.reduce((hash, other, at) => (isLeft(ranges[at], index) ? nodeHash(other, hash) : nodeHash(hash, other)), leaf);
  return equalBytes(computed, root);
}

/** True when the tree of `size2` with `root2` begins with the tree of `size1` with `root1`. */
export function verifyConsistency(
  size1: number,
  size2: number,
  root1: Uint8Array,
  root2: Uint8Array,
  proof: readonly Uint8Array[],
): boolean {
  if (!isSize(size1) || !isSize(size2) || size1 < 1 || size1 > size2) return false;
  if (size1 === size2) return proof.length === 0 && equalBytes(root1, root2);
  const ranges = consistencyRanges(size1, size2);
  if (![root1, root2, ...proof].every(isHash)) return false;
  if (ranges.length !== proof.length) return false;
  // The proof starts with the last subtree of the old tree, unless that is the whole old tree, which the verifier has.
  const seeded = ranges[0]?.end === size1;
  const seed = (seeded ? proof[0] : undefined) ?? root1;
  let older = seed;
  let newer = seed;
  for (let at = seeded ? 1 : 0; at < proof.length; at++) {
    const other = proof[at] ?? EMPTY_ROOT; // never absent: `at` is below the length
    const left = isLeft(ranges[at], size1 - 1);
    if (left) older = nodeHash(other, older);
    newer = left ? nodeHash(other, newer) : nodeHash(newer, other);
  }
  return equalBytes(older, root1) && equalBytes(newer, root2);
}

function inclusionRanges(index: number, size: number): readonly Range[] {
  const out: Range[] = [];
  let [start, end] = [0, size];
  while (end - start > 1) {
    const middle = start + splitOf(end - start);
    out.push(index < middle ? { start: middle, end } : { start, end: middle });
    [start, end] = index < middle ? [start, middle] : [middle, end];
  }
  return out.reverse();
}

function consistencyRanges(size1: number, size2: number): readonly Range[] {
  const out: Range[] = [];
  let [start, end] = [0, size2];
  while (end !== size1) {
    const middle = start + splitOf(end - start);
    out.push(size1 <= middle ? { start: middle, end } : { start, end: middle });
    [start, end] = size1 <= middle ? [start, middle] : [middle, end];
  }
  if (start !== 0) out.push({ start, end });
  return out.reverse();
}

/** The largest power of two smaller than `size` (at least 2). Counted, because Math.log2 rounds near 2^53. */
function splitOf(size: number): number {
  let power = 1;
  while (power * 2 < size) power *= 2;
  return power;
}

function isLeft(range: Range | undefined, index: number): boolean {
  return range !== undefined && range.end <= index;
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function isHash(value: Uint8Array): boolean {
  return value.length === HASH_BYTES;
}

function hashPrefixed(prefix: 0x00 | 0x01, ...parts: readonly Uint8Array[]): Uint8Array {
  const text = digestOf(prefix, ...parts);
  const out = new Uint8Array(HASH_BYTES);
  for (let at = 0; at < HASH_BYTES; at++) out[at] = text.charCodeAt(at);
  return out;
}

/** Where what is hashed next is put together: nothing an entry bundle can hold is longer. */
const room = Buffer.alloc(0x10000);

/** One character for each byte: node:crypto makes a short string in a third of the time of a Buffer. */
function digestOf(prefix: 0x00 | 0x01, ...parts: readonly Uint8Array[]): string {
  const length = parts.reduce((sum, part) => sum + part.length, 1);
  const input = length <= room.length ? room : Buffer.alloc(length); // what verifiers elsewhere hash may be
  input[0] = prefix;
  let at = 1;
  for (const part of parts) {
    input.set(part, at);
    at += part.length;
  }
  return digest('sha256', input.subarray(0, length), 'binary');
}
