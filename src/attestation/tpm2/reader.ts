/** Strict reading and writing of TPM 2.0 structures: big-endian, nothing skipped, nothing left over (TPM 2.0 Library part 2, 10.4). */
import { concat } from '../../domain/bytes.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import { type Refusal, refuse } from '../../domain/evidence.ts';

/** The bytes are not the structure they should be. Stays inside tpm2/: `orRefusal` turns it into a value. */
export class Malformed extends Error {}

export class TpmReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }
  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }
  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }
  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8));
  }
  /** A copy, so that what was verified cannot change with the caller's buffer. */
  take(length: number): Uint8Array {
    const from = this.#advance(length);
    return this.#bytes.slice(from, from + length);
  }
  /** A TPM2B: 16-bit size, then that many bytes, at most `maximum`. */
  sized(maximum: number): Uint8Array {
    const length = this.u16();
    if (length > maximum) throw new Malformed(`a field of ${length} bytes where at most ${maximum} are possible`);
    return this.take(length);
  }
  /** Refuses bytes behind the structure: they would be unsigned, or a second reading. */
  end(): void {
    if (this.#at !== this.#bytes.length) throw new Malformed(`${this.#bytes.length - this.#at} bytes behind the end`);
  }
  #advance(length: number): number {
    const from = this.#at;
    if (from + length > this.#bytes.length) throw new Malformed('it ends too early');
    this.#at = from + length;
    return from;
  }
}

/** Reads one whole structure of at most `maximum` bytes; the name goes into the message. Throws only Malformed. */
export function readWhole<T>(what: string, bytes: Uint8Array, maximum: number, read: (reader: TpmReader) => T): T {
  try {
    if (bytes.length > maximum) throw new Malformed(`longer than ${maximum} bytes`);
    const reader = new TpmReader(bytes);
    const value = read(reader);
    reader.end();
    return value;
  } catch (error) {
    if (error instanceof Malformed) throw new Malformed(`${what}: ${error.message}`);
    throw error;
  }
}

/** Undefined where `parse` finds the bytes malformed; any other error stays one. */
export function orUndefined<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return undefined;
  }
}

/** Runs a parser and makes its Malformed a refusal; any other error stays an error. */
export function orRefusal<T>(code: ErrorCode, parse: () => T): T | Refusal {
  try {
    return parse();
  } catch (error) {
    if (error instanceof Malformed) return refuse(code, error.message);
    throw error;
  }
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value & 0xff);
}

export function u32(value: number): Uint8Array {
  return concat(u16(value >>> 16), u16(value & 0xffff));
}

/** TPM2B of `bytes`. */
export function sized(bytes: Uint8Array): Uint8Array {
  if (bytes.length > 0xffff) throw new RangeError('a TPM2B holds at most 65535 bytes');
  return concat(u16(bytes.length), bytes);
}
