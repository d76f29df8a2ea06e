import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ciphertextBytes, segmentCount, segmentLength, segmentOf, segmentOffset } from '../../src/sealed/layout.ts';
import { type OpenRangeOptions, openRange, type SegmentSource } from '../../src/sealed/range.ts';
import { SegmentOpener, SegmentSealer } from '../../src/sealed/segment.ts';
import { encodePosition, maskPosition } from '../../src/sealed/segment-keys.ts';
import { sealStream } from '../../src/sealed/stream.ts';
import { FLOE, PRODUCTION_SEGMENT_BYTES } from '../../src/sealed/suites.ts';
import { collect, cut, outcome, secret } from './support.ts';

const key = secret(new Uint8Array(32).fill(7));
const aad = new TextEncoder().encode('range test');
const SEGMENT = 48;
const seal = (plain: Uint8Array, rotationMask = 20): Promise<Uint8Array> =>
  collect(sealStream([plain], { key, aad, segmentBytes: SEGMENT, rotationMask }));
const sourceOf = (object: Uint8Array, lengths: readonly number[] = []): SegmentSource => ({
  read: ({ offset, bytes }) => cut(object.subarray(offset, offset + bytes), lengths),
});
function range(object: Uint8Array, plaintextBytes: number, start: number, end: number, more: Partial<OpenRangeOptions> = {}) {
  const opener = new SegmentOpener(object.subarray(0, 74), { key, aad, rotationMask: 20 });
  return openRange({ opener, plaintextBytes, range: { start, end }, source: sourceOf(object), ...more });
}
const plainOf = (length: number): Uint8Array => new Uint8Array(length).map((_, i) => i * 5 + 1);

describe('a range read', () => {
  test('equals the slice, however the source cuts its bytes', async () => {
    const cases = [
      fc.nat({ max: 120 }),
      fc.nat({ max: 120 }),
      fc.nat({ max: 120 }),
      fc.array(fc.integer({ min: 1, max: 60 })),
      fc.boolean(),
    ] as const;
    await fc.assert(
      fc.asyncProperty(...cases, async (length, a, b, lengths, reuseBuffer) => {
        const plain = plainOf(length);
        const [start, end] = [Math.min(a, b, length), Math.min(Math.max(a, b), length)];
        const object = await seal(plain);
        const read = range(object, length, start, end, { source: sourceOf(object, lengths), reuseBuffer });
        expect(await collect(read)).toEqual(plain.slice(start, end));
      }),
      { numRuns: 300 },
    );
  });

  test('asks the source for the touched segments and no others', async () => {
    const asked: unknown[] = [];
    const object = await seal(plainOf(100));
    const { signal } = new AbortController();
    const source: SegmentSource = {
      read(span, given) {
        asked.push([span, given === signal]);
        return [object.subarray(span.offset, span.offset + span.bytes)];
      },
    };
    await collect(range(object, 100, 20, 64, { source, signal }));
    await collect(range(object, 100, 99, 100, { source, signal }));
    expect(asked).toEqual([
      [{ firstSegment: 1, segments: 3, offset: 74 + 48, bytes: 3 * 48 }, true],
      [{ firstSegment: 6, segments: 1, offset: 74 + 6 * 48, bytes: 36 }, true],
    ]);
  });

  test.each([
    [-1, 5],
    [5, 4],
    [0, 101],
    [101, 101],
    [0.5, 1],
    [0, Number.NaN],
  ])('refuses %d to %d of 100 bytes', async (start, end) => {
    expect((await outcome(range(await seal(plainOf(100)), 100, start, end))).code).toBe('sealed_range');
  });

  test('authenticates the one segment of an empty object', async () => {
    const object = await seal(new Uint8Array(0));
    expect(await outcome(range(object, 0, 0, 0))).toEqual({ bytes: new Uint8Array(0), code: 'none' });
    object[object.length - 1] = (object.at(-1) ?? 0) ^ 1;
    expect((await outcome(range(object, 0, 0, 0))).code).toBe('sealed_segment_tag');
  });

  test('refuses a bad segment it touches, having given only what came before', async () => {
    const object = await seal(plainOf(100));
    object[74 + 2 * 48 + 20] = (object[74 + 2 * 48 + 20] ?? 0) ^ 1;
    expect(await outcome(range(object, 100, 8, 100))).toEqual({ bytes: plainOf(100).slice(8, 32), code: 'sealed_segment_tag' });
    expect((await outcome(range(object, 100, 48, 100))).code).toBe('none');
  });

  test('takes the length from the caller, never from the file', async () => {
    const object = await seal(plainOf(40)); // segments of 16, 16 and 8 bytes
    expect((await outcome(range(object, 32, 0, 32))).code).toBe('sealed_segment_length'); // the file goes on
    expect((await outcome(range(object, 100, 0, 100))).code).toBe('sealed_truncated'); // the file ends early
    expect((await outcome(range(object, 39, 32, 39))).code).toBe('sealed_segment_length');
    expect((await outcome(range(object, 41, 32, 41))).code).toBe('sealed_truncated');
    const full = await seal(plainOf(32));
    expect((await outcome(range(full, 48, 16, 32))).code).toBe('sealed_segment_length'); // its last claims to be inner
  });

  test("refuses segments in each other's place", async () => {
    const object = await seal(plainOf(100));
    const source: SegmentSource = { read: ({ offset, bytes }) => [object.subarray(offset + 48, offset + 48 + bytes)] };
    expect((await outcome(range(object, 100, 0, 16, { source }))).code).toBe('sealed_segment_tag');
  });

  test('has its source read one segment ahead, and tells of a failure there only when that segment is asked for', async () => {
    const object = await seal(plainOf(100));
    let asked = 0;
    const source: SegmentSource = {
      *read({ offset }) {
        for (; asked < 2; yield object.subarray(offset + (asked - 1) * SEGMENT, offset + asked * SEGMENT)) asked += 1;
        throw new Error('the disk is gone');
      },
    };
    const read = range(object, 100, 0, 100, { source });
    expect([...((await read.next()).value ?? [])]).toEqual([...plainOf(16)]);
    expect(asked).toBe(2);
    expect([...((await read.next()).value ?? [])]).toEqual([...plainOf(32).slice(16)]);
    await expect(read.next()).rejects.toThrow('the disk is gone');
  });

  test('leaves no unhandled rejection when it ends before it would have told of a failure', async () => {
    const object = await seal(plainOf(100));
    const source = (good: number): SegmentSource => ({
      async *read({ offset }) {
        yield* cut(object.subarray(offset, offset + good), []);
        throw new Error('the disk is gone');
      },
    });
    const unhandled: unknown[] = [];
    const notice = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', notice);
    const signal = AbortSignal.abort(new Error('cut'));
    await expect(collect(range(object, 100, 0, 100, { source: source(0), signal }))).rejects.toThrow('cut');
    const read = range(object, 100, 0, 100, { source: source(SEGMENT) });
    expect((await read.next()).done).toBe(false);
    await read.return();
    await setImmediate();
    process.off('unhandledRejection', notice);
    expect(unhandled).toEqual([]);
  });

  test('stops at an abort with its reason', async () => {
    const abort = new AbortController();
    const read = range(await seal(plainOf(100)), 100, 0, 100, { signal: abort.signal });
    await read.next();
    abort.abort(new Error('cut'));
    await expect(read.next()).rejects.toThrow('cut');
  });
});

describe('opening into a buffer', () => {
  test('leaves nothing of a failing segment there', async () => {
    const object = await seal(new Uint8Array(16).fill(0xaa));
    const opener = new SegmentOpener(object.subarray(0, 74), { key, aad });
    const into = new Uint8Array(20).fill(1);
    object[object.length - 1] = (object.at(-1) ?? 0) ^ 1;
    expect(() => opener.openSegment(object.subarray(74), 0, true, into)).toThrow(expect.objectContaining({ code: 'sealed_segment_tag' }));
    expect([...into]).toEqual([...new Uint8Array(16), 1, 1, 1, 1]);
  });

  test('needs room and tells how much', async () => {
    const object = await seal(new Uint8Array(16));
    const opener = new SegmentOpener(object.subarray(0, 74), { key, aad });
    expect(() => opener.openSegment(object.subarray(74), 0, true, new Uint8Array(15))).toThrow(RangeError);
  });

  test('cannot be done after dispose', async () => {
    const object = await seal(new Uint8Array(16));
    const opener = new SegmentOpener(object.subarray(0, 74), { key, aad });
    opener.dispose();
    expect(() => opener.openSegment(object.subarray(74), 0, true, new Uint8Array(16))).toThrow('disposed');
  });

  test('does not change when the caller reuses the memory of header and AAD', async () => {
    const object = await seal(new Uint8Array(16).fill(5));
    const [header, mutableAad] = [Buffer.from(object.subarray(0, 74)), Buffer.from(aad)];
    const opener = new SegmentOpener(header, { key, aad: mutableAad });
    header.fill(0);
    mutableAad.fill(0);
    expect(opener.openSegment(object.subarray(74), 0, true, new Uint8Array(16))).toBe(16);
  });
});

describe('positions', () => {
  const LAST = 2 ** 40 - 1;
  test('work up to 2^40 - 1, which only a final segment may have', () => {
    const sealer = new SegmentSealer({ key, aad, segmentBytes: SEGMENT });
    const opener = new SegmentOpener(sealer.header, { key, aad });
    const [plain, into] = [plainOf(16), new Uint8Array(16)];
    for (const [position, isFinal] of [
      [5, false],
      [2 ** 32 - 1, false],
      [2 ** 32, false],
      [2 ** 32 + 1, true],
      [LAST - 1, false],
      [LAST, true],
    ] as const) {
      const segment = sealer.sealSegment(plain, position, isFinal);
      expect(opener.openSegment(segment, position, isFinal, into)).toBe(16);
      expect(into).toEqual(plain);
      const wrapped = position >= 2 ** 32 ? position - 2 ** 32 : position + 2 ** 32; // what 32-bit arithmetic would confuse it with
      expect(() => opener.openSegment(segment, wrapped, isFinal, into)).toThrow('sealed_segment_tag');
    }
    const segment = sealer.sealSegment(plain, 0, false);
    expect(() => sealer.sealSegment(plain, LAST, false)).toThrow('sealed_too_long');
    expect(() => opener.openSegment(segment, LAST, false, into)).toThrow('sealed_too_long');
    expect(() => opener.openSegment(segment, LAST + 1, true, into)).toThrow('sealed_too_long');
    expect(() => opener.openSegment(segment, -1, true, into)).toThrow(RangeError);
  });

  test('are encoded and masked like 64-bit integers', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.integer({ min: 0, max: 63 }), (position, bits) => {
        expect(Buffer.from(encodePosition(position)).readBigUInt64BE()).toBe(BigInt(position));
        expect(BigInt(maskPosition(position, bits))).toBe((BigInt(position) >> BigInt(bits)) << BigInt(bits));
      }),
    );
  });

  test('share a key inside a rotation window only', () => {
    const make = (rotationMask: number): SegmentSealer =>
      new SegmentSealer({ key, aad, segmentBytes: SEGMENT, rotationMask, random: (n) => new Uint8Array(n) });
    const [two, twenty] = [make(2), make(20)];
    for (const [position, same] of [
      [3, true],
      [4, false],
      [2, true],
      [9, false],
    ] as const) {
      const segments = [two, twenty].map((sealer) => Buffer.from(sealer.sealSegment(plainOf(16), position, false)).toString('hex'));
      expect([position, segments[0] === segments[1]]).toEqual([position, same]);
    }
  });
});

test('a segment that is not final must be full, and none may be over-full', () => {
  const sealer = new SegmentSealer({ key, aad, segmentBytes: SEGMENT });
  for (const [length, isFinal] of [
    [15, false],
    [17, false],
    [0, false],
    [17, true],
  ] as const) {
    expect(() => sealer.sealSegment(new Uint8Array(length), 0, isFinal)).toThrow('sealed_segment_length');
  }
});

describe('layout at the production segment length', () => {
  const MIB = 2 ** 20;
  test.each([
    [0, 1, 74 + 32],
    [1, 1, 74 + 33],
    [MIB, 1, 74 + MIB + 32],
    [MIB + 1, 2, 74 + MIB + 1 + 64],
    [64 * MIB, 64, 74 + 64 * (MIB + 32)],
  ])('%d bytes are %d segments and %d sealed bytes', (plain, segments, sealed) => {
    expect([segmentCount(plain), ciphertextBytes(plain)]).toEqual([segments, sealed]);
  });
  test('finds offsets exactly, far beyond 2^32', () => {
    expect([segmentOf(MIB - 1), segmentOf(MIB), segmentOf(2 ** 50)]).toEqual([0, 1, 2 ** 30]);
    expect(segmentOffset(2 ** 30)).toBe(74 + 2 ** 30 * PRODUCTION_SEGMENT_BYTES);
    expect([segmentLength(0, 5), segmentLength(1, 2 * MIB), segmentLength(1, MIB + 7)]).toEqual([37, MIB + 32, 39]);
  });
  test('refuses what cannot be: too many segments, inexact or negative numbers', () => {
    expect(() => segmentCount(FLOE.maxSegments + 1, 33)).toThrow('sealed_too_long');
    expect(segmentCount(FLOE.maxSegments, 33)).toBe(FLOE.maxSegments);
    expect(() => ciphertextBytes(Number.MAX_SAFE_INTEGER)).toThrow('sealed_too_long');
    expect(() => segmentCount(-1)).toThrow(RangeError);
    expect(() => segmentOf(0.5)).toThrow(RangeError);
  });
});
