/** The policies of a text one by one, each with its place, so that one which does not parse hides nothing about the others. */

// As in policy-limits.ts: strings and comments end where Cedar's lexer ends them, and a semicolon outside both only ends a policy.
const TOKENS = /\/\/[^\n\r]*|"(?:\\[^\n]|[^"\\])*"|\s+|[^\s"/]|[\s\S]/g;

export interface Statement {
  /** From its first token to its semicolon. Comments before it are left out, as Cedar leaves them out. */
  readonly text: string;
  /** Bytes of UTF-8 before it. */
  readonly start: number;
}

export function statements(source: string): Statement[] {
  const found: Statement[] = [];
  let first: number | undefined;
  let last = 0;
  const take = (end: number) => {
    if (first === undefined) return;
    found.push({ text: source.slice(first, end), start: Buffer.byteLength(source.slice(0, first)) });
    first = undefined;
  };
  for (const match of source.matchAll(TOKENS)) {
    const [token] = match;
    if (token.startsWith('//') || /^\s/.test(token)) continue;
    first ??= match.index;
    last = match.index + token.length;
    if (token === ';') take(last);
  }
  take(last); // what follows the last semicolon
  return found;
}

/** The first string literal whose characters between the quotes are `inner`, with its quotes, in bytes. */
export function stringAt(source: string, inner: string): { readonly start: number; readonly end: number } | undefined {
  for (const match of source.matchAll(TOKENS)) {
    if (match[0] !== `"${inner}"`) continue;
    const start = Buffer.byteLength(source.slice(0, match.index));
    return { start, end: start + Buffer.byteLength(match[0]) };
  }
  return undefined;
}
