/**
 * What makers of hardware publish, brought in by hand and kept: verdicts use the newest of each and never ask a maker. Only what leads to one
 * of the shipped roots comes in; what a verdict believes is checked against the namespace's own trust anchors each time.
 */
import type { CollateralSummary } from '../attestation/kept/port.ts';
import { pinnedRoots } from '../attestation/pinned-roots.ts';
import type { IdentifiedCollateral } from '../attestation/port.ts';
import type { Publication } from '../attestation/publications/sources.ts';
import { loggable, type RecordDraft } from '../audit/record.ts';
import { sha256Hex } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { parseDigest, SYSTEM } from '../domain/ids.ts';
import { type AdminActor, actorOf, authorize, personalOf } from './authorize.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog' | 'verifiers'>;

/**
 * `known`: the same bytes were there. `older`: kept, and a newer one goes on being used. `rollback`: dated later than what is used, but
 * numbered lower by its maker: not kept.
 */
export interface ImportedCollateral extends CollateralSummary {
  readonly state: 'added' | 'known' | 'older' | 'rollback';
}

/** `collateral_unknown` when no kind of evidence recognizes it, or its signature leads to no root of a maker. */
export async function importCollateral(actor: AdminActor, publication: Publication, vault: Ports): Promise<ImportedCollateral> {
  await authorize(actor, 'importCollateral', SYSTEM, vault);
  const request = { requestId: loggable(actor.requestId, 64) };
  return keepCollateral({ actor: actorOf(actor), request, personal: personalOf(actor) }, publication, vault);
}

/** `by`: who brings it, for the record. */
export async function keepCollateral(
  by: Pick<RecordDraft, 'actor' | 'request' | 'personal'>,
  { name, bytes }: Publication,
  vault: Pick<Vault, 'stores' | 'accessLog' | 'verifiers'>,
): Promise<ImportedCollateral> {
  const identified = identify(name, bytes, vault);
  if (identified === undefined) throw new VaultError('collateral_unknown');
  const digest = parseDigest(sha256Hex(bytes));
  return vault.stores.unitOfWork.run(async (tx) => {
    const { counters, ...known } = identified;
    const summary = { ...known, digest, importedAt: tx.now };
    const used = await vault.stores.attestation.newestCollateral(tx, identified.type, identified.key);
    if (used !== undefined && isRollback(identified, used, identify(name, used.bytes, vault)))
      return { ...summary, state: 'rollback' as const };
    if (!(await vault.stores.attestation.putCollateral(tx, { ...summary, bytes }))) return { ...summary, state: 'known' as const };
    await vault.accessLog.append(tx, {
      type: 'collateral.imported',
      outcome: 'success',
      ...by,
      detail: loggable(`${identified.type} ${identified.key} ${digest}`, 512),
    });
    const newest = await vault.stores.attestation.newestCollateral(tx, identified.type, identified.key);
    return { ...summary, state: newest?.digest === digest ? ('added' as const) : ('older' as const) };
  });
}

/** Would it be used from now on, although its maker numbered it lower? Then somebody chose what to serve. */
function isRollback(next: IdentifiedCollateral, used: CollateralSummary, before: IdentifiedCollateral | undefined): boolean {
  if (next.issuedAt <= used.issuedAt) return false;
  return Object.entries(before?.counters ?? {}).some(([name, count]) => (next.counters?.[name] ?? count) < count);
}

/** The newest of everything that is kept. */
export async function listCollateral(actor: AdminActor, vault: Ports): Promise<readonly CollateralSummary[]> {
  await authorize(actor, 'importCollateral', SYSTEM, vault);
  return vault.stores.unitOfWork.run((tx) => vault.stores.attestation.listCollateral(tx));
}

function identify(name: string, bytes: Uint8Array, { verifiers }: Pick<Vault, 'verifiers'>): IdentifiedCollateral | undefined {
  for (const { kind, identifyCollateral } of verifiers.values()) {
    const roots = pinnedRoots().filter((root) => root.kind === kind);
    const identified = identifyCollateral?.(
      bytes,
      name,
      roots.map(({ certificate }) => certificate),
    );
    if (identified !== undefined) return identified;
  }
  return undefined;
}
