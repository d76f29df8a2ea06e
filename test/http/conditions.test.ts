import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { evaluate, rangeCounts } from '../../src/http/conditions.ts';
import { quickest } from '../harness/standstill.ts';

const TAG = `"${'ab'.repeat(32)}"`;
const OTHER = `"${'cd'.repeat(32)}"`;

describe('If-None-Match', () => {
  test.each([
    ['the tag', TAG],
    ['the tag, weak: the comparison is weak', `W/${TAG}`],
    ['any', '*'],
    ['any, with white space', ' * '],
    ['one of a list', `${OTHER}, ${TAG}`],
    ['one of a list without spaces', `${OTHER},${TAG},"x"`],
    ['in a list with empty elements', `, ,${OTHER} ,, ${TAG},`],
  ])('%s: the requester has it', (_what, header) => {
    expect(evaluate({ 'if-none-match': header }, TAG)).toBe('not_modified');
  });

  test.each([
    ['another tag', OTHER],
    ['an empty tag', '""'],
    ['the digest without its last digit', `"${TAG.slice(1, -2)}"`],
    ['in capitals', TAG.toUpperCase()],
    ['with commas and stars inside the quotes', '"a,b", "*"'],
  ])('%s: it is sent', (_what, header) => {
    expect(evaluate({ 'if-none-match': header }, TAG)).toBe('send');
  });
});

describe('If-Match', () => {
  test.each([
    ['the tag', TAG],
    ['any', '*'],
    ['one of a list', `${OTHER}, ${TAG}`],
  ])('%s: it is sent', (_what, header) => {
    expect(evaluate({ 'if-match': header }, TAG)).toBe('send');
  });

  test.each([
    ['another tag', OTHER],
    ['the tag, weak: the comparison is strong', `W/${TAG}`],
    ['two others', `${OTHER}, "x"`],
  ])('%s: precondition_failed', (_what, header) => {
    expect(evaluate({ 'if-match': header }, TAG)).toBe('precondition_failed');
  });

  test('comes before If-None-Match', () => {
    expect(evaluate({ 'if-match': OTHER, 'if-none-match': TAG }, TAG)).toBe('precondition_failed');
    expect(evaluate({ 'if-match': TAG, 'if-none-match': TAG }, TAG)).toBe('not_modified');
    expect(evaluate({ 'if-match': TAG, 'if-none-match': OTHER }, TAG)).toBe('send');
  });
});

test('no condition: it is sent', () => {
  expect(evaluate({}, TAG)).toBe('send');
});

describe('If-Range', () => {
  test('without it, or with exactly the tag, Range counts', () => {
    expect([undefined, TAG, ` ${TAG} `].map((header) => rangeCounts(header, TAG))).toEqual([true, true, true]);
  });

  test.each([OTHER, `W/${TAG}`, '*', '', TAG.slice(1, -1), `${TAG}, ${TAG}`, 'Tue, 01 Dec 2026 12:00:00 GMT'])(
    '%s sends the whole',
    (header) => {
      expect(rangeCounts(header, TAG)).toBe(false);
    },
  );
});

describe('whatever the header says', () => {
  const code = (wanted: string) => expect.objectContaining({ code: wanted });

  test.each(['', 'x', '"', '"a', 'a"', '"a" "b"', 'W/', 'w/"a"', 'W/ "a"', '*, "a"', '"a"; "b"', '"a\nb"', '"\u0430"'])(
    '%j is request_invalid',
    (header) => {
      expect(() => evaluate({ 'if-match': header }, TAG)).toThrow(code('request_invalid'));
      expect(() => evaluate({ 'if-none-match': header }, TAG)).toThrow(code('request_invalid'));
    },
  );

  test('16 KiB of it are looked at in no time', async () => {
    const looked = () => {
      for (const piece of ['"', 'W/', ', ', '"a" ', '"a",', ' \t', 'W/"a"', ',,']) {
        for (const end of ['', 'x', '"']) {
          try {
            evaluate({ 'if-none-match': piece.repeat(16_384 / piece.length) + end }, TAG);
          } catch (error) {
            expect(error).toEqual(code('request_invalid'));
          }
        }
      }
    };
    expect(await quickest(2_000, looked)).toBeLessThan(2_000);
  });

  test('a verdict or request_invalid, nothing else; and a list that was made of tags is read', () => {
    const opaque = fc.string({ unit: fc.constantFrom('a', '!', '~', '*', ',', '/', 'W'), maxLength: 6 });
    const tag = fc.tuple(fc.boolean(), opaque).map(([weak, text]) => `${weak ? 'W/' : ''}"${text}"`);
    fc.assert(
      fc.property(fc.array(tag, { minLength: 1, maxLength: 20 }), fc.boolean(), (tags, has) => {
        const header = [...tags, ...(has ? [TAG] : [])].join(', ');
        expect(evaluate({ 'if-none-match': header }, TAG)).toBe(has ? 'not_modified' : 'send');
      }),
      { numRuns: 500 },
    );
  });
});
