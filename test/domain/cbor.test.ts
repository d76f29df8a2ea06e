import { describe, expect, test } from '@jest/globals';
import { cdeEncodeOptions, encode } from 'cbor2';
import fc from 'fast-check';
import { type Cbor, decodeCbor, encodeCbor } from '../../src/domain/cbor.ts';

const byLibrary = (value: Cbor) => new Uint8Array(encode(value, cdeEncodeOptions));

describe('our CBOR', () => {
  test.each<[Cbor, string]>([
    [0, '00'],
    [23, '17'],
    [24, '1818'],
    [255, '18ff'],
    [256, '190100'],
    [65_536, '1a00010000'],
    [4_294_967_295, '1affffffff'],
    [4_294_967_296, '1b0000000100000000'],
    [Number.MAX_SAFE_INTEGER, '1b001fffffffffffff'],
    [-1, '20'],
    [-100, '3863'],
    [18_446_744_073_709_551_615n, '1bffffffffffffffff'],
    ['', '60'],
    ['ü水𐅑', '69c3bce6b0b4f0908591'],
    [new Uint8Array(0), '40'],
    [[1, [2, 3]], '8201820203'],
    [{ b: 1, a: 2, aa: 3 }, 'a3616102616201626161' + '03'],
    [true, 'f5'],
    [null, 'f6'],
  ])('writes %j as RFC 8949 appendix A does', (value, hex) => {
    expect(Buffer.from(encodeCbor(value)).toString('hex')).toBe(hex);
  });

  test('is byte for byte what the library writes, and the library reads it back', () => {
    const { value } = fc.letrec<{ value: Cbor }>((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.maxSafeInteger(),
        fc.string({ unit: 'grapheme' }),
        fc.boolean(),
        fc.constant(null),
        fc.uint8Array({ maxLength: 300 }),
        fc.array(tie('value'), { maxLength: 30 }),
        fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 30 }), tie('value'), { maxKeys: 30 }),
      ),
    }));
    fc.assert(
      fc.property(value, (one) => {
        const encoded = encodeCbor(one);
        expect(Buffer.from(encoded).equals(Buffer.from(byLibrary(one)))).toBe(true);
        expect(encodeCbor(decodeCbor(encoded, 64))).toEqual(encoded);
      }),
      { numRuns: 500 },
    );
  });

  test.each([1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60])('writes no %d', (value) => {
    expect(() => encodeCbor({ value })).toThrow(expect.objectContaining({ code: 'internal' }));
  });
});
