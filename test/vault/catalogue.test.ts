/** What administrators see of models: by pages, as the signed documents say, and no more than their roles let them. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ObjectPath, VersionId } from '../../src/domain/ids.ts';
import { listModels, listVersions } from '../../src/vault/catalogue.ts';
import { createModel, putObject, startVersion, uploadedObjects } from '../../src/vault/publish.ts';
import { chunksOf, codeFrom, marker, PROD, type Published, RESEARCH, TestVault } from './test-vault.ts';

let vault: TestVault;
let falcon: Published;
beforeAll(async () => {
  vault = await TestVault.ready();
  falcon = await vault.publish('falcon', 'restricted', { a: marker(10), b: marker(20) });
  for (const name of ['llama', 'zephyr', 'a-small-one']) {
    await createModel(await vault.as('alice'), { namespace: PROD, name, class: 'internal' }, vault.vault);
  }
});
afterAll(() => vault.remove());

const models = async (page: { limit: number; after?: string }, namespace = PROD) =>
  listModels(await vault.as('alice'), namespace, page, vault.vault);
const versions = async (name: string, page: { limit: number; before?: VersionId } = { limit: 10 }) =>
  listVersions(await vault.as('alice'), PROD, name, page, vault.vault);

describe('models', () => {
  test('come by name, page by page, each with its newest version', async () => {
    const first = await models({ limit: 2 });
    expect(first).toMatchObject({
      models: [
        { name: 'a-small-one', class: 'internal' },
        { name: 'falcon', newest: { versionId: falcon.versionId, state: 'promoted' } },
      ],
      next: 'falcon',
    });
    expect(first.models[0]).not.toHaveProperty('newest');
    const second = await models({ limit: 3, after: 'falcon' });
    expect([second.models.map(({ name }) => name), second]).toEqual([
      ['llama', 'zephyr'],
      expect.not.objectContaining({ next: expect.anything() }),
    ]);
    expect(await models({ limit: 2 }, RESEARCH)).toEqual({ models: [] });
  });
});

describe('versions', () => {
  test('say what their signed manifest and promotion say', async () => {
    const { versions: all, class: now } = await versions('falcon');
    expect([now, all]).toMatchObject([
      'restricted',
      [
        {
          versionId: falcon.versionId,
          class: 'restricted',
          files: 2,
          bytes: 30,
          attributes: {},
          promoted: { by: ['alice', expect.any(String)] },
        },
      ],
    ]);
  });

  test('come newest first, page by page', async () => {
    const started: string[] = [];
    for (let one = 0; one < 3; one++) {
      vault.clock.advance(1);
      started.unshift((await startVersion(await vault.as('alice'), PROD, 'llama', vault.vault)).versionId);
    }
    const first = await versions('llama', { limit: 2 });
    expect(first.versions).toMatchObject([{ versionId: started[0], state: 'uploading', class: 'internal' }, { versionId: started[1] }]);
    expect(first.next).toBe(started[1]);
    const second = await versions('llama', { limit: 2, before: first.next as VersionId });
    expect([second.versions.map(({ versionId }) => versionId), second.next]).toEqual([[started[2]], undefined]);
  });

  test('of no model is model_unknown', async () => {
    expect(await codeFrom(versions('nothing'))).toBe('model_unknown');
  });
});

describe('an upload that broke off', () => {
  test('shows what has arrived whole, and nothing of what has not', async () => {
    const { versionId } = await startVersion(await vault.as('alice'), PROD, 'zephyr', vault.vault);
    const put = async (path: string, body: AsyncIterable<Uint8Array>) =>
      putObject(await vault.as('alice'), { namespace: PROD, versionId, path: path as ObjectPath }, body, vault.vault);
    const whole = await put('whole', chunksOf(marker(100)));
    const broken = (async function* () {
      yield marker(100);
      throw new Error('the connection broke');
    })();
    await expect(put('broken', broken)).rejects.toThrow('the connection broke');
    const { path, size, sha256 } = whole;
    const target = { namespace: PROD, versionId };
    const left = { versionId, model: 'zephyr', class: 'internal', objects: [{ path, size, sha256 }] };
    expect(await uploadedObjects(await vault.as('alice'), target, vault.vault)).toEqual(left);
    await put('broken', chunksOf(marker(100))); // its path is still free
    expect((await uploadedObjects(await vault.as('alice'), target, vault.vault)).objects).toHaveLength(2);
  });

  test('is only for who may publish, and only while it lasts', async () => {
    const target = { namespace: PROD, versionId: falcon.versionId };
    expect(await codeFrom(uploadedObjects(await vault.as('alice'), target, vault.vault))).toBe('version_state_conflict');
    expect(await codeFrom(uploadedObjects(await vault.as('alice'), { ...target, namespace: RESEARCH }, vault.vault))).toBe(
      'version_unknown',
    );
    await vault.addPerson('reader', ['approver']);
    expect(await codeFrom(uploadedObjects(await vault.as('reader'), target, vault.vault))).toBe('action_denied');
  });
});

test('parallel uploads of alike and different files into one version all arrive', async () => {
  const { versionId } = await startVersion(await vault.as('alice'), PROD, 'a-small-one', vault.vault);
  const alice = await vault.as('alice');
  const same = marker(5_000);
  const puts = Array.from({ length: 50 }, (_, file) =>
    putObject(
      alice,
      { namespace: PROD, versionId, path: `f-${file}` as ObjectPath },
      chunksOf(file % 2 ? same : marker(1000 + file)),
      vault.vault,
    ),
  );
  expect(new Set((await Promise.all(puts)).filter((_, file) => file % 2).map(({ sha256 }) => sha256)).size).toBe(1);
  expect((await uploadedObjects(alice, { namespace: PROD, versionId }, vault.vault)).objects).toHaveLength(50);
});

test('publishers who create one model at once all get the same one', async () => {
  const alice = await vault.as('alice');
  const made = await Promise.all(
    Array.from({ length: 8 }, () => createModel(alice, { namespace: PROD, name: 'at-once', class: 'internal' }, vault.vault)),
  );
  expect(new Set(made.map(({ modelId }) => modelId)).size).toBe(1);
});

test('a version whose document was altered says so, and hides no other', async () => {
  vault.dropTriggers();
  vault.clock.advance(1); // of two of one millisecond neither is the newer one
  const other = await vault.publish('falcon', 'restricted', { c: marker(5) });
  vault.sql('UPDATE documents SET bytes = zeroblob(10) WHERE digest = ?', other.versionDigest);
  // A fresh node has nothing in its cache that it verified before.
  const node = await vault.addNode();
  const alice = await vault.actor('alice', node);
  const { versions: all } = await listVersions(alice, PROD, 'falcon', { limit: 10 }, node.vault);
  expect(all).toMatchObject([
    { versionId: other.versionId, problem: 'document_invalid' },
    { versionId: falcon.versionId, files: 2 },
  ]);
  expect(all[0]).not.toHaveProperty('files');
});
