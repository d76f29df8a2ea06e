/** BlobStore: ciphertext by name. Untrusted: whatever it returns is checked by whoever asked. Suite: test/contract/blob-store.ts. */
import type { BlobName } from '../domain/ids.ts';

/** Bytes `start` to `end`, both counted from 0, `end` not included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface BlobStore {
  /**
   * Stores the concatenation of `chunks` under its SHA-256, which must be `name` (`blob_digest_mismatch` otherwise, and nothing stays).
   * Durable when it resolves. Putting a blob that is there already is no change, so a put may be repeated.
   */
  put(name: BlobName, chunks: readonly Uint8Array[]): Promise<void>;
  /**
   * Yields exactly the bytes of `range`, in chunks of any size; a chunk belongs to the reader until it asks for the next.
   * `blob_missing` when the store is well and has no such blob or it is shorter than `range`; `blob_unavailable` for every other failure.
   * Stops reading and frees its handle soon after `signal` aborts or the reader returns.
   */
  read(name: BlobName, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Length in bytes, or undefined when the store is well and has no such blob. */
  size(name: BlobName): Promise<number | undefined>;
}
