/**
 * Signs from time to time what the log says so far that a start must find again, so that a start reads only what came after. The signature, and the tree
 * it is bound to, are what makes it worth believing: a row, or a record that anyone who writes the database could have appended, would not be.
 */
import { type LogCheckpoint, openCheckpoint } from '../audit/checkpoint.ts';
import type { ReadTile } from '../audit/tiles.ts';
import type { VerifierKey } from '../audit/vkey.ts';
import { signLogSummary } from '../documents/log-summary.ts';
import { toBase64 } from '../domain/bytes.ts';
import { type Recollection, readOn, signedSummary } from './recollect.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>;

/** Records that a start reads at most, besides those of the minutes since the last look: a second or two. */
export const SUMMARY_RECORDS = 65_536;

/** Goes on from what this process knows when that many records came since the last summary, and signs it. Throws what does not verify. */
export async function summarizeLog(
  known: Recollection,
  vault: Ports,
  key: VerifierKey,
  read: ReadTile,
  every = SUMMARY_RECORDS,
): Promise<Recollection> {
  const { unitOfWork, log } = vault.stores;
  const found = await unitOfWork.run(async (tx) => ({ head: await log.head(tx), summary: await signedSummary(tx, vault, key) }));
  if (found.head === undefined) return known;
  const checkpoint = openCheckpoint(found.head.checkpoint, key);
  if (checkpoint.size - (found.summary?.size ?? 0) < every) return known;
  const next = await readOn(known, checkpoint, read);
  await sign(next, checkpoint, vault);
  return next;
}

async function sign(
  { size, memory }: Recollection,
  { origin, root }: LogCheckpoint,
  { vaultId, stores, catalogueKey }: Ports,
): Promise<void> {
  const createdAt = await stores.unitOfWork.run(async (tx) => tx.now.toISOString());
  const slots = [...memory.slots.values()];
  const stops = [...memory.stops.values()];
  const body = { v: 1 as const, vaultId, createdAt, origin, size, root: toBase64(root), slots, stops };
  const signed = await signLogSummary(body, catalogueKey.sign);
  await stores.unitOfWork.run((tx) => stores.log.putSummary(tx, signed));
}
