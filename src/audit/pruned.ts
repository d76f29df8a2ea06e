/**
 * Which records were removed by a recorded act (`log.pruned`), so that a copy without them can be told from a damaged one. Only whole bundles are
 * removed, and none that holds a record which later readers need: those acts themselves, documents that came in force, stops.
 */
import type { LeafRow } from './port.ts';
import { objectAt, saidBy, textAt } from './said.ts';
import { TILE_WIDTH, tilePath } from './tile-path.ts';

/** What `log.pruned` says: of the bundles [from, before) all are removed but `kept`. */
export interface PrunedBundles {
  readonly from: number;
  readonly before: number;
  readonly kept: readonly number[];
}

/** Most bundles of one act. A statement of more is none of ours, and explains nothing. */
export const PRUNED_AT_ONCE = 64;

const ACT = Buffer.from('"pruned":');
const WORDS = [Buffer.from('"counter":'), Buffer.from('"stopId":'), ACT];

/** Whether a bundle with this record stays for ever: what a start, or a verifier, must find again (vault/recollect.ts). */
export function mustStay(leaf: LeafRow['leaf']): boolean {
  return WORDS.some((word) => holds(leaf, word));
}

function holds(leaf: Uint8Array, word: Buffer): boolean {
  return Buffer.from(leaf.buffer, leaf.byteOffset, leaf.length).includes(word);
}

/** In words, of a bundle that is missing without an act. */
export function unexplainedBundle(bundle: number): string {
  return `${tilePath({ level: 'entries', index: bundle, width: TILE_WIDTH })} is missing, and no record says that it was pruned`;
}

export interface PrunedLedger {
  /** Every record that is there. */
  visit(leaf: Uint8Array): void;
  /** A bundle that is not. */
  missing(bundle: number): void;
  /** Bundles that are missing without an act that removed them. Asked at the end: an act stands behind what it removed. */
  unexplained(): readonly number[];
  /** Records that were removed by an act. */
  removed(): number;
}

export function createPrunedLedger(): PrunedLedger {
  const gone: number[] = [];
  const acts = new Set<number>();
  return {
    visit(leaf) {
      for (const bundle of removedBy(leaf)) acts.add(bundle);
    },
    missing: (bundle) => void gone.push(bundle),
    unexplained: () => gone.filter((bundle) => !acts.has(bundle)),
    removed: () => gone.filter((bundle) => acts.has(bundle)).length * TILE_WIDTH,
  };
}

function removedBy(leaf: Uint8Array): readonly number[] {
  const said = holds(leaf, ACT) ? saidBy(leaf) : undefined;
  const act = textAt(said, 'type') === 'log.pruned' ? objectAt(said, 'pruned') : undefined;
  const { from, before, kept } = act ?? {};
  const sound = Number.isSafeInteger(from) && Number.isSafeInteger(before) && Array.isArray(kept);
  if (!sound) return [];
  const [first, end] = [from as number, before as number]; // just looked at
  if (first < 0 || end - first > PRUNED_AT_ONCE) return [];
  return Array.from({ length: Math.max(0, end - first) }, (_, at) => first + at).filter((bundle) => !kept.includes(bundle));
}
