/** JSON that is hashed or signed is RFC 8785 canonical; JSON from outside is bounded before it is believed. */
import canonicalize from 'canonicalize';
import { VaultError } from './errors.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** RFC 8785 bytes of `value`. Only for values we made: `undefined` members are left out, NaN and bigint throw. */
export function canonicalJson(value: unknown): Uint8Array {
  const text = canonicalize(value);
  if (text === undefined) throw new Error('a value without a JSON form cannot be signed');
  return new TextEncoder().encode(text);
}

/**
 * Parses bytes that must be the canonical form of what they say: no duplicate member, no second spelling.
 * Throws `code` when they are not.
 */
export function parseCanonicalJson(bytes: Uint8Array, code: 'document_invalid' | 'request_invalid'): Json {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const value = JSON.parse(text) as Json; // JSON.parse makes nothing else
    if (Buffer.compare(canonicalJson(value), bytes) === 0) return value;
  } catch {
    // not JSON at all: refused below like any other spelling
  }
  throw new VaultError(code, 'not canonical JSON (RFC 8785)');
}

// What a terminal acts on or a reader does not see (controls, bidi and other invisible characters, line separators), and what HTML is made of.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}<>&]/gu;

/** One line of JSON, for terminals and files that people open: the same value, with every such character written as `\\uXXXX`. */
export function safeJson(value: unknown): string {
  const escaped = (char: string) =>
    Array.from({ length: char.length }, (_, at) => `\\u${char.charCodeAt(at).toString(16).padStart(4, '0')}`).join('');
  return (JSON.stringify(value) ?? 'null').replaceAll(UNSAFE, escaped);
}

/** Refuses JSON text nested deeper than `limit`, before JSON.parse builds it. Runs over the text once. */
export function assertJsonDepth(text: string, limit: number): void {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (inString) {
      if (char === 0x5c) at++;
      else if (char === 0x22) inString = false;
    } else if (char === 0x22) inString = true;
    else if (char === 0x7b || char === 0x5b) {
      depth++;
      if (depth > limit) throw new VaultError('request_invalid', `JSON is nested deeper than ${limit}`);
    } else if (char === 0x7d || char === 0x5d) depth--;
  }
}
