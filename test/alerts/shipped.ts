import { readdirSync, readFileSync } from 'node:fs';

const FOLDER = new URL('../../policies/alerts/', import.meta.url);

/** The rule files as they are shipped: text by name. */
export function shippedRules(): Readonly<Record<string, string>> {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.yml'));
  return Object.fromEntries(names.map((name) => [name, readFileSync(new URL(name, FOLDER), 'utf8')]));
}
