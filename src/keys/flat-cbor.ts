/**
 * Deterministic CBOR (RFC 8949 section 4.2) of the one form that wrapped blobs and the keeper's messages have: a map of at most 23 names, each
 * of 1 to 23 ASCII letters, to whole numbers from 0, texts, bytes, true or false. Nothing inside anything.
 *
 * Written out because the library takes as long for one message as an HSM for its work; test/keys/flat-cbor.test.ts holds both directions
 * against the library, bit by bit.
 */
import { VaultError } from '../domain/errors.ts';
import { secretRoom } from '../domain/secret.ts';

export type FlatValue = number | string | boolean | Uint8Array;
export type FlatMap = Readonly<Record<string, FlatValue>>;

/** Major types (section 3.1), as the high three bits. */
const UNSIGNED = 0x00;
const BYTES = 0x40;
const TEXT = 0x60;
const MAP = 0xa0;
const FALSE = 0xf4;
const TRUE = 0xf5;
/** So that each is one byte in front. */
const MOST_MEMBERS = 23;
const MOST_NAME = 23;

/**
 * Throws `internal` for a number that is not a whole one from 0. `before`: bytes to leave free in front. In what `roomFor` gives for all of
 * them, which is outside V8's heap (domain/secret.ts), because a secret may be among the bytes.
 */
export function encodeFlatMap(map: FlatMap, before = 0, roomFor: (size: number) => Uint8Array = secretRoom): Uint8Array {
  const names = namesOf(map);
  let size = before + 1;
  for (const name of names) size += sized(name.length) + sizeOf(memberOf(map, name));
  const out = roomFor(size);
  out[before] = MAP | names.length;
  let at = before + 1;
  for (const name of names) at = writeValue(memberOf(map, name), out, writeAscii(name, out, writeHead(TEXT, name.length, out, at)));
  return out;
}

/** Throws `request_invalid` for anything but one such map, from the first byte to the last. Byte strings in it are views of `bytes`. */
export function decodeFlatMap(bytes: Uint8Array): FlatMap {
  return new Reader(bytes).map();
}

/** Section 4.2.1: the length is in the head, so the shorter name comes first; all are ASCII. */
const inOrder = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : 1);

/** Whoever writes a map down in this order saves the sorting. */
function namesOf(map: FlatMap): readonly string[] {
  const names = Object.keys(map);
  const sorted = names.every((name, at) => at === 0 || inOrder(names[at - 1] ?? '', name) < 0);
  return sorted ? names : names.sort(inOrder);
}

const memberOf = (map: FlatMap, name: string): FlatValue => map[name] as FlatValue; // one of its own names

const headSize = (argument: number): number =>
  argument < 24 ? 1 : argument < 0x100 ? 2 : argument < 0x1_0000 ? 3 : argument < 0x1_0000_0000 ? 5 : 9;
const sized = (length: number): number => headSize(length) + length;

function sizeOf(value: FlatValue): number {
  if (typeof value === 'string') return sized(Buffer.byteLength(value));
  if (typeof value === 'boolean') return 1;
  if (typeof value !== 'number') return sized(value.length);
  if (!Number.isSafeInteger(value) || value < 0) throw new VaultError('internal', 'a number in CBOR is a whole one from 0');
  return headSize(value);
}

/** Each answers the place after what it wrote. */
function writeValue(value: FlatValue, out: Uint8Array, at: number): number {
  if (typeof value === 'number') return writeHead(UNSIGNED, value, out, at);
  if (typeof value === 'boolean') {
    out[at] = value ? TRUE : FALSE;
    return at + 1;
  }
  if (typeof value === 'string') {
    const length = Buffer.byteLength(value);
    const start = writeHead(TEXT, length, out, at);
    if (length === value.length) return writeAscii(value, out, start);
    out.set(Buffer.from(value), start);
    return start + length;
  }
  const start = writeHead(BYTES, value.length, out, at);
  out.set(value, start);
  return start + value.length;
}

function writeAscii(text: string, out: Uint8Array, at: number): number {
  for (let place = 0; place < text.length; place++) out[at + place] = text.charCodeAt(place);
  return at + text.length;
}

function writeHead(major: number, argument: number, out: Uint8Array, at: number): number {
  const size = headSize(argument);
  if (size === 1) {
    out[at] = major | argument;
    return at + 1;
  }
  out[at] = major | (size === 2 ? 24 : size === 3 ? 25 : size === 5 ? 26 : 27);
  let rest = argument;
  for (let place = at + size - 1; place > at; place--) {
    out[place] = rest & 0xff; // of up to 2^53: the low 32 bits are what & takes
    rest = Math.floor(rest / 0x100);
  }
  return at + size;
}

/** One text for each remainder of its bytes; another of the same remainder takes its place. None is secret: secrets are bytes, never text. */
const MADE: string[] = new Array(256).fill('');

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  map(): FlatMap {
    const count = this.#byte() - MAP;
    if (count < 0 || count > MOST_MEMBERS) throw malformed('not a small map');
    const map: Record<string, FlatValue> = {};
    let before = '';
    for (let left = count; left > 0; left--) {
      const name = this.#name();
      if (before !== '' && inOrder(before, name) >= 0) throw malformed('names out of order, or twice');
      map[name] = this.#value();
      before = name;
    }
    if (this.#at !== this.#bytes.length) throw malformed('something follows the map');
    return map;
  }

  /** Letters alone: no name can be one that an object has by itself in a way that matters (`__proto__`). */
  #name(): string {
    const size = this.#byte() - TEXT;
    if (size < 1 || size > MOST_NAME) throw malformed('a name is a text of 1 to 23 letters');
    const start = this.#skip(size);
    for (let at = start; at < start + size; at++) {
      const lower = (this.#bytes[at] ?? 0) | 0x20;
      if (lower < 0x61 || lower > 0x7a) throw malformed('a name is letters');
    }
    return this.#ascii(start, start + size);
  }

  #value(): FlatValue {
    const first = this.#byte();
    if (first === TRUE) return true;
    if (first === FALSE) return false;
    const major = first & 0xe0;
    const argument = this.#argument(first & 0x1f);
    if (major === UNSIGNED) return argument;
    if (major === BYTES) {
      const start = this.#skip(argument);
      return this.#bytes.subarray(start, start + argument);
    }
    if (major === TEXT) {
      const start = this.#skip(argument);
      return this.#textAt(start, start + argument);
    }
    throw malformed('a value of another kind');
  }

  #textAt(start: number, end: number): string {
    let high = 0;
    for (let at = start; at < end; at++) high |= this.#bytes[at] ?? 0;
    if (high < 0x80) return this.#ascii(start, end);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.#bytes.subarray(start, end));
    } catch {
      throw malformed('a text that is not UTF-8');
    }
  }

  /** Names, verbs and key ids come again and again: the text that was made for the same bytes last time is taken again. */
  #ascii(start: number, end: number): string {
    if (end - start > MOST_NAME) return this.#latin1(start, end);
    let slot = 0;
    for (let at = start; at < end; at++) slot = (slot * 31 + (this.#bytes[at] ?? 0)) % MADE.length;
    const made = MADE[slot] ?? '';
    if (this.#spells(made, start, end)) return made;
    const text = this.#latin1(start, end);
    MADE[slot] = text;
    return text;
  }

  #latin1(start: number, end: number): string {
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + start, end - start).toString('latin1');
  }

  #spells(text: string, start: number, end: number): boolean {
    if (text.length !== end - start) return false;
    for (let place = 0; place < text.length; place++) if (text.charCodeAt(place) !== this.#bytes[start + place]) return false;
    return true;
  }

  /** In the shortest form (section 4.2.1), of definite length, and no more than 2^53 - 1. */
  #argument(low: number): number {
    if (low < 24) return low;
    if (low > 27) throw malformed('an indefinite length');
    const size = 1 << (low - 24);
    let argument = 0;
    for (let left = size; left > 0; left--) argument = argument * 0x100 + this.#byte();
    if (headSize(argument) !== size + 1) throw malformed('a longer head than it needs');
    if (!Number.isSafeInteger(argument)) throw malformed('a number above 2^53 - 1');
    return argument;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw malformed('it ends too early');
    return byte;
  }

  #skip(length: number): number {
    const start = this.#at;
    if (length > this.#bytes.length - start) throw malformed('it ends too early');
    this.#at = start + length;
    return start;
  }
}

const malformed = (why: string) => new VaultError('request_invalid', `not flat deterministic CBOR: ${why}`);
