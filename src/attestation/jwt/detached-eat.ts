/** A detached EAT bundle (RFC 9711, 5) as NRAS sends it: `[["JWT", overall], {"GPU-0": token, ...}]`. */
import { assertJsonDepth } from '../../domain/json.ts';

const MAX_BYTES = 512 * 1024;
const MAX_DEPTH = 4;
/** Eight GPUs and four switches are the largest machine. */
const MAX_PARTS = 32;

export interface DetachedEat {
  readonly overall: Uint8Array;
  readonly parts: ReadonlyMap<string, Uint8Array>;
}

/** Undefined when the bytes are anything else. */
export function readDetached(bytes: Uint8Array): DetachedEat | undefined {
  if (bytes[0] !== 0x5b || bytes.length > MAX_BYTES) return undefined;
  const [first, parts, ...more] = listOf(bytes);
  if (more.length > 0 || !Array.isArray(first) || typeof parts !== 'object' || parts === null) return undefined;
  const [kind, overall, ...rest] = first as unknown[];
  const tokens = Object.entries(parts);
  if (kind !== 'JWT' || typeof overall !== 'string' || rest.length > 0 || tokens.length > MAX_PARTS) return undefined;
  if (!tokens.every((entry): entry is [string, string] => typeof entry[1] === 'string')) return undefined;
  const asBytes = (text: string) => new Uint8Array(Buffer.from(text, 'utf8'));
  return { overall: asBytes(overall), parts: new Map(tokens.map(([name, token]) => [name, asBytes(token as string)])) };
}

function listOf(bytes: Uint8Array): unknown[] {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    assertJsonDepth(text, MAX_DEPTH);
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
