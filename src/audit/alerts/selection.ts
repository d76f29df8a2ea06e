/** One selection of a Sigma rule as a test of a leaf's fields (specification 2.1, "Detection" and appendix "Modifiers"). */
import { RECORD_TYPES } from '../record.ts';
import { type Fields, type FieldValue, isLeafField } from './leaf-fields.ts';
import type { Matchers, Scalar } from './rule-document.ts';
import { invalid } from './sigma-yaml.ts';

export type Test = (fields: Fields) => boolean;

const NUMERIC = ['lt', 'lte', 'gt', 'gte'] as const;
const TIMES = ['minute', 'hour', 'day', 'month', 'year'] as const;
const SHAPES = ['contains', 'startswith', 'endswith'] as const;
const KNOWN = [...NUMERIC, ...TIMES, ...SHAPES, 'all', 'exists', 'cased', 'neq'] as const;
type Modifier = (typeof KNOWN)[number];

/** A map is an AND of its fields, a list of maps an OR. */
export function selectionTest(name: string, selection: Matchers | readonly Matchers[]): Test {
  if (Array.isArray(selection)) {
    const tests = (selection as readonly Matchers[]).map((one) => selectionTest(name, one));
    return (fields) => tests.some((test) => test(fields));
  }
  const entries = Object.entries(selection as Matchers);
  if (entries.length === 0) throw invalid(name, 'an empty selection would match everything');
  const tests = entries.map(([key, value]) => fieldTest(name, key, Array.isArray(value) ? value : [value]));
  return (fields) => tests.every((test) => test(fields));
}

function fieldTest(name: string, key: string, wanted: readonly Scalar[]): Test {
  const [field = '', ...modifiers] = key.split('|');
  if (!isLeafField(field)) throw invalid(name, `a leaf has no field "${field}"`);
  const unknown = modifiers.find((one) => !(KNOWN as readonly string[]).includes(one));
  if (unknown !== undefined) throw invalid(name, `the modifier "${unknown}" is not supported`);
  const has = (one: Modifier) => modifiers.includes(one);
  if (has('exists')) return existence(name, field, modifiers, wanted);
  if (has('all') && wanted.length < 2) throw invalid(name, `"${key}": all needs several values`);
  if (key === 'type') assertTypes(name, wanted);
  const tests = wanted.map((value) => valueTest(name, key, modifiers as readonly Modifier[], value));
  const matches: Test = has('all')
    ? (fields) => tests.every((test) => test(fields.get(field)))
    : (fields) => tests.some((test) => test(fields.get(field)));
  return has('neq') ? (fields) => !matches(fields) : matches;
}

/** A record type that there is none of would make a rule that never fires. */
function assertTypes(name: string, wanted: readonly Scalar[]): void {
  const known: readonly unknown[] = RECORD_TYPES;
  const unknown = wanted.find((type) => !known.includes(type) && !(typeof type === 'string' && /[*?]/.test(type)));
  if (unknown !== undefined) throw invalid(name, `there is no record type "${String(unknown)}"`);
}

function existence(name: string, field: string, modifiers: readonly string[], wanted: readonly Scalar[]): Test {
  const [value] = wanted;
  if (modifiers.length !== 1 || wanted.length !== 1 || typeof value !== 'boolean')
    throw invalid(name, `"${field}|exists" takes true or false alone`);
  return (fields) => fields.has(field) === value;
}

type ValueTest = (found: readonly FieldValue[] | undefined) => boolean;

function valueTest(name: string, key: string, modifiers: readonly Modifier[], wanted: Scalar): ValueTest {
  const kinds = [NUMERIC, TIMES, SHAPES].map((group) => modifiers.filter((one) => (group as readonly string[]).includes(one)));
  if (kinds.flat().length > 1) throw invalid(name, `"${key}" combines modifiers that exclude each other`);
  const [numeric, time, shape] = kinds.map((group) => group[0]);
  if (wanted === null) return nothing(name, key, modifiers);
  if (numeric !== undefined) return comparison(name, key, numeric as (typeof NUMERIC)[number], wanted);
  if (time !== undefined) return timePart(name, key, time as (typeof TIMES)[number], wanted);
  if (typeof wanted !== 'string') {
    if (shape !== undefined) throw invalid(name, `"${key}" takes text`);
    return (found) => found?.includes(wanted) ?? false;
  }
  const cased = modifiers.includes('cased');
  const matches = globTest(shaped(wanted, shape), cased);
  return (found) => found?.some((value) => matches(String(value))) ?? false;
}

/** Sigma's `null`: the field is not there. */
function nothing(name: string, key: string, modifiers: readonly Modifier[]): ValueTest {
  if (modifiers.some((one) => one !== 'neq')) throw invalid(name, `"${key}": null takes no modifier`);
  return (found) => found === undefined || found.length === 0;
}

function comparison(name: string, key: string, how: (typeof NUMERIC)[number], wanted: Scalar): ValueTest {
  if (typeof wanted !== 'number') throw invalid(name, `"${key}" takes a number`);
  const holds = {
    lt: (a: number) => a < wanted,
    lte: (a: number) => a <= wanted,
    gt: (a: number) => a > wanted,
    gte: (a: number) => a >= wanted,
  }[how];
  return (found) => found?.some((value) => typeof value === 'number' && holds(value)) ?? false;
}

/** Of a time in UTC, as leaves have it. */
function timePart(name: string, key: string, part: (typeof TIMES)[number], wanted: Scalar): ValueTest {
  if (typeof wanted !== 'number') throw invalid(name, `"${key}" takes a number`);
  const read = {
    minute: (at: Date) => at.getUTCMinutes(),
    hour: (at: Date) => at.getUTCHours(),
    day: (at: Date) => at.getUTCDate(),
    month: (at: Date) => at.getUTCMonth() + 1,
    year: (at: Date) => at.getUTCFullYear(),
  }[part];
  return (found) => found?.some((value) => typeof value === 'string' && read(new Date(value)) === wanted) ?? false;
}

const ANY: unique symbol = Symbol('*');
const ONE: unique symbol = Symbol('?');
type Piece = string | typeof ANY | typeof ONE;

function shaped(text: string, shape: string | undefined): readonly Piece[] {
  const pieces = globOf(text);
  const before: Piece[] = shape === 'contains' || shape === 'endswith' ? [ANY] : [];
  const after: Piece[] = shape === 'contains' || shape === 'startswith' ? [ANY] : [];
  return [...before, ...pieces, ...after];
}

/** `*` any characters, `?` one; a backslash before either, or before a backslash, makes it plain. */
function globOf(text: string): readonly Piece[] {
  const pieces: Piece[] = [];
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? '';
    const next = text[at + 1] ?? '';
    if (char === '\\' && ['*', '?', '\\'].includes(next)) {
      pieces.push(next);
      at++;
    } else pieces.push(char === '*' ? ANY : char === '?' ? ONE : char);
  }
  return pieces;
}

/** Greedy with one step back: at most pattern times text, never more. */
function globTest(pieces: readonly Piece[], cased: boolean): (text: string) => boolean {
  const fold = (text: string) => (cased ? text : text.toLowerCase());
  const wanted = pieces.flatMap((piece): Piece[] => (typeof piece === 'string' ? [...fold(piece)] : [piece]));
  return (text) => {
    const chars = fold(text);
    let [at, piece, star, retry] = [0, 0, -1, 0];
    while (at < chars.length) {
      const now = wanted[piece];
      if (now === ANY) [star, retry, piece] = [piece, at, piece + 1];
      else if (now === ONE || now === chars[at]) [at, piece] = [at + 1, piece + 1];
      else if (star >= 0) [retry, at, piece] = [retry + 1, retry + 1, star + 1];
      else return false;
    }
    return wanted.slice(piece).every((rest) => rest === ANY);
  };
}
