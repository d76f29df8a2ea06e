/**
 * What a starting process must not forget: the access log, which nobody can rewrite unseen, says which documents came in force and what was
 * stopped. Whoever writes the database while the vault is down cannot point a slot back or delete a stop without changing the log too.
 *
 * A start does not go through all of it: what the first records say was found once and signed (summarize-log.ts), bound to the tree they make.
 */
import { type LogCheckpoint, openCheckpoint } from '../audit/checkpoint.ts';
import { proveConsistency, verifyConsistency } from '../audit/merkle.ts';
import { createPrunedLedger, unexplainedBundle } from '../audit/pruned.ts';
import { type ReadTile, subtreeReader } from '../audit/tiles.ts';
import type { LogProblem } from '../audit/verify.ts';
import { verifyTree } from '../audit/verify-tree.ts';
import type { VerifierKey } from '../audit/vkey.ts';
import { type LogSummary, openLogSummary } from '../documents/log-summary.ts';
import { fromBase64 } from '../domain/bytes.ts';
import { codeOf, VaultError } from '../domain/errors.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { emptyMemory, type LogMemory, learn, memoryOf, remember } from './log-memory.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>;

/** What the first `size` records say. */
export interface Recollection {
  readonly size: number;
  /** Of the tree of that size; empty for none. */
  readonly root: Uint8Array;
  readonly memory: LogMemory;
  /** So many of them a signed summary vouched for: they were not looked at again. */
  readonly summarized: number;
}

const nothing = (): Recollection => ({ size: 0, root: new Uint8Array(0), memory: emptyMemory(), summarized: 0 });
/** Leaves read at a time. */
const PAGE = 2_000;

/**
 * Reads the log behind its newest summary, from the signed checkpoint down to every record, some 20 microseconds each; then the records that are not
 * signed yet. Throws what does not verify: from a log that somebody edited nothing is learned, and nothing is served. Without a summary that
 * verifies it reads the whole log.
 */
export async function recollect(vault: Ports, key: VerifierKey): Promise<Recollection> {
  const { unitOfWork, log } = vault.stores;
  const { head, summary } = await unitOfWork.run(async (tx) => ({
    head: await log.head(tx),
    summary: await signedSummary(tx, vault, key),
  }));
  let known = nothing();
  if (head !== undefined) {
    known = await readSigned(summary, openCheckpoint(head.checkpoint, key), tilesOf(vault));
    remember(known.memory, vault.catalogueKey);
  }
  const unsigned = emptyMemory();
  for (let start = known.size; ; start += PAGE) {
    const page = await unitOfWork.run((tx) => log.leaves(tx, start, start + PAGE));
    for (const { leaf } of page) learn(leaf, unsigned);
    if (page.length < PAGE) break;
  }
  remember(unsigned, vault.catalogueKey);
  return known;
}

/** The kept summary, when this vault signed it for this log. Any other is none: then more is read, and nothing is believed. */
export async function signedSummary(tx: Tx, { stores, vaultId, catalogueKey }: Ports, key: VerifierKey): Promise<LogSummary | undefined> {
  const kept = await stores.log.summary(tx);
  if (kept === undefined) return undefined;
  try {
    const summary = openLogSummary(kept, catalogueKey.publicKey);
    return summary.vaultId === vaultId && summary.origin === key.name ? summary : undefined;
  } catch (error) {
    if (error instanceof VaultError && error.code === 'document_invalid') return undefined;
    throw error;
  }
}

/** An older summary does as well as the newest. One of a longer log, or of another, is proof that the log was put back. */
async function readSigned(summary: LogSummary | undefined, checkpoint: LogCheckpoint, read: ReadTile): Promise<Recollection> {
  if (summary === undefined) return readOn(nothing(), checkpoint, read);
  const { size } = summary;
  if (size > checkpoint.size)
    throw new VaultError('log_rolled_back', `the log has ${checkpoint.size} records, but ${size} were read and signed for`);
  const known = { size, root: fromBase64(summary.root), memory: memoryOf(summary), summarized: size };
  try {
    return await readOn(known, checkpoint, read);
  } catch (error) {
    if (codeOf(error) === 'log_conflict') await readOn(nothing(), checkpoint, read); // names the tile, when it is only damaged
    throw error;
  }
}

/** Whether the signed tree begins with the one that is known. */
async function continues({ size, root }: Recollection, checkpoint: LogCheckpoint, read: ReadTile): Promise<boolean> {
  if (size === 0 || size > checkpoint.size) return size === 0;
  const proof = await proveConsistency(size, checkpoint.size, subtreeReader(checkpoint.size, read)).catch((error) => {
    if (error instanceof VaultError && !error.retryable) return undefined; // a tile is missing, or not as wide as it must be
    throw error;
  });
  return proof !== undefined && verifyConsistency(size, checkpoint.size, root, checkpoint.root, proof);
}

/** Goes on from what is known to the checkpoint. What it learns of is in the tree that was signed. */
export async function readOn(known: Recollection, checkpoint: LogCheckpoint, read: ReadTile): Promise<Recollection> {
  const problems: LogProblem[] = [];
  const pruned = createPrunedLedger();
  const visit = (leaf: Uint8Array) => {
    pruned.visit(leaf);
    learn(leaf, known.memory);
  };
  if (!(await continues(known, checkpoint, read)))
    throw new VaultError('log_conflict', `the log does not continue the one known at ${known.size} records`);
  const options = { missing: pruned.missing, from: known.size };
  await verifyTree(checkpoint, read, (problem) => void problems.push(problem), visit, options);
  const [lost] = pruned.unexplained();
  if (lost !== undefined) throw new VaultError('log_incomplete', unexplainedBundle(lost));
  const [problem] = problems;
  if (problem !== undefined) throw new VaultError(problem.code, problem.detail);
  return { ...known, size: checkpoint.size, root: checkpoint.root };
}

function tilesOf({ stores: { unitOfWork, log } }: Ports): ReadTile {
  return (path) => unitOfWork.run((tx) => log.tile(tx, path));
}
