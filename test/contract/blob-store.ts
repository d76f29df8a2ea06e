import { createHash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { BlobStore } from '../../src/blobs/port.ts';
import type { BlobName } from '../../src/domain/ids.ts';

export interface BlobStoreUnderTest {
  /** Empty at first. */
  readonly store: BlobStore;
  /** Another instance on the same blobs, as a second node has or the same after a restart. */
  second(): Promise<BlobStore>;
  /** Replaces what is stored under `name`, behind the store's back. */
  replace(name: BlobName, content: Uint8Array): Promise<void>;
  /** Handles that reads hold open now, where the test can see them. */
  openHandles?(): number;
  remove(): Promise<void>;
}

const MIB = 1 << 20;

export function blobStoreContract(name: string, open: () => Promise<BlobStoreUnderTest>): void {
  describe(`BlobStore: ${name}`, () => {
    let current: BlobStoreUnderTest;
    beforeEach(async () => {
      current = await open();
    });
    afterEach(() => current.remove());

    it('gives back what was put, whole and in any range, also to another instance', async () => {
      const content = randomBytes(3 * MIB + 17);
      const blob = await put(current.store, content);
      const other = await current.second();
      for (const [start, end] of [
        [0, content.length],
        [0, 1],
        [MIB - 1, MIB + 1],
        [2 * MIB, content.length],
        [content.length - 1, content.length],
      ] as const) {
        expect((await readAll(other, blob, start, end)).equals(content.subarray(start, end))).toBe(true);
      }
      expect(await other.size(blob)).toBe(content.length);
    });

    it('stores the concatenation of the chunks, however they are cut, the empty blob too', async () => {
      const content = randomBytes(1000);
      const cuts = [content.subarray(0, 1), new Uint8Array(0), content.subarray(1, 900), content.subarray(900)];
      await current.store.put(nameOf(content), cuts);
      expect((await readAll(current.store, nameOf(content), 0, 1000)).equals(content)).toBe(true);
      const empty = await put(current.store, Buffer.alloc(0));
      expect(await current.store.size(empty)).toBe(0);
      expect(await readAll(current.store, empty, 0, 0)).toHaveLength(0);
    });

    it('yields nothing for an empty range of a blob that is there', async () => {
      const blob = await put(current.store, randomBytes(10));
      expect(await readAll(current.store, blob, 10, 10)).toHaveLength(0);
    });

    it('refuses bytes that are not what the name says, and nothing stays', async () => {
      const content = randomBytes(2 * MIB);
      const altered = Buffer.from(content);
      altered[MIB] = (altered[MIB] ?? 0) ^ 1;
      await expect(current.store.put(nameOf(content), [altered])).rejects.toMatchObject({ code: 'blob_digest_mismatch' });
      await expect(current.store.put(nameOf(content), [])).rejects.toMatchObject({ code: 'blob_digest_mismatch' });
      await expect(current.store.put(nameOf(content), [content, content])).rejects.toMatchObject({ code: 'blob_digest_mismatch' });
      expect(await current.store.size(nameOf(content))).toBeUndefined();
    });

    it('refuses wrong bytes also for a blob that is there, which stays as it was', async () => {
      const content = randomBytes(500);
      const blob = await put(current.store, content);
      await expect(current.store.put(blob, [randomBytes(500)])).rejects.toMatchObject({ code: 'blob_digest_mismatch' });
      await expect(current.store.put(blob, [randomBytes(9)])).rejects.toMatchObject({ code: 'blob_digest_mismatch' });
      expect((await readAll(current.store, blob, 0, 500)).equals(content)).toBe(true);
    });

    it('changes nothing when the same blob is put again', async () => {
      const content = randomBytes(5000);
      const blob = await put(current.store, content);
      await put(current.store, content);
      expect((await readAll(current.store, blob, 0, 5000)).equals(content)).toBe(true);
    });

    it('takes the same blob from many at once, in two instances', async () => {
      const content = randomBytes(MIB + 5);
      const stores = [current.store, await current.second()];
      await Promise.all(Array.from({ length: 12 }, (_, index) => put(stores[index % 2] ?? current.store, content)));
      expect((await readAll(current.store, nameOf(content), 0, content.length)).equals(content)).toBe(true);
    });

    it('answers blob_missing, and undefined as size, for a blob it does not have', async () => {
      const absent = nameOf(randomBytes(4));
      expect(await current.store.size(absent)).toBeUndefined();
      await expect(readAll(current.store, absent, 0, 1)).rejects.toMatchObject({ code: 'blob_missing' });
      await expect(readAll(current.store, absent, 0, 0)).rejects.toMatchObject({ code: 'blob_missing' });
    });

    it('answers blob_missing, before a single byte, when the blob is shorter than the range', async () => {
      const blob = await put(current.store, randomBytes(100));
      let seen = 0;
      const read = async () => {
        for await (const chunk of current.store.read(blob, { start: 0, end: 101 }, never())) seen += chunk.length;
      };
      await expect(read()).rejects.toMatchObject({ code: 'blob_missing' });
      expect(seen).toBe(0);
      await expect(readAll(current.store, blob, 200, 200)).rejects.toMatchObject({ code: 'blob_missing' });
    });

    it('hands on whatever is stored, altered or not: the reader checks', async () => {
      const blob = await put(current.store, randomBytes(64));
      const altered = randomBytes(64);
      await current.replace(blob, altered);
      expect((await readAll(current.store, blob, 0, 64)).equals(altered)).toBe(true);
    });

    it('repairs a blob whose stored length is wrong when it is put again', async () => {
      const content = randomBytes(64);
      const blob = await put(current.store, content);
      await current.replace(blob, content.subarray(0, 10));
      await put(current.store, content);
      expect((await readAll(current.store, blob, 0, 64)).equals(content)).toBe(true);
    });

    it('refuses every name that is not 64 lower-case hexadecimal digits', async () => {
      const content = randomBytes(8);
      const good = nameOf(content);
      const bad = [
        '',
        '.',
        '..',
        '../../etc/passwd',
        '/etc/passwd',
        `${good}/..`,
        `../${good.slice(3)}`,
        good.toUpperCase(),
        `${good}0`,
        good.slice(1),
        `${good}\n`,
        `${good.slice(0, 63)}\u0000`,
        `${good.slice(0, 62)}/x`,
      ];
      for (const text of bad) {
        const blob = text as BlobName;
        await expect(current.store.put(blob, [content])).rejects.toMatchObject({ code: 'request_invalid' });
        await expect(current.store.size(blob)).rejects.toMatchObject({ code: 'request_invalid' });
        await expect(readAll(current.store, blob, 0, 1)).rejects.toMatchObject({ code: 'request_invalid' });
      }
    });

    it('refuses a range that is none', async () => {
      const blob = await put(current.store, randomBytes(10));
      for (const [start, end] of [
        [-1, 5],
        [5, 4],
        [0.5, 2],
        [0, Number.NaN],
        [0, Number.POSITIVE_INFINITY],
      ] as const) {
        await expect(readAll(current.store, blob, start, end)).rejects.toThrow(RangeError);
      }
    });

    it('serves many readers of one blob at once', async () => {
      const content = randomBytes(2 * MIB + 3);
      const blob = await put(current.store, content);
      const reads = Array.from({ length: 16 }, (_, index) => readAll(current.store, blob, index * 1000, content.length - index));
      for (const [index, read] of (await Promise.all(reads)).entries()) {
        expect(read.equals(content.subarray(index * 1000, content.length - index))).toBe(true);
      }
    });

    it('frees its handle when the reader returns early', async () => {
      const blob = await put(current.store, randomBytes(4 * MIB));
      for await (const chunk of current.store.read(blob, { start: 0, end: 4 * MIB }, never())) {
        expect(chunk.length).toBeGreaterThan(0);
        break;
      }
      await expectNoHandles();
    });

    it('frees its handle soon after the signal aborts, even when nobody asks for another chunk, and then rejects with its reason', async () => {
      const blob = await put(current.store, randomBytes(4 * MIB));
      const abort = new AbortController();
      const reader = current.store.read(blob, { start: 0, end: 4 * MIB }, abort.signal)[Symbol.asyncIterator]();
      expect((await reader.next()).done).toBe(false);
      if (current.openHandles) expect(current.openHandles()).toBe(1);
      const reason = new Error('cut');
      abort.abort(reason);
      await expectNoHandles();
      await expect(reader.next()).rejects.toBe(reason);
      expect((await reader.next()).done).toBe(true);
    });

    it('rejects with the reason when the signal aborts during a read or was aborted before', async () => {
      const blob = await put(current.store, randomBytes(8 * MIB));
      const abort = new AbortController();
      const reader = current.store.read(blob, { start: 0, end: 8 * MIB }, abort.signal)[Symbol.asyncIterator]();
      await reader.next();
      const next = reader.next();
      abort.abort();
      await expect(next).rejects.toMatchObject({ name: 'AbortError' });
      await expect(readAll(current.store, blob, 0, 5, AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
      await expectNoHandles();
    });

    async function expectNoHandles(): Promise<void> {
      if (current.openHandles === undefined) return;
      for (let wait = 0; wait < 12_000 && current.openHandles() > 0; wait++) await new Promise((resolve) => setTimeout(resolve, 5));
      expect(current.openHandles()).toBe(0);
    }
  });
}

export function nameOf(content: Uint8Array): BlobName {
  return createHash('sha256').update(content).digest('hex') as BlobName;
}

export async function put(store: BlobStore, content: Buffer): Promise<BlobName> {
  const name = nameOf(content);
  await store.put(name, [content]);
  return name;
}

/** Copies each chunk before it asks for the next, as the port demands. */
export async function readAll(store: BlobStore, name: BlobName, start: number, end: number, signal = never()): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of store.read(name, { start, end }, signal)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

function never(): AbortSignal {
  return new AbortController().signal;
}
