import { describe, expect, test } from '@jest/globals';
import { newDek } from '../../src/keys/dek.ts';
import { createMemoryKeyProvider } from '../doubles/memory-key-provider.ts';

describe('a new DEK', () => {
  test('is 32 bytes, another one each time', async () => {
    const provider = createMemoryKeyProvider();
    const deks = await Promise.all(Array.from({ length: 50 }, () => newDek(provider)));
    const seen = new Set(deks.map((dek) => dek.expose((bytes) => Buffer.from(bytes).toString('hex'))));
    expect(seen.size).toBe(50);
    for (const dek of deks) expect(dek.length).toBe(32);
  });

  test('is not decided by the HSM alone, and the bytes of the HSM are wiped', async () => {
    const drawn: Uint8Array[] = [];
    const constant = { random: async (length: number) => drawn[drawn.push(new Uint8Array(length).fill(0x5a)) - 1] ?? new Uint8Array() };
    const [first, second] = [await newDek(constant), await newDek(constant)];
    expect(first.equals(second)).toBe(false);
    expect(drawn).toEqual([new Uint8Array(32), new Uint8Array(32)]);
  });

  test.each([0, 31, 33])('refuses %i random bytes from the HSM and wipes them', async (length) => {
    const drawn = new Uint8Array(length).fill(1);
    await expect(newDek({ random: async () => drawn })).rejects.toMatchObject({ code: 'internal' });
    expect(drawn.every((byte) => byte === 0)).toBe(true);
  });
});
