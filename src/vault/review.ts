/** Reading the access log is itself recorded. What is read verifies without trusting this service (audit/verify.ts). */
import type { Disclosure } from '../audit/port.ts';
import { commitment, loggable } from '../audit/record.ts';
import { objectAt, saidBy, textAt } from '../audit/said.ts';
import { parseTilePath } from '../audit/tile-path.ts';
import { sha256Hex } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { type Digest, type Namespace, parseDigest, type RecordId, SYSTEM } from '../domain/ids.ts';
import { parseCanonicalJson } from '../domain/json.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { type AdminActor, actorOf, authorize, personalOf } from './authorize.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

/**
 * The newest signed checkpoint, or the newest one that a quorum of witnesses cosigned; where they are the same, it has their lines. It says nothing of
 * what records hold. Recorded as `log.read`.
 */
export async function readCheckpoint(
  actor: AdminActor,
  namespace: Namespace | undefined,
  vault: Ports,
  which: 'newest' | 'witnessed' = 'newest',
): Promise<Uint8Array> {
  await authorize(actor, 'readLog', namespace ?? SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const { log } = vault.stores;
    const [head, witnessed] = [await log.head(tx), await log.witnessed(tx)];
    const found = which === 'witnessed' || head?.size === witnessed?.size ? witnessed : head;
    if (found === undefined) throw new VaultError('log_incomplete', `no checkpoint was ${which === 'witnessed' ? which : 'published'} yet`);
    await recordRead(actor, { path: which === 'witnessed' ? 'witnessed checkpoint' : 'checkpoint', namespace }, tx, vault);
    return found.checkpoint;
  });
}

/**
 * One tile or entry bundle of the tree, by its C2SP path. Bundles hold records, so reading one is recorded too; hashes tell nothing. They hold
 * the records of every namespace, so it takes the right to read the whole log.
 */
export async function readTile(actor: AdminActor, path: string, namespace: Namespace | undefined, vault: Ports): Promise<Uint8Array> {
  const bundle = path.startsWith('tile/entries/');
  await authorize(actor, 'readLog', bundle || namespace === undefined ? SYSTEM : namespace, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const tile = await vault.stores.log.tile(tx, path);
    if (tile === undefined && bundle && (await isPrunedBundle(path, tx, vault))) throw new VaultError('record_pruned', path);
    if (tile === undefined) throw new VaultError('log_incomplete', 'there is no such tile');
    if (bundle) await recordRead(actor, { path }, tx, vault);
    return tile;
  });
}

/** Also under the names it had while it was partial. */
async function isPrunedBundle(path: string, tx: Tx, { stores }: Ports): Promise<boolean> {
  return stores.log.isPruned(tx, parseTilePath(path).index);
}

export interface ReadRecord {
  /** As it is hashed and published. */
  readonly leaf: string;
  readonly index?: number;
  /** EAR. */
  readonly result?: Record<string, unknown>;
  /** What the record commits to and is still disclosed, and which of it is erased. Absent when it commits to nothing. */
  readonly personal?: Record<string, string>;
  readonly erased?: string[];
}

/** One record, and the result of the appraisal that it names: `record_unknown` when there is none, `document_invalid` when the result is not the one it names. */
export async function readRecord(
  actor: AdminActor,
  recordId: RecordId,
  namespace: Namespace | undefined,
  vault: Ports,
): Promise<ReadRecord> {
  await authorize(actor, 'readLog', namespace ?? SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const row = await vault.stores.log.leafByRecord(tx, recordId);
    // Another namespace's record is answered like one that does not exist.
    const shown = row !== undefined && (namespace === undefined || textAt(saidBy(row.leaf), 'namespace') === namespace);
    if (row === undefined || !shown) throw new VaultError('record_unknown', recordId);
    await recordRead(actor, { path: `record ${recordId}`, namespace }, tx, vault);
    const leaf = Buffer.from(row.leaf).toString('utf8');
    const digest = resultNamedBy(leaf);
    const result = digest && (await vault.stores.attestation.result(tx, digest));
    if (digest !== undefined && (result === undefined || sha256Hex(result) !== digest)) {
      throw new VaultError('document_invalid', `the result of record ${recordId} is not the one it names`);
    }
    return {
      leaf,
      ...(row.index !== undefined && { index: row.index }),
      ...(result && { result: parseCanonicalJson(result, 'document_invalid') as Record<string, unknown> }), // written by attestation/ear.ts
      ...disclosed(recordId, row.leaf, await vault.stores.log.disclosures(tx, recordId)),
    };
  });
}

/** Throws `document_invalid` when a disclosure is not what the leaf commits to. */
function disclosed(recordId: RecordId, leaf: Uint8Array, disclosures: readonly Disclosure[]): Pick<ReadRecord, 'personal' | 'erased'> {
  const committed = Object.entries(objectAt(saidBy(leaf), 'commitments') ?? {});
  if (committed.length === 0) return {};
  const personal: Record<string, string> = {};
  const erased: string[] = [];
  for (const [field, said] of committed) {
    const kept = disclosures.find((one) => one.field === field);
    if (kept === undefined) erased.push(field);
    else if (commitment(kept.salt, field, kept.value) === said) personal[field] = kept.value;
    else throw new VaultError('document_invalid', `the ${field} of record ${recordId} is not what the record commits to`);
  }
  return { personal, erased };
}

/** Undefined in records without one, and in what a database writer made of a leaf: `wv log verify` finds those. */
function resultNamedBy(leaf: string): Digest | undefined {
  const named = /"resultDigest":"([0-9a-f]{64})"/.exec(leaf)?.[1];
  return named === undefined ? undefined : parseDigest(named);
}

export interface LogReading {
  /** What was read, for a person. */
  readonly path: string;
  /** Whose records, when it was not the whole log. */
  readonly namespace?: Namespace | undefined;
}

export async function recordRead(actor: AdminActor, { path, namespace }: LogReading, tx: Tx, vault: Ports): Promise<void> {
  await vault.accessLog.append(tx, {
    namespace,
    type: 'log.read',
    outcome: 'success',
    detail: loggable(path, 512),
    actor: actorOf(actor),
    request: { requestId: loggable(actor.requestId, 64) },
    personal: personalOf(actor),
  });
}
