/** T5: which flipped bits of a published log a verifier does not find. Each function flips and puts back, and answers what was missed: `path 17.3`. */
import { decodeEntries } from '../../src/audit/bundle.ts';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { leafHash } from '../../src/audit/merkle.ts';
import { type LogProblem, verifyLog } from '../../src/audit/verify.ts';
import { checkBundle, verifyTree } from '../../src/audit/verify-tree.ts';
import { parseVkey } from '../../src/audit/vkey.ts';
import { sourceOf } from './small-log.ts';

export type Files = ReadonlyMap<string, Uint8Array>;

export interface Flips {
  readonly flipped: number;
  readonly missed: readonly string[];
}

/** Each bit of `bytes` alone, for as long as the work takes. */
async function eachBit(path: string, bytes: Uint8Array, isFound: (at: number) => boolean | Promise<boolean>): Promise<Flips> {
  const missed: string[] = [];
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const [at, mask] = [bit >> 3, 1 << (bit & 7)];
    bytes[at] = (bytes[at] ?? 0) ^ mask;
    const found = isFound(at);
    if (!(typeof found === 'boolean' ? found : await found)) missed.push(`${path} ${at}.${bit & 7}`);
    bytes[at] = (bytes[at] ?? 0) ^ mask;
  }
  return { flipped: bytes.length * 8, missed };
}

/** Every bit of the checkpoint, by the whole verifier. */
export function flipCheckpoint(files: Files, vkey: string): Promise<Flips> {
  const note = Uint8Array.from(files.get('checkpoint') ?? []);
  const source = sourceOf(new Map(files).set('checkpoint', note));
  return eachBit('checkpoint', note, async () => !(await verifyLog(source, vkey)).ok);
}

/** Every bit of every tile, by the walk through the whole tree; full bundles are left out, as in a log that was pruned: else each flip would hash all records. */
export async function flipTiles(files: Files, vkey: string): Promise<Flips> {
  const checkpoint = openCheckpoint(files.get('checkpoint') ?? new Uint8Array(0), parseVkey(vkey));
  const missed: string[] = [];
  let flipped = 0;
  for (const path of [...files.keys()].filter((name) => /^tile\/[0-9]/.test(name))) {
    const tile = Uint8Array.from(files.get(path) ?? []);
    const read = async (name: string) => (name === path ? tile : /^tile\/entries\/[x0-9/]+$/.test(name) ? undefined : files.get(name));
    const found = await eachBit(path, tile, async () => {
      const problems: LogProblem[] = [];
      await verifyTree(
        checkpoint,
        read,
        (problem) => problems.push(problem),
        () => undefined,
        { missing: () => undefined },
      );
      return problems.some(({ code, detail }) => code === 'log_root_mismatch' || (code === 'log_tile_mismatch' && detail.includes(path)));
    });
    flipped += found.flipped;
    missed.push(...found.missed);
  }
  return { flipped, missed };
}

/** Every bit of every record and of its length, record by record, by the function that the verifier gives each bundle to. */
export async function flipEntries(files: Files): Promise<Flips> {
  const missed: string[] = [];
  let flipped = 0;
  for (const { path, first, record } of recordsOf(files)) {
    const hashes = [leafHash(record.subarray(2))];
    const found = await eachBit(`${path} record ${first}`, record, (at) => {
      const problems: LogProblem[] = [];
      let believed = 0;
      const told = { report: (problem: LogProblem) => void problems.push(problem), visit: () => void believed++ };
      checkBundle(record, hashes, { path, first }, told);
      // A longer length ends where the bundle ends: the last record is read whole, and the bundle is still wrong.
      return (believed === 0 || at < 2) && problems[0]?.code === 'log_entry_mismatch' && problems[0].leafIndex === first;
    });
    flipped += found.flipped;
    missed.push(...found.missed);
  }
  return { flipped, missed };
}

/** One bit of every `step`-th byte of everything, by the whole verifier over the whole log. */
export async function flipAnything(files: Files, vkey: string, step: number, bitOf: (at: number) => number): Promise<Flips> {
  const missed: string[] = [];
  let flipped = 0;
  for (const [path, bytes] of files) {
    const altered = Uint8Array.from(bytes);
    const source = sourceOf(new Map(files).set(path, altered));
    for (let at = 0; at < bytes.length; at += step, flipped++) {
      const mask = 1 << bitOf(at);
      altered[at] = (altered[at] ?? 0) ^ mask;
      if ((await verifyLog(source, vkey)).ok) missed.push(`${path} ${at}.${Math.log2(mask)}`);
      altered[at] = (altered[at] ?? 0) ^ mask;
    }
  }
  return { flipped, missed };
}

/** Copies of the records, each with its length before it. */
function* recordsOf(files: Files): Generator<{ readonly path: string; readonly first: number; readonly record: Uint8Array }> {
  for (const [path, bytes] of files) {
    const [, bundle, width = '256'] = /^tile\/entries\/([0-9]+)(?:\.p\/([0-9]+))?$/.exec(path) ?? [];
    if (bundle === undefined) continue;
    let at = 0;
    for (const [offset, entry] of decodeEntries(bytes, Number(width)).entries.entries()) {
      const record = Uint8Array.from(bytes.subarray(at, at + 2 + entry.length));
      yield { path, first: Number(bundle) * 256 + offset, record };
      at += record.length;
    }
  }
}
