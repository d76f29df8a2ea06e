/** Publishing: what arrives is exactly what was announced, nothing of it is stored in clear, and it leaves quarantine as its class demands. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ClassName } from '../../src/domain/classes.ts';
import { type Digest, newId, type ObjectPath, SYSTEM, type VersionId } from '../../src/domain/ids.ts';
import type { ManifestObject } from '../../src/domain/model.ts';
import { requestApproval } from '../../src/vault/approve.ts';
import { type AnnouncedObject, createModel, finishVersion, putObject, startVersion } from '../../src/vault/publish.ts';
import { chunksOf, codeFrom, type Machine, marker, PROD, RESEARCH, TestVault } from './test-vault.ts';

let vault: TestVault;
let machine: Machine;
beforeAll(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('gpu-1');
});
afterAll(() => vault.remove());

const path = (text: string) => text as ObjectPath;
let count = 0;

async function start(classOf: ClassName = 'internal'): Promise<VersionId> {
  const name = `model-${count++}`;
  await createModel(await vault.as('alice'), { namespace: PROD, name, class: classOf }, vault.vault);
  return (await startVersion(await vault.as('alice'), PROD, name, vault.vault)).versionId;
}
const put = async (versionId: VersionId, at: string, bytes: Uint8Array = marker(100)) =>
  putObject(await vault.as('alice'), { namespace: PROD, versionId, path: path(at) }, chunksOf(bytes), vault.vault);
const finish = async (versionId: VersionId, objects: readonly AnnouncedObject[], classOf: ClassName = 'internal') =>
  finishVersion(await vault.as('alice'), { namespace: PROD, versionId }, { class: classOf, objects, attributes: {} }, vault.vault);
const announced = ({ path: at, size, sha256 }: ManifestObject): AnnouncedObject => ({ path: at, size, sha256 });

function storedFiles(folder = vault.site.folder): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((name) => statSync(name).isFile());
}

describe('an upload', () => {
  test.each<[string, (object: AnnouncedObject) => AnnouncedObject[]]>([
    ['another digest', (object) => [{ ...object, sha256: 'a'.repeat(64) as Digest }]],
    ['another size', (object) => [{ ...object, size: object.size + 1 }]],
    ['another path', (object) => [{ ...object, path: path('other.bin') }]],
    ['one object too few', () => []],
    ['one object too many', (object) => [object, { ...object, path: path('other.bin') }]],
  ])('announced with %s is refused, and can still be finished rightly', async (_what, make) => {
    const versionId = await start();
    const object = announced(await put(versionId, 'weights.bin'));
    expect(await codeFrom(finish(versionId, make(object)))).toBe('digest_mismatch');
    expect((await finish(versionId, [object])).approval.state).toBe('executed');
  });

  test('of nothing is no version', async () => {
    expect(await codeFrom(finish(await start(), []))).toBe('digest_mismatch');
  });

  test.each([
    ['weights.bin', 'weights.bin'],
    ['weights.bin', 'WEIGHTS.bin'],
    ['stra\u00dfe', 'STRASSE'],
    ['\ufb01le', 'file'], // the ligature fi
    ['\u212belvin', '\u00e5elvin'], // Angstrom sign
  ])('of "%s" and "%s", which are one file somewhere, is refused: object_exists', async (first, second) => {
    const versionId = await start();
    await put(versionId, first);
    expect(await codeFrom(put(versionId, second))).toBe('object_exists');
  });

  test('of "a" and "A/b" is refused: no file system holds both', async () => {
    const versionId = await start();
    const objects = [await put(versionId, 'a'), await put(versionId, 'A/b')];
    expect(await codeFrom(finish(versionId, objects.map(announced)))).toBe('path_invalid');
  });

  test('of the same path twice at once keeps one', async () => {
    const versionId = await start();
    const answers = await Promise.all([codeFrom(put(versionId, 'a')), codeFrom(put(versionId, 'a')), codeFrom(put(versionId, 'A'))]);
    expect(answers.sort()).toEqual(['nothing thrown', 'object_exists', 'object_exists']);
  });

  test('that breaks off leaves no object behind', async () => {
    const versionId = await start();
    const broken = (async function* () {
      yield marker(1000);
      throw new Error('the connection broke');
    })();
    const target = { namespace: PROD, versionId, path: path('weights.bin') };
    await expect(putObject(await vault.as('alice'), target, broken, vault.vault)).rejects.toThrow('the connection broke');
    expect(vault.row('SELECT count(*) AS n FROM uploaded_objects WHERE version_id = ?', versionId)['n']).toBe(0);
  });

  test('to a version of another namespace, or of none, is version_unknown', async () => {
    const versionId = await start();
    const alice = await vault.as('alice');
    for (const target of [
      { namespace: RESEARCH, versionId, path: path('a') },
      { namespace: PROD, versionId: newId<VersionId>(vault.clock.now()), path: path('a') },
    ])
      expect(await codeFrom(putObject(alice, target, chunksOf(marker(1)), vault.vault))).toBe('version_unknown');
  });
});

describe('a finished version', () => {
  test('never changes: no object more, not finished again, not promoted again', async () => {
    const versionId = await start();
    const object = announced(await put(versionId, 'weights.bin'));
    const { versionDigest } = await finish(versionId, [object]);
    expect(await codeFrom(put(versionId, 'more.bin'))).toBe('version_state_conflict');
    expect(await codeFrom(finish(versionId, [object]))).toBe('version_state_conflict');
    const { modelId } = await vault.stores.unitOfWork.run(
      async (tx) => (await vault.stores.catalog.version(tx, PROD, versionId)) ?? { modelId: '' },
    );
    const again = { kind: 'promote', namespace: PROD, modelId, versionId, versionDigest, class: 'internal' } as Parameters<
      typeof requestApproval
    >[1];
    expect(await codeFrom(requestApproval(await vault.as('alice'), again, vault.vault))).toBe('version_state_conflict');
  });

  test('finished by two at once is finished once', async () => {
    const versionId = await start('restricted');
    const object = announced(await put(versionId, 'weights.bin'));
    const published = vault.records('version.published').length;
    const answers = await Promise.all([1, 2, 3].map(() => codeFrom(finish(versionId, [object], 'restricted'))));
    expect(answers.filter((answer) => answer === 'nothing thrown')).toHaveLength(1);
    expect(vault.records('version.published').length - published).toBe(1);
  });

  test.each(['public', 'internal'] as const)('of class %s is released after one person', async (classOf) => {
    const version = await vault.upload(`one-${classOf}`, classOf);
    expect((await vault.ask({ machine, version })).refused).toBe(false);
    expect(vault.records('version.promoted').at(-1)).toMatchObject({ object: { versionId: version.versionId } });
  });

  test('of class restricted needs a second one', async () => {
    const version = await vault.upload('two', 'restricted');
    vault.expectDenied(await vault.ask({ machine, version }), 'version_quarantined');
    await vault.approve('bob', version);
    expect((await vault.ask({ machine, version })).refused).toBe(false);
  });

  test('of another class than its model is refused', async () => {
    const versionId = await start('restricted');
    const object = announced(await put(versionId, 'weights.bin'));
    expect(await codeFrom(finish(versionId, [object], 'public'))).toBe('model_exists');
  });
});

describe('a model', () => {
  test('of that name and class is the same one; of another class it is refused', async () => {
    const alice = await vault.as('alice');
    const make = (classOf: ClassName) => createModel(alice, { namespace: PROD, name: 'twice', class: classOf }, vault.vault);
    expect((await make('restricted')).modelId).toBe((await make('restricted')).modelId);
    expect(await codeFrom(make('public'))).toBe('model_exists');
    expect(vault.records('model.created').filter(({ object }) => JSON.stringify(object).includes('twice'))).toHaveLength(1);
  });

  test("is not made in the vault's own namespace", async () => {
    expect(await codeFrom(createModel(await vault.as('alice'), { namespace: SYSTEM, name: 'x', class: 'public' }, vault.vault))).toBe(
      'request_invalid',
    );
  });

  test('is not made, filled or finished by someone without the role: action_denied, recorded', async () => {
    const carol = await vault.as('carol');
    const versionId = await start();
    const target = { namespace: PROD, versionId, path: path('a') };
    for (const attempt of [
      () => createModel(carol, { namespace: PROD, name: 'x', class: 'public' }, vault.vault),
      () => startVersion(carol, PROD, 'twice', vault.vault),
      () => putObject(carol, target, chunksOf(marker(1)), vault.vault),
      () => finishVersion(carol, target, { class: 'internal', objects: [], attributes: {} }, vault.vault),
    ]) {
      expect(await codeFrom(attempt())).toBe('action_denied');
      expect(vault.lastRecord()).toMatchObject({
        type: 'admin.denied',
        reason: 'action_denied',
        actor: { administratorId: carol.administratorId },
      });
    }
  });
});

describe('what is stored', () => {
  test('holds nothing of the plaintext, in any file', async () => {
    const text = marker(3 << 20, 'VERY-SECRET-WEIGHTS-');
    await vault.publish('secret', 'restricted', { 'weights.bin': text });
    const files = storedFiles();
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) expect(readFileSync(file).includes('VERY-SECRET-WEIGHTS')).toBe(false);
  });

  test('of the same content twice, in one version and in two, has nothing in common', async () => {
    const text = marker(5000);
    const versionId = await start();
    const [a, b] = [await put(versionId, 'a.bin', text), await put(versionId, 'b.bin', text)];
    const c = await put(await start(), 'a.bin', text);
    expect(new Set([a, b, c].map(({ sha256 }) => sha256)).size).toBe(1);
    expect(new Set([a, b, c].map(({ units }) => units[0]?.ciphertextSha256)).size).toBe(3);
    expect(new Set([a, b, c].map(({ header }) => header)).size).toBe(3);
    const [first, second] = [a, b].map(({ units }) => {
      const name = units[0]?.ciphertextSha256 ?? '';
      return readFileSync(join(vault.site.folder, 'blobs', name.slice(0, 2), name.slice(2, 4), name));
    });
    const same = [...(first ?? [])].filter((byte, at) => byte === second?.[at]).length;
    expect(same).toBeLessThan(200); // about 5100 / 256 by chance, and the parameters
  });
});
