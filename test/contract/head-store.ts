/** What every HeadStore promises (audit/port.ts). */
import { describe, expect, it } from '@jest/globals';
import type { HeadStore } from '../../src/audit/port.ts';

export interface HeadsUnderTest {
  readonly store: HeadStore;
  /** The same place by another instance. */
  reopen(): Promise<HeadStore>;
  /** Signed by the log's key; each larger than the one before. */
  readonly checkpoints: readonly [Uint8Array, Uint8Array, Uint8Array];
}

const words = (note: Uint8Array | undefined) => note && Buffer.from(note).toString();

export function headStoreContract(name: string, open: () => Promise<HeadsUnderTest>): void {
  describe(`HeadStore: ${name}`, () => {
    it('holds nothing at first, then the checkpoint of the last write, byte for byte, also for another instance', async () => {
      const { store, reopen, checkpoints } = await open();
      expect(await store.read()).toBeUndefined();
      for (const checkpoint of checkpoints) {
        await store.write(checkpoint);
        expect(words(await store.read())).toBe(words(checkpoint));
        expect(words(await (await reopen()).read())).toBe(words(checkpoint));
      }
    });

    it('takes the same checkpoint twice, and writes after a larger one do not hurt it', async () => {
      const { store, reopen, checkpoints } = await open();
      const [first, , last] = checkpoints;
      await store.write(first);
      await store.write(first);
      await (await reopen()).write(last);
      await store.write(last);
      expect(words(await store.read())).toBe(words(last));
    });
  });
}
