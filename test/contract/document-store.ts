import { describe, expect, it } from '@jest/globals';
import { DOCUMENT_KINDS, type SignedDocument, type Slot, type SlotKind } from '../../src/documents/port.ts';
import { sha256Hex, utf8 } from '../../src/domain/bytes.ts';
import type { Digest, Namespace } from '../../src/domain/ids.ts';
import type { Stores } from '../../src/stores/port.ts';
import { atOnce, bytes, digest, freshStores, NS, type OpenStores, OTHER_NS, within } from './stores-under-test.ts';

export function documentStoreContract(name: string, open: OpenStores): void {
  describe(`DocumentStore: ${name}`, () => {
    const use = freshStores(open);

    it('keeps a document of every kind, byte by byte, also after reopening', async () => {
      const { stores, reopen } = use();
      const documents = DOCUMENT_KINDS.map((kind) => document(`{"kind":"${kind}","é":"\u0000"}`, kind));
      await within(stores, async (tx) => {
        for (const each of documents) await stores.documents.put(tx, each);
      });
      const again = await reopen();
      for (const each of documents) expect(await within(again, (tx) => again.documents.get(tx, each.digest))).toEqual(each);
      expect(await within(again, (tx) => again.documents.get(tx, digest()))).toBeUndefined();
    });

    it('changes nothing when the same digest is put again', async () => {
      const { stores } = use();
      const first = document('{"a":1}');
      await within(stores, (tx) => stores.documents.put(tx, first));
      await within(stores, (tx) => stores.documents.put(tx, first));
      await within(stores, (tx) => stores.documents.put(tx, { ...first, signature: bytes(64), bytes: utf8('{"a":2}') }));
      expect(await within(stores, (tx) => stores.documents.get(tx, first.digest))).toEqual(first);
    });

    it('has nothing in force in an empty slot', async () => {
      const { stores } = use();
      expect(await within(stores, (tx) => stores.documents.current(tx, NS, 'policy-set'))).toBeUndefined();
    });

    it('points a slot from 0 to 1 to 2 and refuses every other counter', async () => {
      const { stores } = use();
      const [first, next] = await held(stores, '1', '2');
      expect(await point(stores, first, 2)).toBe(false); // an empty slot counts as 0
      expect(await point(stores, first, 1)).toBe(true);
      expect(await point(stores, next, 1)).toBe(false);
      expect(await point(stores, next, 3)).toBe(false);
      expect(await current(stores)).toEqual({ digest: first, counter: 1 });
      expect(await point(stores, next, 2)).toBe(true);
      expect(await point(stores, first, 1)).toBe(false); // never back
      expect(await current(stores)).toEqual({ digest: next, counter: 2 });
    });

    it('keeps slots and namespaces apart, also after reopening', async () => {
      const { stores, reopen } = use();
      const [a, b, c] = await held(stores, 'a', 'b', 'c');
      await point(stores, a, 1);
      await point(stores, b, 1, NS, 'reference-values');
      await point(stores, c, 1, OTHER_NS);
      const again = await reopen();
      expect(await current(again)).toEqual({ digest: a, counter: 1 });
      expect(await current(again, NS, 'reference-values')).toEqual({ digest: b, counter: 1 });
      expect(await current(again, OTHER_NS)).toEqual({ digest: c, counter: 1 });
      expect(await current(again, NS, 'trust-anchors')).toBeUndefined();
    });

    it('lists the slots of a kind with their items, and of no other kind', async () => {
      const { stores } = use();
      const [a, b, c, d] = await held(stores, 'a', 'b', 'c', 'd');
      await point(stores, a, 1, OTHER_NS, 'key-ring');
      await point(stores, b, 1, NS, 'alias:m:prod');
      await point(stores, c, 1, NS, 'alias:m:canary');
      await point(stores, d, 1, NS, 'key-ring');
      const slots = (kind: SlotKind) => within(stores, (tx) => stores.documents.slots(tx, kind));
      expect(await slots('key-ring')).toEqual([{ namespace: NS }, { namespace: OTHER_NS }]);
      expect(await slots('alias')).toEqual([
        { namespace: NS, item: 'm:canary' },
        { namespace: NS, item: 'm:prod' },
      ]);
      expect(await slots('class-change')).toEqual([]);
    });

    it('pages through all documents, or those of a kind, and replaces a signature and nothing else', async () => {
      const { stores } = use();
      const documents = [document('1'), document('2', 'lift'), document('3')];
      await within(stores, async (tx) => {
        for (const each of documents) await stores.documents.put(tx, each);
      });
      const sorted = documents.toSorted((one, other) => (one.digest < other.digest ? -1 : 1));
      const page = (limit: number, after?: Digest, kind?: SignedDocument['kind']) =>
        within(stores, (tx) => stores.documents.page(tx, limit, after, kind));
      expect(await page(2)).toEqual(sorted.slice(0, 2));
      expect(await page(2, sorted[1]?.digest)).toEqual(sorted.slice(2));
      expect(await page(9, undefined, 'lift')).toEqual([documents[1]]);
      const [first] = sorted;
      if (first === undefined) throw new Error('three were put');
      const signature = bytes(64);
      await within(stores, (tx) => stores.documents.resign(tx, first.digest, signature));
      expect(await page(1)).toEqual([{ ...first, signature }]);
    });

    it('lets exactly one of many concurrent changes win, on two nodes', async () => {
      const { stores, second } = use();
      const nodes = [stores, await second()];
      const digests = await held(stores, ...Array.from({ length: 20 }, (_, index) => `${index}`));
      for (const counter of [1, 2]) {
        const won = await atOnce(20, (index) => point(nodes[index % 2] ?? stores, digests[index] ?? digest(), counter));
        expect(won.filter(Boolean)).toHaveLength(1);
        expect(await current(stores)).toEqual({ digest: digests[won.indexOf(true)], counter });
      }
    });
  });
}

function document(text: string, kind: SignedDocument['kind'] = 'policy-set'): SignedDocument {
  const content = utf8(text);
  return { kind, digest: sha256Hex(content) as Digest, bytes: content, signature: bytes(64) };
}

/** Digests of documents that the store holds. */
async function held<const T extends readonly string[]>(stores: Stores, ...texts: T): Promise<{ [K in keyof T]: Digest }> {
  const documents = texts.map((text) => document(`{"text":"${text}"}`));
  await within(stores, async (tx) => {
    for (const each of documents) await stores.documents.put(tx, each);
  });
  return documents.map((each) => each.digest) as { [K in keyof T]: Digest }; // map keeps the length
}

function point(stores: Stores, to: Digest, counter: number, namespace: Namespace = NS, slot: Slot = 'policy-set'): Promise<boolean> {
  return within(stores, (tx) => stores.documents.point(tx, namespace, slot, { digest: to, counter }));
}

function current(stores: Stores, namespace: Namespace = NS, slot: Slot = 'policy-set') {
  return within(stores, (tx) => stores.documents.current(tx, namespace, slot));
}
