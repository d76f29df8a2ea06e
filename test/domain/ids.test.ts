import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { VaultError } from '../../src/domain/errors.ts';
import { foldPath, newId, type ObjectPath, parseDigest, parseId, parseName, parseObjectPath } from '../../src/domain/ids.ts';
import { formatVectors } from './format-vectors.ts';

interface Lists {
  readonly good: string[];
  readonly bad: string[];
}
const vectors = formatVectors<{
  uuidv7: Lists;
  names: Lists;
  digests: Lists;
  paths: { good: string[]; bad: Array<[text: string, why: string]> };
  folded: { pairs: Array<[string, string]> };
}>('names.json');

const refused = (code: string) => expect.objectContaining({ code });

describe('ids', () => {
  test.each(vectors.uuidv7.good)('accepts %s', (text) => expect(parseId(text, 'id')).toBe(text));
  test.each(vectors.uuidv7.bad)('refuses %j', (text) => expect(() => parseId(text, 'id')).toThrow(refused('request_invalid')));

  test('are made so that they are accepted, differ, and sort by time', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 47 }), fc.integer({ min: 1, max: 1e9 }), (ms, later) => {
        const [a, b, c] = [newId<string>(new Date(ms)), newId<string>(new Date(ms)), newId<string>(new Date(ms + later))];
        expect([a, b, c].map((id) => parseId(id, 'id'))).toEqual([a, b, c]);
        expect(a).not.toBe(b);
        expect(a < c).toBe(true);
      }),
    );
  });
});

describe('names', () => {
  test.each(vectors.names.good)('accepts %s', (text) => expect(parseName(text, 'name')).toBe(text));
  test.each(vectors.names.bad)('refuses %j', (text) => expect(() => parseName(text, 'name')).toThrow(refused('request_invalid')));

  test('that are accepted need no escaping in a URL, a file name or a shell', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 5 }), (text) => {
        if (accepted(() => parseName(text, 'name'))) expect(text).toMatch(/^[a-z0-9._-]+$/);
      }),
    );
  });
});

describe('digests', () => {
  test.each(vectors.digests.good)('accepts %s', (text) => expect(parseDigest(text)).toBe(text));
  test.each(vectors.digests.bad)('refuses %j', (text) => expect(() => parseDigest(text)).toThrow(refused('request_invalid')));
});

describe('object paths', () => {
  test.each(vectors.paths.good)('accepts %j', (text) => expect(parseObjectPath(text)).toBe(text));
  test.each(vectors.paths.bad)('refuses %j: %s', (text) => expect(() => parseObjectPath(text)).toThrow(refused('path_invalid')));

  test('refuses a lone surrogate', () => {
    for (const text of ['\ud800', 'a/\udfff', '\udc00\ud800']) expect(() => parseObjectPath(text)).toThrow(refused('path_invalid'));
  });

  test('that are accepted never leave the folder they are joined to', () => {
    const part = fc.constantFrom('a', 'b.bin', '..', '.', '', '\\', '...', '..\\', '\0', '%2e%2e', 'é');
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (parts) => {
        const text = parts.join('/');
        if (!accepted(() => parseObjectPath(text))) return;
        const url = new URL(`file:///root/${text.split('/').map(encodeURIComponent).join('/')}`);
        expect(decodeURIComponent(url.pathname)).toBe(`/root/${text}`);
      }),
      { numRuns: 1000 },
    );
  });

  test('that are accepted hold no control character', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.integer({ min: 0, max: 0x200 }).map((code) => String.fromCharCode(code)), maxLength: 6 }),
        (text) => {
          if (accepted(() => parseObjectPath(text))) expect(text).not.toMatch(/\p{Cc}|\\/u);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('folding', () => {
  test.each(vectors.folded.pairs)('%s and %s are one path', (a, b) => {
    expect(foldPath(a as ObjectPath)).toBe(foldPath(b as ObjectPath));
  });

  test('keeps different names apart', () => {
    const paths = ['a', 'b', 'a/b', 'ab', 'é', 'e', 'model-1', 'model-2'] as ObjectPath[];
    expect(new Set(paths.map(foldPath)).size).toBe(paths.length);
  });

  test('does not see case, for every character there is, and folding twice changes nothing', () => {
    const fold = (text: string) => foldPath(text as ObjectPath);
    const wrong: string[] = [];
    for (let code = 0; code <= 0x10ffff; code++) {
      if (code === 0xd800) code = 0xe000; // surrogates are no characters
      const char = String.fromCodePoint(code);
      const folded = fold(char);
      if (fold(char.toUpperCase()) !== folded || fold(char.toLowerCase()) !== folded || fold(folded) !== folded) wrong.push(char);
    }
    expect(wrong).toEqual([]);
  });
});

function accepted(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch (error) {
    if (error instanceof VaultError) return false;
    throw error;
  }
}
