/**
 * What a starting process must not forget: the access log, which nobody can rewrite unseen, says which documents came in force and what was
 * stopped. Whoever writes the database while the vault is down cannot point a slot back or delete a stop without changing the log too.
 */
import { openCheckpoint } from '../audit/checkpoint.ts';
import { createPrunedLedger, unexplainedBundle } from '../audit/pruned.ts';
import type { LogProblem } from '../audit/verify.ts';
import { verifyTree } from '../audit/verify-tree.ts';
import type { VerifierKey } from '../audit/vkey.ts';
import type { SlotKind } from '../documents/port.ts';
import { VaultError } from '../domain/errors.ts';
import { type Digest, type Namespace, type StopId, SYSTEM } from '../domain/ids.ts';
import type { Stop, StopScope } from '../domain/stop.ts';
import { rememberCounter, slotOf } from './documents.ts';
import { rememberStop } from './stops.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'stores' | 'catalogueKey'>;

/** Leaves read at a time. */
const PAGE = 2_000;
/** Most leaves say nothing that matters here, and are not parsed. */
const TELLS = [Buffer.from('"counter":'), Buffer.from('"stopId":')];

/**
 * Goes through the whole log once, from its signed checkpoint down to every record, some 20 microseconds each; then through those that
 * are not signed yet. Throws what does not verify: from a log that somebody edited nothing is learned, and nothing is served.
 */
export async function recollect(vault: Ports, key: VerifierKey): Promise<void> {
  const { unitOfWork, log } = vault.stores;
  const head = await unitOfWork.run((tx) => log.head(tx));
  let size = 0;
  if (head !== undefined) {
    const checkpoint = openCheckpoint(head.checkpoint, key);
    const problems: LogProblem[] = [];
    const pruned = createPrunedLedger();
    const read = (path: string) => unitOfWork.run((tx) => log.tile(tx, path));
    await verifyTree(
      checkpoint,
      read,
      (problem) => void problems.push(problem),
      (leaf) => {
        pruned.visit(leaf);
        rememberIfItTells(leaf, vault);
      },
      pruned.missing,
    );
    const [lost] = pruned.unexplained();
    if (lost !== undefined) throw new VaultError('log_incomplete', unexplainedBundle(lost));
    const [problem] = problems;
    if (problem !== undefined) throw new VaultError(problem.code, problem.detail);
    size = checkpoint.size;
  }
  for (let start = size; ; start += PAGE) {
    const page = await unitOfWork.run((tx) => log.leaves(tx, start, start + PAGE));
    for (const { leaf } of page) rememberIfItTells(leaf, vault);
    if (page.length < PAGE) return;
  }
}

function rememberIfItTells(leaf: Uint8Array, vault: Ports): void {
  const bytes = Buffer.from(leaf.buffer, leaf.byteOffset, leaf.length);
  if (TELLS.some((word) => bytes.includes(word))) remember(leaf, vault);
}

interface Told {
  readonly time: string;
  readonly namespace?: Namespace;
  readonly document?: { readonly kind: SlotKind | 'lift'; readonly digest: Digest; readonly counter?: number; readonly item?: string };
  readonly stop?: { readonly stopId: StopId; readonly scope: StopScope; readonly target?: string };
}

function remember(leaf: Uint8Array, { catalogueKey }: Ports): void {
  const { time, namespace = SYSTEM, document, stop } = JSON.parse(Buffer.from(leaf).toString('utf8')) as Told; // our own record: the tree vouches for it
  if (stop !== undefined) {
    const { stopId, scope, target } = stop;
    const lifted = document?.kind === 'lift' ? document.digest : undefined;
    rememberStop(
      { stopId, namespace, scope, ...(target !== undefined && { target }), createdAt: new Date(time) } as Stop,
      catalogueKey,
      lifted,
    );
  }
  if (document?.counter !== undefined && document.kind !== 'lift') {
    rememberCounter(slotOf(document.kind, document.item), namespace, document.counter, catalogueKey);
  }
}
