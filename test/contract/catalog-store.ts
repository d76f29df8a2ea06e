import { beforeEach, describe, expect, it } from '@jest/globals';
import type { ModelRow } from '../../src/catalog/port.ts';
import { type BlobName, foldPath, type Incarnation, type ModelId, type ObjectPath, type VersionId } from '../../src/domain/ids.ts';
import type { ManifestObject } from '../../src/domain/model.ts';
import {
  bytes,
  digest,
  freshStores,
  id,
  later,
  model,
  NS,
  type OpenStores,
  OTHER_NS,
  SOME_TIME,
  version,
  within,
} from './stores-under-test.ts';

export function catalogStoreContract(name: string, open: OpenStores): void {
  describe(`CatalogStore: ${name}`, () => {
    const use = freshStores(open);

    it('finds a model by namespace and name or id, also after reopening', async () => {
      const { stores, reopen } = use();
      const row = model();
      await within(stores, (tx) => stores.catalog.insertModel(tx, row));
      const again = await reopen();
      expect(await within(again, (tx) => again.catalog.modelByName(tx, NS, row.name))).toEqual(row);
      expect(await within(again, (tx) => again.catalog.model(tx, NS, row.modelId))).toEqual(row);
      expect(await within(again, (tx) => again.catalog.modelByName(tx, OTHER_NS, row.name))).toBeUndefined();
      expect(await within(again, (tx) => again.catalog.model(tx, OTHER_NS, row.modelId))).toBeUndefined();
      expect(await within(again, (tx) => again.catalog.model(tx, NS, id<ModelId>()))).toBeUndefined();
      expect(await within(again, (tx) => again.catalog.modelByName(tx, NS, 'unheard-of'))).toBeUndefined();
    });

    it('rejects model_exists when the name is taken in the namespace, and keeps the first', async () => {
      const { stores } = use();
      const first = model('taken');
      await within(stores, (tx) => stores.catalog.insertModel(tx, first));
      const twice = within(stores, (tx) => stores.catalog.insertModel(tx, { ...model('taken'), class: 'public' }));
      await expect(twice).rejects.toMatchObject({ code: 'model_exists' });
      await within(stores, (tx) => stores.catalog.insertModel(tx, model('taken', OTHER_NS)));
      expect(await within(stores, (tx) => stores.catalog.modelByName(tx, NS, 'taken'))).toEqual(first);
    });

    it('keeps a recovery wrap beside a wrapped DEK, says whose it is, and forgets both when the version is erased', async () => {
      const { stores, reopen } = use();
      const owner = model();
      const [one, two] = [version(owner), version(owner)];
      await within(stores, async (tx) => {
        await stores.catalog.insertModel(tx, owner);
        for (const row of [one, two]) await stores.catalog.insertVersion(tx, row);
        await stores.catalog.putRecoveryWrap(tx, one.versionId, { keyId: 'old', wrapped: bytes(80) });
        await stores.catalog.putRecoveryWrap(tx, one.versionId, { keyId: 'new', wrapped: new Uint8Array([0, 1, 255]) });
      });
      const again = await reopen();
      await within(again, async (tx) => {
        expect(await again.catalog.recoveryWrap(tx, one.versionId)).toEqual({ keyId: 'new', wrapped: new Uint8Array([0, 1, 255]) });
        expect(await again.catalog.recoveryWrap(tx, two.versionId)).toBeUndefined();
        const deks = await again.catalog.wrappedDeks(tx, 10);
        expect(new Map(deks.map((dek) => [dek.versionId, dek.recoveryKeyId]))).toEqual(
          new Map([
            [one.versionId, 'new'],
            [two.versionId, undefined],
          ]),
        );
        expect([await again.catalog.countVersions(tx), await again.catalog.countRecoveryWraps(tx, 'new')]).toEqual([2, 1]);
        await again.catalog.eraseKeys(tx, one.versionId);
        expect((await again.catalog.wrappedDeks(tx, 10)).map(({ versionId }) => versionId)).toEqual([two.versionId]);
        expect(await again.catalog.recoveryWrap(tx, one.versionId)).toBeUndefined();
        expect((await again.catalog.version(tx, NS, one.versionId))?.wrappedDek).toHaveLength(0);
        expect(await again.catalog.countVersions(tx)).toBe(1);
        await again.catalog.putRecoveryWrap(tx, two.versionId, { keyId: 'new', wrapped: bytes(80) });
        await again.catalog.dropRecoveryWraps(tx);
        expect(await again.catalog.recoveryWrap(tx, two.versionId)).toBeUndefined();
      });
    });

    it('keeps the one rewrap job as a whole, also after reopening', async () => {
      const { stores, reopen } = use();
      expect(await within(stores, (tx) => stores.catalog.rewrapJob(tx))).toBeUndefined();
      const counts = { total: 9, done: 3, rewrapped: 2, failed: 1, waiting: 0, keysPerSecond: 200 };
      const times = { startedAt: SOME_TIME, updatedAt: later(SOME_TIME, 1), leaseUntil: later(SOME_TIME, 2) };
      const job = { target: 'system:1', after: id<VersionId>(), ...counts, ...times, holder: id<Incarnation>() };
      await within(stores, (tx) => stores.catalog.putRewrapJob(tx, job));
      const again = await reopen();
      expect(await within(again, (tx) => again.catalog.rewrapJob(tx))).toEqual(job);
      const { after: _, ...rest } = job;
      await within(again, (tx) => again.catalog.putRewrapJob(tx, { ...rest, finishedAt: SOME_TIME }));
      expect(await within(again, (tx) => again.catalog.rewrapJob(tx))).toEqual({ ...rest, finishedAt: SOME_TIME });
    });

    it('lets one maker of keys in at a time, until they are done or their time is over', async () => {
      const { stores } = use();
      const acquire = (maker: string, seconds: number) =>
        within(stores, (tx) => stores.catalog.acquireKeyMaking(tx, maker, later(tx.now, seconds)));
      expect(await acquire('a', 60)).toBe(true);
      expect(await acquire('b', 60)).toBe(false);
      await within(stores, (tx) => stores.catalog.releaseKeyMaking(tx, 'b'));
      expect(await acquire('b', 60)).toBe(false);
      await within(stores, (tx) => stores.catalog.releaseKeyMaking(tx, 'a'));
      expect(await acquire('b', 0)).toBe(true);
      expect(await acquire('a', 60)).toBe(true);
    });

    it('lists models in order of name, at most `limit`, and continues after a name that need not exist', async () => {
      const { stores } = use();
      const rows = ['m-2', 'm.1', 'a', 'z9', 'm-10'].map((name) => model(name));
      for (const row of [...rows, model('b', OTHER_NS)]) await within(stores, (tx) => stores.catalog.insertModel(tx, row));
      const list = async (limit: number, after?: string, namespace = NS) =>
        (await within(stores, (tx) => stores.catalog.models(tx, namespace, limit, after))).map((row) => row.name);
      expect(await list(10)).toEqual(['a', 'm-10', 'm-2', 'm.1', 'z9']); // by bytes
      expect(await list(2)).toEqual(['a', 'm-10']);
      expect(await list(2, 'm-10')).toEqual(['m-2', 'm.1']);
      expect(await list(10, 'm-11')).toEqual(['m-2', 'm.1', 'z9']);
      expect(await list(10, 'z9')).toEqual([]);
      expect(await list(10, undefined, OTHER_NS)).toEqual(['b']);
      expect(await within(stores, (tx) => stores.catalog.models(tx, NS, 1))).toEqual([rows[2]]);
    });

    describe('with a model', () => {
      const falcon: ModelRow = model();
      beforeEach(() => within(use().stores, (tx) => use().stores.catalog.insertModel(tx, falcon)));

      it('gives a version back as it was inserted, also after reopening, and only in its namespace', async () => {
        const { stores, reopen } = use();
        const plain = version(falcon);
        const full = { ...version(falcon), state: 'promoted' as const, versionDigest: digest(), promotionDigest: digest() };
        await within(stores, async (tx) => {
          await stores.catalog.insertVersion(tx, plain);
          await stores.catalog.insertVersion(tx, full);
        });
        const again = await reopen();
        await within(again, async (tx) => {
          expect(await again.catalog.version(tx, NS, plain.versionId)).toEqual(plain);
          expect(await again.catalog.version(tx, NS, plain.versionId)).not.toHaveProperty('versionDigest');
          expect(await again.catalog.version(tx, NS, full.versionId)).toEqual(full);
          expect(await again.catalog.version(tx, OTHER_NS, plain.versionId)).toBeUndefined();
          expect(await again.catalog.version(tx, NS, id<VersionId>())).toBeUndefined();
        });
      });

      it('never overwrites a version', async () => {
        const { stores } = use();
        const row = version(falcon);
        await within(stores, (tx) => stores.catalog.insertVersion(tx, row));
        const again = { ...row, wrappedDek: new Uint8Array(3) };
        await expect(within(stores, (tx) => stores.catalog.insertVersion(tx, again))).rejects.toThrow();
        expect(await within(stores, (tx) => stores.catalog.version(tx, NS, row.versionId))).toEqual(row);
      });

      it('lists versions newest first, at most `limit`, and continues after `before`', async () => {
        const { stores } = use();
        const rows = [3, 1, 4, 0, 2].map((second) => version(falcon, later(SOME_TIME, second * 1000)));
        const twin = version(falcon, later(SOME_TIME, 2000)); // made in the same millisecond as another
        for (const row of [...rows, twin]) await within(stores, (tx) => stores.catalog.insertVersion(tx, row));
        const list = (limit: number, before?: VersionId, of: ModelId = falcon.modelId) =>
          within(stores, (tx) => stores.catalog.versions(tx, NS, of, limit, before));
        const all = await list(10);
        expect(all.map((row) => row.createdAt.getTime() - SOME_TIME.getTime())).toEqual([4000, 3000, 2000, 2000, 1000, 0]);
        expect(await list(2)).toEqual(all.slice(0, 2));
        for (let at = 0; at < all.length; at++) expect(await list(2, all[at]?.versionId)).toEqual(all.slice(at + 1, at + 3));
        expect(await list(10, id<VersionId>())).toEqual([]);
        expect(await list(10, undefined, id<ModelId>())).toEqual([]);
        expect(await within(stores, (tx) => stores.catalog.versions(tx, OTHER_NS, falcon.modelId, 10))).toEqual([]);
      });

      it('gives uploaded objects back whole, in order of the UTF-8 bytes of their path, also after reopening', async () => {
        const { stores, reopen } = use();
        const row = version(falcon);
        const paths = ['b/é', 'b/z', 'Z', 'a', 'b', '\uffee', '\u{1f600}', 'b/10', 'b/9'].map((path) => path as ObjectPath);
        await within(stores, async (tx) => {
          await stores.catalog.insertVersion(tx, row);
          for (const path of paths) expect(await stores.catalog.addObject(tx, row.versionId, foldPath(path), object(path))).toBe(true);
        });
        const ordered = [...paths].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        const again = await reopen();
        expect(await within(again, (tx) => again.catalog.objects(tx, row.versionId))).toEqual(ordered.map(object));
        expect(await within(again, (tx) => again.catalog.objects(tx, id<VersionId>()))).toEqual([]);
      });

      it('answers false, and keeps the first, when the folded path is taken in that version', async () => {
        const { stores } = use();
        const [row, neighbour] = [version(falcon), version(falcon)];
        const [upper, lower] = ['Weights.bin' as ObjectPath, 'weights.bin' as ObjectPath];
        await within(stores, async (tx) => {
          await stores.catalog.insertVersion(tx, row);
          await stores.catalog.insertVersion(tx, neighbour);
          expect(await stores.catalog.addObject(tx, row.versionId, foldPath(upper), object(upper))).toBe(true);
        });
        await within(stores, async (tx) => {
          expect(await stores.catalog.addObject(tx, row.versionId, foldPath(lower), object(lower))).toBe(false);
          expect(await stores.catalog.addObject(tx, neighbour.versionId, foldPath(lower), object(lower))).toBe(true);
          expect(await stores.catalog.objects(tx, row.versionId)).toEqual([object(upper)]);
        });
      });

      it('adds objects only to a version that is uploading', async () => {
        const { stores } = use();
        const row = version(falcon);
        const add = (to: VersionId) => within(stores, (tx) => stores.catalog.addObject(tx, to, 'late', object('late' as ObjectPath)));
        await within(stores, async (tx) => {
          await stores.catalog.insertVersion(tx, row);
          await stores.catalog.quarantine(tx, NS, row.versionId, digest());
        });
        await expect(add(row.versionId)).rejects.toMatchObject({ code: 'version_state_conflict' });
        await expect(add(id<VersionId>())).rejects.toMatchObject({ code: 'version_unknown' });
      });

      it('moves a version from uploading to quarantined to promoted, each once, keeps both digests and drops its uploaded objects', async () => {
        const { stores } = use();
        const [row, neighbour] = [version(falcon), version(falcon)];
        const [manifest, promotion, other] = [digest(), digest(), digest()];
        const path = 'a' as ObjectPath;
        await within(stores, async (tx) => {
          for (const each of [row, neighbour]) {
            await stores.catalog.insertVersion(tx, each);
            await stores.catalog.addObject(tx, each.versionId, path, object(path));
          }
        });
        const catalog = stores.catalog;
        await within(stores, async (tx) => {
          expect(await catalog.promote(tx, NS, row.versionId, promotion)).toBe(false); // still uploading
          expect(await catalog.quarantine(tx, OTHER_NS, row.versionId, manifest)).toBe(false);
          expect(await catalog.quarantine(tx, NS, row.versionId, manifest)).toBe(true);
          expect(await catalog.quarantine(tx, NS, row.versionId, other)).toBe(false);
          expect(await catalog.objects(tx, row.versionId)).toEqual([]);
          expect(await catalog.objects(tx, neighbour.versionId)).toEqual([object(path)]);
          expect(await catalog.version(tx, NS, row.versionId)).toEqual({ ...row, state: 'quarantined', versionDigest: manifest });
        });
        await within(stores, async (tx) => {
          expect(await catalog.promote(tx, OTHER_NS, row.versionId, promotion)).toBe(false);
          expect(await catalog.promote(tx, NS, row.versionId, promotion)).toBe(true);
          expect(await catalog.promote(tx, NS, row.versionId, other)).toBe(false);
          expect(await catalog.quarantine(tx, NS, row.versionId, other)).toBe(false);
          const promoted = { ...row, state: 'promoted', versionDigest: manifest, promotionDigest: promotion };
          expect(await catalog.version(tx, NS, row.versionId)).toEqual(promoted);
          expect(await catalog.version(tx, NS, neighbour.versionId)).toEqual(neighbour);
          expect(await catalog.quarantine(tx, NS, id<VersionId>(), other)).toBe(false);
        });
      });

      it('promotes once when two nodes promote at the same time', async () => {
        const { stores, second } = use();
        const nodes = [stores, await second()];
        const row = version(falcon);
        await within(stores, async (tx) => {
          await stores.catalog.insertVersion(tx, row);
          await stores.catalog.quarantine(tx, NS, row.versionId, digest());
        });
        const promote = (node: typeof stores) => within(node, (tx) => node.catalog.promote(tx, NS, row.versionId, digest()));
        const promoted = await Promise.all([...nodes, ...nodes].map(promote));
        expect(promoted.filter(Boolean)).toHaveLength(1);
      });
    });
  });
}

/** The same path always makes the same object. */
function object(path: ObjectPath): ManifestObject {
  const units = [
    { ciphertextSha256: digest(`${path} 0`) as string as BlobName, bytes: 67_110_912 },
    { ciphertextSha256: digest(`${path} 1`) as string as BlobName, bytes: 17 },
  ];
  return { path, size: 2 ** 40 + 5, sha256: digest(path), header: 'AAEC', units };
}
