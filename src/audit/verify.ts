/** Verifies a whole log from its signed root down to every record, and names what does not fit. Memory: a few tiles, however long the log. */
import { equalBytes } from '../domain/bytes.ts';
import { codeOf, type ErrorCode } from '../domain/errors.ts';
import { type LogCheckpoint, openCheckpoint } from './checkpoint.ts';
import { createPrunedLedger, unexplainedBundle } from './pruned.ts';
import { TILE_WIDTH } from './tile-path.ts';
import { rootFromTiles } from './tiles.ts';
import { createReleaseCount, type ReleaseCount } from './verify-releases.ts';
import { verifyTree } from './verify-tree.ts';
import { parseVkey } from './vkey.ts';

/** A copy of a log: a folder, a server, the store. Files it has besides are none of the verifier's business. */
export interface LogSource {
  checkpoint(): Promise<Uint8Array>;
  tile(path: string): Promise<Uint8Array | undefined>;
}

export interface LogProblem {
  readonly code: ErrorCode;
  /** Position in the log; counts from 0. For a tile: of the first record it covers. */
  readonly leafIndex?: number;
  /** As the damaged record states it, when it still does. The index is what the tree proves. */
  readonly recordId?: string;
  readonly detail: string;
}

export interface LogReport {
  readonly ok: boolean;
  /** Of the checkpoint; empty, 0 and empty when it is not believed. */
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
  /** The first 1000. */
  readonly problems: readonly LogProblem[];
  /** What the records say. `begin = end + unknown + live` when nothing is missing; information, not a check. */
  readonly releases: ReleaseCount;
  /** Records that are not here because a `log.pruned` says so; their hashes are. `releases` counts without them. */
  readonly pruned: number;
}

export interface VerifyOptions {
  /** A head that was seen before: the log must contain it. */
  readonly previous?: { readonly size: number; readonly root: Uint8Array } | undefined;
}

const MAX_PROBLEMS = 1000;

/** Never throws for anything the log's keeper could have done to it: that is a problem in the report. Throws what `source` throws. */
export async function verifyLog(source: LogSource, vkey: string, { previous }: VerifyOptions = {}): Promise<LogReport> {
  const key = parseVkey(vkey);
  const problems: LogProblem[] = [];
  const report = (problem: LogProblem) => void (problems.length < MAX_PROBLEMS && problems.push(problem));
  const releases = createReleaseCount();
  const pruned = createPrunedLedger();
  const note = await source.checkpoint();
  const checkpoint = believe(() => openCheckpoint(note, key), report);
  if (checkpoint !== undefined) {
    const visit = (leaf: Uint8Array) => {
      releases.add(leaf);
      pruned.visit(leaf);
    };
    await verifyTree(checkpoint, (path) => source.tile(path), report, visit, { missing: pruned.missing });
    for (const bundle of pruned.unexplained()) {
      report({
        code: 'log_incomplete',
        leafIndex: bundle * TILE_WIDTH,
        detail: unexplainedBundle(bundle),
      });
    }
    await verifyPrevious(source, checkpoint, previous, report);
  }
  const { origin = '', size = 0, root = new Uint8Array(0) } = checkpoint ?? {};
  return { ok: problems.length === 0, origin, size, root, problems, releases: releases.total(), pruned: pruned.removed() };
}

function believe(open: () => LogCheckpoint, report: (problem: LogProblem) => void): LogCheckpoint | undefined {
  try {
    return open();
  } catch (error) {
    report({ code: codeOf(error), detail: `checkpoint: ${error instanceof Error ? error.message : 'unreadable'}` });
    return undefined;
  }
}

async function verifyPrevious(
  source: LogSource,
  checkpoint: LogCheckpoint,
  previous: VerifyOptions['previous'],
  report: (problem: LogProblem) => void,
): Promise<void> {
  if (previous === undefined) return;
  if (previous.size > checkpoint.size) {
    report({ code: 'log_root_mismatch', detail: `the log was ${previous.size} records long before and is ${checkpoint.size} now` });
    return;
  }
  const root = await rootFromTiles(previous.size, checkpoint.size, (path) => source.tile(path)).catch(() => undefined); // a bad tile is reported already
  if (root === undefined || !equalBytes(root, previous.root)) {
    report({ code: 'log_root_mismatch', detail: `the log does not continue the one seen at ${previous.size} records` });
  }
}
