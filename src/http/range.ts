/** The Range header (RFC 9110 section 14): one range of bytes, closed, open-ended or suffix. */
import { VaultError } from '../domain/errors.ts';

/** Bytes `start` to `end`, `end` not included. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * The bytes a request asks for, or undefined for the whole object (no header, or a unit that is not bytes).
 * Throws `range_invalid` for what is not a range or lies outside the object, `range_unsupported` for several ranges.
 * The numbers of the header size nothing: the object's length from the signed manifest does.
 */
export function parseRange(header: string | undefined, size: number): Span | undefined {
  if (header === undefined) return undefined;
  const unit = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(.*)$/.exec(header);
  if (unit === null) throw new VaultError('range_invalid', 'not a range');
  if (unit[1]?.toLowerCase() !== 'bytes') return undefined;
  const list = unit[2] ?? '';
  if (list.includes(',')) throw new VaultError('range_unsupported');
  const match = /^[ \t]*(\d{0,20})-(\d{0,20})[ \t]*$/.exec(list);
  if (match === null || (match[1] === '' && match[2] === '')) throw new VaultError('range_invalid', 'not a range');
  const [first, last] = [match[1] ?? '', match[2] ?? ''];
  const span = first === '' ? suffix(Number(last), size) : between(Number(first), last === '' ? size - 1 : Number(last), size);
  if (span.start >= span.end) throw new VaultError('range_invalid', `the object has ${size} bytes`);
  return span;
}

function suffix(length: number, size: number): Span {
  return { start: Math.max(0, size - length), end: size };
}

function between(first: number, last: number, size: number): Span {
  return last < first ? { start: 1, end: 0 } : { start: first, end: Math.min(last + 1, size) };
}
