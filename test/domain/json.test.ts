import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { assertJsonDepth, canonicalJson, parseCanonicalJson } from '../../src/domain/json.ts';

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));
const parse = (text: string) => parseCanonicalJson(bytesOf(text), 'document_invalid');
const invalid = expect.objectContaining({ code: 'document_invalid' });

describe('canonical JSON', () => {
  test('is what RFC 8785 section 3.2.2 says it is', () => {
    const value = JSON.parse(
      '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
    ) as unknown;
    expect(Buffer.from(canonicalJson(value)).toString()).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  test('reads back what it wrote, whatever the order of the members was', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const bytes = canonicalJson(value);
        expect(canonicalJson(parseCanonicalJson(bytes, 'document_invalid'))).toEqual(bytes);
      }),
    );
  });

  test.each([
    ['a duplicate member', '{"a":1,"a":2}'],
    ['a duplicate member of the same value', '{"a":1,"a":1}'],
    ['a duplicate under another escape', '{"a":1,"\\u0061":1}'],
    ['members out of order', '{"b":1,"a":1}'],
    ['white space', '{"a": 1}'],
    ['white space around', ' {"a":1}'],
    ['a newline behind', '{"a":1}\n'],
    ['a byte order mark', '\ufeff{"a":1}'],
    ['another spelling of a number', '{"a":1.0}'],
    ['minus zero', '{"a":-0}'],
    ['a number that does not fit', '{"a":1e999}'],
    ['an integer that loses digits', '{"a":9007199254740993}'],
    ['a needless escape', '{"a":"\\u0041"}'],
    ['an escaped slash', '{"a":"\\/"}'],
    ['a lone surrogate', '{"a":"\\ud800"}'],
    ['a comment', '{"a":1}//x'],
    ['a second value', '{"a":1}{}'],
    ['nothing', ''],
    ['half of it', '{"a":'],
    ['NaN', 'NaN'],
  ])('refuses %s', (_what, text) => {
    expect(() => parse(text)).toThrow(invalid);
  });

  test('refuses bytes that are not UTF-8', () => {
    expect(() => parseCanonicalJson(Uint8Array.of(0x22, 0xff, 0x22), 'document_invalid')).toThrow(invalid);
    expect(() => parseCanonicalJson(Uint8Array.of(0x22, 0xc0, 0x80, 0x22), 'document_invalid')).toThrow(invalid); // overlong NUL
  });

  test('refuses nesting beyond the stack with a code, not a crash', () => {
    expect(() => parse('['.repeat(200_000) + ']'.repeat(200_000))).toThrow(invalid);
  });

  test('carries a member called __proto__ as a member', () => {
    const text = '{"__proto__":{"admin":true}}';
    const value = parse(text);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Buffer.from(canonicalJson(value)).toString()).toBe(text);
  });

  test('throws for what has no JSON form instead of signing something else', () => {
    for (const value of [undefined, Number.NaN, Number.POSITIVE_INFINITY, 1n])
      expect(() => canonicalJson({ value: [value] }) && canonicalJson(value)).toThrow();
  });
});

describe('JSON depth', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

  test('accepts the limit and refuses one more', () => {
    expect(() => assertJsonDepth(nested(32), 32)).not.toThrow();
    expect(() => assertJsonDepth(nested(33), 32)).toThrow(expect.objectContaining({ code: 'request_invalid' }));
    expect(() => assertJsonDepth(`${'{"a":'.repeat(33)}1${'}'.repeat(33)}`, 32)).toThrow('nested deeper than 32');
  });

  test('is not taken in by brackets inside strings, nor by escapes', () => {
    for (const text of ['"[[[[[["', '["\\"[[[[[", "]"]', '{"\\\\":"[[[["}', '"\\\\"']) expect(() => assertJsonDepth(text, 1)).not.toThrow();
    expect(() => assertJsonDepth('["\\\\",[["x"]]]', 2)).toThrow('nested deeper');
  });

  test('is the depth that JSON.parse would build', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
        const text = JSON.stringify(value);
        const depth = depthOf(value);
        expect(() => assertJsonDepth(text, depth)).not.toThrow();
        if (depth > 0) expect(() => assertJsonDepth(text, depth - 1)).toThrow('nested deeper');
      }),
    );
  });

  test('looks at a million brackets in no time', () => {
    expect(() => assertJsonDepth(nested(1_000_000), 32)).toThrow('nested deeper');
  });
});

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}
