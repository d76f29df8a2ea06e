/**
 * Carries out what two people decided about single versions. Deleting a wrapped key is worth nothing while a backup holds it: so it is erased first,
 * and `version.destroyed` is recorded only when every KEK version that may ever have wrapped it is destroyed in the HSM. What then still remains is
 * named in the record.
 */
import { loggable, type RecordDestruction } from '../audit/record.ts';
import { signDocument } from '../documents/document.ts';
import { VaultError } from '../domain/errors.ts';
import { type Namespace, SYSTEM, type VersionId } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { readDocument } from './documents.ts';
import { type KeyVersion, kekName, keyRing, timeOfId } from './key-ring.ts';
import { timeAfterLog } from './time-after-log.ts';
import type { Vault } from './vault.ts';
import { destructionInForce, type VersionDestruction } from './version-destruction.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'kek' | 'accessLog'>;

/** Two people made each. */
const MOST_RECOVERY_KEYS = 200;

export interface VersionsDestroyed {
  readonly erased: readonly VersionId[];
  readonly destroyed: readonly VersionId[];
  /** Erased here; a backup opens it until these KEK versions are destroyed too. */
  readonly pending: ReadonlyArray<{ readonly versionId: VersionId; readonly keks: readonly string[] }>;
  readonly waiting: ReadonlyArray<{ readonly versionId: VersionId; readonly destroyAfter: string }>;
}

/** Throws `clock_regressed` when the clock stands before the access log. Each step is one transaction with its record; interrupted, the next call goes on. */
export async function destroyVersions(vault: Ports): Promise<VersionsDestroyed> {
  const { decided, now } = await vault.stores.unitOfWork.run(async (tx) => ({
    decided: await vault.stores.documents.slots(tx, 'version-destruction'),
    now: await timeAfterLog(tx, vault),
  }));
  const done = { erased: [] as VersionId[], destroyed: [] as VersionId[], pending: [], waiting: [] } as {
    erased: VersionId[];
    destroyed: VersionId[];
    pending: Array<{ versionId: VersionId; keks: readonly string[] }>;
    waiting: Array<{ versionId: VersionId; destroyAfter: string }>;
  };
  for (const { namespace, item } of decided) {
    const versionId = item as VersionId; // of the slot's name; the document is compared with it
    let about = await vault.stores.unitOfWork.run((tx) => destructionInForce(namespace, versionId, tx, vault));
    if (about?.state === 'decided') {
      if (now < new Date(about.destroyAfter)) {
        done.waiting.push({ versionId, destroyAfter: about.destroyAfter });
        continue;
      }
      about = await erase(about, now, vault);
      done.erased.push(versionId);
    }
    if (about?.state !== 'erased') continue;
    const left = await vault.stores.unitOfWork.run((tx) => wrappers(namespace, versionId, tx, vault));
    const open = left.filter(({ state }) => state !== 'destroyed').map(kekName);
    if (open.length > 0) done.pending.push({ versionId, keks: open });
    else {
      await declareDestroyed(about, left, now, vault);
      done.destroyed.push(versionId);
    }
  }
  return done;
}

async function erase(about: VersionDestruction, now: Date, vault: Ports): Promise<VersionDestruction> {
  const body = next(about, 'erased', now);
  const document = await signDocument('version-destruction', body, vault.catalogueKey.sign);
  await vault.stores.unitOfWork.run(async (tx) => {
    await vault.stores.catalog.eraseKeys(tx, about.versionId);
    await put(body, document, tx, vault);
    await vault.accessLog.append(tx, { ...said(about), type: 'version.erased', document: named(body, document.digest) });
  });
  return body;
}

async function declareDestroyed(about: VersionDestruction, keks: readonly KeyVersion[], now: Date, vault: Ports): Promise<void> {
  const body = next(about, 'destroyed', now);
  const document = await signDocument('version-destruction', body, vault.catalogueKey.sign);
  await vault.stores.unitOfWork.run(async (tx) => {
    const destruction: RecordDestruction = { keks: keks.map(kekName), remains: await remaining(keks, tx, vault) };
    await put(body, document, tx, vault);
    await vault.accessLog.append(tx, { ...said(about), type: 'version.destroyed', document: named(body, document.digest), destruction });
  });
}

/**
 * What could still open a copy: recovery wraps in backups, for as long as enough shares of a recovery key that was ever in force exist, and an HSM
 * that the vault left with one of these versions in it.
 */
export async function remaining(keks: readonly KeyVersion[], tx: Tx, vault: Ports): Promise<RecordDestruction['remains']> {
  const documents = await vault.stores.documents.page(tx, MOST_RECOVERY_KEYS, undefined, 'recovery-key');
  const keyIds = new Set<string>();
  for (const { digest } of documents) keyIds.add((await readDocument('recovery-key', digest, tx, vault)).keyId);
  const left = keks.filter(({ leftAt }) => leftAt !== undefined);
  return [
    ...[...keyIds].map((keyId) => ({ what: 'recovery-wrap-in-backups' as const, id: loggable(keyId, 64) })),
    ...left.map((kek) => ({ what: 'former-hsm' as const, id: loggable(kekName(kek), 128) })),
  ];
}

/**
 * The KEK versions that may have wrapped the DEK: of the namespace's ring and of the vault's, each that was in use between the version's first day and its
 * erasure. A ring that says no dates is taken whole.
 */
async function wrappers(namespace: Namespace, versionId: VersionId, tx: Tx, vault: Ports): Promise<readonly KeyVersion[]> {
  const since = timeOfId(versionId);
  const erased = (await destructionInForce(namespace, versionId, tx, vault))?.createdAt;
  const before = erased === undefined ? Number.POSITIVE_INFINITY : Date.parse(erased);
  const own = namespace === SYSTEM ? [] : (await keyRing(namespace, tx, vault)).keks;
  const shared = (await keyRing(SYSTEM, tx, vault)).keks;
  return [...shared, ...own].filter(({ state, activatedAt, deactivatedAt, compromisedAt }) => {
    if (state === 'pre-activation') return false;
    const from = activatedAt === undefined ? 0 : Date.parse(activatedAt);
    const ended = [deactivatedAt, compromisedAt].filter((at) => at !== undefined).map((at) => Date.parse(at));
    const until = ended.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...ended);
    return from < before && until >= since.getTime();
  });
}

function next({ ...about }: VersionDestruction, state: VersionDestruction['state'], now: Date): VersionDestruction {
  return { ...about, counter: about.counter + 1, state, createdAt: now.toISOString() };
}

async function put(body: VersionDestruction, document: Awaited<ReturnType<typeof signDocument>>, tx: Tx, vault: Ports): Promise<void> {
  await vault.stores.documents.put(tx, document);
  const pointer = { digest: document.digest, counter: body.counter };
  const slot = `version-destruction:${body.versionId}` as const;
  if (!(await vault.stores.documents.point(tx, body.namespace, slot, pointer))) throw new VaultError('document_stale');
}

const said = ({ namespace, modelId, versionId, versionDigest }: VersionDestruction) => ({
  outcome: 'success' as const,
  namespace,
  actor: { kind: 'system' as const },
  object: { modelId, versionId, versionDigest },
});

const named = ({ counter, versionId }: VersionDestruction, digest: Awaited<ReturnType<typeof signDocument>>['digest']) => ({
  kind: 'version-destruction' as const,
  digest,
  counter,
  item: loggable(versionId, 64),
});
