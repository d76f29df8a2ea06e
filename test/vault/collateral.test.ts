/** What makers publish: who may bring it in, what is taken, that the newest is used and nothing is replaced. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { pinnedRoots } from '../../src/attestation/pinned-roots.ts';
import type { EvidenceVerifier, IdentifiedCollateral } from '../../src/attestation/port.ts';
import { utf8 } from '../../src/domain/bytes.ts';
import { refuse } from '../../src/domain/evidence.ts';
import { importCollateral, listCollateral } from '../../src/vault/collateral.ts';
import { codeFrom, TestVault } from './test-vault.ts';

let vault: TestVault;
beforeEach(async () => {
  vault = await TestVault.ready();
});
afterEach(() => vault.remove());

const asked: Array<readonly [name: string, roots: number]> = [];
/** Recognizes text like `Milan 2026-11-01`, and believes it when it was given a root. */
const amd: EvidenceVerifier = {
  kind: 'sev-snp',
  verify: async () => refuse('evidence_malformed', ''),
  identifyCollateral(bytes, name, roots): IdentifiedCollateral | undefined {
    asked.push([name, roots.length]);
    const [, key = '', date = ''] = /^(\w+) (\S+)$/.exec(Buffer.from(bytes).toString()) ?? [];
    return key === '' ? undefined : { type: 'amd-crl', key, issuedAt: new Date(date), expiresAt: new Date('2026-12-20T00:00:00Z') };
  },
};
const ports = () => ({ ...vault.vault, verifiers: new Map([...vault.vault.verifiers, ['sev-snp', amd]]) });
const bring = async (text: string, who = 'bob') => importCollateral(await vault.as(who), { name: 'file', bytes: utf8(text) }, ports());
const newest = (key = 'Milan') =>
  vault.stores.unitOfWork.run(async (tx) => {
    const row = await vault.stores.attestation.newestCollateral(tx, 'amd-crl', key);
    return row && Buffer.from(row.bytes).toString();
  });

describe('a publication', () => {
  test('is kept, recorded and listed with the dates of its maker', async () => {
    expect(await bring('Milan 2026-11-01')).toMatchObject({ state: 'added', type: 'amd-crl', key: 'Milan' });
    expect(vault.lastRecord()).toMatchObject({
      type: 'collateral.imported',
      outcome: 'success',
      detail: expect.stringContaining('amd-crl Milan '),
    });
    expect(await listCollateral(await vault.as('bob'), ports())).toMatchObject([
      { type: 'amd-crl', key: 'Milan', issuedAt: new Date('2026-11-01'), expiresAt: new Date('2026-12-20T00:00:00Z') },
    ]);
  });

  test('is judged by the roots of its kind alone', async () => {
    asked.length = 0;
    await bring('Milan 2026-11-01');
    expect(asked).toEqual([['file', pinnedRoots().filter(({ kind }) => kind === 'sev-snp').length]]);
  });

  test('that is older is kept and not used; the same twice is no change and no record', async () => {
    await bring('Milan 2026-11-01');
    expect(await bring('Milan 2026-10-01')).toMatchObject({ state: 'older' });
    expect(await newest()).toBe('Milan 2026-11-01');
    const records = vault.records('collateral.imported').length;
    expect(await bring('Milan 2026-11-01')).toMatchObject({ state: 'known' });
    expect(vault.records('collateral.imported')).toHaveLength(records);
    expect(await bring('Milan 2026-11-02')).toMatchObject({ state: 'added' });
    expect(await newest()).toBe('Milan 2026-11-02');
    expect(await newest('Genoa')).toBeUndefined();
  });

  test('that nobody recognizes is refused: collateral_unknown, nothing kept', async () => {
    expect(await codeFrom(bring('something else entirely'))).toBe('collateral_unknown');
    expect(await codeFrom(importCollateral(await vault.as('bob'), { name: 'x', bytes: utf8('Milan 2026-11-01') }, vault.vault))).toBe(
      'collateral_unknown',
    );
    expect(vault.row('SELECT count(*) AS n FROM collateral')['n']).toBe(0);
  });

  test('is brought in and read by who may', async () => {
    expect(await codeFrom(bring('Milan 2026-11-01', 'carol'))).toBe('action_denied');
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'action_denied' });
    expect(await codeFrom(listCollateral(await vault.as('carol'), ports()))).toBe('action_denied');
  });
});
