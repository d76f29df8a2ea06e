/** Deterministic CBOR (RFC 8949 section 4.2) without floats and nothing else: a second encoding of the same value is refused. */
import { cdeDecodeOptions, cdeEncodeOptions, decode, encode } from 'cbor2';
import { VaultError } from './errors.ts';

export type Cbor = number | bigint | string | boolean | null | Uint8Array | readonly Cbor[] | { readonly [key: string]: Cbor };

/** Byte strings must be plain Uint8Array; a Buffer would be written as a map. */
export function encodeCbor(value: Cbor): Uint8Array {
  return new Uint8Array(encode(value, cdeEncodeOptions));
}

/** Throws `request_invalid` for anything but one whole deterministic item at most `maxDepth` deep. */
export function decodeCbor(bytes: Uint8Array, maxDepth = 16): Cbor {
  try {
    return decode<Cbor>(bytes, { ...cdeDecodeOptions, rejectDuplicateKeys: true, rejectFloats: true, maxDepth });
  } catch (cause) {
    throw new VaultError('request_invalid', 'not deterministic CBOR', { cause });
  }
}
