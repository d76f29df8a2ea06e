import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseRange } from '../../src/http/range.ts';

const SIZE = 1000;
const code = (wanted: string) => expect.objectContaining({ code: wanted });

describe('one range', () => {
  test.each([
    ['closed', 'bytes=0-99', 0, 100],
    ['one byte', 'bytes=0-0', 0, 1],
    ['the last byte', 'bytes=999-999', 999, 1000],
    ['closed, beyond the end', 'bytes=990-2000', 990, 1000],
    ['open', 'bytes=500-', 500, 1000],
    ['the whole, spelled out', 'bytes=0-', 0, 1000],
    ['a suffix', 'bytes=-100', 900, 1000],
    ['a suffix longer than the object', 'bytes=-5000', 0, 1000],
    ['with white space around it', 'bytes= 0-99\t', 0, 100],
    ['with the unit in capitals', 'Bytes=0-99', 0, 100],
    ['with leading zeros', 'bytes=000-0099', 0, 100],
    ['a last byte beyond all numbers', 'bytes=1-99999999999999999999', 1, 1000],
    ['a suffix beyond all numbers', 'bytes=-99999999999999999999', 0, 1000],
  ])('%s', (_what, header, start, end) => {
    expect(parseRange(header, SIZE)).toEqual({ start, end });
  });

  test('is the whole object without a header, or for a unit that is not bytes', () => {
    for (const header of [undefined, 'rows=0-1', 'none=', 'x-segments=1']) expect(parseRange(header, SIZE)).toBeUndefined();
  });
});

describe('refused', () => {
  test.each(['bytes=0-1,2-3', 'bytes=0-1,', 'bytes=,', 'bytes=0-,-1', `bytes=${'0-0,'.repeat(5000)}0-0`])(
    'several ranges: %.20s',
    (header) => {
      expect(() => parseRange(header, SIZE)).toThrow(code('range_unsupported'));
    },
  );

  test.each([
    '',
    'bytes',
    '=0-1',
    '0-1',
    'bytes =0-1',
    'bytes=',
    'bytes=-',
    'bytes=a-b',
    'bytes=1-2-3',
    'bytes=--1',
    'bytes=+0-1',
    'bytes=0x0-1',
    'bytes=1e1-2',
    'bytes=0.5-1',
    'bytes=١-٢',
    'bytes=0-1;',
    'bytes=0 - 1',
    'bytes=-0',
    'bytes=2-1',
    'bytes=1000-',
    'bytes=1000-1001',
    'bytes=99999999999999999999-',
    'bytes=99999999999999999999-99999999999999999999',
    `bytes=0-${'9'.repeat(400)}`,
    'bytes=0-1\n',
    'by tes=0-1',
  ])('what is no range inside the object: %.40j', (header) => {
    expect(() => parseRange(header, SIZE)).toThrow(code('range_invalid'));
  });

  test('every range of an empty object', () => {
    for (const header of ['bytes=0-', 'bytes=0-0', 'bytes=-1']) expect(() => parseRange(header, 0)).toThrow(code('range_invalid'));
  });
});

describe('whatever the header says', () => {
  const number = fc.oneof(fc.nat({ max: 2000 }), fc.maxSafeNat(), fc.bigInt({ min: 0n, max: 10n ** 20n })).map(String);

  test('the span lies inside the object and holds at least one byte', () => {
    const text = fc.oneof(
      fc.tuple(number, number).map(([a, b]) => `${a}-${b}`),
      number.map((a) => `${a}-`),
      number.map((a) => `-${a}`),
    );
    fc.assert(
      fc.property(text, fc.maxSafeNat(), (range, size) => {
        const span = attempt(() => parseRange(`bytes=${range}`, size));
        if (span === undefined) return;
        expect(Number.isSafeInteger(span.start) && Number.isSafeInteger(span.end)).toBe(true);
        expect(0 <= span.start && span.start < span.end && span.end <= size).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test('nothing but its own refusals is thrown', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom('b', 'y', 't', 'e', 's', '=', '-', ',', '0', '9', ' ') })),
        (text) => {
          attempt(() => parseRange(text, SIZE));
        },
      ),
      { numRuns: 2000 },
    );
  });
});

function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    expect(error).toEqual(expect.objectContaining({ code: expect.stringMatching(/^range_(?:invalid|unsupported)$/) }));
    return undefined;
  }
}
