/**
 * Strict DER (X.690 clauses 10 and 11) into a tree over the same bytes. The libraries at hand take BER: a second spelling of one
 * certificate, which nothing that is compared byte by byte may have. Bounded in bytes, depth and count before anything is kept.
 */

/** The bytes are not what they should be. Stays inside attestation/: examinations make findings of it, verifiers refusals. */
export class Malformed extends Error {}

/** Undefined where `read` finds the bytes malformed; any other error stays one. */
export function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

/** As `orUndefined`, and the finding `malformed` for what could not be read. */
export function orMalformed<T, W extends string>(read: () => T, found: Set<W | 'malformed'>): T | undefined {
  const value = orUndefined(() => ({ read: read() }));
  if (value === undefined) found.add('malformed');
  return value?.read;
}

export interface DerNode {
  /** Identifier octet: class, constructed bit and number. Tags above 30 are not used by anything read here. */
  readonly tag: number;
  /** Identifier, length and contents: what a signature covers. */
  readonly whole: Uint8Array;
  readonly contents: Uint8Array;
  /** Empty for primitive ones. */
  readonly children: readonly DerNode[];
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

const CONSTRUCTED = 0x20;
const UNIVERSAL_LIMIT = 0x40;
const MAX_DEPTH = 24;

/** `maxNodes`: a certificate has about 80, a list of revoked certificates four to seven an entry. */
export function parseDer(bytes: Uint8Array, { maxBytes, maxNodes }: { readonly maxBytes: number; readonly maxNodes: number }): DerNode {
  if (bytes.length > maxBytes) throw new Malformed(`longer than ${maxBytes} bytes`);
  const budget = { nodes: maxNodes };
  const node = readNode(bytes, 0, budget, 0);
  if (node.whole.length !== bytes.length) throw new Malformed('bytes behind the end');
  return node;
}

function readNode(bytes: Uint8Array, at: number, budget: { nodes: number }, depth: number): DerNode {
  if (depth > MAX_DEPTH) throw new Malformed('nested too deep');
  budget.nodes -= 1;
  if (budget.nodes < 0) throw new Malformed('too many parts');
  const tag = byteAt(bytes, at);
  if ((tag & 0x1f) === 0x1f) throw new Malformed('a tag above 30');
  const { length, from } = readLength(bytes, at + 1);
  if (from + length > bytes.length) throw new Malformed('a length beyond the end');
  const contents = bytes.subarray(from, from + length);
  const children = (tag & CONSTRUCTED) === 0 ? [] : readChildren(contents, budget, depth + 1);
  checkUniversal(tag, contents);
  return { tag, whole: bytes.subarray(at, from + length), contents, children };
}

function readChildren(contents: Uint8Array, budget: { nodes: number }, depth: number): readonly DerNode[] {
  const children: DerNode[] = [];
  for (let at = 0; at < contents.length; ) {
    const child = readNode(contents, at, budget, depth);
    children.push(child);
    at += child.whole.length;
  }
  return children;
}

/** Definite, and as short as possible (10.1). */
function readLength(bytes: Uint8Array, at: number): { length: number; from: number } {
  const first = byteAt(bytes, at);
  if (first < 0x80) return { length: first, from: at + 1 };
  const octets = first & 0x7f;
  if (octets === 0 || octets > 3) throw new Malformed('an indefinite length, or one beyond 16 MiB');
  let length = 0;
  for (let i = 1; i <= octets; i++) length = length * 256 + byteAt(bytes, at + i);
  if (length < 0x80 || length < 256 ** (octets - 1)) throw new Malformed('a length longer than it needs to be');
  return { length, from: at + 1 + octets };
}

/** Each universal type has one form in DER. */
function checkUniversal(tag: number, contents: Uint8Array): void {
  if (tag >= UNIVERSAL_LIMIT) return;
  const isContainer = tag === TAG.sequence || tag === TAG.set;
  if (!isContainer && (tag & CONSTRUCTED) !== 0) throw new Malformed('a constructed value of a primitive type');
  if (tag === (TAG.sequence & ~CONSTRUCTED) || tag === (TAG.set & ~CONSTRUCTED)) throw new Malformed('a primitive sequence or set');
  const ok = UNIVERSAL_FORMS[tag]?.(contents) ?? tag !== 0;
  if (!ok) throw new Malformed(`a value of type ${tag} in a form that DER does not have`);
}

const isMinimalInteger = (c: Uint8Array) => {
  const [first = 0, second = 0] = c;
  return c.length === 1 || (c.length > 1 && !(first === 0 && second < 0x80) && !(first === 0xff && second >= 0x80));
};

const UNIVERSAL_FORMS: Readonly<Record<number, (contents: Uint8Array) => boolean>> = {
  [TAG.boolean]: (c) => c.length === 1 && (c[0] === 0 || c[0] === 0xff),
  [TAG.integer]: isMinimalInteger,
  [TAG.enumerated]: isMinimalInteger,
  [TAG.bitString]: (c) => {
    const [unused = 8] = c;
    return unused === 0 || (unused < 8 && c.length > 1 && (byteAt(c, c.length - 1) & ((1 << unused) - 1)) === 0);
  },
  [TAG.null]: (c) => c.length === 0,
  [TAG.oid]: isOid,
};

/** Every arc in base 128 without leading zeros (8.19.2), the last one complete. */
function isOid(contents: Uint8Array): boolean {
  let atStart = true;
  for (const byte of contents) {
    if (atStart && byte === 0x80) return false;
    atStart = byte < 0x80;
  }
  return contents.length > 0 && contents.length <= 32 && atStart;
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new Malformed('it ends too early');
  return byte;
}

/** The child at `index`, of type `tag`. */
export function child(node: DerNode, index: number, tag: number): DerNode {
  const found = node.children[index];
  if (found?.tag !== tag) throw new Malformed(`part ${index} is not of type ${tag}`);
  return found;
}

export function expectTag(node: DerNode | undefined, tag: number): DerNode {
  if (node?.tag !== tag) throw new Malformed(`not of type ${tag}`);
  return node;
}

/** Dotted text. */
export function oidText(node: DerNode | undefined): string {
  const arcs: bigint[] = [];
  let arc = 0n;
  for (const byte of expectTag(node, TAG.oid).contents) {
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    if (byte >= 0x80) continue;
    arcs.push(arc);
    arc = 0n;
  }
  const [first = 0n, ...rest] = arcs;
  const top = first < 40n ? 0n : first < 80n ? 1n : 2n;
  return [top, first - top * 40n, ...rest].join('.');
}

/** Contents of an INTEGER as a number; refused when negative or above 2^31 - 1. */
export function smallInteger(node: DerNode | undefined): number {
  const { contents } = expectTag(node, TAG.integer);
  if (contents.length > 4 || (contents[0] ?? 0x80) >= 0x80) throw new Malformed('an integer out of bounds');
  return contents.reduce((sum, byte) => sum * 256 + byte, 0);
}

/** A BIT STRING of whole bytes. */
export function wholeBytes(node: DerNode | undefined): Uint8Array {
  const { contents } = expectTag(node, TAG.bitString);
  if (contents[0] !== 0) throw new Malformed('a bit string that is not whole bytes');
  return contents.subarray(1);
}

/** UTCTime and GeneralizedTime in the one form that RFC 5280, 4.1.2.5 allows: seconds and Z. */
export function timeOf(node: DerNode | undefined): Date {
  const text = Buffer.from(node?.contents ?? []).toString('latin1');
  const match =
    node?.tag === TAG.utcTime
      ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text)
      : node?.tag === TAG.generalizedTime
        ? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text)
        : null;
  if (match === null) throw new Malformed('not a time as certificates write it');
  const [year = '', ...rest] = match.slice(1);
  const century = year.length === 4 ? '' : Number(year) < 50 ? '20' : '19';
  const [month, day, hour, minute, second] = rest;
  const iso = `${century}${year}-${month}-${day}T${hour}:${minute}:${second}`;
  const time = new Date(`${iso}Z`);
  if (Number.isNaN(time.getTime()) || time.toISOString().slice(0, 19) !== iso) throw new Malformed('a time that does not exist');
  return time;
}
