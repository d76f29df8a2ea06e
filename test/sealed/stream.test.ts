import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { openStream, sealStream } from '../../src/sealed/stream.ts';
import { FLOE } from '../../src/sealed/suites.ts';
import { collect, cut, join, outcome, secret, split } from './support.ts';

const key = secret(new Uint8Array(32).fill(7));
const aad = new TextEncoder().encode('stream test');
const seal = (plain: Uint8Array, segmentBytes = 48): Promise<Uint8Array> => collect(sealStream([plain], { key, aad, segmentBytes }));
const open = (object: Uint8Array): Promise<{ bytes: Uint8Array; code: string }> => outcome(openStream([object], { key, aad }));
const lengths = fc.array(fc.integer({ min: 0, max: 70 }), { maxLength: 5 }).filter((all) => all.length === 0 || all.some((n) => n > 0));
const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });

describe('whole objects', () => {
  test('come back as they were, however the input is cut and at any segment length and rotation', async () => {
    const cases = [bytes(300), fc.integer({ min: 33, max: 120 }), fc.integer({ min: 0, max: 63 }), lengths, lengths, fc.boolean()] as const;
    await fc.assert(
      fc.asyncProperty(...cases, async (plain, segmentBytes, rotationMask, inward, outward, reuseBuffer) => {
        const sealed = await collect(sealStream(cut(plain, inward), { key, aad, segmentBytes, rotationMask }));
        const segments = Math.max(1, Math.ceil(plain.length / (segmentBytes - 32)));
        expect(sealed.length).toBe(74 + plain.length + segments * 32);
        expect(await collect(openStream(cut(sealed, outward), { key, aad, rotationMask, reuseBuffer }))).toEqual(plain);
      }),
      { numRuns: 300 },
    );
  });

  test('yield the header first, then one chunk a segment', async () => {
    const chunks: number[] = [];
    for await (const chunk of sealStream([new Uint8Array(33)], { key, aad, segmentBytes: 48 })) chunks.push(chunk.length);
    expect(chunks).toEqual([FLOE.headerBytes, 48, 48, 33]);
  });

  test('are never sealed twice to the same bytes', async () => {
    expect(await seal(new Uint8Array(40))).not.toEqual(await seal(new Uint8Array(40)));
  });

  test('may be read through one reused buffer, which is wiped at the end', async () => {
    const seen: Uint8Array[] = [];
    for await (const chunk of openStream([await seal(new Uint8Array(40).fill(9))], { key, aad, reuseBuffer: true })) seen.push(chunk);
    expect(new Set(seen.map((chunk) => chunk.buffer)).size).toBe(1);
    expect(seen.every((chunk) => chunk.every((byte) => byte === 0))).toBe(true);
  });

  test('let go of the source when the consumer stops early or the object is bad', async () => {
    let released = 0;
    async function* source(object: Uint8Array): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield object;
      } finally {
        released += 1;
      }
    }
    const object = await seal(new Uint8Array(200));
    for await (const _ of openStream(source(object), { key, aad })) break;
    expect((await outcome(openStream(source(new Uint8Array(200)), { key, aad }))).code).toBe('sealed_parameters');
    for await (const _ of sealStream(source(object), { key, aad, segmentBytes: 48 })) break;
    expect(released).toBe(2); // sealing had only given its header and not pulled yet, so its source never began
  });

  test('pass on what the source threw', async () => {
    // biome-ignore lint/correctness/useYield: a source that fails at once
    async function* broken(): AsyncGenerator<Uint8Array> {
      throw new Error('the disk is gone');
    }
    await expect(collect(openStream(broken(), { key, aad }))).rejects.toThrow('the disk is gone');
    await expect(collect(sealStream(broken(), { key, aad }))).rejects.toThrow('the disk is gone');
  });
});

describe('a damaged object', () => {
  const plain = new Uint8Array(40).map((_, i) => i);

  test('is refused for every single flipped bit, and gives only a verified prefix', async () => {
    const object = await seal(plain);
    const codes = new Set<string>();
    for (let bit = 0; bit < object.length * 8; bit += 1) {
      const damaged = new Uint8Array(object);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const seen = await open(damaged);
      expect(seen.bytes).toEqual(plain.subarray(0, seen.bytes.length));
      expect(seen.code).toMatch(/^sealed_/);
      if (bit >= 74 * 8) expect(seen.bytes.length).toBe(bit < (74 + 48) * 8 ? 0 : bit < (74 + 96) * 8 ? 16 : 32);
      codes.add(seen.code);
    }
    expect([...codes].sort()).toEqual([
      'sealed_header_tag',
      'sealed_parameters',
      'sealed_segment_length',
      'sealed_segment_tag',
      'sealed_truncated',
    ]);
  });

  test('is refused at every point it may be cut', async () => {
    const object = await seal(plain);
    for (let length = 0; length < object.length; length += 1) {
      const expected = length < 74 ? 'sealed_header_truncated' : 'sealed_truncated';
      expect([length, (await open(object.subarray(0, length))).code]).toEqual([length, expected]);
    }
  });

  test('is refused with anything appended, and keeps its last segment back', async () => {
    for (const size of [40, 48]) {
      const object = await seal(new Uint8Array(size).fill(3));
      for (const extra of [1, 4, 32, 48, 100]) {
        const seen = await open(join(object, new Uint8Array(extra)));
        expect([seen.code, seen.bytes.length]).toEqual(['sealed_trailing_bytes', 32]);
      }
    }
  });

  test('is refused when segments are dropped, repeated, swapped or spliced', async () => {
    const [{ header, segments }, other] = [split(await seal(plain), 48), split(await seal(plain), 48)];
    const order = fc.array(fc.tuple(fc.nat({ max: 2 }), fc.boolean()), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(order, async (picks) => {
        fc.pre(!(picks.length === 3 && picks.every(([n, foreign], at) => n === at && !foreign)));
        const chosen = picks.map(([n, foreign]) => (foreign ? other : { segments }).segments[n] ?? new Uint8Array(0));
        const seen = await open(join(header, ...chosen));
        const right = picks.findIndex(([n, foreign], at) => n !== at || foreign);
        const good = right === -1 ? picks.length : right;
        // A final segment in the wrong place with bytes behind it looks like an internal one whose length field was altered.
        const early = picks[good]?.[0] === 2 && good < picks.length - 1;
        const expected =
          good >= 3
            ? 'sealed_trailing_bytes'
            : good === picks.length
              ? 'sealed_truncated'
              : early
                ? 'sealed_segment_length'
                : 'sealed_segment_tag';
        expect(seen.code).toBe(expected);
        expect(seen.bytes.length).toBe(Math.min(good, 2) * 16);
      }),
      { numRuns: 300 },
    );
  });
});

describe('keys', () => {
  test.each([0, 16, 31, 33, 64])('of %i bytes are refused', async (length) => {
    const wrong = secret(new Uint8Array(length));
    expect((await outcome(sealStream([], { key: wrong, aad }))).code).toBe('sealed_key_invalid');
    expect((await outcome(openStream([await seal(new Uint8Array(1))], { key: wrong, aad }))).code).toBe('sealed_key_invalid');
  });
  test('are lent, not disposed', async () => {
    const mine = secret(new Uint8Array(32));
    await collect(openStream(sealStream([], { key: mine, aad }), { key: mine, aad }));
    expect(mine.disposed).toBe(false);
  });
});

test.each([0, 32, 33.5, 64 * 2 ** 20 + 33, 2 ** 32])('refuses to seal with a segment length of %d', async (segmentBytes) => {
  expect((await outcome(sealStream([], { key, aad, segmentBytes }))).code).toBe('sealed_parameters');
});
test.each([-1, 64, 0.5])('refuses a rotation mask of %d', async (rotationMask) => {
  expect((await outcome(sealStream([], { key, aad, rotationMask }))).code).toBe('sealed_parameters');
});
