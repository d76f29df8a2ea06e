/** Lists of who is enrolled: what the signed documents say, for those who may read it, and no secret. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { DEFAULTS } from '../../src/domain/classes.ts';
import { type Namespace, newId, type SubjectId } from '../../src/domain/ids.ts';
import { administrators, requesters } from '../../src/http/admin-plane/answers.ts';
import { listAdministrators, listRequesters } from '../../src/vault/people.ts';
import { codeFrom, PROD, RESEARCH, TestVault } from './test-vault.ts';

let vault: TestVault;
beforeEach(async () => {
  vault = await TestVault.ready();
});
afterEach(() => vault.remove());

const people = async (name = 'alice') => listAdministrators(await vault.as(name), vault.vault);
const machines = async (namespace: Namespace = PROD, after?: string) =>
  listRequesters(await vault.as('alice'), { namespace, after }, vault.vault);

describe('administrators', () => {
  test('are listed with roles, the kind of their authenticator and the number of workstations, and nothing else', async () => {
    const answer = await people();
    expect(answer.administrators.map(({ name }) => name)).toEqual(['alice', 'bob', 'carol']);
    expect(answer.administrators[2]).toEqual({
      administratorId: (await vault.as('carol')).administratorId,
      name: 'carol',
      state: 'active',
      roles: ['reviewer'],
      authenticator: { kind: 'totp' },
      workstations: 1,
    });
    expect(administrators.safeParse(answer).success).toBe(true); // strict: a seed or a workstation's key would fail
  });

  test('a row that names somebody else is document_invalid', async () => {
    await people();
    vault.sql("UPDATE administrators SET name = 'mallory' WHERE name = 'carol'");
    expect(await codeFrom(people())).toBe('document_invalid');
  });
});

describe('requesters', () => {
  test('are listed by name with their attributes, in their namespace only', async () => {
    await vault.machine('gpu-2', { attributes: { fleet: 'staging' } });
    await vault.machine('gpu-1', { attributes: { fleet: 'production', owner: 'us' } });
    await vault.machine('other', { namespace: RESEARCH });
    const answer = await machines();
    expect(answer.requesters).toEqual([
      { subjectId: expect.any(String), name: 'gpu-1', kind: 'tpm2', attributes: { fleet: 'production', owner: 'us' }, blocked: false },
      { subjectId: expect.any(String), name: 'gpu-2', kind: 'tpm2', attributes: { fleet: 'staging' }, blocked: false },
    ]);
    expect(answer.next).toBeUndefined();
    expect(requesters.safeParse(answer).success).toBe(true);
    expect((await machines(RESEARCH)).requesters.map(({ name }) => name)).toEqual(['other']);
    expect((await machines(PROD, 'gpu-1')).requesters.map(({ name }) => name)).toEqual(['gpu-2']);
  });

  test('a long list comes in pages that miss nobody', async () => {
    for (let at = 0; at <= DEFAULTS.listPage; at++) await vault.machine(`gpu-${String(at).padStart(4, '0')}`);
    const first = await machines();
    expect([first.requesters.length, first.next]).toEqual([DEFAULTS.listPage, 'gpu-0499']);
    const second = await machines(PROD, first.next);
    expect(second.requesters.map(({ name }) => name)).toEqual(['gpu-0500']);
    expect(second.next).toBeUndefined();
  });

  test.each([
    ['another name', "UPDATE subjects SET name = 'gpu-9'"],
    ['another namespace', `UPDATE subjects SET namespace = '${RESEARCH}'`],
    ['another id', `UPDATE subjects SET subject_id = '${newId<SubjectId>(new Date(0))}'`],
  ])('a row with %s than what was signed is document_invalid', async (_what, sql) => {
    await vault.machine('gpu-1');
    vault.sql(sql);
    const namespace = sql.includes('namespace =') ? RESEARCH : PROD;
    expect(await codeFrom(machines(namespace))).toBe('document_invalid');
  });
});

test('who may not read the catalogue sees neither, and the refusal is on record', async () => {
  const nobody = { ...(await vault.as('carol')), roles: [] };
  for (const asked of [listAdministrators(nobody, vault.vault), listRequesters(nobody, { namespace: PROD }, vault.vault)]) {
    expect(await codeFrom(asked)).toBe('action_denied');
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'action_denied' });
  }
});
