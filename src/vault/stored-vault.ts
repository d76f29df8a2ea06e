/** What a stored vault is without its HSM: for backups, and for verifying one before it is trusted again. */
import { createPublicKey } from 'node:crypto';
import { type LogReport, verifyLog } from '../audit/verify.ts';
import { formatVkey, verifierKey } from '../audit/vkey.ts';
import type { BlobStore } from '../blobs/port.ts';
import type { Bodies } from '../documents/bodies.ts';
import { BODY_SCHEMAS } from '../documents/bodies.ts';
import { verifyDocument } from '../documents/document.ts';
import { sha256Hex } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import type { Digest, VaultId, VersionId } from '../domain/ids.ts';
import type { Unit } from '../domain/model.ts';
import { decodeWrappedKey } from '../keys/wrapped-key.ts';
import type { Stores } from '../stores/port.ts';
import type { CatalogueKey } from './vault.ts';
import { readManifest } from './version.ts';

export interface StoredVault {
  readonly vaultId: VaultId;
  readonly stores: Stores;
  readonly identity: Bodies['vault'];
  /** Of `identity`. */
  readonly document: Digest;
  /** Of the signed vault document: verifies, and cannot sign. */
  readonly catalogueKey: CatalogueKey;
}

/** Reads the vault document that the configuration names by its digest: nothing in the database can put another in its place. */
export async function storedVault(
  stores: Stores,
  named: { readonly vaultId: VaultId; readonly vaultDocument: Digest },
): Promise<StoredVault> {
  const document = await stores.unitOfWork.run((tx) => stores.documents.get(tx, named.vaultDocument));
  if (document === undefined || sha256Hex(document.bytes) !== named.vaultDocument) {
    throw new VaultError('document_invalid', 'the database does not hold the vault document that vault.json names');
  }
  const { catalogueKey } = BODY_SCHEMAS.vault.parse(JSON.parse(Buffer.from(document.bytes).toString('utf8')));
  const publicKey = createPublicKey({ key: Buffer.from(catalogueKey.publicKey, 'base64'), format: 'der', type: 'spki' });
  const identity = verifyDocument(document, { kind: 'vault', digest: named.vaultDocument }, publicKey);
  if (identity.vaultId !== named.vaultId) throw new VaultError('document_invalid', 'the vault document is of another vault');
  const sign = () => Promise.reject(new VaultError('keeper_unavailable', 'a stored vault signs nothing'));
  return { vaultId: named.vaultId, stores, identity, document: named.vaultDocument, catalogueKey: { publicKey, sign } };
}

const PAGE = 200;

/** Every unit of ciphertext that a version needs, as its signed manifest says (for one that is still being uploaded: as its rows say). */
export async function* neededUnits(vault: StoredVault): AsyncGenerator<Unit> {
  const { unitOfWork, catalog } = vault.stores;
  let after: VersionId | undefined;
  for (;;) {
    const page = await unitOfWork.run((tx) => catalog.wrappedDeks(tx, PAGE, after));
    for (const { namespace, versionId, wrappedDek } of page) {
      decodeWrappedKey(wrappedDek);
      const objects = await unitOfWork.run(async (tx) => {
        const row = await catalog.version(tx, namespace, versionId);
        if (row?.versionDigest === undefined) return catalog.objects(tx, versionId);
        return (await readManifest(row, tx, vault)).objects;
      });
      for (const { units } of objects) yield* units;
    }
    if (page.length < PAGE) return;
    after = page.at(-1)?.versionId;
  }
}

export interface CopiedBlobs {
  readonly blobs: number;
  readonly bytes: number;
  /** Those that were there already are not copied again. */
  readonly copied: number;
}

/** Copies what the versions need from one blob store to another. Every blob is verified against its name while it is copied. */
export async function copyBlobs(
  vault: StoredVault,
  from: BlobStore,
  to: BlobStore,
  onBytes: (bytes: number) => void,
): Promise<CopiedBlobs> {
  let [blobs, bytes, copied] = [0, 0, 0];
  for await (const unit of neededUnits(vault)) {
    blobs++;
    bytes += unit.bytes;
    if ((await to.size(unit.ciphertextSha256)) !== unit.bytes) {
      await to.put(unit.ciphertextSha256, await readWhole(from, unit));
      copied++;
    }
    onBytes(unit.bytes);
  }
  return { blobs, bytes, copied };
}

/** At most one unit, 64 MiB, is in memory. */
async function readWhole(from: BlobStore, { ciphertextSha256, bytes }: Unit): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  const range = { start: 0, end: bytes };
  for await (const chunk of from.read(ciphertextSha256, range, new AbortController().signal)) chunks.push(Uint8Array.from(chunk));
  return chunks;
}

/** The access log, from its signed checkpoint down to every record; of a vault that never signed one there is nothing to verify. */
export async function verifyStoredLog({ stores, identity }: StoredVault): Promise<LogReport | undefined> {
  const { unitOfWork, log } = stores;
  const head = await unitOfWork.run((tx) => log.head(tx));
  if (head === undefined) return undefined;
  const vkey = formatVkey(verifierKey(identity.origin, Buffer.from(identity.logKey.publicKey, 'base64')));
  return verifyLog({ checkpoint: async () => head.checkpoint, tile: (path) => unitOfWork.run((tx) => log.tile(tx, path)) }, vkey);
}
