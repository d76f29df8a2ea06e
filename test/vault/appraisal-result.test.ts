/** The result of an appraisal, kept beside the record that names it: what was proved, and of a refusal what failed; read by reviewers alone. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sha256Hex } from '../../src/domain/bytes.ts';
import { newId, type RecordId } from '../../src/domain/ids.ts';
import type { Denied } from '../../src/vault/record.ts';
import { readRecord } from '../../src/vault/review.ts';
import { codeFrom, GOOD_VALUE, type Machine, PROD, type Published, TestVault } from './test-vault.ts';

let vault: TestVault;
let machine: Machine;
let version: Published;
beforeAll(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('gpu-1');
  version = await vault.publish('falcon', 'restricted');
});
afterAll(() => vault.remove());

const read = async (recordId: string, who = 'bob') => readRecord(await vault.as(who), recordId as RecordId, undefined, vault.vault);
type Submods = Record<string, Record<string, unknown>>;
async function submodsOf(recordId: string): Promise<Submods> {
  return ((await read(recordId)).result?.['submods'] ?? {}) as Submods;
}
async function denied(asked: Parameters<TestVault['ask']>[0]): Promise<Denied> {
  const answer = await vault.ask(asked);
  if (!answer.refused) throw new Error('it was granted');
  return answer;
}

describe('of a permitted release', () => {
  test('says what was proved, by which reference values and anchors, and is the one the record names', async () => {
    const { permit } = await vault.granted({ machine, version });
    const { leaf, result } = await read(permit.recordId);
    const record = JSON.parse(leaf) as { resultDigest: string; attestation: { evidenceDigest: string; referenceValuesDigest: string } };
    expect(result).toMatchObject({
      'ear.verifier-id': { developer: 'weight-vault' },
      'weight-vault.vault-id': vault.vault.vaultId,
      'weight-vault.evidence-digest': record.attestation.evidenceDigest,
    });
    const { '0-tpm2': quote } = await submodsOf(permit.recordId);
    expect(quote).toMatchObject({
      'ear.status': 'affirming',
      'ear.trustworthiness-vector': { hardware: 2, executables: 3, 'instance-identity': 2 },
      'weight-vault.facts': { firmwareVersion: '1' },
      'weight-vault.reference-values': ['golden'],
      'weight-vault.subject': machine.subjectId,
      'weight-vault.proved': { fresh: true, keyBound: true, hardware: true, tee: false },
    });
    expect(String(quote?.['ear.appraisal-policy-id'])).toContain(record.attestation.referenceValuesDigest);
    expect(String(quote?.['ear.appraisal-policy-id'])).toMatch(/^reference-values \d+ [0-9a-f]{64}, trust-anchors \d+ [0-9a-f]{64}$/);
    const stored = vault.row('SELECT bytes FROM attestation_results WHERE digest = ?', record.resultDigest)['bytes'] as Uint8Array;
    expect(sha256Hex(stored)).toBe(record.resultDigest);
  });
});

describe('of a refused one', () => {
  test('says which claim failed, what was expected and what was seen; the requester is told none of it', async () => {
    const changed = { ...machine, pcrs: { sha256: { '7': 'ee'.repeat(32) } } };
    const { recordId, code } = await denied({ machine: changed, version });
    expect(code).toBe('measurement_mismatch');
    expect(await submodsOf(recordId)).toEqual({
      refused: expect.objectContaining({
        'ear.status': 'warning',
        'weight-vault.reason': 'measurement_mismatch',
        'weight-vault.failed': [{ claim: 'sha256:7', expected: ['07'.repeat(32)], seen: 'ee'.repeat(32) }],
      }),
    });
  });

  test('by what the class demands says that the evidence was good', async () => {
    const { recordId, code } = await denied({ machine, version: await vault.publish('condor', 'critical') });
    expect(code).toBe('class_demands_unmet');
    const { '0-tpm2': quote, refused } = await submodsOf(recordId);
    expect([quote?.['ear.status'], refused?.['ear.status'], refused?.['weight-vault.reason']]).toEqual([
      'affirming',
      'none',
      'class_demands_unmet',
    ]);
  });

  test('before any evidence was looked at has no result', async () => {
    const { recordId } = await denied({ machine, version, challengeId: null });
    expect((await read(recordId)).result).toBeUndefined();
    expect(JSON.parse((await read(recordId)).leaf)).not.toHaveProperty('resultDigest');
  });

  test('with a megabyte where a claim should be stays small', async () => {
    const evidence = [{ kind: 'tpm2', body: { akName: 'x'.repeat(15_000), pcrs: {}, binding: '' } }];
    const { recordId, code } = await denied({ machine, version, evidence });
    expect(code).toBe('attester_key_unknown');
    const { leaf, result } = await read(recordId);
    expect(leaf.length).toBeLessThan(16_384);
    expect(JSON.stringify(result).length).toBeLessThan(4_096);
  });
});

describe('reading a record', () => {
  test('is recorded, and asks for the role', async () => {
    const { permit } = await vault.granted({ machine, version });
    await read(permit.recordId);
    expect(vault.lastRecord()).toMatchObject({ type: 'log.read', detail: `record ${permit.recordId}` });
    await vault.addPerson('dan', ['publisher']);
    expect(await codeFrom(read(permit.recordId, 'dan'))).toBe('action_denied');
  });

  test('that does not exist: record_unknown', async () => {
    expect(await codeFrom(read(newId<RecordId>(vault.clock.now())))).toBe('record_unknown');
  });

  test.each([
    ['altered', 'UPDATE attestation_results SET bytes = CAST(\'{"submods":{}}\' AS BLOB) WHERE digest = ?'],
    ['deleted', 'DELETE FROM attestation_results WHERE digest = ?'],
  ])('whose result was %s: document_invalid', async (_how, sql) => {
    const { permit } = await vault.granted({ machine, version });
    const { resultDigest } = JSON.parse((await read(permit.recordId)).leaf) as { resultDigest: string };
    vault.sql(sql, resultDigest);
    expect(await codeFrom(read(permit.recordId))).toBe('document_invalid');
  });
});

test('reference values that matched are known by when; others never did', async () => {
  const other = { ...GOOD_VALUE, id: 'never' };
  if (other.kind !== 'tpm2') throw new Error('a tpm2 value');
  await vault.granted({ machine, version });
  const last = await vault.stores.unitOfWork.run((tx) => vault.stores.attestation.lastMatched(tx, PROD));
  expect([...last.keys()]).toEqual(['golden']);
});
