/**
 * How keeper and peers cut a byte stream into messages: 4-byte big-endian length, then one deterministic CBOR map.
 *
 * A secret travels as the member `secretBytes`. That is the longest name of any message, so deterministic order (RFC 8949
 * section 4.2.1) puts it last, and the last bytes of a frame are the secret: it is written there by us, and the CBOR
 * library, whose buffers nobody wipes, only ever sees zeros in its place.
 */
import { concat } from '../../domain/bytes.ts';
import { type Cbor, decodeCbor, encodeCbor } from '../../domain/cbor.ts';
import { VaultError } from '../../domain/errors.ts';

/** Room for a 64 KiB message to sign and everything around it. */
export const MAX_FRAME_BYTES = 131_072;
const LENGTH_BYTES = 4;
const DEPTH = 3;
const SECRET_MEMBER = 'secretBytes';

export type Message = Readonly<Record<string, Cbor>>;

/** The caller owns the frame; when it carries a secret, the caller wipes it after it is sent. */
export function encodeFrame(message: Message, secret?: Uint8Array): Uint8Array {
  const body = encodeCbor(secret === undefined ? message : { ...message, [SECRET_MEMBER]: new Uint8Array(secret.length) });
  if (body.length > MAX_FRAME_BYTES) throw new VaultError('request_invalid', 'the message does not fit in a keeper frame');
  const frame = new Uint8Array(LENGTH_BYTES + body.length);
  new DataView(frame.buffer).setUint32(0, body.length);
  frame.set(body, LENGTH_BYTES);
  if (secret !== undefined) frame.set(secret, frame.length - secret.length);
  return frame;
}

/** Throws `request_invalid` for anything but one map. Byte strings in the result are views of `payload`. */
export function decodePayload(payload: Uint8Array): Message {
  const value = decodeCbor(payload, DEPTH);
  if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Uint8Array) throw malformed('not a map');
  return value as Message; // a map, by elimination
}

/** The secret of a message as bytes of its own: the payload can be wiped afterwards. */
export function takeSecret(message: Message): Uint8Array {
  const bytes = message[SECRET_MEMBER];
  if (!(bytes instanceof Uint8Array)) throw malformed(`${SECRET_MEMBER} is not bytes`);
  return new Uint8Array(bytes);
}

/** Collects chunks of a stream into payloads. */
export class FrameReader {
  #pending: Uint8Array = new Uint8Array(0);

  /** Takes the chunk over and wipes it. Throws `request_invalid` as soon as a length is too large; the stream is then useless. */
  push(chunk: Uint8Array): Uint8Array[] {
    const all = concat(this.#pending, chunk);
    this.#pending.fill(0);
    chunk.fill(0);
    const payloads: Uint8Array[] = [];
    let at = 0;
    for (
      let length = this.#lengthAt(all, at);
      length !== undefined && all.length >= at + LENGTH_BYTES + length;
      length = this.#lengthAt(all, at)
    ) {
      payloads.push(all.slice(at + LENGTH_BYTES, at + LENGTH_BYTES + length));
      at += LENGTH_BYTES + length;
    }
    this.#pending = all.slice(at);
    all.fill(0);
    return payloads;
  }

  /** Forgets half a frame. */
  wipe(): void {
    this.#pending.fill(0);
    this.#pending = new Uint8Array(0);
  }

  #lengthAt(bytes: Uint8Array, at: number): number | undefined {
    if (bytes.length < at + LENGTH_BYTES) return undefined;
    const length = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0);
    if (length > MAX_FRAME_BYTES) throw malformed('a frame is longer than 128 KiB');
    return length;
  }
}

/** What a frame is written to. */
export interface FrameSink {
  write(bytes: Uint8Array, written: () => void): boolean;
}

/** Sends what comes together in one write: a system call costs more than a frame. Frames are wiped once they are sent. */
export class FrameWriter {
  readonly #sink: FrameSink;
  readonly #onFull: () => void;
  #frames: Uint8Array[] = [];

  /** `onFull`: the peer takes what was written more slowly than it comes. */
  constructor(sink: FrameSink, onFull: () => void = () => {}) {
    this.#sink = sink;
    this.#onFull = onFull;
  }

  /** Takes the frame over. */
  push(frame: Uint8Array): void {
    this.#frames.push(frame);
    if (this.#frames.length === 1) process.nextTick(() => this.#flush());
  }

  #flush(): void {
    const frames = this.#frames;
    this.#frames = [];
    const all = frames.length === 1 ? frames[0] : concat(...frames);
    if (all === undefined) return;
    if (frames.length > 1) for (const frame of frames) frame.fill(0);
    if (!this.#sink.write(all, () => all.fill(0))) this.#onFull();
  }
}

export const malformed = (why: string) => new VaultError('request_invalid', `keeper message: ${why}`);
