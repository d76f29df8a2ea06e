/** T5 at length: one bit of every byte of a log of 300 records, which bit by the seed, and every bit of its checkpoint. None may flip unnoticed. */
import { verifyLog } from '../../src/audit/verify.ts';
import { createLogKey, publishedFiles, sourceOf } from '../audit/small-log.ts';

export async function flippedLog(random: () => number): Promise<readonly string[]> {
  const key = createLogKey();
  const { files } = await publishedFiles(300, key);
  const missed: string[] = [];
  let flips = 0;
  for (const [path, bytes] of files) {
    for (let at = 0; at < bytes.length; at++) {
      const bits = path === 'checkpoint' ? [0, 1, 2, 3, 4, 5, 6, 7] : [Math.floor(random() * 8)];
      for (const bit of bits) {
        const altered = Uint8Array.from(bytes);
        altered[at] = (altered[at] ?? 0) ^ (1 << bit);
        if ((await verifyLog(sourceOf(new Map(files).set(path, altered)), key.vkey)).ok)
          missed.push(`${path}, byte ${at}, bit ${bit}: not found`);
        if (++flips % 20_000 === 0) console.log(`${flips} bits flipped, ${missed.length} missed`);
      }
    }
  }
  console.log(`${flips} bits flipped, ${missed.length} missed`);
  return missed;
}
