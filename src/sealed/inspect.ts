/** What a sealed object says about itself, and, with its key, whether that is true. Needs one segment of memory, without a key none. */
import { VaultError } from '../domain/errors.ts';
import type { SecretBytes } from '../domain/secret.ts';
import { type ByteChunks, ChunkReader } from './chunks.ts';
import { frameLengths, frames, openFrame } from './frames.ts';
import { type HeaderExpectation, parseHeader, type SealedHeader } from './header.ts';
import { SegmentOpener } from './segment.ts';
import { FLOE } from './suites.ts';

export interface InspectOptions extends HeaderExpectation {
  /** Without a key only the structure is checked, and `verified` is false. */
  readonly key?: SecretBytes | undefined;
  readonly aad?: Uint8Array | undefined;
  readonly rotationMask?: number | undefined;
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
  try {
    const headerBytes = new Uint8Array(await reader.take(FLOE.headerBytes));
    const header = parseHeader(headerBytes, options);
    const { key } = options;
    const lengths =
      key === undefined ? statedLengths(reader, header.segmentBytes) : verifiedLengths(reader, headerBytes, { ...options, key });
    let [segments, body, lastSegmentBytes] = [0, 0, 0];
    for await (const length of lengths) {
      segments += 1;
      body += length;
      lastSegmentBytes = length;
    }
    const plaintextBytes = body - segments * FLOE.segmentOverheadBytes;
    const ciphertextBytes = FLOE.headerBytes + body;
    return { header, segments, lastSegmentBytes, plaintextBytes, ciphertextBytes, verified: key !== undefined };
  } finally {
    await reader.close();
  }
}

async function* statedLengths(reader: ChunkReader, segmentBytes: number): AsyncGenerator<number, void, void> {
  for await (const { length, followed } of frameLengths(reader, segmentBytes)) {
    if (followed) throw new VaultError('sealed_trailing_bytes');
    yield length;
  }
}

async function* verifiedLengths(
  reader: ChunkReader,
  header: Uint8Array,
  { aad = NO_AAD, ...options }: InspectOptions & { readonly key: SecretBytes },
): AsyncGenerator<number, void, void> {
  const opener = new SegmentOpener(header, { ...options, aad });
  let into: Uint8Array | undefined;
  try {
    for await (const frame of frames(reader, opener.segmentBytes)) {
      into ??= Buffer.allocUnsafeSlow(frame.segment.length - FLOE.segmentOverheadBytes);
      openFrame(opener, frame, into);
      yield frame.segment.length;
    }
  } finally {
    opener.dispose();
    into?.fill(0);
  }
}
