/** Length-delimited fields of Protocol Buffers messages (encoding specification): the Workload API has no others that we need. */
import { concat, utf8 } from '../../domain/bytes.ts';

const VARINT = 0;
const FIXED_64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED_32 = 5;

/** Every length-delimited field of that number, in order; other fields are passed over. Throws for what is no message. */
export function fieldsOf(message: Uint8Array, wanted: number): readonly Uint8Array[] {
  const found: Uint8Array[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = message[at++];
      if (byte === undefined) throw new Error('the message ends too early');
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new Error('a number of the message is too long');
  };
  while (at < message.length) {
    const key = varint();
    const [number, type] = [Math.floor(key / 8), key % 8];
    if (type === VARINT) {
      varint();
      continue;
    }
    const length = type === LENGTH_DELIMITED ? varint() : type === FIXED_64 ? 8 : type === FIXED_32 ? 4 : Number.NaN;
    if (!(at + length <= message.length)) throw new Error('the message ends too early, or is none');
    if (number === wanted && type === LENGTH_DELIMITED) found.push(message.slice(at, at + length));
    at += length;
  }
  return found;
}

/** A field below 16, of text up to 16 KiB. */
export function textField(number: number, text: string): Uint8Array {
  const bytes = utf8(text);
  if (bytes.length >= 1 << 14) throw new Error('a text is too long');
  const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7];
  return concat(Uint8Array.of((number << 3) | LENGTH_DELIMITED, ...length), bytes);
}
