import { timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';

/**
 * Room for secret bytes that can be wiped. A typed array of up to 64 bytes is otherwise inside V8's heap, which the collector moves about, and
 * asking for its `buffer` moves it out: each leaves the old bytes where nobody can reach them.
 */
export function secretRoom(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

/** The bytes in such room. Whoever has the original wipes it. */
export function secretCopy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = secretRoom(bytes.length);
  copy.set(bytes);
  return copy;
}

const PIECE_BYTES = 4_096;
let piece = secretRoom(0);
let used = 0;

/**
 * Such room for a secret that lives for a moment, cut from a piece that many share: making and collecting a buffer takes V8 longer than all that
 * is done with the bytes. Its `buffer` has other secrets in it, so it is never handed to another thread.
 */
export function briefRoom(length: number): Uint8Array<ArrayBuffer> {
  if (used + length > piece.length) {
    piece = secretRoom(Math.max(length, PIECE_BYTES));
    used = 0;
  }
  const start = used;
  used += length;
  return piece.subarray(start, used);
}

/**
 * Secret bytes that cannot be printed, serialized or compared by accident, and are wiped on dispose.
 * It owns the buffer it is given, which is best a `secretRoom`: the caller must not keep another reference.
 */
export class SecretBytes {
  #bytes: Uint8Array | undefined;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  get length(): number {
    return this.#bytes?.length ?? 0;
  }
  /** Lends the bytes to `use`; they must not outlive the call unless the callee copies them into another secret. */
  expose<T>(use: (bytes: Uint8Array) => T): T {
    if (this.#bytes === undefined) throw new Error('a disposed secret was used');
    return use(this.#bytes);
  }
  equals(other: SecretBytes): boolean {
    return this.expose((a) => other.expose((b) => a.length === b.length && timingSafeEqual(a, b)));
  }
  get disposed(): boolean {
    return this.#bytes === undefined;
  }
  dispose(): void {
    this.#bytes?.fill(0);
    this.#bytes = undefined;
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
  toString(): string {
    return '[secret]';
  }
  toJSON(): string {
    return '[secret]';
  }
  [inspect.custom](): string {
    return '[secret]';
  }
}
