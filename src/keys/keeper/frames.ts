/**
 * How keeper and peers cut a byte stream into messages: 4-byte big-endian length, then one deterministic CBOR map.
 *
 * A secret travels as the member `secretBytes`. That is the longest name of any message that has it, so deterministic order (RFC 8949
 * section 4.2.1) puts it last, and the last bytes of a frame are the secret. Everything that holds one is wiped by whoever has it last.
 */
import { VaultError } from '../../domain/errors.ts';
import { type SecretBytes, secretCopy, secretRoom } from '../../domain/secret.ts';
import { encodeFlatMap, type FlatMap } from '../flat-cbor.ts';

/** Room for a 64 KiB message to sign and everything around it. */
export const MAX_FRAME_BYTES = 131_072;
const LENGTH_BYTES = 4;
const SECRET_MEMBER = 'secretBytes';
/** Some seventy answers to `unwrap`. */
const ROOM_BYTES = 4_096;

export type Message = FlatMap;

/** The secret of a message, where it lies in the payload: its taker wipes it. */
export function secretIn(message: Message): Uint8Array {
  const bytes = message[SECRET_MEMBER];
  if (!(bytes instanceof Uint8Array)) throw malformed(`${SECRET_MEMBER} is not bytes`);
  return bytes;
}

/**
 * The same as bytes of its own, wiped in the payload. Whoever posts to a thread what lies beside it posts all of the buffer (structured clone
 * copies it whole), so a request's secret leaves it at once.
 */
export function takeSecret(message: Message): Uint8Array {
  const bytes = secretIn(message);
  const secret = secretCopy(bytes);
  bytes.fill(0);
  return secret;
}

/** Cuts a stream into payloads. */
export class FrameReader {
  readonly #take: (payload: Uint8Array) => void;
  /** The beginning of a frame. */
  #pending: Uint8Array = secretRoom(0);

  /** `take` owns each payload; the payloads of one chunk lie in one buffer. */
  constructor(take: (payload: Uint8Array) => void) {
    this.#take = take;
  }

  /** Takes the chunk over. Throws `request_invalid` as soon as a length is too large, and what `take` throws; the stream is then useless. */
  push(chunk: Uint8Array): void {
    let rest = this.#pending.length === 0 ? chunk : joined(this.#pending, chunk);
    this.wipe();
    try {
      for (let end = endOfFrame(rest); end !== undefined; end = endOfFrame(rest)) {
        this.#take(rest.subarray(LENGTH_BYTES, end));
        rest = rest.subarray(end);
      }
      if (rest.length > 0) this.#pending = secretCopy(rest);
    } finally {
      rest.fill(0); // what was taken before belongs to others, also when this throws
    }
  }

  /** Forgets half a frame. */
  wipe(): void {
    if (this.#pending.length === 0) return;
    this.#pending.fill(0);
    this.#pending = secretRoom(0);
  }
}

/** Of the first frame, undefined when it is not whole yet. */
function endOfFrame(bytes: Uint8Array): number | undefined {
  if (bytes.length < LENGTH_BYTES) return undefined;
  let length = 0;
  for (let place = 0; place < LENGTH_BYTES; place++) length = length * 0x100 + (bytes[place] ?? 0);
  if (length > MAX_FRAME_BYTES) throw malformed('a frame is longer than 128 KiB');
  const end = LENGTH_BYTES + length;
  return end <= bytes.length ? end : undefined;
}

/** Wipes the second; the first is the reader's. */
function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const all = secretRoom(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  second.fill(0);
  return all;
}

/** What frames are written to. */
export interface FrameSink {
  write(bytes: Uint8Array, written: () => void): boolean;
}

/** Sends what comes together in one write: a system call costs more than a frame, and so does memory for each. Wiped once it is sent. */
export class FrameWriter {
  readonly #sink: FrameSink;
  readonly #onFull: () => void;
  #room: Uint8Array = secretRoom(0);
  #used = 0;

  /** `onFull`: the peer takes what was written more slowly than it comes. */
  constructor(sink: FrameSink, onFull: () => void = () => {}) {
    this.#sink = sink;
    this.#onFull = onFull;
  }

  /** The secret stays the caller's. Throws `request_invalid` when it does not fit in a frame; then nothing is sent. */
  push(message: Message, secret?: SecretBytes): void {
    if (secret === undefined) this.#encode(message);
    else secret.expose((plain) => this.#encode({ ...message, [SECRET_MEMBER]: plain }));
  }

  #encode(message: Message): void {
    const frame = encodeFlatMap(message, LENGTH_BYTES, (size) => this.#roomFor(size));
    putLength(frame, frame.length - LENGTH_BYTES);
  }

  #roomFor(size: number): Uint8Array {
    if (size > LENGTH_BYTES + MAX_FRAME_BYTES) throw new VaultError('request_invalid', 'the message does not fit in a keeper frame');
    if (this.#used + size > this.#room.length) {
      this.#flush();
      this.#room = secretRoom(Math.max(size, ROOM_BYTES));
    }
    if (this.#used === 0) process.nextTick(() => this.#flush());
    const start = this.#used;
    this.#used += size;
    return this.#room.subarray(start, this.#used);
  }

  /** What was flushed because there was no room left is not flushed again at the end of the turn. */
  #flush(): void {
    if (this.#used === 0) return;
    const all = this.#room.subarray(0, this.#used);
    this.#room = secretRoom(0);
    this.#used = 0;
    if (!this.#sink.write(all, () => all.fill(0))) this.#onFull();
  }
}

function putLength(frame: Uint8Array, length: number): void {
  for (let at = 0; at < LENGTH_BYTES; at++) frame[at] = (length >>> (8 * (LENGTH_BYTES - 1 - at))) & 0xff;
}

export const malformed = (why: string) => new VaultError('request_invalid', `keeper message: ${why}`);
