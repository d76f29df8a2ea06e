import { describe, expect, it } from '@jest/globals';
import { sha256Hex, utf8 } from '../../src/domain/bytes.ts';
import type { AdministratorId, Digest, RequestId } from '../../src/domain/ids.ts';
import type { ApprovalRow } from '../../src/identity/port.ts';
import type { Stores } from '../../src/stores/port.ts';
import { atOnce, digest, freshStores, id, later, NS, type OpenStores, OTHER_NS, timeOf, within } from './stores-under-test.ts';

export function approvalStoreContract(name: string, open: OpenStores): void {
  describe(`ApprovalStore: ${name}`, () => {
    const use = freshStores(open);

    it('gives a request back as it was inserted, also after reopening', async () => {
      const { stores, reopen } = use();
      const row = request(await timeOf(stores));
      await insert(stores, row);
      const again = await reopen();
      expect(await find(again, row.requestId)).toEqual(row);
      expect(await find(again, id<RequestId>())).toBeUndefined();
    });

    it('never overwrites a request', async () => {
      const { stores } = use();
      const row = request(await timeOf(stores));
      await insert(stores, row);
      await expect(insert(stores, { ...row, operation: utf8('{}') })).rejects.toThrow();
      expect(await find(stores, row.requestId)).toEqual(row);
    });

    it('lists pending and unexpired requests of the namespace, oldest first, at most `limit`', async () => {
      const { stores, advance } = use();
      const now = await timeOf(stores);
      const [third, first, second] = [3, 1, 2].map((second) => request(later(now, second), later(now, 60_000)));
      const short = request(later(now, 4), later(now, 10_000));
      const settled = request(now, later(now, 60_000));
      const elsewhere = { ...request(now, later(now, 60_000)), namespace: OTHER_NS };
      for (const row of [third, first, second, short, settled, elsewhere]) if (row) await insert(stores, row);
      await settle(stores, settled.requestId);
      const pending = (limit: number) => within(stores, (tx) => stores.approvals.pending(tx, NS, limit));
      expect(await pending(10)).toEqual([first, second, third, short]);
      expect(await pending(2)).toEqual([first, second]);
      await advance(10_000);
      expect(await pending(10)).toEqual([first, second, third]);
    });

    it('settles a pending request exactly once, whichever way, also after reopening', async () => {
      const { stores, reopen } = use();
      const now = await timeOf(stores);
      const [executed, cancelled] = [request(now), request(now)];
      await insert(stores, executed);
      await insert(stores, cancelled);
      expect(await settle(stores, executed.requestId, 'executed')).toBe(true);
      expect(await settle(stores, cancelled.requestId, 'cancelled')).toBe(true);
      const again = await reopen();
      for (const { requestId } of [executed, cancelled]) {
        expect(await settle(again, requestId, 'executed')).toBe(false);
        expect(await settle(again, requestId, 'cancelled')).toBe(false);
      }
      expect(await find(again, executed.requestId)).toEqual({ ...executed, state: 'executed' });
      expect(await find(again, cancelled.requestId)).toEqual({ ...cancelled, state: 'cancelled' });
      expect(await settle(again, id<RequestId>())).toBe(false);
    });

    it("does not settle a request that expired by the database's time", async () => {
      const { stores, advance } = use();
      const now = await timeOf(stores);
      const row = request(now, later(now, 10_000));
      await insert(stores, row);
      await advance(10_000);
      expect(await settle(stores, row.requestId)).toBe(false);
      expect(await find(stores, row.requestId)).toEqual(row);
    });

    it('settles once of twenty concurrent attempts on two nodes', async () => {
      const { stores, second } = use();
      const nodes = [stores, await second()];
      const row = request(await timeOf(stores));
      await insert(stores, row);
      const settled = await atOnce(20, (index) => settle(nodes[index % 2] ?? stores, row.requestId, index % 3 ? 'executed' : 'cancelled'));
      expect(settled.filter(Boolean)).toHaveLength(1);
    });
  });
}

function request(createdAt: Date, expiresAt: Date = later(createdAt, 3_600_000)): ApprovalRow {
  const operation = utf8(`{"promote":"${id()}"}`);
  return {
    requestId: id<RequestId>(createdAt),
    namespace: NS,
    kind: 'promote',
    operation,
    operationDigest: sha256Hex(operation) as Digest,
    documentDigest: digest(),
    requestedBy: id<AdministratorId>(),
    authenticatorId: 'totp-1',
    workstation: digest(),
    createdAt,
    expiresAt,
    state: 'pending',
  };
}

function insert(stores: Stores, row: ApprovalRow): Promise<void> {
  return within(stores, (tx) => stores.approvals.insert(tx, row));
}

function find(stores: Stores, requestId: RequestId): Promise<ApprovalRow | undefined> {
  return within(stores, (tx) => stores.approvals.request(tx, requestId));
}

function settle(stores: Stores, requestId: RequestId, state: 'executed' | 'cancelled' = 'executed'): Promise<boolean> {
  return within(stores, (tx) => stores.approvals.settle(tx, requestId, state));
}
