import { signDocument } from '../../documents/document.ts';
import { CLASSES } from '../../domain/classes.ts';
import { VaultError } from '../../domain/errors.ts';
import { classInForce, readManifest } from '../version.ts';
import type { OperationSpec, Promote } from './operation.ts';

/** A version leaves quarantine. As many people as its class demands: that of the signed manifest, and that of its model now, which two may have raised. */
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
    const manifest = await readManifest(row, tx, vault);
    const classes = [manifest.class, await classInForce(manifest, tx, vault)];
    return Math.max(...classes.map((name) => CLASSES[name].publishApprovals));
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
