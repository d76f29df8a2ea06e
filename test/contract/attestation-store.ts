/** What any AttestationStore must do. */
import { describe, expect, it } from '@jest/globals';
import type { CollateralRow } from '../../src/attestation/kept/port.ts';
import type { Digest } from '../../src/domain/ids.ts';
import { bytes, digest, freshStores, later, NS, type OpenStores, OTHER_NS, SOME_TIME, timeOf, within } from './stores-under-test.ts';

export function attestationStoreContract(name: string, open: OpenStores): void {
  describe(`AttestationStore: ${name}`, () => {
    const use = freshStores(open);

    it('keeps a result byte by byte, also after reopening, and the first under its digest', async () => {
      const { stores, reopen } = use();
      const [key, first] = [digest(), bytes(5_000)];
      await within(stores, (tx) => stores.attestation.putResult(tx, key, first));
      await within(stores, (tx) => stores.attestation.putResult(tx, key, bytes(10)));
      const again = await reopen();
      expect(await within(again, (tx) => again.attestation.result(tx, key))).toEqual(first);
      expect(await within(again, (tx) => again.attestation.result(tx, digest()))).toBeUndefined();
    });

    it('forgets a result whose transaction failed', async () => {
      const { stores } = use();
      const key = digest();
      const failing = within(stores, async (tx) => {
        await stores.attestation.putResult(tx, key, bytes(3));
        throw new Error('undone');
      });
      await expect(failing).rejects.toThrow('undone');
      expect(await within(stores, (tx) => stores.attestation.result(tx, key))).toBeUndefined();
    });

    it('knows when a reference value last matched, by namespace and to the hour', async () => {
      const { stores, advance } = use();
      const note = (...ids: string[]) => within(stores, (tx) => stores.attestation.noteMatched(tx, NS, ids));
      const last = (namespace = NS) => within(stores, (tx) => stores.attestation.lastMatched(tx, namespace));
      const start = await timeOf(stores);
      await note('a', 'b');
      await advance(3_000_000);
      await note('a');
      expect(((await last()).get('a')?.getTime() ?? 0) - start.getTime()).toBeLessThan(3_000_000);
      await advance(3_000_000);
      await note('a');
      expect(((await last()).get('a')?.getTime() ?? 0) - start.getTime()).toBeGreaterThanOrEqual(6_000_000);
      expect([...(await last()).keys()].sort()).toEqual(['a', 'b']);
      expect((await last(OTHER_NS)).size).toBe(0);
    });

    describe('collateral', () => {
      const row = (over: Partial<CollateralRow> = {}): CollateralRow => ({
        type: 'amd-crl',
        key: 'Milan',
        bytes: bytes(40),
        digest: digest(),
        issuedAt: SOME_TIME,
        expiresAt: later(SOME_TIME, 1_000),
        importedAt: SOME_TIME,
        ...over,
      });

      it('comes back whole, and without an end when it has none', async () => {
        const { stores, reopen } = use();
        const [list, certificate] = [row(), row({ type: 'amd-chain', key: 'Milan/VCEK', expiresAt: undefined })];
        for (const one of [list, certificate]) expect(await within(stores, (tx) => stores.attestation.putCollateral(tx, one))).toBe(true);
        const again = await reopen();
        expect(await within(again, (tx) => again.attestation.newestCollateral(tx, 'amd-crl', 'Milan'))).toEqual(list);
        const { expiresAt: _, ...endless } = certificate;
        expect(await within(again, (tx) => again.attestation.newestCollateral(tx, 'amd-chain', 'Milan/VCEK'))).toEqual(endless);
        for (const [type, key] of [
          ['amd-crl', 'milan'],
          ['amd-crl', 'Genoa'],
          ['x509-crl', 'Milan'],
        ] as const) {
          expect(await within(again, (tx) => again.attestation.newestCollateral(tx, type, key))).toBeUndefined();
        }
      });

      it('is the one its maker issued last, in whatever order they came; the same bytes come once', async () => {
        const { stores } = use();
        const [old, now] = [row(), row({ issuedAt: later(SOME_TIME, 500), importedAt: later(SOME_TIME, -500) })];
        for (const one of [now, old]) await within(stores, (tx) => stores.attestation.putCollateral(tx, one));
        expect(await within(stores, (tx) => stores.attestation.newestCollateral(tx, 'amd-crl', 'Milan'))).toEqual(now);
        const again = { ...old, issuedAt: later(SOME_TIME, 900), digest: old.digest as Digest };
        expect(await within(stores, (tx) => stores.attestation.putCollateral(tx, again))).toBe(false);
        expect(await within(stores, (tx) => stores.attestation.newestCollateral(tx, 'amd-crl', 'Milan'))).toEqual(now);
      });

      it('is listed once for each type and key, without its bytes', async () => {
        const { stores } = use();
        const [old, now, other] = [row(), row({ issuedAt: later(SOME_TIME, 500) }), row({ type: 'tdx-collateral', key: 'b0c06f000000' })];
        for (const one of [now, old, other]) await within(stores, (tx) => stores.attestation.putCollateral(tx, one));
        const listed = await within(stores, (tx) => stores.attestation.listCollateral(tx));
        const { bytes: _1, ...first } = now;
        const { bytes: _2, ...second } = other;
        expect(listed).toEqual([first, second]);
      });
    });
  });
}
