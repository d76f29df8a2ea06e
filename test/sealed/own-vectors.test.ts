import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { inspectObject } from '../../src/sealed/inspect.ts';
import { floeAad, objectKey } from '../../src/sealed/object-key.ts';
import { openStream, sealStream } from '../../src/sealed/stream.ts';
import { collect, fixedRandom, hex, join, outcome, secret, split, vectors } from './support.ts';

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

interface Good {
  name: string;
  key: string;
  aad: string;
  segmentBytes: number;
  rotationMask: number;
  seed: string;
  plaintext: string;
  ciphertext: string;
  openOnly?: true;
}

describe.each(vectors<{ objects: Good[] }>('good').objects)('good object: $name', (v) => {
  const options = { key: secret(v.key), aad: hex(v.aad), rotationMask: v.rotationMask, segmentBytes: v.segmentBytes };
  test('opens', async () => {
    expect(toHex(await collect(openStream([hex(v.ciphertext)], options)))).toBe(v.plaintext);
    const summary = await inspectObject([hex(v.ciphertext)], options);
    expect(summary).toMatchObject({ verified: true, plaintextBytes: v.plaintext.length / 2, ciphertextBytes: v.ciphertext.length / 2 });
  });
  if (v.openOnly !== true) {
    test('is sealed to exactly these bytes', async () => {
      expect(toHex(await collect(sealStream([hex(v.plaintext)], { ...options, random: fixedRandom(v.seed) })))).toBe(v.ciphertext);
    });
  }
});

interface Bad {
  name: string;
  key: string;
  aad: string;
  rotationMask: number;
  segmentBytes?: number;
  ciphertext: string;
  error: string;
}

describe('bad objects', () => {
  test.each(vectors<{ objects: Bad[] }>('bad').objects)('refuses $name: $error', async (v) => {
    const options = { key: secret(v.key), aad: hex(v.aad), rotationMask: v.rotationMask, segmentBytes: v.segmentBytes };
    expect((await outcome(openStream([hex(v.ciphertext)], options))).code).toBe(v.error);
    expect((await outcome(inspecting(hex(v.ciphertext), options))).code).toBe(v.error);
  });
});

async function* inspecting(bytes: Uint8Array, options: Parameters<typeof inspectObject>[1]): AsyncGenerator<Uint8Array> {
  await inspectObject([bytes], options);
  yield new Uint8Array(0);
}

type Mutation =
  | { op: 'flip'; at: number; bit: number }
  | { op: 'write'; at: number; hex: string }
  | { op: 'cut'; bytes: number }
  | { op: 'append'; hex: string }
  | { op: 'segments'; order: number[] };

interface Production {
  key: string;
  aad: string;
  segmentBytes: number;
  rotationMask: number;
  objects: Array<{
    name: string;
    seed: string;
    pattern: string;
    plaintextBytes: number;
    plaintextSha256: string;
    ciphertextBytes: number;
    ciphertextSha256: string;
    bad: Array<{ name: string; mutations: Mutation[]; error: string }>;
  }>;
}

const production = vectors<Production>('production');

describe.each(production.objects)('at the production segment length: $name', (v) => {
  const options = { key: secret(production.key), aad: hex(production.aad), rotationMask: production.rotationMask };
  const plain = new Uint8Array(Buffer.alloc(v.plaintextBytes, hex(v.pattern)));
  const sealed = collect(sealStream([plain], { ...options, random: fixedRandom(v.seed) }));

  test('is sealed to exactly these bytes and opens again', async () => {
    expect(sha256(plain)).toBe(v.plaintextSha256);
    expect([(await sealed).length, sha256(await sealed)]).toEqual([v.ciphertextBytes, v.ciphertextSha256]);
    expect(sha256(await collect(openStream([await sealed], options)))).toBe(v.plaintextSha256);
  });

  test.each(v.bad)('refuses $name: $error', async ({ mutations, error }) => {
    const damaged = mutations.reduce((bytes, mutation) => mutate(bytes, mutation, production.segmentBytes), await sealed);
    const seen = await outcome(openStream([damaged], options));
    expect(seen.code).toBe(error);
    expect(Buffer.compare(seen.bytes, plain.subarray(0, seen.bytes.length))).toBe(0);
    expect(seen.bytes.length).toBeLessThan(plain.length);
  });
});

function mutate(object: Uint8Array, mutation: Mutation, segmentBytes: number): Uint8Array {
  const bytes = new Uint8Array(object);
  switch (mutation.op) {
    case 'flip':
      bytes[mutation.at] = (bytes[mutation.at] ?? 0) ^ (1 << mutation.bit);
      return bytes;
    case 'write':
      bytes.set(hex(mutation.hex), mutation.at);
      return bytes;
    case 'cut':
      return bytes.subarray(0, mutation.bytes);
    case 'append':
      return join(bytes, hex(mutation.hex));
    case 'segments': {
      const { header, segments } = split(bytes, segmentBytes);
      return join(header, ...mutation.order.map((n) => segments[n] ?? new Uint8Array(0)));
    }
  }
}

interface ObjectKeyCase {
  dek: string;
  namespace: string;
  versionId: string;
  path: string;
  objectKey: string;
  aad: string;
}

describe('object keys', () => {
  test.each(vectors<{ cases: ObjectKeyCase[] }>('object-keys').cases)('derives the key and AAD of $path', (c) => {
    expect(objectKey(secret(c.dek), c.versionId, c.path).expose(toHex)).toBe(c.objectKey);
    expect(toHex(floeAad(c.namespace, c.versionId, c.path))).toBe(c.aad);
    expect(objectKey(secret(c.dek), c.versionId, c.path.normalize('NFD')).expose(toHex)).toBe(c.objectKey);
  });
  test.each([0, 31, 33, 48])('refuses a DEK of %i bytes', (length) => {
    expect(() => objectKey(secret(new Uint8Array(length)), 'v', 'p')).toThrow(expect.objectContaining({ code: 'sealed_key_invalid' }));
  });
  test('gives every version and path a key of its own', () => {
    const dek = secret(new Uint8Array(32));
    const keys = [objectKey(dek, 'v', 'p'), objectKey(dek, 'v', 'q'), objectKey(dek, 'w', 'p'), objectKey(dek, 'vp', '')];
    expect(new Set(keys.map((key) => key.expose(toHex))).size).toBe(keys.length);
  });
});
