/**
 * Deterministic CBOR (RFC 8949 section 4.2) without floats and nothing else: a second encoding of the same value is refused.
 *
 * Reading is the library's, strict and bounded. Writing is ours: the library takes 40 to 60 microseconds for a wrapped blob or a keeper's
 * frame, which is more than the HSM takes to open it; a test holds every byte against the library's.
 */
import { cdeDecodeOptions, decode } from 'cbor2';
import { VaultError } from './errors.ts';

export type Cbor = number | bigint | string | boolean | null | Uint8Array | readonly Cbor[] | { readonly [key: string]: Cbor };

/** Major types (RFC 8949 section 3.1). */
const UNSIGNED = 0;
const NEGATIVE = 1;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const SIMPLE = { false: 0xf4, true: 0xf5, null: 0xf6 } as const;

/** Byte strings are `Uint8Array` or a subclass. Throws `internal` for a number that is not a whole one: nothing of ours writes floats. */
export function encodeCbor(value: Cbor): Uint8Array {
  const out = new Uint8Array(sizeOf(value));
  write(value, out, 0);
  return out;
}

/** Throws `request_invalid` for anything but one whole deterministic item at most `maxDepth` deep. */
export function decodeCbor(bytes: Uint8Array, maxDepth = 16): Cbor {
  try {
    return decode<Cbor>(bytes, { ...cdeDecodeOptions, rejectDuplicateKeys: true, rejectFloats: true, maxDepth });
  } catch (cause) {
    throw new VaultError('request_invalid', 'not deterministic CBOR', { cause });
  }
}

function sizeOf(value: Cbor): number {
  if (typeof value === 'string') return sized(Buffer.byteLength(value));
  if (typeof value === 'number' || typeof value === 'bigint') return headSize(argumentOf(value));
  if (value === null || typeof value === 'boolean') return 1;
  if (value instanceof Uint8Array) return sized(value.length);
  if (isArray(value)) return value.reduce<number>((sum, item) => sum + sizeOf(item), headSize(value.length));
  const names = Object.keys(value);
  let size = headSize(names.length);
  for (const name of names) size += sized(Buffer.byteLength(name)) + sizeOf(memberOf(value, name));
  return size;
}

const sized = (length: number): number => headSize(length) + length;

function headSize(argument: number | bigint): number {
  return argument < 24 ? 1 : argument < 0x100 ? 2 : argument < 0x1_0000 ? 3 : argument < 0x1_0000_0000 ? 5 : 9;
}

/** Answers the place after what it wrote. */
function write(value: Cbor, out: Uint8Array, at: number): number {
  if (typeof value === 'string') return writeText(value, out, at);
  if (typeof value === 'number' || typeof value === 'bigint') return head(value < 0 ? NEGATIVE : UNSIGNED, argumentOf(value), out, at);
  if (value === null || typeof value === 'boolean') {
    out[at] = SIMPLE[`${value}`];
    return at + 1;
  }
  if (value instanceof Uint8Array) {
    const start = head(BYTES, value.length, out, at);
    out.set(value, start);
    return start + value.length;
  }
  if (isArray(value)) return value.reduce<number>((place, item) => write(item, out, place), head(ARRAY, value.length, out, at));
  const names = Object.keys(value).sort(order);
  let place = head(MAP, names.length, out, at);
  for (const name of names) place = write(memberOf(value, name), out, writeText(name, out, place));
  return place;
}

function writeText(text: string, out: Uint8Array, at: number): number {
  const length = Buffer.byteLength(text);
  const start = head(TEXT, length, out, at);
  if (length === text.length)
    for (let place = 0; place < length; place++) out[start + place] = text.charCodeAt(place); // all ASCII
  else out.set(Buffer.from(text), start);
  return start + length;
}

/** Bytewise order of the encoded names (section 4.2.1): the length comes first in the encoding. */
function order(a: string, b: string): number {
  const byLength = Buffer.byteLength(a) - Buffer.byteLength(b);
  return byLength !== 0 ? byLength : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** What the head says: the number itself, or -1 - number of a negative one. */
function argumentOf(value: number | bigint): number | bigint {
  if (typeof value === 'bigint') return value < 0n ? -1n - value : value;
  if (!Number.isSafeInteger(value)) throw new VaultError('internal', 'a number in CBOR is a whole one');
  return value < 0 ? -1 - value : value;
}

function head(major: number, argument: number | bigint, out: Uint8Array, at: number): number {
  const size = headSize(argument);
  if (size === 1) out[at] = (major << 5) | Number(argument);
  else {
    out[at] = (major << 5) | (size === 2 ? 24 : size === 3 ? 25 : size === 5 ? 26 : 27);
    writeBigEndian(argument, out, at + 1, size - 1);
  }
  return at + size;
}

function writeBigEndian(argument: number | bigint, out: Uint8Array, at: number, size: number): void {
  if (size === 8) {
    new DataView(out.buffer, out.byteOffset).setBigUint64(at, BigInt(argument));
    return;
  }
  let rest = Number(argument);
  for (let place = at + size - 1; place >= at; place--) {
    out[place] = rest & 0xff;
    rest = Math.floor(rest / 0x100);
  }
}

const isArray = (value: object): value is readonly Cbor[] => Array.isArray(value);
const memberOf = (value: { readonly [key: string]: Cbor }, name: string): Cbor => value[name] as Cbor; // one of its own names
