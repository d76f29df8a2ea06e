/**
 * Years later: a period was closed and archived, its records pruned, a person erased. Whoever kept a receipt, a mirror or an archive needs no vault to
 * verify it, and nothing tells who the person was. Through `wv`, against a vault over TLS.
 */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { Follower } from '../../src/audit/follower.ts';
import { loggable } from '../../src/audit/record.ts';
import { formatVkey } from '../../src/audit/vkey.ts';
import { createProgram } from '../../src/cli/commands.ts';
import { isRefusal } from '../../src/domain/evidence.ts';
import { SYSTEM } from '../../src/domain/ids.ts';
import { searchFollower } from '../../src/vault/log-readers.ts';
import { login } from '../../src/vault/login.ts';
import { pruneLog } from '../../src/vault/prune-log.ts';
import { readReceipt } from '../../src/vault/receipt.ts';
import { searchLog } from '../../src/vault/search-log.ts';
import { requestErasure, requestRemoval } from '../../src/vault/set-administrator.ts';
import { codeFrom, type TestVault, workstationOf } from '../vault/test-vault.ts';
import { type Served, startServing } from './serving.ts';

const DAY = 86_400;
/** Nothing else is called like this. */
const NAME = 'zebulon.quandary';
const ADDRESS = '203.0.113.77';

let served: Served;
let vault: TestVault;
let search: Follower;
let vkey: string;
let begin: string;
const folder = mkdtempSync(join(tmpdir(), 'wv-years-'));
const at = (...parts: string[]) => join(folder, ...parts);

beforeAll(async () => {
  served = await startServing();
  vault = served.vault;
  vkey = formatVkey(vault.vault.logKey);
  search = searchFollower(vault.vault);
  search.start();
  vault.node.sequencer.start();
  mkdirSync(at('kit'));
  for (const [name, text] of [
    ['kit.json', JSON.stringify({ url: `https://127.0.0.1:${served.planes.admin.port}`, administrator: 'alice' })],
    ['vault.crt', served.ca],
    ['workstation.crt', served.workstation.certificatePem],
    ['workstation.key', served.workstation.privateKeyPem],
  ] as const)
    writeFileSync(at('kit', name), text);
  await vault.twoPeople({ kind: 'log-retention', namespace: SYSTEM, counter: 1, recordDays: 365, requireArchive: true });
  await vault.addPerson(NAME, ['publisher', 'reviewer']);
  const version = await vault.publish('falcon', 'restricted');
  await append(300);
  await enter(NAME);
  const granted = await vault.granted({ machine: served.machine, version });
  begin = granted.permit.recordId;
  await append(600);
  const asked = { requestId: 'receipt', remoteAddress: '198.51.100.7', spki: served.machine.spki, ...granted.permit };
  const receipt = await eventually(
    () => readReceipt(asked, vault.vault),
    (answer) => !isRefusal(answer),
  );
  writeFileSync(at('receipt'), receipt as Uint8Array);
});
afterAll(async () => {
  await vault.node.sequencer.stop();
  await search.stop();
  await served.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function append(count: number): Promise<void> {
  const draft = { type: 'log.heartbeat', outcome: 'success', actor: { kind: 'system' }, detail: loggable('of then', 16) } as const;
  await vault.stores.unitOfWork.run(async (tx) => {
    for (let one = 0; one < count; one++) await vault.vault.accessLog.append(tx, draft);
  });
}

/** From an address that nobody else has. */
async function enter(name: string): Promise<void> {
  vault.clock.advance(30);
  const attempt = { administrator: name, workstation: workstationOf(name), requestId: 'enter', remoteAddress: ADDRESS };
  await login({ ...attempt, code: await vault.code(name) }, vault.vault);
}

async function eventually<T>(look: () => Promise<T>, good: (found: T) => boolean): Promise<T> {
  for (let looks = 0; ; looks++) {
    const found = await look();
    if (good(found)) return found;
    if (looks === 1_200) throw new Error(`still ${JSON.stringify(found)}`);
    await sleep(50);
  }
}

/** As at a shell, with alice's session where there is a kit. */
async function wv(...args: readonly string[]): Promise<Record<string, unknown>> {
  if (args.includes('--kit')) await logIn();
  const out: string[] = [];
  const spy = jest.spyOn(process.stdout, 'write').mockImplementation((text) => out.push(String(text)) > 0);
  try {
    await (await createProgram(args[0])).parseAsync([...args, '--json'], { from: 'user' });
  } finally {
    spy.mockRestore();
  }
  return JSON.parse(out.at(-1) ?? '{}');
}

async function logIn(): Promise<void> {
  vault.clock.advance(30);
  const body = JSON.stringify({ administrator: 'alice', code: await vault.code('alice') });
  const { json } = await served.ask('admin', '/v1/session', { method: 'POST', body });
  writeFileSync(at('kit', 'session'), String(json['token']));
}

const kit = () => ['--kit', at('kit'), '--vkey', vkey];
const verify = (name: string, ...more: readonly string[]) => wv('log', 'verify', '--vkey', vkey, ...more, at(name));

/** Records that no checkpoint covers yet. */
async function waiting(): Promise<number> {
  const head = await vault.stores.unitOfWork.run((tx) => vault.stores.log.head(tx));
  const sql = 'SELECT count(*) AS count FROM log_leaves WHERE leaf_index IS NULL OR leaf_index >= ?';
  return Number(vault.row(sql, head?.size ?? 0)['count']);
}

/** Asked by alice, verified and consented to by bob, finished by alice. */
async function close(name: string, ...more: readonly string[]): Promise<Record<string, unknown>> {
  const until = new Date(vault.clock.now().getTime() + 1000).toISOString();
  await eventually(waiting, (count) => count === 0); // else the archive is cut before the end of the period
  vault.clock.advance(60);
  await vault.commit(); // what waits is of the period
  const command = ['log', 'close', ...kit(), '--until', until, ...more, at(name)];
  const asked = await wv(...command);
  expect(await verify(name)).toMatchObject({ ok: true, problems: [] });
  await vault.approve('bob', asked as never);
  expect(await wv(...command)).toMatchObject({ closed: true, until, size: asked['size'] });
  return asked;
}

const twice = async (ask: typeof requestRemoval | typeof requestErasure) => {
  const digest = await ask(await vault.as('alice'), NAME, vault.vault).catch((error) => /operation ([0-9a-f]{64})/.exec(error.detail)?.[1]);
  await vault.stepUp('alice', typeof digest === 'string' ? (digest as never) : undefined);
  const asked = typeof digest === 'object' ? digest : await ask(await vault.as('alice'), NAME, vault.vault);
  return vault.approve('bob', asked);
};

const filesIn = (where: string) =>
  (readdirSync(where, { recursive: true }) as string[]).map((name) => join(where, name)).filter((file) => statSync(file).isFile());
const database = () => ['', '-wal', '-shm'].map((suffix) => vault.site.file + suffix).filter(existsSync);
const tells = (files: readonly string[]) =>
  files.filter((file) => [NAME, ADDRESS].some((word) => readFileSync(file).includes(word) || readFileSync(file).includes(btoa(word))));

const program = (name: string) => join(import.meta.dirname, '..', '..', '.cache', name, name);
const run = promisify(execFile);

test('receipt, mirror and archives verify after closing, erasure and pruning, by programs of others too, and nothing tells who the person was', async () => {
  await wv('log', 'mirror', ...kit(), at('mirror'));
  const first = await close('first');
  expect(await verify('first')).toMatchObject({ closed: { until: expect.any(String) }, pruned: 0 });
  const modes = filesIn(at('first')).map((file) => statSync(file).mode & 0o777);
  expect(new Set(modes)).toEqual(new Set([0o400]));
  expect(await codeFrom(wv('log', 'close', ...kit(), '--until', '2099-01-01T00:00:00Z', at('early')))).toBe('request_invalid');
  expect(await codeFrom(wv('log', 'close', ...kit(), '--until', '2026-01-01T00:00:00Z', at('mirror')))).toBe('usage');
  expect(existsSync(at('early'))).toBe(false);
  expect(tells(database())).not.toEqual([]); // so far

  vault.clock.advance(500 * DAY);
  await append(300);
  await vault.stepUp('alice');
  await twice(requestRemoval);
  await twice(requestErasure);
  await eventually(
    () => pruneLog(vault.vault),
    () => Number(vault.row('SELECT count(*) AS count FROM log_leaves WHERE record_id = ?', begin)['count']) === 0,
  );
  await vault.stores.purgeDeleted();
  const prunedBundles = Number(vault.row('SELECT count(*) AS count FROM log_pruned')['count']);
  expect(prunedBundles).toBeGreaterThan(1);

  // whoever kept something verifies it, without the vault
  const receipt = await wv('receipt', 'verify', '--vkey', vkey, at('receipt'));
  expect(receipt).toMatchObject({ record: { type: 'release.begin', recordId: begin } });
  expect(await verify('first')).toMatchObject({ ok: true, pruned: 0 });
  await wv('log', 'mirror', ...kit(), at('mirror'));
  expect(await verify('mirror')).toMatchObject({ ok: true, pruned: 0 });
  await wv('log', 'export', ...kit().slice(0, 2), '--format', 'jsonl', at('export'));
  expect(await verify('export', '--after', at('first'))).toMatchObject({ ok: true, pruned: prunedBundles * 256 });

  // the next period: what was pruned is taken from the archive before, and one continues the other
  const second = await close('second', '--after', at('first'));
  expect(Number(second['size'])).toBeGreaterThan(Number(first['size']));
  expect(await verify('second', '--after', at('first'))).toMatchObject({ ok: true, pruned: 0, closed: {} });
  expect(await codeFrom(verify('first', '--after', at('second')))).toBe('log_root_mismatch');
  cpSync(at('second'), at('forged'), { recursive: true });
  rmSync(at('forged', 'closed.tlog-proof'));
  writeFileSync(at('forged', 'closed.tlog-proof'), readFileSync(at('first', 'closed.tlog-proof')));
  expect(await codeFrom(verify('forged'))).toBe('proof_invalid');
  if (existsSync(program('foreign-verifiers'))) {
    const { stdout } = await run(program('foreign-verifiers'), ['log', at('second'), vkey, at('first', 'checkpoint')]);
    expect(JSON.parse(stdout)).toMatchObject({ records: second['size'], consistent: true, olderRecords: first['size'] });
  } else console.warn('the part with golang.org/x/mod is skipped: it was not built here');
  if (existsSync(program('tessera-fsck'))) {
    for (const name of ['first', 'second']) await run(program('tessera-fsck'), [at(name), vkey]);
  } else console.warn("the part with Tessera's fsck is skipped: it was not built here");

  // out of a mirror: at the first checkpoint it kept after the end
  const until = new Date(vault.clock.now().getTime() + 1000).toISOString();
  vault.clock.advance(60);
  const sizes = [Number(second['size'])];
  while (sizes.length < 4) {
    await append(10);
    const last = sizes.at(-1) ?? 0;
    const mirrored = await eventually(
      () => wv('log', 'mirror', ...kit(), at('mirror')),
      ({ size }) => Number(size) >= last + 10,
    );
    sizes.push(Number(mirrored['size']));
  }
  const third = await wv('log', 'close', ...kit(), '--until', until, '--from', at('mirror'), '--after', at('second'), at('third'));
  expect(third).toMatchObject({ size: sizes[1], pruned: 0 });
  expect(await verify('third', '--after', at('second'))).toMatchObject({ ok: true, size: sizes[1] });
  expect(await wv('log', 'retention', '--kit', at('kit'))).toMatchObject({ requireArchive: true, closed: { size: second['size'] } });

  // and the name is nowhere
  expect(
    tells([...database(), ...filesIn(at('export')), ...filesIn(at('first')), ...filesIn(at('second')), ...filesIn(at('mirror'))]),
  ).toEqual([]);
  const asked = { says: { principal: NAME }, order: 'oldest', limit: 100 } as const;
  const found = await searchLog(await vault.as('bob'), asked, undefined, vault.vault).catch(() => ({ records: [] }));
  expect(found.records).toEqual([]);
});
