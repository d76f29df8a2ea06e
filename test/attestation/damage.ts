/** Ways of breaking bytes, each the same on every run. */

/** One flipped bit in each byte, which bit by `seed`: calls `visit` with the damaged copy and the position. With `every`, in one byte of so many, from `seed` on. */
export async function flipEachByte(
  bytes: Uint8Array,
  seed: number,
  visit: (damaged: Uint8Array, at: number) => unknown,
  every = 1,
): Promise<void> {
  for (let at = seed % every; at < bytes.length; at += every) {
    const damaged = bytes.slice();
    damaged[at] = (damaged[at] ?? 0) ^ (1 << bitOf(at, seed));
    await visit(damaged, at);
  }
}

/** xorshift over position and seed: no pattern that a format could share. */
function bitOf(at: number, seed: number): number {
  let x = (Math.imul(at + 1, 0x9e3779b1) ^ seed) >>> 0;
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return (x >>> 0) % 8;
}
