/** Measured boot logs as firmware writes them, and whatever a firmware would never write. */
import { createHash } from 'node:crypto';
import { concat } from '../../src/domain/bytes.ts';

export type Bank = 'sha1' | 'sha256' | 'sha384' | 'sm3';
const IDS: Readonly<Record<Bank, number>> = { sha1: 0x04, sha256: 0x0b, sha384: 0x0c, sm3: 0x12 };
const BYTES: Readonly<Record<Bank, number>> = { sha1: 20, sha256: 32, sha384: 48, sm3: 32 };

export const le16 = (value: number) => Uint8Array.of(value & 0xff, value >>> 8);
export const le32 = (value: number) => concat(le16(value & 0xffff), le16(value >>> 16));
export const latin = (text: string) => new Uint8Array(Buffer.from(text, 'latin1'));

export interface EventWishes {
  readonly register: number;
  readonly type: number;
  readonly data?: Uint8Array;
  /** What was measured. Default: `data`. */
  readonly measured?: Uint8Array;
}

export function specId(banks: readonly Bank[], change: { signature?: string; major?: number; sizes?: readonly number[] } = {}): Uint8Array {
  const list = banks.map((bank, at) => concat(le16(IDS[bank]), le16(change.sizes?.[at] ?? BYTES[bank])));
  const head = concat(latin(change.signature ?? 'Spec ID Event03\0'), le32(0), Uint8Array.of(0, change.major ?? 2, 0, 2));
  return concat(head, le32(banks.length), ...list, Uint8Array.of(0));
}

/** The record every log begins with, in the form of old. */
export const opening = (data: Uint8Array, type = 3) => concat(le32(0), le32(type), new Uint8Array(20), le32(data.length), data);

export function event(banks: readonly Bank[], { register, type, data = new Uint8Array(0), measured = data }: EventWishes): Uint8Array {
  const digests = banks.map((bank) => concat(le16(IDS[bank]), createHash(bank).update(measured).digest()));
  return concat(le32(register), le32(type), le32(banks.length), ...digests, le32(data.length), data);
}

export function log(banks: readonly Bank[], ...events: readonly EventWishes[]): Uint8Array {
  return concat(opening(specId(banks)), ...events.map((one) => event(banks, one)));
}

/** UEFI_VARIABLE_DATA. */
export function variable(name: string, value: Uint8Array): Uint8Array {
  const lengths = [name.length, value.length].map((length) => concat(le32(length), le32(0)));
  return concat(new Uint8Array(16), ...lengths, new Uint8Array(Buffer.from(name, 'utf16le')), value);
}
