/** The AEAD keys of one object: DERIVE_KEY of FLOE "Internal Functions", with the current rotation window's key kept. */
import { VaultError } from '../domain/errors.ts';
import { SecretBytes } from '../domain/secret.ts';
import { deriveMessageKey, deriveSegmentKey, type KdfContext } from './kdf.ts';
import { FLOE, isRotationMask } from './suites.ts';

/** I2BE(position, 8). Positions pass 2^32, so 32-bit operators would cut them; up to 2^53 division is exact. */
export function encodePosition(position: number): Uint8Array {
  const out = new Uint8Array(8);
  const view = new DataView(out.buffer);
  view.setUint32(0, Math.floor(position / 2 ** 32));
  view.setUint32(4, position % 2 ** 32);
  return out;
}

/** MASK(position, bits): the low bits set to zero. 2^63 is exact as a double, and a position below 2^53 masks to zero there. */
export function maskPosition(position: number, bits: number): number {
  return position - (position % 2 ** bits);
}

/** Owns the message key and one cached segment key; both are wiped on dispose. */
export class SegmentKeys {
  readonly #context: KdfContext;
  readonly #rotationMask: number;
  readonly #messageKey: SecretBytes;
  #window = -1;
  #segmentKey: SecretBytes | undefined;

  /** `key` is only lent. Refuses `sealed_key_invalid` (not 32 bytes) and `sealed_parameters` (mask not 0..63). */
  constructor(key: SecretBytes, context: KdfContext, rotationMask: number) {
    requireKey(key);
    if (!isRotationMask(rotationMask)) throw new VaultError('sealed_parameters', 'the rotation mask is 0 to 63');
    this.#context = context;
    this.#rotationMask = rotationMask;
    this.#messageKey = new SecretBytes(key.expose((bytes) => deriveMessageKey(bytes, context, FLOE.kdfKeyBytes)));
  }

  /** Lends the AEAD key of `position` to `use`. */
  withKey<T>(position: number, use: (key: Uint8Array) => T): T {
    return this.#keyOf(maskPosition(position, this.#rotationMask)).expose(use);
  }

  #keyOf(window: number): SecretBytes {
    if (this.#segmentKey !== undefined && this.#window === window) return this.#segmentKey;
    this.#segmentKey?.dispose();
    const key = this.#messageKey.expose((bytes) => deriveSegmentKey(bytes, this.#context, encodePosition(window), FLOE.keyBytes));
    this.#segmentKey = new SecretBytes(key);
    this.#window = window;
    return this.#segmentKey;
  }

  dispose(): void {
    this.#messageKey.dispose();
    this.#segmentKey?.dispose();
    this.#segmentKey = undefined;
  }
}

export function requireKey(key: SecretBytes): void {
  if (key.length !== FLOE.keyBytes) throw new VaultError('sealed_key_invalid');
}
