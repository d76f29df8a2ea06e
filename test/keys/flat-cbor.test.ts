/** The CBOR of wrapped blobs and keeper messages, held against the library in both directions: what it writes, and every damage it must refuse. */
import { describe, expect, test } from '@jest/globals';
import { cdeDecodeOptions, cdeEncodeOptions, decode, encode } from 'cbor2';
import fc from 'fast-check';
import { decodeFlatMap, encodeFlatMap, type FlatMap } from '../../src/keys/flat-cbor.ts';

const LIBRARY = { ...cdeDecodeOptions, rejectDuplicateKeys: true, rejectFloats: true, maxDepth: 2 };
const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
const refused = expect.objectContaining({ code: 'request_invalid' });

/** What the library reads, if it is of our form. */
function byLibrary(bytes: Uint8Array): FlatMap | undefined {
  let value: unknown;
  try {
    value = decode(bytes, LIBRARY);
  } catch {
    return undefined;
  }
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array || Array.isArray(value) || value instanceof Map)
    return undefined;
  const members = Object.entries(value);
  const ours = members.every(([name, one]) => {
    const kind =
      typeof one === 'boolean' || typeof one === 'string' || one instanceof Uint8Array || (Number.isSafeInteger(one) && one >= 0);
    return kind && /^[A-Za-z]{1,23}$/.test(name);
  });
  return ours && members.length < 24 && Object.getPrototypeOf(value) === Object.prototype ? (value as FlatMap) : undefined;
}

function byUs(bytes: Uint8Array): FlatMap | undefined {
  try {
    return decodeFlatMap(bytes);
  } catch (error) {
    expect(error).toEqual(refused);
    return undefined;
  }
}

/** Byte strings of ours are views, of the library's perhaps not: only their bytes count. */
const plain = (map: FlatMap | undefined) =>
  map && Object.entries(map).map(([name, value]) => [name, value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value]);

const name = fc.stringMatching(/^[A-Za-z]{1,23}$/);
const value = fc.oneof(
  fc.nat(),
  fc.maxSafeInteger().map(Math.abs),
  fc.boolean(),
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.uint8Array({ maxLength: 300 }),
);
const flat = fc.dictionary(name, value, { maxKeys: 23, noNullPrototype: true });

describe('writing', () => {
  test('is byte for byte what the library writes', () => {
    fc.assert(
      fc.property(flat, (map) => {
        expect(Buffer.from(encodeFlatMap(map)).equals(Buffer.from(encode(map, cdeEncodeOptions)))).toBe(true);
        expect(plain(decodeFlatMap(encodeFlatMap(map)))).toEqual(plain(byLibrary(encodeFlatMap(map))));
      }),
      { numRuns: 500 },
    );
  });

  test('leaves room in front, and only there', () => {
    expect(Buffer.from(encodeFlatMap({ a: 1 }, 4)).toString('hex')).toBe('00000000a1616101');
  });

  test.each([1.5, -1, Number.NaN, 2 ** 60])('writes no %d', (number) => {
    expect(() => encodeFlatMap({ number })).toThrow(expect.objectContaining({ code: 'internal' }));
  });
});

describe('reading', () => {
  test('accepts exactly what the library accepts of this form: maps with any byte changed, cut, doubled or added', () => {
    let [both, neither] = [0, 0];
    const damage = fc.record({
      map: flat,
      at: fc.nat(),
      byte: fc.nat(255),
      how: fc.constantFrom('set', 'flip', 'cut', 'insert', 'remove'),
    });
    fc.assert(
      fc.property(damage, ({ map, at, byte, how }) => {
        const bytes = [...encodeFlatMap(map)];
        const place = at % bytes.length;
        if (how === 'set') bytes[place] = byte;
        if (how === 'flip') bytes[place] = (bytes[place] ?? 0) ^ (1 << (byte % 8));
        if (how === 'cut') bytes.length = place;
        if (how === 'insert') bytes.splice(place, 0, byte);
        if (how === 'remove') bytes.splice(place, 1);
        const [ours, theirs] = [byUs(Uint8Array.from(bytes)), byLibrary(Uint8Array.from(bytes))];
        expect(plain(ours)).toEqual(plain(theirs));
        if (ours === undefined) neither++;
        else both++;
      }),
      { numRuns: 5_000 },
    );
    expect(Math.min(both, neither)).toBeGreaterThan(300);
  });

  test('and of a small map, with every bit flipped and every two bytes in place of one', () => {
    const whole = encodeFlatMap({ id: 300, verb: 'wrap', aad: hex('0102'), ok: true });
    for (let at = 0; at < whole.length; at++) {
      for (let byte = 0; byte < 256; byte++) {
        const changed = Uint8Array.from(whole);
        changed[at] = byte;
        expect(plain(byUs(changed))).toEqual(plain(byLibrary(changed)));
        const longer = Uint8Array.from([...whole.subarray(0, at), byte, ...whole.subarray(at)]);
        expect(plain(byUs(longer))).toEqual(plain(byLibrary(longer)));
      }
    }
  });

  test.each([
    ['nothing', ''],
    ['no map', '01'],
    ['an indefinite map', 'bfff'],
    ['more than 23 members', 'b818'],
    ['a length it does not have', 'a16161' + '5affffffff'],
    ['a length of 2^53', 'a161615b0020000000000000'],
    ['a number above 2^53 - 1', 'a161611b0020000000000000'],
    ['names in another order', 'a2616201616101'],
    ['a name twice', 'a2616101616101'],
    ['a longer head than it needs', 'a161611801'],
    ['a map in it', 'a16161a0'],
    ['an array in it', 'a1616180'],
    ['a tag', 'a16161c001'],
    ['null', 'a16161f6'],
    ['a float', 'a16161f93c00'],
    ['a negative number', 'a1616120'],
    ['a number as name', 'a10101'],
    ['a name of an object itself', 'a1695f5f70726f746f5f5f01'],
    ['an empty name', 'a16001'],
    ['a text that is not UTF-8', 'a1616161ff'],
    ['a byte after the end', 'a16161' + '0100'],
  ])('refuses %s', (_, text) => {
    expect(() => decodeFlatMap(hex(text))).toThrow(refused);
  });

  test('reads a text with a byte order mark as it is', () => {
    const map = { text: '\ufeffa' };
    expect(decodeFlatMap(encodeFlatMap(map))).toEqual(map);
  });
});
