import { describe, expect, test } from '@jest/globals';
import {
  completeSubtrees,
  EMPTY_ROOT,
  leafHash,
  nodeHash,
  proveConsistency,
  proveInclusion,
  type ReadSubtree,
  treeRoot,
  verifyConsistency,
  verifyInclusion,
} from '../../src/audit/merkle.ts';
import { toHex } from '../../src/domain/bytes.ts';
import { withVectors } from '../shared-vectors.ts';
import { randomLeaves } from './small-log.ts';

interface Case {
  readonly name: string;
  readonly proof: readonly string[] | null;
  readonly wantErr: boolean;
}
interface InclusionCase extends Case {
  readonly leafIdx: number;
  readonly treeSize: number;
  readonly root: string;
  readonly leafHash: string;
}
interface ConsistencyCase extends Case {
  readonly size1: number;
  readonly size2: number;
  readonly root1: string;
  readonly root2: string;
}
const bytes = (text: string | null | undefined) => new Uint8Array(Buffer.from(text ?? '', 'base64'));
const proofOf = (entry: Case) => (entry.proof ?? []).map(bytes);

withVectors<readonly InclusionCase[]>('inclusion vectors of transparency-dev/merkle', 'tlog-merkle/inclusion.json', (cases) => {
  test.each(cases)('$name', (entry) => {
    expect(verifyInclusion(entry.leafIdx, entry.treeSize, bytes(entry.leafHash), proofOf(entry), bytes(entry.root))).toBe(!entry.wantErr);
  });
});

withVectors<readonly ConsistencyCase[]>('consistency vectors of transparency-dev/merkle', 'tlog-merkle/consistency.json', (cases) => {
  test.each(cases)('$name', (entry) => {
    expect(verifyConsistency(entry.size1, entry.size2, bytes(entry.root1), bytes(entry.root2), proofOf(entry))).toBe(!entry.wantErr);
  });
});

test.skip('subtree proofs: the vault makes and accepts none (tlog-merkle/subtree*.json)', () => undefined);

/** RFC 6962 section 2.1 word for word, slow and recursive. */
function rfcRoot(hashes: readonly Uint8Array[]): Uint8Array {
  const [only] = hashes;
  if (only === undefined) return EMPTY_ROOT;
  if (hashes.length === 1) return only;
  const split = 2 ** Math.ceil(Math.log2(hashes.length) - 1);
  return nodeHash(rfcRoot(hashes.slice(0, split)), rfcRoot(hashes.slice(split)));
}

describe('trees', () => {
  const hashes = randomLeaves(70).map(leafHash);
  const read: ReadSubtree = async ({ level, index }) => treeRoot(hashes.slice(index * 2 ** level, (index + 1) * 2 ** level));

  test('the empty tree, one leaf and two have the hashes of RFC 6962', () => {
    expect(toHex(treeRoot([]))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(toHex(leafHash(new Uint8Array(0)))).toBe('6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d');
    expect(toHex(nodeHash(leafHash(new Uint8Array(0)), leafHash(Uint8Array.of(0))))).toBe(
      'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    );
  });

  test('the root is that of the recursive definition, for every size', () => {
    for (let size = 0; size <= hashes.length; size++) expect(treeRoot(hashes.slice(0, size))).toEqual(rfcRoot(hashes.slice(0, size)));
  });

  test('every inclusion proof verifies, and no other index, size, leaf or root takes it', async () => {
    for (let size = 1; size <= hashes.length; size += 3) {
      const root = treeRoot(hashes.slice(0, size));
      for (let index = 0; index < size; index++) {
        const leaf = hashes[index] ?? EMPTY_ROOT;
        const proof = await proveInclusion(index, size, read);
        expect(verifyInclusion(index, size, leaf, proof, root)).toBe(true);
        expect(verifyInclusion(index + 1, size, leaf, proof, root)).toBe(false);
        expect(verifyInclusion(index, size, EMPTY_ROOT, proof, root)).toBe(false);
        expect(verifyInclusion(index, size, leaf, [...proof, root], root)).toBe(false);
        expect(verifyInclusion(index, size, leaf, proof, EMPTY_ROOT)).toBe(false);
      }
    }
  });

  test('every consistency proof verifies, and no other root takes it', async () => {
    for (let size2 = 1; size2 <= hashes.length; size2 += 5) {
      for (let size1 = 1; size1 <= size2; size1++) {
        const [root1, root2] = [treeRoot(hashes.slice(0, size1)), treeRoot(hashes.slice(0, size2))];
        const proof = await proveConsistency(size1, size2, read);
        expect(verifyConsistency(size1, size2, root1, root2, proof)).toBe(true);
        expect(verifyConsistency(size1, size2, EMPTY_ROOT, root2, proof)).toBe(false);
        expect(verifyConsistency(size1, size2, root1, EMPTY_ROOT, proof)).toBe(false);
        expect(verifyConsistency(size1, size2, root1, root2, [...proof, root1])).toBe(false);
      }
    }
  });

  test('refuses numbers that are no sizes', async () => {
    for (const size of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(verifyInclusion(0, size, EMPTY_ROOT, [], EMPTY_ROOT)).toBe(false);
      expect(verifyInclusion(size, 3, EMPTY_ROOT, [], EMPTY_ROOT)).toBe(false);
      expect(verifyConsistency(size, size, EMPTY_ROOT, EMPTY_ROOT, [])).toBe(false);
      await expect(proveInclusion(0, size, read)).rejects.toThrow(RangeError);
    }
    expect(verifyConsistency(0, 5, EMPTY_ROOT, EMPTY_ROOT, [])).toBe(false);
  });

  test('handles the largest safe size', async () => {
    const size = Number.MAX_SAFE_INTEGER;
    const constant: ReadSubtree = async () => EMPTY_ROOT;
    expect(completeSubtrees({ start: 0, end: size })).toHaveLength(53);
    expect((await proveInclusion(size - 1, size, constant)).length).toBe(52);
  });
});
