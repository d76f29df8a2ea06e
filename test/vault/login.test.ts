/** Logging in: a workstation and a code, each good only together, and a session that ends. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { signDocument } from '../../src/documents/document.ts';
import { VaultError } from '../../src/domain/errors.ts';
import { SYSTEM } from '../../src/domain/ids.ts';
import { spkiDigestOf } from '../../src/identity/certificates.ts';
import { administratorInForce } from '../../src/vault/administrators.ts';
import { authenticate } from '../../src/vault/authorize.ts';
import { slotOf } from '../../src/vault/documents.ts';
import { login, logout } from '../../src/vault/login.ts';
import { keepHouse } from '../../src/vault/outcome.ts';
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
const wrong = () => vault.wrongCode('alice');

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
    ['five digits', (code) => ({ code: code.slice(1) })],
    ['seven digits', (code) => ({ code: `0${code}` })],
    ['a sign', (code) => ({ code: `+${code.slice(1)}` })],
    ['an exponent', () => ({ code: '1e0005' })],
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

  test('from a stranger’s key, alice on her own workstation is not locked', async () => {
    await fail(10, { from: 'mallory' });
    expect(await outcome()).toBe('nothing thrown');
  });

  test('from another administrator’s workstation, alice on her own is not locked', async () => {
    await fail(5, { from: 'bob' });
    expect(await outcome({ from: 'bob' })).toBe('login_locked');
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
    const { administratorId } = await vault.as('alice');
    await vault.stores.unitOfWork.run(async (tx) => {
      const body = await administratorInForce(administratorId, tx, vault.vault);
      if (body === undefined) throw new Error('alice is gone');
      const both = { ...body, counter: 2, workstations: [workstationOf('alice'), workstationOf('alice at home')] };
      const document = await signDocument('administrator', both, vault.vault.catalogueKey.sign);
      await vault.stores.documents.put(tx, document);
      await vault.stores.documents.point(tx, SYSTEM, slotOf('administrator', administratorId), { digest: document.digest, counter: 2 });
    });
    expect(await use(token, 'alice at home')).toBe('workstation_unknown');
    expect(await use(token)).toBe('nothing thrown');
  });

  test('works on every node, and on none after logging out', async () => {
    const other = await vault.addNode();
    expect(await use(token, 'alice', other)).toBe('nothing thrown');
    const actor = await authenticate(
      { token, workstation: workstationOf('alice'), requestId: 'out', remoteAddress: '192.0.2.1' },
      other.vault,
    );
    await logout(actor, other.vault);
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.logout', actor: { kind: 'administrator' } });
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

test('on an administrator’s workstation, a name that does not fit costs the HSM the same work as one that does', async () => {
  for (const one of [{ name: 'mallory' }, { name: 'bob' }, { from: 'bob' }, { code: await wrong() }]) {
    const unwraps = vault.keys.unwraps;
    expect(await outcome(one)).toBe('login_refused');
    expect(vault.keys.unwraps - unwraps).toBe(1);
  }
});

describe('a stranger', () => {
  const stranger = (at: number, remoteAddress: string, administrator = 'alice') =>
    codeFrom(
      login(
        { administrator, code: '000000', workstation: spkiDigestOf(Buffer.from(`key ${at}`)), requestId: 'r', remoteAddress },
        vault.vault,
      ),
    );
  const denials = () => vault.records('admin.denied').length;

  test('with a key that is nobody’s gets no work out of the HSM, whatever the name', async () => {
    const unwraps = vault.keys.unwraps;
    expect(await stranger(1, '192.0.2.7')).toBe('login_refused');
    expect(await stranger(2, '192.0.2.7', 'nobody')).toBe('login_refused');
    expect(vault.keys.unwraps).toBe(unwraps);
    expect(vault.records('admin.denied').map(({ reason }) => reason)).toEqual(['login_refused', 'login_refused']);
  });

  test('who tries a thousand times with fresh keys from one address neither locks alice out nor makes her wait, nor fills the log', async () => {
    const attempts = Array.from({ length: 1000 }, (_, at) => stranger(at, '192.0.2.1')); // alice's own address: one office, one NAT
    const unwraps = vault.keys.unwraps;
    expect(await outcome()).toBe('nothing thrown');
    expect(vault.keys.unwraps - unwraps).toBe(1); // hers: of theirs none waits for the HSM before her
    const answers = await Promise.all(attempts);
    expect(answers.filter((answer) => answer === 'login_refused')).toHaveLength(30);
    expect(answers.filter((answer) => answer === 'login_locked')).toHaveLength(970);
    expect(denials()).toBe(31); // the first that was turned away too
    vault.clock.advance(60);
    expect(await stranger(1000, '192.0.2.1')).toBe('login_refused');
  });

  test('with many addresses gets no further than 300 attempts a minute', async () => {
    const answers = await Promise.all(Array.from({ length: 320 }, (_, at) => stranger(at, `198.51.100.${at}`)));
    expect(answers.filter((answer) => answer === 'login_refused')).toHaveLength(300);
    expect(denials()).toBe(301);
    expect(await outcome()).toBe('nothing thrown');
  });
});

test('from one workstation at most thirty codes a minute are tried, whatever the names', async () => {
  const unwraps = vault.keys.unwraps;
  const answers = [];
  for (let at = 0; at < 40; at++) answers.push(await outcome({ name: `name-${at}` }));
  expect(answers.filter((answer) => answer === 'login_refused')).toHaveLength(30);
  expect(answers.slice(30)).toEqual(Array(10).fill('login_locked'));
  expect(vault.keys.unwraps - unwraps).toBe(30);
  vault.clock.advance(60);
  expect(await outcome()).toBe('nothing thrown');
});

test('twenty times in a row, one code sent to two nodes at once opens exactly one session', async () => {
  const other = await vault.addNode();
  for (let round = 0; round < 20; round++) {
    vault.clock.advance(30);
    const code = await vault.code('alice');
    const answers = await Promise.all([vault.node, other].map((node) => outcome({ code, node })));
    expect(answers.sort()).toEqual(['login_refused', 'nothing thrown']);
  }
  expect(vault.row('SELECT count(*) AS n FROM sessions')['n']).toBe(20);
});

test('a session that is over is forgotten by the round of a node, one that lives is kept', async () => {
  await attempt();
  vault.clock.advance(899);
  await keepHouse(vault.vault);
  expect(vault.row('SELECT count(*) AS n FROM sessions')['n']).toBe(1);
  vault.clock.advance(1);
  await keepHouse(vault.vault);
  expect(vault.row('SELECT count(*) AS n FROM sessions')['n']).toBe(0);
});
