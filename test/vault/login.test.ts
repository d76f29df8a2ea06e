/** Logging in: a workstation and a code, each good only together, and a session that ends. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { signDocument } from '../../src/documents/document.ts';
import { VaultError } from '../../src/domain/errors.ts';
import { sessionTokenDigest } from '../../src/identity/session-token.ts';
import { authenticate } from '../../src/vault/authorize.ts';
import { login, logout } from '../../src/vault/login.ts';
import { codeFrom, type Node, TestVault, workstationOf } from './test-vault.ts';

let vault: TestVault;
beforeEach(async () => {
  vault = await TestVault.make();
  vault.clock.advance(60);
});
afterEach(() => vault.remove());

interface Attempt {
  readonly name?: string;
  readonly code?: string;
  readonly from?: string;
  readonly node?: Node;
}

async function attempt({ name = 'alice', code, from = 'alice', node = vault.node }: Attempt = {}) {
  const request = {
    administrator: name,
    code: code ?? (await vault.code('alice')),
    workstation: workstationOf(from),
    requestId: 'r',
    remoteAddress: '192.0.2.1',
  };
  return login(request, node.vault);
}
const outcome = (one: Attempt = {}) => codeFrom(attempt(one));
const use = (token: string | undefined, from = 'alice', node = vault.node) =>
  codeFrom(authenticate({ token, workstation: workstationOf(from), requestId: 'r', remoteAddress: '192.0.2.1' }, node.vault));
const wrong = async () => String((Number(await vault.code('alice')) + 1) % 1_000_000).padStart(6, '0');

describe('a login', () => {
  test('gives a session that works on its workstation, and is recorded without the name', async () => {
    const { token, administrator } = await attempt();
    expect(administrator).toBe('alice');
    expect(await use(token)).toBe('nothing thrown');
    const record = vault.lastRecord();
    expect(record).toMatchObject({
      type: 'admin.login',
      outcome: 'success',
      actor: { kind: 'administrator', workstation: workstationOf('alice') },
    });
    expect(JSON.stringify(record)).not.toContain('alice');
  });

  test.each<[string, (code: string) => Attempt]>([
    ['a wrong code', (code) => ({ code: code.replace(/./, (digit) => String((Number(digit) + 1) % 10)) })],
    ['a name nobody has', () => ({ name: 'mallory' })],
    ['the name in capitals', () => ({ name: 'ALICE' })],
    ['the name with a space', () => ({ name: 'alice ' })],
    ["somebody else's workstation", () => ({ from: 'bob' })],
    ['an unknown workstation', () => ({ from: 'mallory' })],
    ["somebody else's name", () => ({ name: 'bob' })],
    ['a space before the code', (code) => ({ code: ` ${code}` })],
    ['a space inside the code', (code) => ({ code: `${code.slice(0, 3)} ${code.slice(3)}` })],
    ['a line feed after the code', (code) => ({ code: `${code}\n` })],
    ['Arabic-Indic digits', (code) => ({ code: code.replace(/\d/g, (digit) => String.fromCharCode(0x660 + Number(digit))) })],
    ['full-width digits', (code) => ({ code: code.replace(/\d/g, (digit) => String.fromCharCode(0xff10 + Number(digit))) })],
    ['no code', () => ({ code: '' })],
    ['seven digits', (code) => ({ code: `0${code}` })],
    ['a code as long as a book', () => ({ code: '1'.repeat(1_000_000) })],
  ])('with %s is refused like any other, and recorded', async (_what, make) => {
    const failed = attempt(make(await vault.code('alice')));
    await expect(failed).rejects.toMatchObject({ code: 'login_refused', message: 'login_refused', detail: '' }); // word for word the same
    const { recordId: _id, type, outcome: out, reason, detail } = vault.lastRecord();
    expect({ type, out, reason, detail }).toEqual({ type: 'admin.denied', out: 'deny', reason: 'login_refused', detail: 'login' });
    expect(vault.row('SELECT count(*) AS n FROM sessions')['n']).toBe(0);
  });

  test.each([
    ['90 s', 90, 'login_refused'],
    ['60 s', 60, 'login_refused'],
    ['30 s', 30, 'nothing thrown'],
  ])('with a code that is %s old: %s', async (_age, seconds, expected) => {
    const code = await vault.code('alice');
    vault.clock.advance(seconds);
    expect(await outcome({ code })).toBe(expected);
  });
});

describe('a code', () => {
  test('is good once', async () => {
    const code = await vault.code('alice');
    expect(await outcome({ code })).toBe('nothing thrown');
    expect(await outcome({ code })).toBe('login_refused');
    vault.clock.advance(29);
    expect(await outcome({ code })).toBe('login_refused');
  });

  test('sent many times at once to two nodes opens exactly one session', async () => {
    const other = await vault.addNode();
    const code = await vault.code('alice');
    const answers = await Promise.all([vault.node, other, vault.node, other].map((node) => outcome({ code, node })));
    expect(answers.filter((answer) => answer === 'nothing thrown')).toHaveLength(1);
    expect(vault.row('SELECT count(*) AS n FROM sessions')['n']).toBe(1);
  });

  test('of an earlier step is worth nothing after a later one was used', async () => {
    const earlier = await vault.code('alice');
    vault.clock.advance(30);
    expect(await outcome()).toBe('nothing thrown');
    expect(await outcome({ code: earlier })).toBe('login_refused');
  });

  test('that the HSM could not check is not used up', async () => {
    const code = await vault.code('alice');
    vault.keys.failUnwrap = new VaultError('keeper_unavailable');
    for (let at = 0; at < 4; at++) expect(await outcome({ code })).toBe('keeper_unavailable');
    vault.keys.failUnwrap = undefined;
    expect(await outcome({ code })).toBe('nothing thrown');
  });
});

test('a code that the HSM could not check is not counted as wrong', async () => {
  const { vault: inner } = vault.node;
  const away = { ...inner, keys: { ...inner.keys, unwrap: () => Promise.reject(new VaultError('hsm_unavailable')) } };
  const request = { administrator: 'alice', code: await wrong(), workstation: workstationOf('alice'), requestId: 'r', remoteAddress: '' };
  for (let at = 0; at < 8; at++) expect(await codeFrom(login(request, away))).toBe('hsm_unavailable');
  expect(await outcome()).toBe('nothing thrown');
});

describe('after five wrong codes', () => {
  const fail = async (times: number, one: Attempt = {}) => {
    for (let at = 0; at < times; at++) expect(await outcome({ code: await wrong(), ...one })).toBe('login_refused');
  };

  test('the name is locked on this workstation for ten minutes, also for the right code, on every node', async () => {
    await fail(5);
    const unwraps = vault.keys.unwraps;
    expect(await outcome()).toBe('login_locked');
    expect(await outcome({ node: await vault.addNode() })).toBe('login_locked');
    expect(vault.keys.unwraps).toBe(unwraps); // not even looked at
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'login_locked' });
    vault.clock.advance(599);
    expect(await outcome()).toBe('login_locked');
    vault.clock.advance(2);
    expect(await outcome()).toBe('nothing thrown');
  });

  test('trying on does not make it longer', async () => {
    await fail(5);
    vault.clock.advance(300);
    for (let at = 0; at < 10; at++) expect(await outcome()).toBe('login_locked');
    vault.clock.advance(301);
    expect(await outcome()).toBe('nothing thrown');
  });

  test('four are not five', async () => {
    await fail(4);
    expect(await outcome()).toBe('nothing thrown');
  });

  test('from a stranger’s workstation, alice on her own is not locked', async () => {
    await fail(5, { from: 'mallory' });
    expect(await outcome({ from: 'mallory' })).toBe('login_locked');
    expect(await outcome()).toBe('nothing thrown');
  });

  test('the workstation is not locked for another name', async () => {
    await fail(5, { name: 'bob' }); // bob's name from alice's workstation
    expect(await outcome()).toBe('nothing thrown');
  });

  test('a name that nobody has is locked the same way: locking tells nothing about who exists', async () => {
    await fail(5, { name: 'nobody' });
    expect(await outcome({ name: 'nobody' })).toBe('login_locked');
  });
});

describe('a session', () => {
  let token: string;
  beforeEach(async () => {
    ({ token } = await attempt());
  });

  test('ends after 15 minutes without a request', async () => {
    vault.clock.advance(899);
    expect(await use(token)).toBe('nothing thrown');
    vault.clock.advance(899);
    expect(await use(token)).toBe('nothing thrown');
    vault.clock.advance(900);
    expect(await use(token)).toBe('session_expired');
  });

  test('ends after 8 hours, however busy', async () => {
    for (let seconds = 0; seconds < 28_800 - 800; seconds += 800) {
      vault.clock.advance(800);
      expect(await use(token)).toBe('nothing thrown');
    }
    vault.clock.advance(800);
    expect(await use(token)).toBe('session_expired');
  });

  test('is kept alive by use alone: a refused use does not', async () => {
    vault.clock.advance(800);
    expect(await use(token, 'bob')).toBe('workstation_unknown');
    vault.clock.advance(100);
    expect(await use(token)).toBe('session_expired');
  });

  test('works on no other workstation', async () => {
    expect(await use(token, 'bob')).toBe('workstation_unknown');
    expect(await use(token, 'mallory')).toBe('workstation_unknown');
    expect(await use(token)).toBe('nothing thrown');
  });

  test('works on no other workstation of the same person either', async () => {
    const row = vault.row(
      "SELECT CAST(bytes AS TEXT) AS body FROM documents JOIN administrators ON digest = document_digest WHERE name = 'alice'",
    );
    const body = { ...JSON.parse(String(row['body'])), workstations: [workstationOf('alice'), workstationOf('alice at home')] };
    const document = await signDocument('administrator', body, vault.vault.catalogueKey.sign);
    await vault.stores.unitOfWork.run((tx) => vault.stores.documents.put(tx, document));
    vault.sql("UPDATE administrators SET document_digest = ? WHERE name = 'alice'", document.digest);
    expect(await use(token, 'alice at home')).toBe('workstation_unknown');
    expect(await use(token)).toBe('nothing thrown');
  });

  test('works on every node, and on none after logging out', async () => {
    const other = await vault.addNode();
    expect(await use(token, 'alice', other)).toBe('nothing thrown');
    await logout(sessionTokenDigest(token), other.vault);
    expect(await use(token)).toBe('session_missing');
  });

  test.each([undefined, '', 'x', 'null'])('is not opened by the token %j', async (bad) => {
    expect(await use(bad)).toBe('session_missing');
  });

  test('is not opened by what the database holds of its token', async () => {
    const digest = String(vault.row('SELECT token_digest AS d FROM sessions')['d']);
    expect(await use(digest)).toBe('session_missing');
  });
});

test('of a hundred wrong codes sent at once to two nodes, five are looked at', async () => {
  const other = await vault.addNode();
  const unwraps = vault.keys.unwraps;
  const code = await wrong();
  const answers = await Promise.all(Array.from({ length: 100 }, (_, at) => outcome({ code, node: at % 2 === 0 ? vault.node : other })));
  expect(answers.filter((answer) => answer === 'login_refused')).toHaveLength(5);
  expect(answers.filter((answer) => answer === 'login_locked')).toHaveLength(95);
  expect(vault.keys.unwraps - unwraps).toBe(5);
});

test('a name that does not fit costs the HSM the same work as one that does', async () => {
  for (const one of [{ name: 'mallory' }, { from: 'mallory' }, { code: await wrong() }]) {
    const unwraps = vault.keys.unwraps;
    expect(await outcome(one)).toBe('login_refused');
    expect(vault.keys.unwraps - unwraps).toBe(1);
  }
});
