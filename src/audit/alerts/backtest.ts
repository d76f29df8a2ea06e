/** What rules would have raised over the records of the last days, read from a copy of the log or from the vault. Nothing is written. */
import { VaultError } from '../../domain/errors.ts';
import { decodeEntries } from '../bundle.ts';
import { parseCheckpoint } from '../checkpoint.ts';
import { parseNote } from '../note.ts';
import { TILE_WIDTH, tileAt, tilePath } from '../tile-path.ts';
import type { LogSource } from '../verify.ts';
import { createEngine, type Fired } from './engine.ts';
import { fieldsOf } from './leaf-fields.ts';
import type { RuleSet } from './rule-set.ts';

export interface Backtest {
  /** Indexes of the records that were read: [from, size). */
  readonly from: number;
  readonly size: number;
  readonly fired: readonly Fired[];
}

/** The copy is believed: verify it first. From the first bundle that has a record of `since` or later. One that is missing was pruned: it is older. */
export async function backtest(source: LogSource, ruleSet: RuleSet, since: Date): Promise<Backtest> {
  const { size } = parseCheckpoint(parseNote(await source.checkpoint()).text);
  const bundle = async (index: number) => {
    const tile = tileAt(size, 'entries', index);
    if (tile === undefined) throw new VaultError('log_incomplete', 'a log of that size has no such bundle');
    const bytes = await source.tile(tilePath(tile));
    if (bytes === undefined && tile.width === TILE_WIDTH) return undefined; // pruned
    if (bytes === undefined) throw new VaultError('log_incomplete', `${tilePath(tile)} is missing`);
    return decodeEntries(bytes, tile.width).entries;
  };
  const first = await firstBundle(Math.ceil(size / TILE_WIDTH), since, bundle);
  const engine = createEngine(ruleSet);
  const fired: Fired[] = [];
  for (let index = first; index * TILE_WIDTH < size; index++) {
    const entries = (await bundle(index)) ?? [];
    for (const [at, leaf] of entries.entries()) fired.push(...engine.observe(index * TILE_WIDTH + at, leaf));
  }
  return { from: Math.min(first * TILE_WIDTH, size), size, fired };
}

/** Times rise with the index, but for what the clock did meanwhile: halving finds the place up to that. */
async function firstBundle(
  bundles: number,
  since: Date,
  bundle: (index: number) => Promise<readonly Uint8Array[] | undefined>,
): Promise<number> {
  let [low, high] = [0, bundles];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const last = (await bundle(middle))?.at(-1);
    if (last !== undefined && timeOf(last) >= since.getTime()) high = middle;
    else low = middle + 1;
  }
  return low;
}

function timeOf(leaf: Uint8Array): number {
  return Date.parse(String(fieldsOf(leaf)?.get('time')?.[0]));
}
