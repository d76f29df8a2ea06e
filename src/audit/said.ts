/** What a leaf says, read without believing its form: it may be forged, damaged, or of a later schema. */
import type { LeafRow } from './port.ts';

export type Json = Readonly<Record<string, unknown>>;

/** The leaf as an object; undefined when it is none. */
export function saidBy(leaf: LeafRow['leaf']): Json | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(leaf.buffer, leaf.byteOffset, leaf.length).toString('utf8'));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function textAt(said: unknown, ...path: readonly string[]): string | undefined {
  const value = at(said, path);
  return typeof value === 'string' ? value : undefined;
}

export function numberAt(said: unknown, ...path: readonly string[]): number | undefined {
  const value = at(said, path);
  return Number.isSafeInteger(value) ? (value as number) : undefined; // a safe integer is a number
}

export function textsAt(said: unknown, ...path: readonly string[]): readonly string[] {
  const value = at(said, path);
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

export function objectAt(said: unknown, ...path: readonly string[]): Json | undefined {
  const value = at(said, path);
  return isObject(value) ? value : undefined;
}

function at(said: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, name) => (isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined), said);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
