/**
 * Sealing and opening single segments of one object: startEncryption, encryptSegment, startDecryption and decryptSegment of
 * FLOE "Semi-Public Functions". Streams and range reads are built on these; prefer them, they cannot be called out of order.
 */
import { randomBytes } from 'node:crypto';
import { VaultError } from '../domain/errors.ts';
import type { SecretBytes } from '../domain/secret.ts';
import { aeadOpen, aeadSeal } from './aead.ts';
import { type HeaderExpectation, kdfContext, makeHeader, parseHeader, verifyHeader } from './header.ts';
import { encodePosition, requireKey, SegmentKeys } from './segment-keys.ts';
import { FLOE, INTERNAL_SEGMENT, isSegmentBytes, PRODUCTION_SEGMENT_BYTES } from './suites.ts';

/** Where fresh IVs come from: `length` new random bytes. Tests inject a fixed one to make vectors; nothing else may. */
export type RandomSource = (length: number) => Uint8Array;

export interface SealOptions {
  /** Exactly 32 bytes; lent, never disposed here. */
  readonly key: SecretBytes;
  /** Bound to the object, not stored in it. */
  readonly aad: Uint8Array;
  /** ENC_SEG_LEN, bytes; production default. */
  readonly segmentBytes?: number | undefined;
  /** The largest `segmentBytes` accepted; 64 MiB of plaintext by default. */
  readonly segmentLimitBytes?: number | undefined;
  readonly rotationMask?: number | undefined;
  readonly random?: RandomSource | undefined;
}

export interface OpenOptions extends HeaderExpectation {
  readonly key: SecretBytes;
  readonly aad: Uint8Array;
  readonly rotationMask?: number | undefined;
}

const AEAD_IV_AT = FLOE.lengthFieldBytes;
const CIPHERTEXT_AT = AEAD_IV_AT + FLOE.aeadIvBytes;

/** Seals the segments of one new object. Dispose it to wipe the derived keys. */
export class SegmentSealer {
  readonly header: Uint8Array;
  readonly segmentBytes: number;
  readonly #keys: SegmentKeys;
  readonly #random: RandomSource;

  /** Draws the FLOE IV. Refuses `sealed_key_invalid` and `sealed_parameters`. */
  constructor(options: SealOptions) {
    this.segmentBytes = options.segmentBytes ?? PRODUCTION_SEGMENT_BYTES;
    this.#random = options.random ?? randomBytes;
    requireKey(options.key);
    if (!isSegmentBytes(this.segmentBytes, options.segmentLimitBytes)) {
      throw new VaultError('sealed_parameters', `segment length ${this.segmentBytes}`);
    }
    const context = kdfContext(this.segmentBytes, this.#random(FLOE.ivBytes), options.aad);
    this.#keys = new SegmentKeys(options.key, context, options.rotationMask ?? FLOE.rotationMask);
    this.header = makeHeader(options.key, context);
  }

  /**
   * encryptSegment: the whole encrypted segment in a new buffer. A segment that is not final must be full, a final one may have
   * 0 to `segmentBytes` - 32 bytes: `sealed_segment_length`. Position 2^40 - 1 can only be final: `sealed_too_long`.
   * The caller must never seal one position twice, nor one behind the final.
   */
  sealSegment(plaintext: Uint8Array, position: number, isFinal: boolean): Uint8Array {
    requirePosition(position, isFinal);
    const bytes = plaintext.length + FLOE.segmentOverheadBytes;
    if (isFinal ? bytes > this.segmentBytes : bytes !== this.segmentBytes) throw new VaultError('sealed_segment_length');
    const segment = Buffer.allocUnsafeSlow(bytes);
    segment.writeUInt32BE(isFinal ? bytes : INTERNAL_SEGMENT);
    const iv = this.#random(FLOE.aeadIvBytes);
    segment.set(iv, AEAD_IV_AT);
    const into = segment.subarray(CIPHERTEXT_AT, bytes - FLOE.aeadTagBytes);
    const tag = segment.subarray(bytes - FLOE.aeadTagBytes);
    this.#keys.withKey(position, (key) => aeadSeal(key, iv, segmentAad(position, isFinal), plaintext, into, tag));
    return segment;
  }

  dispose(): void {
    this.#keys.dispose();
  }
}

/** Opens segments of one object, in any order. Dispose it to wipe the derived keys. */
export class SegmentOpener {
  /** ENC_SEG_LEN, authentic: the header tag covers it. */
  readonly segmentBytes: number;
  readonly #keys: SegmentKeys;

  /**
   * `header` is the 74 bytes. Refuses `sealed_key_invalid`, `sealed_header_truncated`, `sealed_parameters` and
   * `sealed_header_tag` (wrong key, wrong AAD or altered header: FLOE commits to all three).
   */
  constructor(header: Uint8Array, options: OpenOptions) {
    requireKey(options.key);
    const { segmentBytes, iv, tag } = parseHeader(header, options);
    if (header.length !== FLOE.headerBytes) throw new VaultError('sealed_parameters', 'the header is longer than 74 bytes');
    const context = kdfContext(segmentBytes, iv, options.aad);
    verifyHeader(options.key, context, tag);
    this.segmentBytes = segmentBytes;
    this.#keys = new SegmentKeys(options.key, context, options.rotationMask ?? FLOE.rotationMask);
  }

  /**
   * decryptSegment: opens the whole encrypted segment into the start of `into` and returns the number of plaintext bytes.
   * `into` needs that room (RangeError otherwise) and must not overlap `segment`. Refuses `sealed_segment_length` and
   * `sealed_segment_tag`, and then has left nothing of the segment in `into`; `sealed_too_long` outside the 2^40 positions.
   * `isFinal` must come from something trusted, or from the segment's own length field when reading in order to the end.
   */
  openSegment(segment: Uint8Array, position: number, isFinal: boolean, into: Uint8Array): number {
    requirePosition(position, isFinal);
    const bytes = this.#plaintextBytes(segment, isFinal);
    if (into.length < bytes) throw new RangeError(`opening this segment needs ${bytes} bytes of room`);
    const iv = segment.subarray(AEAD_IV_AT, CIPHERTEXT_AT);
    const ciphertext = segment.subarray(CIPHERTEXT_AT, CIPHERTEXT_AT + bytes);
    const tag = segment.subarray(CIPHERTEXT_AT + bytes);
    const aad = segmentAad(position, isFinal);
    const opened = this.#keys.withKey(position, (key) => aeadOpen(key, iv, aad, ciphertext, tag, into.subarray(0, bytes)));
    if (!opened) throw new VaultError('sealed_segment_tag', `segment ${position}`);
    return bytes;
  }

  #plaintextBytes(segment: Uint8Array, isFinal: boolean): number {
    const fits = isFinal
      ? segment.length >= FLOE.segmentOverheadBytes && segment.length <= this.segmentBytes && lengthField(segment) === segment.length
      : segment.length === this.segmentBytes && lengthField(segment) === INTERNAL_SEGMENT;
    if (!fits) throw new VaultError('sealed_segment_length');
    return segment.length - FLOE.segmentOverheadBytes;
  }

  dispose(): void {
    this.#keys.dispose();
  }
}

/** The first four bytes of a segment, big-endian; the segment has at least four. */
export function lengthField(segment: Uint8Array): number {
  return new DataView(segment.buffer, segment.byteOffset, segment.byteLength).getUint32(0);
}

/** I2BE(position, 8) || 0x01 on the last segment, else 0x00. */
function segmentAad(position: number, isFinal: boolean): Uint8Array {
  const aad = new Uint8Array(9);
  aad.set(encodePosition(position));
  aad[8] = isFinal ? 1 : 0;
  return aad;
}

function requirePosition(position: number, isFinal: boolean): void {
  if (!Number.isSafeInteger(position) || position < 0) throw new RangeError('a segment position is a non-negative integer');
  if (position > FLOE.maxSegments - (isFinal ? 1 : 2)) throw new VaultError('sealed_too_long');
}
