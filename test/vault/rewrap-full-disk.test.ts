/** The disk of the database fills up during a rewrap: a named error, nothing lost, nothing half recorded, and the job goes on. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { equalBytes } from '../../src/domain/bytes.ts';
import { ERROR_CODES } from '../../src/domain/errors.ts';
import { type ModelId, newId, SYSTEM, type VersionId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { decodeWrappedKey, dekWrapAad, encodeWrappedKey } from '../../src/keys/wrapped-key.ts';
import { KEK } from '../../src/vault/init.ts';
import { createRewrapper } from '../../src/vault/rewrap.ts';
import { canMount, filled } from '../harness/small-disk.ts';
import { codeFrom, PROD, TestVault } from './test-vault.ts';

const mountable = canMount();
let disk: string;
let vault: TestVault;
beforeEach(async () => {
  disk = mkdtempSync(join(tmpdir(), 'wv-disk-'));
  if (!mountable) return;
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=700', 'none', disk]);
  const made = await TestVault.ready();
  await made.leave();
  const file = join(disk, 'vault.db');
  cpSync(made.site.file, file);
  vault = new TestVault({ ...made.site, file });
  await vault.addNode();
});
afterEach(async () => {
  await vault?.remove();
  if (mountable) execFileSync('umount', [disk]);
  rmSync(disk, { recursive: true, force: true });
});

(mountable ? test : test.skip)(
  `met in the second of two batches is store_unavailable; every version is readable and recorded as it is, and the rest follows when there is room${mountable ? '' : ' (not run: mounting a file system needs root)'}`,
  async () => {
    const plain = await insertVersions(vault, 70); // two batches
    await vault.twoPeople({ kind: 'rotate-key', namespace: SYSTEM, counter: 1, keyId: KEK.id, version: 2 });
    const failures: string[] = [];
    const rewrapper = createRewrapper(vault.vault, (what) => failures.push(what));
    const recorded = () => vault.records('key.rewrapped').filter(({ object }) => object !== undefined).length;
    expect(await rewrapper.round()).toMatchObject({ idle: false });
    expect([recorded(), ...(await openAll(vault, plain))]).toEqual([50, plain.size, 50]);

    const { rewrap } = vault.keys;
    let free: (() => void) | undefined;
    vault.keys.rewrap = async (...asked) => {
      if (free === undefined) vault.database.pragma('wal_checkpoint(TRUNCATE)'); // so that the next commit needs room
      free ??= filled(disk);
      return rewrap(...asked);
    };
    expect(await codeFrom(rewrapper.round())).toBe('store_unavailable');
    expect(ERROR_CODES.store_unavailable[1]).toBe('retry');
    expect([recorded(), ...(await openAll(vault, plain))]).toEqual([50, plain.size, 50]);
    free?.();
    vault.keys.rewrap = rewrap;
    while (!(await rewrapper.round()).idle);
    const all = vault.row('SELECT count(*) AS n FROM versions WHERE length(wrapped_dek) > 0')['n'];
    expect([recorded(), ...(await openAll(vault, plain))]).toEqual([all, plain.size, plain.size]);
    expect(failures).toEqual([]);
  },
);

async function insertVersions({ vault }: TestVault, count: number): Promise<ReadonlyMap<string, Uint8Array>> {
  const model = { namespace: PROD, modelId: newId<ModelId>(new Date(0)), name: 'many', class: 'internal' as const }; // before all others
  const plain = new Map<string, Uint8Array>();
  await vault.stores.unitOfWork.run(async (tx) => {
    await vault.stores.catalog.insertModel(tx, model);
    for (let at = 0; at < count; at++) {
      const versionId = newId<VersionId>(new Date(at));
      plain.set(versionId, randomBytes(32));
      using dek = new SecretBytes(Uint8Array.from(plain.get(versionId) ?? []));
      const wrappedDek = encodeWrappedKey(await vault.keys.wrap(KEK, dek, dekWrapAad({ ...vault, ...model, versionId }, KEK)));
      await vault.stores.catalog.insertVersion(tx, { ...model, versionId, state: 'quarantined', createdAt: tx.now, wrappedDek });
    }
  });
  return plain;
}

/** How many come back as they were, and how many of them are under version 2. */
async function openAll({ vault }: TestVault, plain: ReadonlyMap<string, Uint8Array>): Promise<[right: number, moved: number]> {
  const rows = await vault.stores.unitOfWork.run((tx) => vault.stores.catalog.wrappedDeks(tx, 500));
  let [right, moved] = [0, 0];
  for (const { versionId, wrappedDek, ...context } of rows) {
    const expected = plain.get(versionId);
    if (expected === undefined) continue;
    const wrapped = decodeWrappedKey(wrappedDek);
    using dek = await vault.keys.unwrap(wrapped, dekWrapAad({ vaultId: vault.vaultId, ...context, versionId }, wrapped.kek));
    if (dek.expose((bytes) => equalBytes(bytes, expected))) right++;
    if (wrapped.kek.version === 2) moved++;
  }
  return [right, moved];
}
