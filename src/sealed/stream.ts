/** Whole objects as streams, one segment in memory: the online functions of FLOE "Public Streaming/Online Function". */
import { type ByteChunks, ChunkReader } from './chunks.ts';
import { frames, openFrame } from './frames.ts';
import { segmentPlaintextBytes } from './layout.ts';
import { type OpenOptions, type SealOptions, SegmentOpener, SegmentSealer } from './segment.ts';
import { FLOE } from './suites.ts';

/**
 * Seals a plaintext of unknown length: yields the 74-byte header, then each encrypted segment in a buffer of its own. An empty
 * plaintext makes one empty final segment; a whole number of segments makes a full final one, never an empty one behind it.
 * Refuses `sealed_key_invalid`, `sealed_parameters`, `sealed_too_long`; errors of the source pass through.
 */
export async function* sealStream(plaintext: ByteChunks, options: SealOptions): AsyncGenerator<Uint8Array, void, void> {
  const sealer = new SegmentSealer(options);
  const room = segmentPlaintextBytes(sealer.segmentBytes);
  const reader = new ChunkReader(plaintext);
  try {
    yield sealer.header;
    for (let position = 0; ; position += 1) {
      const { piece, ends } = await reader.takeLooking(room);
      yield sealer.sealSegment(piece, position, ends);
      if (ends) return;
    }
  } finally {
    sealer.dispose();
    await reader.close();
  }
}

export interface OpenStreamOptions extends OpenOptions {
  /** Yield one and the same buffer each time: a chunk is then valid only until the next pull, and wiped at the end. */
  readonly reuseBuffer?: boolean | undefined;
}

/**
 * Opens a whole object, yielding verified plaintext a segment at a time; nothing of a failing segment leaves. The stream is the
 * whole object only if it ends without an error: a consumer that must not act on a part has to wait for that end.
 * Refuses with every `sealed_*` code except `sealed_range`. An empty final segment behind full ones is accepted.
 */
export async function* openStream(ciphertext: ByteChunks, options: OpenStreamOptions): AsyncGenerator<Uint8Array, void, void> {
  const reader = new ChunkReader(ciphertext);
  let opener: SegmentOpener | undefined;
  let into: Uint8Array | undefined;
  try {
    const header = await reader.take(FLOE.headerBytes);
    opener = new SegmentOpener(header, options);
    for await (const frame of frames(reader, opener.segmentBytes)) {
      // The first segment is the longest there can be: only the last one is shorter.
      if (into === undefined || options.reuseBuffer !== true)
        into = Buffer.allocUnsafeSlow(frame.segment.length - FLOE.segmentOverheadBytes);
      const bytes = openFrame(opener, frame, into);
      if (bytes > 0) yield into.subarray(0, bytes);
    }
  } finally {
    opener?.dispose();
    if (options.reuseBuffer === true) into?.fill(0);
    await reader.close();
  }
}
