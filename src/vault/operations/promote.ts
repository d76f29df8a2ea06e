import { signDocument } from '../../documents/document.ts';
import { CLASSES } from '../../domain/classes.ts';
import { VaultError } from '../../domain/errors.ts';
import { readManifest } from '../version.ts';
import type { OperationSpec, Promote } from './operation.ts';

/** A version leaves quarantine. As many people as its class demands; the class is the signed manifest's. */
export const promote: OperationSpec<Promote> = {
  action: 'promoteVersion',
  async check(operation, tx, vault) {
    const row = await vault.stores.catalog.version(tx, operation.namespace, operation.versionId);
    if (row?.modelId !== operation.modelId) throw new VaultError('version_unknown', operation.versionId);
    if (row.state !== 'quarantined') throw new VaultError('version_state_conflict', `it is ${row.state}`);
    if (row.versionDigest !== operation.versionDigest) throw new VaultError('approval_changed', 'the version has another digest');
    const manifest = await readManifest(row, tx, vault);
    if (manifest.class !== operation.class) throw new VaultError('approval_changed', 'the version has another class');
  },
  async consentsNeeded(operation, tx, vault) {
    const row = await vault.stores.catalog.version(tx, operation.namespace, operation.versionId);
    if (row === undefined) throw new VaultError('version_unknown', operation.versionId);
    return CLASSES[(await readManifest(row, tx, vault)).class].publishApprovals;
  },
  sign({ modelId, versionId, versionDigest }, { head, consents }, vault) {
    return signDocument('promotion', { ...head, modelId, versionId, versionDigest, consents }, vault.catalogueKey.sign);
  },
  async apply(operation, document, tx, vault) {
    const promoted = await vault.stores.catalog.promote(tx, operation.namespace, operation.versionId, document.digest);
    if (!promoted) throw new VaultError('version_state_conflict');
  },
  record: ({ modelId, versionId, versionDigest }, document) => ({
    type: 'version.promoted',
    object: { modelId, versionId, versionDigest },
    document: { kind: 'promotion', digest: document.digest },
  }),
};
