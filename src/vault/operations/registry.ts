/** The operations that need two people: what each one is, what it demands, and what happens when it is approved. */

import type { Bodies } from '../documents/bodies.ts';
import { signDocument } from '../documents/document.ts';
import type { SignedDocument } from '../documents/port.ts';
import { CLASSES, type ClassName } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import type { ReferenceValue, TrustAnchor } from '../domain/evidence.ts';
import type { Digest, ModelId, Namespace, VersionId } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { AdminAction } from '../policy/actions.ts';
import { SCHEMA_DIGEST, validatePolicySet } from '../policy/policy-set.ts';
import type { Vault } from './vault.ts';
import { readManifest } from './version.ts';

export type Operation =
  | {
      readonly kind: 'promote';
      readonly namespace: Namespace;
      readonly modelId: ModelId;
      readonly versionId: VersionId;
      readonly versionDigest: Digest;
      readonly class: ClassName;
    }
  | {
      readonly kind: 'policy-set';
      readonly namespace: Namespace;
      readonly counter: number;
      readonly policies: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: 'reference-values';
      readonly namespace: Namespace;
      readonly counter: number;
      readonly values: readonly ReferenceValue[];
    }
  | { readonly kind: 'trust-anchors'; readonly namespace: Namespace; readonly counter: number; readonly anchors: readonly TrustAnchor[] };

/** One person's consent to one exact operation. */
export interface Consent {
  readonly administratorId: Bodies['administrator']['administratorId'];
  readonly authenticatorId: string;
  readonly workstation: Digest;
}

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>;

export const OPERATION_ACTIONS: Readonly<Record<Operation['kind'], AdminAction>> = {
  promote: 'promoteVersion',
  'policy-set': 'setPolicy',
  'reference-values': 'setReferenceValues',
  'trust-anchors': 'setTrustAnchors',
};

/** Throws unless the operation could be executed now. Asked when it is requested and again when it is executed. */
export async function checkOperation(operation: Operation, tx: Tx, vault: Ports): Promise<void> {
  if (operation.kind === 'promote') {
    const row = await vault.stores.catalog.version(tx, operation.namespace, operation.versionId);
    if (row?.modelId !== operation.modelId) throw new VaultError('version_unknown', operation.versionId);
    if (row.state !== 'quarantined') throw new VaultError('version_state_conflict', `it is ${row.state}`);
    if (row.versionDigest !== operation.versionDigest) throw new VaultError('approval_changed', 'the version has another digest');
    const manifest = await readManifest(row, tx, vault);
    if (manifest.class !== operation.class) throw new VaultError('approval_changed', 'the version has another class');
    return;
  }
  const current = await vault.stores.documents.current(tx, operation.namespace, operation.kind);
  if ((current?.counter ?? 0) + 1 !== operation.counter)
    throw new VaultError('document_stale', `counter ${current?.counter ?? 0} is in force`);
  if (operation.kind === 'policy-set') validatePolicySet(operation.policies);
}

/** How many people must want it: by class for a promotion, two for everything else. */
export async function consentsNeeded(operation: Operation, tx: Tx, vault: Ports): Promise<number> {
  if (operation.kind !== 'promote') return 2;
  const row = await vault.stores.catalog.version(tx, operation.namespace, operation.versionId);
  if (row === undefined) throw new VaultError('version_unknown', operation.versionId);
  return CLASSES[(await readManifest(row, tx, vault)).class].publishApprovals;
}

/** Signs the document that carries the operation out, outside any transaction. */
export function signOperation(operation: Operation, consents: readonly Consent[], now: Date, vault: Ports): Promise<SignedDocument> {
  const head = { v: 1 as const, vaultId: vault.vaultId, createdAt: now.toISOString(), namespace: operation.namespace };
  const { sign } = vault.catalogueKey;
  const given = [...consents];
  switch (operation.kind) {
    case 'promote': {
      const { modelId, versionId, versionDigest } = operation;
      return signDocument('promotion', { ...head, modelId, versionId, versionDigest, consents: given }, sign);
    }
    case 'policy-set': {
      const { counter, policies } = operation;
      return signDocument(
        'policy-set',
        { ...head, counter, schemaDigest: SCHEMA_DIGEST, policies: { ...policies }, consents: given },
        sign,
      );
    }
    case 'reference-values':
      return signDocument('reference-values', { ...head, counter: operation.counter, values: operation.values, consents: given }, sign);
    case 'trust-anchors':
      return signDocument('trust-anchors', { ...head, counter: operation.counter, anchors: operation.anchors, consents: given }, sign);
  }
}

/** Puts the signed document in force. Throws, and so undoes the transaction, when someone was faster. */
export async function applyOperation(operation: Operation, document: SignedDocument, tx: Tx, vault: Ports): Promise<void> {
  await vault.stores.documents.put(tx, document);
  if (operation.kind === 'promote') {
    const promoted = await vault.stores.catalog.promote(tx, operation.namespace, operation.versionId, document.digest);
    if (!promoted) throw new VaultError('version_state_conflict');
    return;
  }
  const pointer = { digest: document.digest, counter: operation.counter };
  if (!(await vault.stores.documents.point(tx, operation.namespace, operation.kind, pointer))) throw new VaultError('document_stale');
}
