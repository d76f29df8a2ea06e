/** A compact JWS taken apart for examination: each part by itself, so that one that is broken does not hide what the others say. */
import { type JsonObject, parseStrictObject } from '../strict-json.ts';
import { MAX_TOKEN_CHARS } from './evidence.ts';

export interface CompactToken {
  readonly text: string;
  /** Undefined when it is not one strict JSON object. */
  readonly header: JsonObject | undefined;
  /** Not verified. */
  readonly claims: JsonObject | undefined;
  /** Every part is the one base64url spelling of its bytes, and header and claims are objects. */
  readonly wellFormed: boolean;
}

/** Undefined when it is not three parts at all. A file may end with a line end; nothing else stands around the token. */
export function readCompact(bytes: Uint8Array): CompactToken | undefined {
  if (bytes.length > MAX_TOKEN_CHARS) return undefined;
  const text = Buffer.from(bytes)
    .toString('latin1')
    .replace(/\r?\n$/, '');
  const parts = text.split('.');
  if (parts.length !== 3) return undefined;
  const [header, claims, signature] = parts.map(canonical);
  const read = (part: Uint8Array | undefined): JsonObject | undefined => {
    const json = part === undefined ? '' : parseStrictObject(part);
    return typeof json === 'string' ? undefined : json;
  };
  const said = { header: read(header), claims: read(claims) };
  const signed = signature !== undefined && signature.length > 0;
  return { text, ...said, wellFormed: said.header !== undefined && said.claims !== undefined && signed };
}

/** RFC 7515 appendix C: no padding, no stray bits. */
function canonical(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? new Uint8Array(bytes) : undefined;
}
