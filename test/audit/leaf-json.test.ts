/** The writer of leaves says byte for byte what the library for RFC 8785 says, and throws where that has no answer. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { leafJson } from '../../src/audit/leaf-json.ts';
import { canonicalJson } from '../../src/domain/json.ts';

/** Names that other orders, caches and objects trip over; text with everything that is escaped. */
const names = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '10',
    '9',
    '1',
    '__proto__',
    'constructor',
    'toJSON',
    '',
    '\u00e9',
    'e\u0301',
    '\ue000',
    '\u{1f600}',
    '"',
    '\\',
    '\u2028',
  ),
);
const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.string({ unit: 'binary' }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.boolean(),
    fc.array(tie('value'), { maxLength: 5 }),
    tie('object'),
  ),
  object: fc
    .array(fc.tuple(names, fc.option(tie('value'), { nil: undefined })), { maxLength: 8 })
    .map((members) => Object.fromEntries(members as Array<[string, unknown]>)),
}));

test('it writes what the library writes', () => {
  fc.assert(
    fc.property(plain.object, (value) => {
      expect(Buffer.from(leafJson(value as object)).toString()).toBe(Buffer.from(canonicalJson(value)).toString());
    }),
    { numRuns: 500 },
  );
});

test.each([
  ['a lone surrogate', { a: '\ud800' }],
  ['a lone surrogate in a name', { 'a\udc00': 1 }],
  ['NaN', { a: Number.NaN }],
  ['infinity', { a: [Number.NEGATIVE_INFINITY] }],
  ['a bigint', { a: 1n }],
  ['a date, which would be an empty object', { a: new Date(0) }],
  ['bytes', { a: new Uint8Array(2) }],
  ['a function', { a: () => 1 }],
  ['undefined in a list', { a: [undefined] }],
])('throws for %s instead of writing something else', (_, value) => {
  expect(() => leafJson(value)).toThrow();
});
