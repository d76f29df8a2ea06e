/** Setting up an authenticator: from the person's own workstation, once, and out of reach for whoever writes the database. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { generate } from 'otplib';
import { type AdministratorId, newId, SYSTEM } from '../../src/domain/ids.ts';
import { requestApproval } from '../../src/vault/approve.ts';
import { beginClaim, confirmClaim } from '../../src/vault/claim.ts';
import { login } from '../../src/vault/login.ts';
import type { SetAdministrator } from '../../src/vault/operations/operation.ts';
import { codeFrom, TestVault, workstationOf } from './test-vault.ts';

let vault: TestVault;
let administratorId: AdministratorId;
const dave = (over: Partial<SetAdministrator> = {}): SetAdministrator => ({
  kind: 'administrator',
  namespace: SYSTEM,
  counter: 1,
  administratorId,
  name: 'dave',
  state: 'active',
  roles: ['publisher'],
  workstations: [workstationOf('dave'), workstationOf('dave at home')],
  authenticator: 'reset',
  ...over,
});
beforeEach(async () => {
  vault = await TestVault.make();
  administratorId = newId<AdministratorId>(vault.clock.now());
  await vault.twoPeople(dave());
});
afterEach(() => vault.remove());

const attempt = (from = 'dave', administrator = 'dave') => ({
  administrator,
  workstation: workstationOf(from),
  requestId: 'claim',
  remoteAddress: '192.0.2.1',
});
const begin = async (from?: string, name?: string, node = vault.node) => {
  const { uri } = await beginClaim(attempt(from, name), node.vault);
  return new URL(uri).searchParams.get('secret') ?? '';
};
const codeOf = (seed: string) => generate({ secret: seed, epoch: Math.floor(vault.clock.now().getTime() / 1000) });
const confirm = async (code: string, from?: string, node = vault.node) => codeFrom(confirmClaim({ ...attempt(from), code }, node.vault));
const denied = (reason: string) =>
  expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', outcome: 'deny', reason, detail: 'authenticator claim' });
const logIn = async (seed: string, from = 'dave') => codeFrom(login({ ...attempt(from), code: await codeOf(seed) }, vault.vault));

test('a claim makes a seed that only the answer shows, and its first code makes it the person’s', async () => {
  const { uri, confirmBefore } = await beginClaim(attempt(), vault.vault);
  expect(uri).toMatch(/^otpauth:\/\/totp\/Weight%20Vault:dave\?/);
  expect(confirmBefore.getTime() - vault.clock.now().getTime()).toBe(600_000);
  const seed = new URL(uri).searchParams.get('secret') ?? '';
  expect(seed).toHaveLength(32); // 160 bits
  expect(await confirm(await codeOf(seed))).toBe('nothing thrown');
  expect(vault.lastRecord()).toMatchObject({
    type: 'authenticator.claimed',
    actor: { kind: 'administrator', administratorId, workstation: workstationOf('dave') },
    document: { kind: 'administrator', counter: 2, item: administratorId },
  });
  expect(await logIn(seed)).toBe('login_refused'); // that code was used
  vault.clock.advance(30);
  expect(await logIn(seed)).toBe('nothing thrown');
  vault.clock.advance(30);
  expect(await logIn(seed, 'dave at home')).toBe('nothing thrown');
  expect(vault.row('SELECT count(*) AS n FROM claims')['n']).toBe(0);
});

test('the document keeps the consents of those who let the person in', async () => {
  await vault.claim('dave');
  const { digest } = vault.row('SELECT digest FROM document_slots WHERE slot = ?', `administrator:${administratorId}`);
  const body = JSON.parse(String(vault.row('SELECT CAST(bytes AS TEXT) AS b FROM documents WHERE digest = ?', digest)['b']));
  expect(body).toMatchObject({ counter: 2, roles: ['publisher'], authenticator: { kind: 'totp' } });
  expect(body.consents).toHaveLength(2);
});

describe('a claim is refused, and recorded,', () => {
  test.each<[string, () => Promise<unknown>, () => Promise<unknown>]>([
    ['from a key that is nobody’s', async () => undefined, () => begin('mallory')],
    ['from another administrator’s workstation', async () => undefined, () => begin('alice')],
    ['for a name that nobody has', async () => undefined, () => begin('dave', 'mallory')],
    ['for someone who has an authenticator', async () => undefined, () => begin('alice', 'alice')],
    ['four hours after the approval', async () => vault.clock.advance(14_400), () => begin()],
    ['for someone who was removed', () => remove(), () => begin()],
    ['when it was begun already', () => begin(), () => begin()],
    ['when it was begun already, from their other workstation', () => begin(), () => begin('dave at home')],
    ['when it was settled', () => vault.claim('dave'), () => begin()],
  ])('%s', async (_when, prepare, attempted) => {
    await prepare();
    expect(await codeFrom(attempted())).toBe('claim_refused');
    denied('claim_refused');
  });

  test('by the one who comes second of two at once on two nodes', async () => {
    const other = await vault.addNode();
    const answers = await Promise.all([begin(), begin('dave', 'dave', other)].map(codeFrom));
    expect(answers.sort()).toEqual(['claim_refused', 'nothing thrown']);
  });
});

const remove = () => vault.twoPeople(dave({ counter: 2, state: 'removed', authenticator: 'keep' }));

test('a claim that was never confirmed can be begun again after ten minutes, and the first seed is then worth nothing', async () => {
  const first = await begin();
  vault.clock.advance(600);
  expect(await confirm(await codeOf(first))).toBe('claim_refused');
  const second = await begin();
  expect(await confirm(await codeOf(first))).toBe('login_refused');
  vault.clock.advance(30);
  expect(await confirm(await codeOf(second))).toBe('nothing thrown');
});

describe('a first code', () => {
  let seed: string;
  beforeEach(async () => {
    seed = await begin();
  });

  test('from another of their workstations than it was begun on is refused', async () => {
    expect(await confirm(await codeOf(seed), 'dave at home')).toBe('claim_refused');
    denied('claim_refused');
    expect(await confirm(await codeOf(seed))).toBe('nothing thrown');
  });

  test('given twice, also at once on two nodes, is good once', async () => {
    const other = await vault.addNode();
    const code = await codeOf(seed);
    const answers = await Promise.all([confirm(code), confirm(code, 'dave', other), confirm(code)]);
    expect(answers.filter((answer) => answer === 'nothing thrown')).toHaveLength(1);
    expect(vault.records('authenticator.claimed')).toHaveLength(1);
    expect(await confirm(code)).toBe('claim_refused');
  });

  test('wrong five times locks the name on this workstation', async () => {
    const wrong = String((Number(await codeOf(seed)) + 1) % 1_000_000).padStart(6, '0');
    for (let at = 0; at < 5; at++) expect(await confirm(wrong)).toBe('login_refused');
    expect(await confirm(await codeOf(seed))).toBe('login_locked');
    denied('login_locked');
  });

  test.each([
    ['with a space', (code: string) => ` ${code}`],
    ['in full-width digits', (code: string) => code.replace(/\d/g, (one) => String.fromCharCode(0xff10 + Number(one)))],
    ['of five digits', (code: string) => code.slice(1)],
  ])('%s is refused', async (_how, spell) => {
    expect(await confirm(spell(await codeOf(seed)))).toBe('login_refused');
  });

  test('after the person was changed meanwhile is refused: the claim was for the document before', async () => {
    await vault.twoPeople(dave({ counter: 2, roles: ['reviewer'], authenticator: 'keep' }));
    expect(await confirm(await codeOf(seed))).toBe('claim_refused');
    expect(await codeFrom(begin())).toBe('nothing thrown');
  });
});

describe('whoever writes the database', () => {
  test.each<[string, string, readonly unknown[]]>([
    ['moves the claim to another workstation', 'UPDATE claims SET workstation = ?', [workstationOf('dave at home')]],
    ['makes it younger', 'UPDATE claims SET begun_at = begun_at + 1000', []],
    ['gives it another authenticator', 'UPDATE claims SET authenticator_id = ?', ['019bc0de-0000-7000-8000-000000000001']],
  ])('%s: nothing opens', async (_what, sql, params) => {
    const seed = await begin();
    vault.sql(sql, ...params);
    const from = sql.includes('workstation') ? 'dave at home' : 'dave';
    expect(await confirm(await codeOf(seed), from)).toMatch(/^key_(unwrap_refused|context_mismatch)$/);
    expect(vault.records('authenticator.claimed')).toHaveLength(0);
  });

  test('puts back the seed of an authenticator that was taken away: it does not open as a claim', async () => {
    const { seed } = await vault.claim('dave');
    const { digest } = vault.row('SELECT digest FROM document_slots WHERE slot = ?', `administrator:${administratorId}`);
    const body = JSON.parse(String(vault.row('SELECT CAST(bytes AS TEXT) AS b FROM documents WHERE digest = ?', digest)['b']));
    await vault.twoPeople(dave({ counter: 3 })); // stolen: reset
    vault.sql(
      'INSERT INTO claims VALUES (?, ?, 3, ?, ?, ?)',
      administratorId,
      body.authenticator.id,
      workstationOf('dave'),
      Buffer.from(body.authenticator.wrappedSeed, 'base64'),
      vault.clock.now().getTime(),
    );
    vault.clock.advance(30);
    expect(await confirm(await codeOf(seed))).toMatch(/^key_(unwrap_refused|context_mismatch)$/);
    expect(await logIn(seed)).toBe('login_refused');
  });

  test('plants a claim for someone who has an authenticator: refused', async () => {
    const alice = await vault.as('alice');
    await begin();
    vault.sql('UPDATE claims SET administrator_id = ?, workstation = ?, counter = 1', alice.administratorId, alice.workstation);
    const tried = confirmClaim({ ...attempt('alice', 'alice'), code: '000000' }, vault.vault);
    expect(await codeFrom(tried)).toBe('claim_refused');
  });
});

test('neither who asked nor who approved ever sees the seed: the request and the documents hold none', async () => {
  const asked = await requestApproval(await vault.as('alice'), dave({ counter: 2 }), vault.vault);
  expect(JSON.stringify(asked)).not.toContain('otpauth');
  const seed = await begin();
  const everything = vault.database.prepare('SELECT CAST(bytes AS TEXT) AS b FROM documents').all() as Array<{ b: string }>;
  expect(everything.some(({ b }) => b.includes(seed))).toBe(false);
  expect(JSON.stringify(vault.records())).not.toContain(seed);
});
