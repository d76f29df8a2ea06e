/** The encodings everything hashed or bound goes through. Formats: docs/formats/encodings.md. */
import { createHash, hash as oneShot } from 'node:crypto';
import { VaultError } from './errors.ts';

/** Text as it enters any hash, AAD or label: UTF-8 of its NFC form. A lone surrogate has no UTF-8 and is refused: `request_invalid`. */
export function utf8(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new VaultError('request_invalid', 'the text is not well-formed Unicode');
  return new TextEncoder().encode(text.normalize('NFC'));
}

/** LP(x1, ..., xn): each part as a 4-byte big-endian byte length followed by its bytes. Text is NFC UTF-8; absent = length zero. */
export function lp(...parts: ReadonlyArray<Uint8Array | string | undefined>): Uint8Array {
  const encoded = parts.map((part) => (part === undefined ? new Uint8Array(0) : typeof part === 'string' ? utf8(part) : part));
  const out = new Uint8Array(encoded.reduce((sum, part) => sum + 4 + part.length, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const part of encoded) {
    view.setUint32(at, part.length);
    out.set(part, at + 4);
    at += 4 + part.length;
  }
  return out;
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const [only, ...more] = parts;
  if (only !== undefined && more.length === 0) return new Uint8Array(oneShot('sha256', only, 'buffer')); // half the time of a Hash object
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

export function sha512(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha512').update(bytes).digest());
}

export function sha256Hex(...parts: readonly Uint8Array[]): string {
  const [only, ...more] = parts;
  if (only !== undefined && more.length === 0) return oneShot('sha256', only); // hexadecimal, without bytes in between
  return toHex(sha256(...parts));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Lower-case hex only: a second spelling of the same bytes would be a second name for the same thing. */
export function fromHex(text: string): Uint8Array {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new VaultError('request_invalid', 'not lower-case hexadecimal');
  return new Uint8Array(Buffer.from(text, 'hex'));
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** Canonical RFC 4648 section 4 base64: padding present, unused bits zero, no white space; anything else is refused. */
export function fromBase64(text: string): Uint8Array {
  const bytes = new Uint8Array(Buffer.from(text, 'base64'));
  if (toBase64(bytes) !== text) throw new VaultError('request_invalid', 'not canonical base64');
  return bytes;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}
