import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fromBase64, fromHex, lp, sha256Hex, toBase64, toHex, utf8 } from '../../src/domain/bytes.ts';
import { VaultError } from '../../src/domain/errors.ts';
import { formatVectors, leadingHex, pageBlocks } from './format-vectors.ts';

interface LpCase {
  readonly what: string;
  readonly parts: ReadonlyArray<{ readonly text: string } | { readonly hex: string } | null>;
  readonly lp: string;
}
const vectors = formatVectors<{ cases: LpCase[] }>('lp.json');

const bytes = fc.uint8Array({ maxLength: 12 });
const sameList = (a: readonly Uint8Array[], b: readonly Uint8Array[]) =>
  a.length === b.length && a.every((part, at) => toHex(part) === toHex(b[at] ?? new Uint8Array(0)));

describe('LP', () => {
  test.each(vectors.cases)('has the bytes of the vector: $what', ({ parts, lp: expected }) => {
    const given = parts.map((part) => (part === null ? undefined : 'text' in part ? part.text : fromHex(part.hex)));
    expect(toHex(lp(...given))).toBe(expected);
  });

  test('is the bytes that docs/formats/encodings.md begins with', () => {
    const known = vectors.cases.find((one) => one.what === 'a label of ours');
    expect(leadingHex(pageBlocks('encodings.md')[0] ?? '')).toBe(known?.lp);
  });

  test('never gives two lists of parts the same bytes', () => {
    // Small alphabet and lengths, so that near collisions really occur: parts that look like lengths, empty parts, moved cuts.
    const part = fc.uint8Array({ maxLength: 6, max: 5 });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), fc.array(part, { maxLength: 5 }), (a, b) => {
        expect(toHex(lp(...a)) === toHex(lp(...b))).toBe(sameList(a, b));
      }),
      { numRuns: 2000 },
    );
  });

  test('can be read back into exactly its parts', () => {
    fc.assert(fc.property(fc.array(bytes, { maxLength: 6 }), (parts) => sameList(readLp(lp(...parts)), parts)));
  });

  test('differs when a cut moves between two parts', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.nat(), fc.nat(), (all, i, j) => {
        const [a, b] = [i % (all.length + 1), j % (all.length + 1)];
        const cut = (at: number) => toHex(lp(all.slice(0, at), all.slice(at)));
        expect(cut(a) === cut(b)).toBe(a === b);
      }),
    );
  });
});

describe('text', () => {
  test('enters as NFC, so one spelling has one hash', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(sha256Hex(utf8(text.normalize('NFD')))).toBe(sha256Hex(utf8(text.normalize('NFC'))));
      }),
    );
  });
});

describe('base64', () => {
  test('reads back what it wrote', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (some) => toHex(fromBase64(toBase64(some))) === toHex(some)));
  });

  test('accepts one spelling only: whatever is accepted is what would be written', () => {
    const unit = fc.constantFrom('A', 'B', '/', '+', '-', '_', '=', ' ', '\n', 'g', '9');
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 9 }), (text) => {
        const read = attempt(() => fromBase64(text));
        if (read !== undefined) expect(toBase64(read)).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ['without padding', 'QQ'],
    ['with unused bits set', 'QR=='],
    ['with a space', 'QU I='],
    ['with a newline behind', 'QUI=\n'],
    ['of the URL alphabet', '-_-_'],
    ['with too much padding', 'QUI=='],
    ['with padding in the middle', 'QQ==QQ=='],
    ['not base64 at all', 'é'],
  ])('refuses text %s', (_what, text) => {
    expect(() => fromBase64(text)).toThrow(expect.objectContaining({ code: 'request_invalid' }));
  });
});

describe('hexadecimal', () => {
  test('reads back what it wrote', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (some) => toHex(fromHex(toHex(some))) === toHex(some)));
  });

  test.each(['AB', '0', '0x00', '0g', ' 00', '00\n', '00 00'])('refuses %j', (text) => {
    expect(() => fromHex(text)).toThrow(expect.objectContaining({ code: 'request_invalid' }));
  });
});

function readLp(all: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
  for (let at = 0; at < all.length; ) {
    const length = view.getUint32(at);
    parts.push(all.slice(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return parts;
}

function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof VaultError) return undefined;
    throw error;
  }
}
