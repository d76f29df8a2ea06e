/** CBOR (RFC 8949) as the Nitro Security Module writes it: shortest forms, definite lengths, no tag, float or repeated key anywhere. */
import { decodeSequence } from 'cbor2';
import { Malformed } from '../x509/der.ts';

/** A payload map, its PCRs or its list of certificates, and what is in them. */
const MAX_DEPTH = 3;

const STRICT = {
  requirePreferred: true,
  rejectStreaming: true,
  rejectDuplicateKeys: true,
  rejectFloats: true,
  rejectBigInts: true,
  rejectSimple: true,
  rejectUndefined: true,
  ignoreGlobalTags: true,
  preferMap: true,
  maxDepth: MAX_DEPTH,
} as const;

const EMPTY_MAP = 0xa0;
const LAST_SHORT_MAP = 0xb7;
const MAP_WITH_COUNT_BYTE = 0xb8;
const ENDLESS_MAP = 0xbf;
const BREAK = 0xff;

/** The first `count` items of a sequence; what follows them is not looked at. Byte strings are views of `bytes`. Throws Malformed. */
export function readItems(bytes: Uint8Array, count: number): readonly unknown[] {
  const items: unknown[] = [];
  try {
    const sequence = decodeSequence(bytes, STRICT);
    while (items.length < count) {
      const next = sequence.next();
      if (next.done === true) break;
      items.push(next.value);
    }
  } catch (cause) {
    throw new Malformed('not CBOR in its one strict form', { cause }); // a foreign parser over foreign bytes
  }
  if (items.length < count) throw new Malformed('it ends too early');
  return items;
}

export interface TopMap {
  readonly members: ReadonlyMap<string, unknown>;
  /** Ended by a break instead of counted. */
  readonly isEndless: boolean;
}

/**
 * A whole map with text keys. This one map may have an indefinite length: documents from November 2025 on are written that way.
 * Its members must not, so they are read as the sequence they are. Throws Malformed.
 */
export function readTopMap(bytes: Uint8Array): TopMap {
  const isEndless = bytes[0] === ENDLESS_MAP;
  if (isEndless && bytes.at(-1) !== BREAK) throw new Malformed('a map without its break');
  const { count, from } = isEndless ? { count: undefined, from: 1 } : readCount(bytes);
  const items = readAll(bytes.subarray(from, isEndless ? -1 : undefined));
  if (items.length % 2 !== 0 || (count !== undefined && items.length !== 2 * count)) throw new Malformed('a map that does not add up');
  const members = new Map<string, unknown>();
  for (let at = 0; at < items.length; at += 2) {
    const name = items[at];
    if (typeof name !== 'string') throw new Malformed('a member whose name is not text');
    if (members.has(name)) throw new Malformed('a member twice');
    members.set(name, items[at + 1]);
  }
  return { members, isEndless };
}

function readCount(bytes: Uint8Array): { count: number; from: number } {
  const [first = 0, second = 0] = bytes;
  if (first >= EMPTY_MAP && first <= LAST_SHORT_MAP) return { count: first - EMPTY_MAP, from: 1 };
  if (first === MAP_WITH_COUNT_BYTE && second > LAST_SHORT_MAP - EMPTY_MAP) return { count: second, from: 2 };
  throw new Malformed('not a map');
}

function readAll(bytes: Uint8Array): readonly unknown[] {
  try {
    return [...decodeSequence(bytes, STRICT)];
  } catch (cause) {
    throw new Malformed('not CBOR in its one strict form', { cause });
  }
}
