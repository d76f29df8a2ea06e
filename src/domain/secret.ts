import { timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';

/**
 * Secret bytes that cannot be printed, serialized or compared by accident, and are wiped on dispose.
 * It owns the buffer it is given: the caller must not keep another reference.
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
