/** Enrolling whatever states one fact: who may, under which anchor, once; and that a database writer cannot change who it is. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { pinnedRoots } from '../../src/attestation/pinned-roots.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { type TrustAnchor, workloadAttesterKey } from '../../src/domain/evidence.ts';
import { SYSTEM } from '../../src/domain/ids.ts';
import { enrolledAttester, enrolWorkload } from '../../src/vault/enrol.ts';
import { ANCHOR, codeFrom, PROD, RESEARCH, TestVault } from './test-vault.ts';

const intel: TrustAnchor = {
  kind: 'tdx',
  name: 'Intel SGX Root CA',
  certificate: toBase64(pinnedRoots().find(({ name }) => name === 'intel-sgx-root-ca')?.certificate ?? new Uint8Array(0)),
};
const identity = { fact: 'mrtd', value: 'aa'.repeat(48) };
const guest = { namespace: PROD, name: 'guest-1', attributes: { fleet: 'production' }, kind: 'tdx' as const, identity };

let vault: TestVault;
beforeEach(async () => {
  vault = await TestVault.ready();
  await vault.twoPeople({ kind: 'trust-anchors', namespace: PROD, counter: 2, anchors: [ANCHOR, intel] });
});
afterEach(() => vault.remove());
const enrol = async (over: Partial<typeof guest> = {}, who = 'alice') =>
  enrolWorkload(await vault.as(who), { ...guest, ...over }, vault.vault);
const find = (key: string, namespace = PROD) => vault.stores.unitOfWork.run((tx) => enrolledAttester(namespace, key, tx, vault.vault));

describe('a workload', () => {
  test('is enrolled by one fact, on record, and found by it in its namespace alone', async () => {
    const enrolled = await enrol();
    expect(vault.lastRecord()).toMatchObject({
      type: 'attester.enrolled',
      detail: `guest-1 ${enrolled.subjectId} tdx mrtd ${identity.value}`,
      document: { kind: 'attester' },
    });
    const key = workloadAttesterKey('tdx', identity);
    expect(await find(key)).toMatchObject({ name: 'guest-1', kind: 'tdx', identity, attributes: { fleet: 'production' } });
    expect(await find(key, RESEARCH)).toBeUndefined();
    expect(await find(workloadAttesterKey('nitro', identity))).toBeUndefined();
    expect(await find(workloadAttesterKey('tdx', { ...identity, fact: 'mrOwner' }))).toBeUndefined();
  });

  test('needs an anchor of its kind in this very namespace: endorsement_untrusted, recorded', async () => {
    expect(await codeFrom(enrol({ kind: 'nitro' as 'tdx', identity: { fact: 'pcr0', value: 'aa'.repeat(48) } }))).toBe(
      'endorsement_untrusted',
    );
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'endorsement_untrusted' });
    expect(await codeFrom(enrol({ namespace: RESEARCH }))).toBe('endorsement_untrusted');
  });

  test('of a name or a fact that is enrolled: subject_exists', async () => {
    await enrol();
    expect(await codeFrom(enrol({ identity: { fact: 'mrtd', value: 'bb'.repeat(48) } }))).toBe('subject_exists');
    expect(await codeFrom(enrol({ name: 'guest-2' }))).toBe('subject_exists');
  });

  test("by someone without the role, or in the vault's own namespace, is refused", async () => {
    expect(await codeFrom(enrol({}, 'carol'))).toBe('action_denied');
    expect(await codeFrom(enrol({ namespace: SYSTEM }))).toBe('request_invalid');
  });

  test('whose row a database writer gives to another fact is not what was signed', async () => {
    await enrol();
    const other = workloadAttesterKey('tdx', { fact: 'mrtd', value: 'cc'.repeat(48) });
    vault.sql('UPDATE subjects SET attester_key = ?', other);
    expect(await codeFrom(find(other))).toBe('document_invalid');
  });
});
