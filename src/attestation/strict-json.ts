/** JSON of a token, read in one way only: what two parsers could read differently is refused, as RFC 7515 section 4 allows. */
import { assertJsonDepth } from '../domain/json.ts';

const MAX_DEPTH = 16;

export type JsonObject = Readonly<Record<string, unknown>>;

/** The one JSON object that `bytes` are, or what is wrong with them. No member stands twice, however it is escaped. */
export function parseStrictObject(bytes: Uint8Array): JsonObject | string {
  let value: unknown;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    assertJsonDepth(text, MAX_DEPTH);
    value = JSON.parse(text);
  } catch {
    return `is not JSON in UTF-8, nested at most ${MAX_DEPTH} deep`;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'is not a JSON object';
  if (hasDuplicateMember(text)) return 'names a member twice';
  return value as JsonObject; // just looked at
}

const TOKENS = /"(?:[^"\\]+|\\.)*"|[{}:]/g;

/** `text` is known to be JSON, so a string before a colon is a member's name, and the innermost open brace is its object. */
function hasDuplicateMember(text: string): boolean {
  const open: Set<string>[] = [];
  let last = '';
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (token === ':') {
      const name = JSON.parse(last) as string; // a string token
      const names = open.at(-1);
      if (names?.has(name)) return true;
      names?.add(name);
    }
    last = token;
  }
  return false;
}
