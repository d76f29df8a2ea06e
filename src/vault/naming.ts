/** Promotion, names that move and classes that change: what administrators ask for, in terms of names. */
import type { ModelRow } from '../catalog/port.ts';
import type { ClassName } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import { isId, type Namespace, type VersionId } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { type ApprovalAnswer, requestApproval } from './approve.ts';
import { type AdminActor, authorize } from './authorize.ts';
import { inForce } from './documents.ts';
import type { OperationPorts } from './operations/operation.ts';
import { aliasInForce, readManifest } from './version.ts';

interface Named {
  readonly namespace: Namespace;
  readonly model: string;
}

/** Asks for a quarantined version to be promoted: publishing asks once by itself, and a request may expire or be taken back. */
export async function requestPromotion(
  actor: AdminActor,
  { namespace, version: versionId }: { readonly namespace: Namespace; readonly version: VersionId },
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  await authorize(actor, 'promoteVersion', namespace, vault);
  const found = await vault.stores.unitOfWork.run(async (tx) => {
    const row = await vault.stores.catalog.version(tx, namespace, versionId);
    if (row?.versionDigest === undefined) throw new VaultError('version_unknown', versionId);
    const { class: classOf } = await readManifest(row, tx, vault);
    return { modelId: row.modelId, versionDigest: row.versionDigest, class: classOf };
  });
  return requestApproval(actor, { kind: 'promote', namespace, versionId, ...found }, vault);
}

/** Asks for an alias of the model to name a version from now on. An alias never looks like a version's id. */
export async function requestAlias(
  actor: AdminActor,
  { namespace, model: modelName, alias: name, versionId }: Named & { readonly alias: string; readonly versionId: VersionId },
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  await authorize(actor, 'setAlias', namespace, vault);
  if (isId(name)) throw new VaultError('request_invalid', 'an alias must not look like the id of a version');
  const found = await vault.stores.unitOfWork.run(async (tx) => {
    const model = await modelNamed(namespace, modelName, tx, vault);
    const version = await vault.stores.catalog.version(tx, namespace, versionId);
    if (version?.versionDigest === undefined) throw new VaultError('version_unknown', versionId);
    const counter = ((await aliasInForce(model, name, tx, vault))?.counter ?? 0) + 1;
    return { modelId: model.modelId, versionDigest: version.versionDigest, counter };
  });
  return requestApproval(actor, { kind: 'alias', namespace, name, versionId, ...found }, vault);
}

/** The alias as it stands. `version_unknown` when the model has none of that name. */
export async function readAlias(
  actor: AdminActor,
  { namespace, model: modelName, alias: name }: Named & { readonly alias: string },
  vault: OperationPorts,
) {
  await authorize(actor, 'readCatalogue', namespace, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const alias = await aliasInForce(await modelNamed(namespace, modelName, tx, vault), name, tx, vault);
    if (alias === undefined) throw new VaultError('version_unknown', name);
    const { counter, versionId, versionDigest } = alias;
    return { name, counter, versionId, versionDigest };
  });
}

/** Asks for another class of a model and all its versions. */
export async function requestClassChange(
  actor: AdminActor,
  { namespace, model: modelName, class: to }: Named & { readonly class: ClassName },
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  await authorize(actor, 'changeClass', namespace, vault);
  const found = await vault.stores.unitOfWork.run(async (tx) => {
    const { modelId } = await modelNamed(namespace, modelName, tx, vault);
    const current = await inForce('class-change', namespace, tx, vault, modelId);
    return { modelId, counter: (current?.counter ?? 0) + 1 };
  });
  return requestApproval(actor, { kind: 'class-change', namespace, class: to, ...found }, vault);
}

async function modelNamed(namespace: Namespace, name: string, tx: Tx, vault: OperationPorts): Promise<ModelRow> {
  const model = await vault.stores.catalog.modelByName(tx, namespace, name);
  if (model === undefined) throw new VaultError('model_unknown', name);
  return model;
}
