/** What must leave a record or a row, attempted one after the other, while the database cannot be written and afterwards. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { ERROR_CODES, isErrorCode } from '../../src/domain/errors.ts';
import type { ObjectPath, VersionId } from '../../src/domain/ids.ts';
import { approve, requestApproval } from '../../src/vault/approve.ts';
import { issueChallenge } from '../../src/vault/challenge.ts';
import { createModel, finishVersion, putObject, startVersion } from '../../src/vault/publish.ts';
import { type Granted, release } from '../../src/vault/release.ts';
import { renew } from '../../src/vault/renew.ts';
import { chunksOf, codeFrom, type Machine, noise, PROD, type Published, type TestVault } from '../vault/test-vault.ts';
import { type Bystander, bystanderOf, outcomeOf } from './bystander.ts';

export interface Scene {
  readonly vault: TestVault;
  readonly bystander: Bystander;
  readonly machine: Machine;
  readonly version: Published;
  /** Waits for bob, who has stepped up for it. */
  readonly waiting: Published;
  readonly granted: Granted;
  /** A version without objects, and one with all of them that is not finished. */
  readonly empty: VersionId;
  readonly whole: VersionId;
}

const WEIGHTS = { path: 'weights.bin' as ObjectPath, bytes: noise(100_000) };

export async function sceneIn(vault: TestVault): Promise<Scene> {
  const bystander = await bystanderOf(vault);
  const machine = await vault.machine('gpu-1');
  const version = await vault.publish('falcon', 'restricted');
  const waiting = await vault.upload('falcon', 'restricted');
  const granted = await vault.granted({ machine, version });
  await vault.stepUp('bob', waiting.operationDigest);
  const alice = await vault.as('alice');
  const { versionId: empty } = await startVersion(alice, PROD, 'falcon', vault.vault);
  const { versionId: whole } = await startVersion(alice, PROD, 'falcon', vault.vault);
  await upload(vault, whole);
  return { vault, bystander, machine, version, waiting, granted, empty, whole };
}

async function upload(vault: TestVault, versionId: VersionId) {
  const target = { namespace: PROD, versionId, path: WEIGHTS.path };
  return putObject(await vault.as('alice'), target, chunksOf(WEIGHTS.bytes), vault.vault);
}

export type Attempts = Readonly<Record<string, () => Promise<string>>>;

/**
 * Each answers `granted`, `done` or a code. What they need from a vault that works (challenges, a code) they have before they are tried.
 */
export async function attempts(scene: Scene): Promise<Attempts> {
  const { vault, machine, version, waiting, granted, empty, whole } = scene;
  const [alice, bob] = [await vault.as('alice'), await vault.as('bob')];
  const asked = async (by: Machine) => {
    const challenge = await issueChallenge(by.spki, vault.vault);
    const evidence = [await vault.evidenceFor(by, challenge)];
    return { requestId: 'r', namespace: PROD, challengeId: challenge.challengeId, evidence, spki: by.spki, remoteAddress: '198.51.100.7' };
  };
  const wanted = { model: version.model, version: version.versionId, delivery: 'stream' as const, aliasCounter: undefined };
  const stranger = { ...machine, akName: `000b${'6'.repeat(64)}` };
  const [honest, refused, renewal] = [await asked(machine), await asked(stranger), await asked(machine)];
  const { releaseId } = granted.permit;
  return {
    release: () => outcomeOf(release({ ...honest, ...wanted }, vault.vault)),
    'refused release': () => outcomeOf(release({ ...refused, ...wanted }, vault.vault)),
    renewal: () => outcomeOf(renew({ ...renewal, releaseId }, vault.vault)),
    'refused read': () => outcomeOf(vault.open({ ...machine, spki: Uint8Array.of(6) }, granted)),
    read: async () => done(read()),
    challenge: () => done(issueChallenge(machine.spki, vault.vault)),
    login: () => done(vault.login('carol')),
    request: () => done(requestApproval(alice, { kind: 'policy-set', namespace: PROD, counter: 2, policies: {} }, vault.vault)),
    approval: () => done(approve(bob, waiting.requestId, waiting.operationDigest, vault.vault)),
    'new model': () => done(createModel(alice, { namespace: PROD, name: 'heron', class: 'internal' }, vault.vault)),
    'new version': () => done(startVersion(alice, PROD, 'falcon', vault.vault)),
    upload: () => done(upload(vault, empty)),
    finish: async () => done(finish()),
  };

  /** Not a byte may come when it is refused. */
  async function read(): Promise<void> {
    await vault.vault.revocations.refresh().catch(() => undefined);
    const opened = await vault.open(machine, granted);
    if (opened.refused) throw new Error(`refused: ${opened.code}`);
    const reading = opened.read({ start: 0, end: opened.object.size }, new AbortController().signal, () => undefined);
    const first = await reading.next();
    expect(first.done).toBe(false);
    await reading.return();
  }
  async function finish() {
    const objects = await vault.stores.unitOfWork.run((tx) => vault.stores.catalog.objects(tx, whole));
    return finishVersion(alice, { namespace: PROD, versionId: whole }, { class: 'restricted', objects, attributes: {} }, vault.vault);
  }
}

async function done(work: Promise<unknown>): Promise<string> {
  const code = await codeFrom(work);
  return code === 'nothing thrown' ? 'done' : code;
}

/** A refusal that says: ask again later. */
export function retryable(code: string): boolean {
  return isErrorCode(code) && ERROR_CODES[code][1] === 'retry';
}

/** How many rows there are of everything that a refused attempt must not leave behind. */
export function rowsOf(vault: TestVault): Record<string, unknown> {
  const tables = ['log_leaves', 'releases', 'documents', 'sessions', 'approvals', 'models', 'versions', 'uploaded_objects'];
  return Object.fromEntries(tables.map((table) => [table, vault.row(`SELECT count(*) AS n FROM ${table}`)['n']]));
}

/** The same process serves, and what was refused now succeeds; nothing half-written lies about. */
export async function expectWell(scene: Scene): Promise<void> {
  const { vault, bystander, machine, waiting } = scene;
  await bystander.served();
  for (const [name, attempt] of Object.entries(await attempts(scene))) {
    const refusal = new Map([
      ['refused release', 'attester_key_unknown'],
      ['refused read', 'release_key_mismatch'],
    ]).get(name);
    const code = await attempt();
    expect([name, code]).toEqual([name, refusal ?? (code === 'granted' ? 'granted' : 'done')]);
  }
  expect(await outcomeOf(vault.ask({ machine, version: waiting }))).toBe('granted'); // what bob approved
  expect(vault.row('PRAGMA integrity_check')).toEqual({ integrity_check: 'ok' });
  expect(vault.database.prepare('PRAGMA foreign_key_check').all()).toEqual([]);
  expect(readdirSync(join(vault.site.folder, 'blobs', 'tmp'))).toEqual([]);
  await bystander.served();
}
