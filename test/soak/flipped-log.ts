/** T5 at length: what `npm test` flips, and by the verifier of the whole log one bit of every seventh byte of it, which bit by the seed. None may flip unnoticed. */
import { flipAnything, flipCheckpoint, flipEntries, flipTiles } from '../audit/flipped-bits.ts';
import { createLogKey, publishedFiles } from '../audit/small-log.ts';

export async function flippedLog(random: () => number): Promise<readonly string[]> {
  const key = createLogKey();
  const { files } = await publishedFiles(300, key);
  const missed: string[] = [];
  for (const [what, flips] of [
    ['every bit of the checkpoint', () => flipCheckpoint(files, key.vkey)],
    ['every bit of the tiles', () => flipTiles(files, key.vkey)],
    ['every bit of the records', () => flipEntries(files)],
    [
      'one bit of every seventh byte, by the verifier of the whole log',
      () => flipAnything(files, key.vkey, 7, () => Math.floor(random() * 8)),
    ],
  ] as const) {
    const found = await flips();
    console.log(`${what}: ${found.flipped} flipped, ${found.missed.length} missed`);
    missed.push(...found.missed.map((bit) => `${bit}: not found`));
  }
  return missed;
}
