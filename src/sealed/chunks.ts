/** Arbitrary chunks in, pieces of a wanted size out, holding at most one piece (and one chunk of the source). */

/** Bytes in order, cut anywhere. A chunk need only stay unchanged until the next one is pulled. */
export type ByteChunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** A piece up to this long gets its memory at once; a longer one as its bytes come, so that a length alone costs nothing. */
const EAGER_BYTES = 4 * 1024 * 1024;

const NOTHING = new Uint8Array(0);

export class ChunkReader {
  readonly #source: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #chunk: Uint8Array = NOTHING;
  #scratch: Uint8Array = NOTHING;
  #ended = false;

  constructor(chunks: ByteChunks) {
    this.#source = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  }

  /** The next `bytes` bytes; fewer only when the input ends. Valid until the next call. A chunk that holds them all is lent, not copied. */
  async take(bytes: number): Promise<Uint8Array> {
    if (this.#chunk.length === 0) await this.#pull();
    return this.#chunk.length >= bytes ? this.#cut(bytes) : this.#gather(bytes);
  }

  /** Like `take`, and says whether the input ends there. Lends the source's own chunk only if looking ahead needs no pull. */
  async takeLooking(bytes: number): Promise<{ piece: Uint8Array; ends: boolean }> {
    if (this.#chunk.length > bytes) return { piece: this.#cut(bytes), ends: false };
    const piece = await this.#gather(bytes);
    return { piece, ends: await this.ends() };
  }

  /** Passes over the next `bytes` bytes without holding them; returns how many there were, fewer only when the input ends. */
  async skip(bytes: number): Promise<number> {
    let skipped = 0;
    while (skipped < bytes && (this.#chunk.length > 0 || (await this.#pull()))) {
      skipped += this.#cut(Math.min(bytes - skipped, this.#chunk.length)).length;
    }
    return skipped;
  }

  async ends(): Promise<boolean> {
    return this.#chunk.length === 0 && !(await this.#pull());
  }

  /** Wipes what was gathered and lets the source release what it holds. Its failure to do so must not hide why we stopped. */
  async close(): Promise<void> {
    this.#scratch.fill(0);
    if (this.#ended) return;
    this.#ended = true;
    try {
      await this.#source.return?.();
    } catch {
      // The source ended badly after we no longer needed it.
    }
  }

  async #gather(bytes: number): Promise<Uint8Array> {
    this.#makeRoom(Math.min(bytes, EAGER_BYTES), 0);
    let filled = 0;
    while (filled < bytes && (this.#chunk.length > 0 || (await this.#pull()))) {
      const part = this.#cut(Math.min(bytes - filled, this.#chunk.length));
      if (filled + part.length > this.#scratch.length) this.#makeRoom(Math.min(bytes, 2 * (filled + part.length)), filled);
      this.#scratch.set(part, filled);
      filled += part.length;
    }
    return this.#scratch.subarray(0, filled);
  }

  #makeRoom(bytes: number, filled: number): void {
    if (this.#scratch.length >= bytes) return;
    const larger = Buffer.allocUnsafeSlow(bytes);
    larger.set(this.#scratch.subarray(0, filled));
    this.#scratch.fill(0);
    this.#scratch = larger;
  }

  #cut(bytes: number): Uint8Array {
    const part = this.#chunk.subarray(0, bytes);
    this.#chunk = this.#chunk.subarray(bytes);
    return part;
  }

  /** Replaces the used-up chunk by the next one that is not empty; false at the end. */
  async #pull(): Promise<boolean> {
    while (!this.#ended) {
      const step = await this.#source.next();
      if (step.done === true) {
        this.#ended = true;
      } else if (step.value.length > 0) {
        this.#chunk = step.value;
        return true;
      }
    }
    return false;
  }
}
