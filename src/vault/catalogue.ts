/** What administrators see of models, and of the documents in force. */

import type { ModelRow, VersionRow } from '../catalog/port.ts';
import type { SlotKind } from '../documents/port.ts';
import { codeOf, isTampering, VaultError } from '../domain/errors.ts';
import type { Namespace, VersionId } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { administratorInForce } from './administrators.ts';
import { type AdminActor, authorize } from './authorize.ts';
import { inForce, readDocument } from './documents.ts';
import type { Vault } from './vault.ts';
import { readManifest } from './version.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

/** A model and its newest hundred versions. */
export async function readModel(actor: AdminActor, namespace: Namespace, name: string, vault: Ports) {
  await authorize(actor, 'readCatalogue', namespace, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const model = await vault.stores.catalog.modelByName(tx, namespace, name);
    if (model === undefined) throw new VaultError('model_unknown', name);
    const versions = await vault.stores.catalog.versions(tx, namespace, model.modelId, 100);
    return {
      ...model,
      versions: versions.map(({ versionId, state, createdAt, versionDigest }) => ({ versionId, state, createdAt, versionDigest })),
    };
  });
}

/** The models of a namespace by name, at most `limit` after the name `after`; `next` continues when there may be more. */
export async function listModels(
  actor: AdminActor,
  namespace: Namespace,
  page: { readonly limit: number; readonly after?: string },
  vault: Ports,
) {
  await authorize(actor, 'readCatalogue', namespace, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const rows = await vault.stores.catalog.models(tx, namespace, page.limit, page.after);
    const models = [];
    for (const { name, modelId, class: classNow } of rows) {
      const [newest] = await vault.stores.catalog.versions(tx, namespace, modelId, 1);
      models.push({ name, modelId, class: classNow, ...(newest && { newest: pointerOf(newest) }) });
    }
    const next = rows.length === page.limit ? rows.at(-1)?.name : undefined;
    return { models, ...(next && { next }) };
  });
}

/** Versions of a model, newest first, as their signed documents say: class, sizes, and who wanted them promoted. */
export async function listVersions(
  actor: AdminActor,
  namespace: Namespace,
  name: string,
  page: { readonly limit: number; readonly before?: VersionId },
  vault: Ports,
) {
  await authorize(actor, 'readCatalogue', namespace, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const model = await vault.stores.catalog.modelByName(tx, namespace, name);
    if (model === undefined) throw new VaultError('model_unknown', name);
    const rows = await vault.stores.catalog.versions(tx, namespace, model.modelId, page.limit, page.before);
    const versions = [];
    for (const row of rows) versions.push({ ...pointerOf(row), ...(await signedFacts(row, model, tx, vault)) });
    const next = rows.length === page.limit ? rows.at(-1)?.versionId : undefined;
    return { name, modelId: model.modelId, class: model.class, versions, ...(next && { next }) };
  });
}

const pointerOf = ({ versionId, state, createdAt, versionDigest }: VersionRow) => ({ versionId, state, createdAt, versionDigest });

/** One altered document must not hide the others: its version says `problem` instead. */
async function signedFacts(row: VersionRow, model: ModelRow, tx: Tx, vault: Ports) {
  if (row.versionDigest === undefined) return { class: model.class };
  try {
    const manifest = await readManifest(row, tx, vault);
    const bytes = manifest.objects.reduce((sum, { size }) => sum + size, 0);
    const signed = { class: manifest.class, files: manifest.objects.length, bytes, attributes: manifest.attributes };
    return { ...signed, ...(row.promotionDigest && { promoted: await promotionOf(row.promotionDigest, tx, vault) }) };
  } catch (error) {
    if (!isTampering(codeOf(error))) throw error;
    return { problem: codeOf(error) };
  }
}

async function promotionOf(digest: NonNullable<VersionRow['promotionDigest']>, tx: Tx, vault: Ports) {
  const { consents, createdAt } = await readDocument('promotion', digest, tx, vault);
  const by = [];
  for (const { administratorId } of consents) by.push((await administratorInForce(administratorId, tx, vault))?.name ?? administratorId);
  return { at: createdAt, by };
}

/** The document in force in a slot, with the counter that the next one must exceed by one; counter 0 when there is none. */
export async function readSlot(actor: AdminActor, namespace: Namespace, slot: SlotKind, vault: Ports) {
  await authorize(actor, 'readCatalogue', namespace, vault);
  const current = await vault.stores.unitOfWork.run((tx) => inForce(slot, namespace, tx, vault));
  return current ?? { counter: 0 };
}
