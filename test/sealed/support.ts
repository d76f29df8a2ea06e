/** Shared by the tests of sealed objects: keys, collecting, cutting, a fixed random source, and the vector files. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { codeOf } from '../../src/domain/errors.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import type { ByteChunks } from '../../src/sealed/chunks.ts';
import type { RandomSource } from '../../src/sealed/segment.ts';

export const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
export const secret = (bytes: Uint8Array | string): SecretBytes =>
  new SecretBytes(typeof bytes === 'string' ? hex(bytes) : new Uint8Array(bytes));

export async function collect(chunks: ByteChunks): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(new Uint8Array(chunk));
  return new Uint8Array(Buffer.concat(parts));
}

/** What was yielded before the stream ended or failed, and the code it failed with. */
export async function outcome(chunks: ByteChunks): Promise<{ bytes: Uint8Array; code: string }> {
  const parts: Uint8Array[] = [];
  let code = 'none';
  try {
    for await (const chunk of chunks) parts.push(new Uint8Array(chunk));
  } catch (error) {
    code = codeOf(error);
  }
  return { bytes: new Uint8Array(Buffer.concat(parts)), code };
}

/** Cuts `bytes` at the given lengths, taken in turn (0 gives an empty chunk), through one reused buffer as a file reader would. */
export function* cut(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  const shared = new Uint8Array(Math.max(1, ...lengths));
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    // Every round of lengths advances at least one byte, or this would never end.
    const wanted = lengths.length === 0 ? bytes.length : (lengths[turn % lengths.length] ?? 1);
    const length = Math.min(turn % (lengths.length + 1) === lengths.length ? Math.max(1, wanted) : wanted, bytes.length - at);
    const chunk = lengths.length === 0 ? new Uint8Array(bytes) : shared.subarray(0, length);
    chunk.set(bytes.subarray(at, at + length));
    yield chunk;
    chunk.fill(0xee);
    at += length;
  }
}

/** The random source of our vectors: draw i is SHA-256(seed || I2BE(i, 4)), cut. */
export function fixedRandom(seed: string): RandomSource {
  let draw = 0;
  return (length) => {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(draw);
    draw += 1;
    return new Uint8Array(createHash('sha256').update(seed, 'ascii').update(counter).digest().subarray(0, length));
  };
}

/** The caller names the shape: these files are ours and fixed. */
export function vectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/sealed/${name}.json`, import.meta.url), 'utf8')) as T;
}

/** The header and the encrypted segments of a well-formed object. */
export function split(object: Uint8Array, segmentBytes: number): { header: Uint8Array; segments: Uint8Array[] } {
  const segments: Uint8Array[] = [];
  for (let at = 74; at < object.length; at += segmentBytes) segments.push(object.subarray(at, at + segmentBytes));
  return { header: object.subarray(0, 74), segments };
}

export const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
