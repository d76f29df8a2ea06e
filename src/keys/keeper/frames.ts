/**
 * How keeper and peers cut a byte stream into messages: 4-byte big-endian length, then one deterministic CBOR map.
 *
 * A secret travels as the member `secretBytes`. That is the longest name of any message that has it, so deterministic order (RFC 8949
 * section 4.2.1) puts it last, and the last bytes of a frame are the secret. Frames and what is read are in room that is wiped after use.
 */
import { concat } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { secretCopy, secretRoom } from '../../domain/secret.ts';
import { encodeFlatMap, type FlatMap } from '../flat-cbor.ts';

/** Room for a 64 KiB message to sign and everything around it. */
export const MAX_FRAME_BYTES = 131_072;
const LENGTH_BYTES = 4;
const SECRET_MEMBER = 'secretBytes';

export type Message = FlatMap;

/** The caller owns the frame; when it carries a secret, the caller wipes it after it is sent. */
export function encodeFrame(message: Message, secret?: Uint8Array): Uint8Array {
  const frame = encodeFlatMap(secret === undefined ? message : { ...message, [SECRET_MEMBER]: secret }, LENGTH_BYTES);
  const length = frame.length - LENGTH_BYTES;
  if (length > MAX_FRAME_BYTES) {
    frame.fill(0);
    throw new VaultError('request_invalid', 'the message does not fit in a keeper frame');
  }
  putLength(frame, length);
  return frame;
}

function putLength(frame: Uint8Array, length: number): void {
  for (let at = 0; at < LENGTH_BYTES; at++) frame[at] = (length >>> (8 * (LENGTH_BYTES - 1 - at))) & 0xff;
}

/** The secret of a message as bytes of its own: the payload can be wiped afterwards. */
export function takeSecret(message: Message): Uint8Array {
  const bytes = message[SECRET_MEMBER];
  if (!(bytes instanceof Uint8Array)) throw malformed(`${SECRET_MEMBER} is not bytes`);
  return secretCopy(bytes);
}

/** Cuts a stream into payloads. */
export class FrameReader {
  readonly #take: (payload: Uint8Array) => void;
  /** The beginning of a frame. */
  #pending: Uint8Array = secretRoom(0);

  /** `take` gets each payload as a view that is wiped when the chunk is done: it copies what it keeps. */
  constructor(take: (payload: Uint8Array) => void) {
    this.#take = take;
  }

  /** Wipes the chunk. Throws `request_invalid` as soon as a length is too large, and what `take` throws; the stream is then useless. */
  push(chunk: Uint8Array): void {
    const all = this.#pending.length === 0 ? chunk : joined(this.#pending, chunk);
    try {
      const rest = all.subarray(this.#cut(all));
      this.wipe();
      if (rest.length > 0) this.#pending = secretCopy(rest);
    } finally {
      all.fill(0);
      chunk.fill(0);
    }
  }

  /** Forgets half a frame. */
  wipe(): void {
    this.#pending.fill(0);
    this.#pending = secretRoom(0);
  }

  /** Where the first frame begins that is not whole. */
  #cut(all: Uint8Array): number {
    for (let at = 0; ; ) {
      const start = at + LENGTH_BYTES;
      if (all.length < start) return at;
      const length = lengthAt(all, at);
      if (length > MAX_FRAME_BYTES) throw malformed('a frame is longer than 128 KiB');
      if (all.length < start + length) return at;
      this.#take(all.subarray(start, start + length));
      at = start + length;
    }
  }
}

function lengthAt(bytes: Uint8Array, at: number): number {
  let length = 0;
  for (let place = at; place < at + LENGTH_BYTES; place++) length = length * 0x100 + (bytes[place] ?? 0);
  return length;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const all = secretRoom(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
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
    const all = frames.length === 1 ? frames[0] : concat(...frames); // several are more than the 64 bytes that V8 keeps in its heap
    if (all === undefined) return;
    if (frames.length > 1) for (const frame of frames) frame.fill(0);
    if (!this.#sink.write(all, () => all.fill(0))) this.#onFull();
  }
}

export const malformed = (why: string) => new VaultError('request_invalid', `keeper message: ${why}`);
