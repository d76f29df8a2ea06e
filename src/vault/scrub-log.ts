/**
 * Goes through the whole log again and again while the vault serves, slowly: every tile and record from the signed root down, and the rows that search,
 * alerts and sinks read. A start does not look at records that a summary vouches for; whoever changed one of those is found here.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeEntries } from '../audit/bundle.ts';
import { openCheckpoint } from '../audit/checkpoint.ts';
import { createPrunedLedger, type PrunedLedger, unexplainedBundle } from '../audit/pruned.ts';
import { parseTilePath, TILE_WIDTH } from '../audit/tile-path.ts';
import type { ReadTile } from '../audit/tiles.ts';
import type { LogProblem } from '../audit/verify.ts';
import { verifyTree } from '../audit/verify-tree.ts';
import type { VerifierKey } from '../audit/vkey.ts';
import { equalBytes } from '../domain/bytes.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'stores'>;

const PAGE = 2_000;
/** An act of pruning gets its index within a checkpoint's period. */
const ACT_TRIES = 5;
const ACT_WAIT_MS = 1_000;

/** One pass over the log as it is now. The first problem, or undefined. Throws what the store throws. */
export async function scrubLog(vault: Ports, key: VerifierKey, read: ReadTile): Promise<LogProblem | undefined> {
  const { unitOfWork, log } = vault.stores;
  const head = await unitOfWork.run((tx) => log.head(tx));
  if (head === undefined) return undefined;
  const checkpoint = openCheckpoint(head.checkpoint, key);
  const problems: LogProblem[] = [];
  const report = (problem: LogProblem) => void (problems.length === 0 && problems.push(problem));
  const pruned = createPrunedLedger();
  await verifyTree(checkpoint, compared(vault, read, report), report, pruned.visit, { missing: pruned.missing });
  const lost = await unexplained(checkpoint.size, pruned, vault);
  if (lost !== undefined) report({ code: 'log_incomplete', leafIndex: lost * TILE_WIDTH, detail: unexplainedBundle(lost) });
  return problems[0];
}

/** A record stands in a bundle, which the tree vouches for, and in a row of its own: both must be the same. */
function compared({ stores: { unitOfWork, log } }: Ports, read: ReadTile, report: (problem: LogProblem) => void): ReadTile {
  return async (path) => {
    const bytes = await read(path);
    const { level, index, width } = parseTilePath(path);
    if (level !== 'entries' || bytes === undefined) return bytes;
    const first = index * TILE_WIDTH;
    const { rows, there } = await unitOfWork.run(async (tx) => ({
      rows: await log.leaves(tx, first, first + width),
      there: (await log.tile(tx, path)) !== undefined, // it may have been pruned in between
    }));
    const { entries } = decodeEntries(bytes, width);
    const same = entries.every((entry, at) => {
      const row = rows[at];
      return row !== undefined && row.index === first + at && equalBytes(row.leaf, entry);
    });
    if (there && !same)
      report({ code: 'log_entry_mismatch', leafIndex: first, detail: `the rows of the records of ${path} are others than the bundle` });
    return bytes;
  };
}

/** What was pruned during the pass is explained by records that came after the checkpoint the pass began with. */
async function unexplained(size: number, pruned: PrunedLedger, { stores: { unitOfWork, log } }: Ports): Promise<number | undefined> {
  let start = size;
  for (let tries = 0; pruned.unexplained().length > 0 && tries < ACT_TRIES; tries++) {
    if (tries > 0) await sleep(ACT_WAIT_MS);
    for (let more = true; more; ) {
      const page = await unitOfWork.run((tx) => log.leaves(tx, start, start + PAGE));
      for (const { leaf } of page) pruned.visit(leaf);
      start += page.length;
      more = page.length === PAGE;
    }
  }
  return pruned.unexplained()[0];
}
