/** From a catalogue row to what may be believed about a version: its signed manifest and its signed promotion. */

import type { ModelRow, VersionRow } from '../catalog/port.ts';
import type { Bodies } from '../documents/bodies.ts';
import { CLASSES, type ClassName } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import { type Refusal, refuse } from '../domain/evidence.ts';
import type { Digest, VersionId } from '../domain/ids.ts';
import type { Manifest } from '../domain/model.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { inForce, readDocument } from './documents.ts';
import type { Vault } from './vault.ts';
import { isDestroyed } from './version-destruction.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>;

export interface PromotedVersion {
  readonly row: VersionRow;
  /** As it was signed. */
  readonly manifest: Manifest;
  readonly versionDigest: Digest;
  /** What it demands now: of the last class change of its model, else of the manifest. */
  readonly class: ClassName;
}

/** The version if people have promoted it, as its signed documents say; else why not. Throws when row and documents disagree. */
export async function promotedVersion(model: ModelRow, versionId: VersionId, tx: Tx, vault: Ports): Promise<PromotedVersion | Refusal> {
  const row = await vault.stores.catalog.version(tx, model.namespace, versionId);
  if (row === undefined || row.modelId !== model.modelId) return refuse('version_unknown', versionId);
  if (row.versionDigest === undefined) return refuse('version_quarantined', 'it is still being uploaded');
  const manifest = await readManifest(row, tx, vault);
  if (row.promotionDigest === undefined) return refuse('version_quarantined', 'it waits for approval');
  if (await isDestroyed(row.namespace, versionId, tx, vault)) return refuse('version_destroyed', versionId);
  const promotion = await readDocument('promotion', row.promotionDigest, tx, vault);
  assertPromotes(promotion, row, manifest);
  return { row, manifest, versionDigest: row.versionDigest, class: await classInForce(manifest, tx, vault) };
}

/** The signed manifest a row points at. Throws `manifest_mismatch` when it is the manifest of something else. */
export async function readManifest(row: VersionRow, tx: Tx, vault: Ports): Promise<Manifest> {
  if (row.versionDigest === undefined) throw new VaultError('version_state_conflict', 'the version is still being uploaded');
  const manifest = await readDocument('manifest', row.versionDigest, tx, vault);
  const same = manifest.namespace === row.namespace && manifest.modelId === row.modelId && manifest.versionId === row.versionId;
  if (!same) throw new VaultError('manifest_mismatch', row.versionId);
  return manifest;
}

/** The class of a version now. Two people may have changed that of its model since the manifest was signed. */
export async function classInForce(manifest: Pick<Manifest, 'namespace' | 'modelId' | 'class'>, tx: Tx, vault: Ports): Promise<ClassName> {
  const changed = await inForce('class-change', manifest.namespace, tx, vault, manifest.modelId);
  if (changed === undefined) return manifest.class;
  if (changed.body.modelId !== manifest.modelId) throw new VaultError('document_invalid', 'the class change is of another model');
  return changed.body.class;
}

/** The alias of a model and the version it names, or undefined when there is no such alias. */
export async function aliasInForce(model: ModelRow, name: string, tx: Tx, vault: Ports): Promise<Bodies['alias'] | undefined> {
  const found = await inForce('alias', model.namespace, tx, vault, `${model.modelId}:${name}`);
  if (found === undefined) return undefined;
  const { body } = found;
  if (body.modelId !== model.modelId || body.name !== name) throw new VaultError('document_invalid', 'the alias is another one');
  return body;
}

/** A promotion counts only for this very digest, with as many different people, authenticators and workstations as the class demands. */
function assertPromotes(promotion: Bodies['promotion'], row: VersionRow, manifest: Manifest): void {
  const { consents } = promotion;
  const needed = CLASSES[manifest.class].publishApprovals;
  const distinct = (values: readonly string[]) => new Set(values).size >= needed;
  const sound =
    promotion.namespace === row.namespace &&
    promotion.versionId === row.versionId &&
    promotion.versionDigest === row.versionDigest &&
    distinct(consents.map((consent) => consent.administratorId)) &&
    distinct(consents.map((consent) => consent.authenticatorId)) &&
    distinct(consents.map((consent) => consent.workstation));
  if (!sound) throw new VaultError('manifest_mismatch', `the promotion of ${row.versionId} does not promote it`);
}
