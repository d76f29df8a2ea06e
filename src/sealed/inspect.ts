/** What a sealed object says about itself, and, with its key, whether that is true. Needs one segment of memory. */
import { VaultError } from '../domain/errors.ts';
import type { SecretBytes } from '../domain/secret.ts';
import { type ByteChunks, ChunkReader } from './chunks.ts';
import { frames, openFrame } from './frames.ts';
import { parseHeader, type SealedHeader } from './header.ts';
import { SegmentOpener } from './segment.ts';
import { FLOE } from './suites.ts';

export interface InspectOptions {
  /** Without a key only the structure is checked, and `verified` is false. */
  readonly key?: SecretBytes | undefined;
  readonly aad?: Uint8Array | undefined;
  readonly rotationMask?: number | undefined;
  readonly segmentBytes?: number | undefined;
}

/** Lengths are bytes. */
export interface SealedSummary {
  readonly header: SealedHeader;
  readonly segments: number;
  readonly lastSegmentBytes: number;
  readonly plaintextBytes: number;
  readonly ciphertextBytes: number;
  /** The header and every segment were authenticated under the key and AAD given. */
  readonly verified: boolean;
}

const NO_AAD = new Uint8Array(0);

/** Reads the whole object. Refuses as `openStream` does; without a key, whatever the length fields alone show to be wrong. */
export async function inspectObject(ciphertext: ByteChunks, options: InspectOptions = {}): Promise<SealedSummary> {
  const reader = new ChunkReader(ciphertext);
  let opener: SegmentOpener | undefined;
  try {
    const headerBytes = new Uint8Array(await reader.take(FLOE.headerBytes));
    const header = parseHeader(headerBytes, options.segmentBytes);
    const { key, aad = NO_AAD, rotationMask } = options;
    if (key !== undefined) opener = new SegmentOpener(headerBytes, { key, aad, rotationMask });
    const into = opener === undefined ? undefined : Buffer.allocUnsafeSlow(header.segmentBytes - FLOE.segmentOverheadBytes);
    let [segments, body, lastSegmentBytes] = [0, 0, 0];
    for await (const frame of frames(reader, header.segmentBytes)) {
      if (opener !== undefined && into !== undefined) openFrame(opener, frame, into);
      else if (frame.followed) throw new VaultError('sealed_trailing_bytes');
      segments += 1;
      body += frame.segment.length;
      lastSegmentBytes = frame.segment.length;
    }
    into?.fill(0);
    const plaintextBytes = body - segments * FLOE.segmentOverheadBytes;
    return { header, segments, lastSegmentBytes, plaintextBytes, ciphertextBytes: FLOE.headerBytes + body, verified: opener !== undefined };
  } finally {
    opener?.dispose();
    await reader.close();
  }
}
