/** A receipt proves one record with nothing but the vkey, and nothing else than what it was made for. */
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { makeProof, parseProof } from '../../src/audit/proof.ts';
import { makeReceipt, openReceipt } from '../../src/audit/receipt.ts';
import { parseVkey } from '../../src/audit/vkey.ts';
import { utf8 } from '../../src/domain/bytes.ts';
import { codeOf, type ErrorCode } from '../../src/domain/errors.ts';
import { createLogKey, publishedFiles, sourceOf } from './small-log.ts';

const golden = JSON.parse(readFileSync(new URL('../vectors/audit/receipt.json', import.meta.url), 'utf8')) as {
  readonly vkey: string;
  readonly index: number;
  readonly size: number;
  readonly leaf: string;
  readonly receipt: string;
};
const receipt = utf8(golden.receipt);

const refusalOf = (bytes: Uint8Array, vkey = golden.vkey): ErrorCode | 'accepted' => {
  try {
    openReceipt(bytes, vkey);
    return 'accepted';
  } catch (error) {
    return codeOf(error);
  }
};

test('the published receipt verifies, and gives the leaf byte for byte', () => {
  const { index, checkpoint, leaf } = openReceipt(receipt, golden.vkey);
  expect({ index, size: checkpoint.size, leaf: new TextDecoder().decode(leaf) }).toEqual({
    index: golden.index,
    size: golden.size,
    leaf: golden.leaf,
  });
});

test('is made again byte for byte from the log', async () => {
  const log = JSON.parse(readFileSync(new URL('../vectors/audit/log.json', import.meta.url), 'utf8'));
  const tiles = new Map(Object.entries<string>(log.tiles).map(([path, base64]) => [path, new Uint8Array(Buffer.from(base64, 'base64'))]));
  const record = { index: golden.index, leaf: utf8(golden.leaf) };
  const made = await makeReceipt(record, utf8(log.checkpoint), parseVkey(log.vkey), sourceOf(tiles).tile);
  expect(new TextDecoder().decode(made)).toBe(golden.receipt);
});

test('no bit of it can change unnoticed', () => {
  for (let at = 0; at < receipt.length; at++) {
    const altered = receipt.slice();
    altered[at] = (altered[at] ?? 0) ^ (1 << (at % 8));
    expect({ at, code: refusalOf(altered) }).toEqual({ at, code: expect.stringMatching(/^(proof_invalid|note_)/) });
  }
});

test('cut short, empty, or with bytes behind it is refused', () => {
  for (const length of [0, 1, 22, 100, receipt.length - 1])
    expect(refusalOf(receipt.subarray(0, length))).toMatch(/^(proof_invalid|note_)/);
  expect(refusalOf(new Uint8Array([...receipt, 10]))).toBe('note_malformed');
});

test('another key, also of the same name, is not believed', () => {
  expect(refusalOf(receipt, createLogKey().vkey)).toBe('note_signature_invalid');
});

test('the proof of one record with the leaf of another is refused', async () => {
  const key = createLogKey();
  const { files } = await publishedFiles(3, key);
  const checkpoint = files.get('checkpoint') ?? new Uint8Array(0);
  const other = await makeReceipt({ index: 1, leaf: utf8('{"another":"leaf"}') }, checkpoint, parseVkey(key.vkey), sourceOf(files).tile);
  expect(refusalOf(other, key.vkey)).toBe('proof_invalid');
});

test('a proof that carries no record is no receipt', async () => {
  const key = createLogKey();
  const { files } = await publishedFiles(3, key);
  const proof = await makeProof(1, files.get('checkpoint') ?? new Uint8Array(0), parseVkey(key.vkey), sourceOf(files).tile);
  expect(parseProof(proof).extra).toBeUndefined();
  expect(refusalOf(proof, key.vkey)).toBe('proof_invalid');
});
