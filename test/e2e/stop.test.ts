/**
 * Promise P3 with real processes: an admin process and two data processes on one database, slow streams on both, and every stop button pressed
 * on the admin process. What is measured is printed. The tests share one vault and run in this order.
 */
import { renameSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import Database from 'better-sqlite3';
import {
  collectSlowly,
  keeperPid,
  LARGE,
  MODEL,
  newRelease,
  promptly,
  type Reading,
  type RealVault,
  refusal,
  type ServerProcess,
  serverHolds,
  startRealVault,
  startServer,
  until,
  withRequester,
  wv,
  wvJson,
} from './real-vault.ts';

const SLOW = 4_000_000; // bytes a second: the large file takes twelve seconds
const PROMISED_MS = 5_000;

let vault: RealVault;
let admin: ServerProcess;
/** Both serve the data plane of one vault, each with its own keeper. */
let nodes: [ServerProcess, ServerProcess];
let folders: [string, string];
let machine: string;
const measured: string[] = [];

beforeAll(async () => {
  vault = await startRealVault();
  await vault.promote();
  machine = await vault.enrolled('gpu-node');
  folders = [vault.folder, vault.secondFolder('second')];
  await vault.server.stop();
  await startAll();
});
afterAll(async () => {
  for (const line of measured) process.stdout.write(`${line}\n`);
  await Promise.all((nodes ?? []).map((node) => node.stop()));
  await vault?.stop();
});

async function startAll(): Promise<void> {
  [admin, ...nodes] = await Promise.all([
    vault.serve(undefined, 'admin'),
    startServer(folders[0], 'data'),
    startServer(folders[1], 'data'),
  ]);
}

/** Asks and reads through that node from now on. */
async function through(home: string, node: ServerProcess): Promise<string> {
  const file = join(home, 'requester.json');
  await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, 'utf8')), url: `https://127.0.0.1:${node.dataPort}` }));
  return home;
}

/** The code it is refused with; undefined when it was released. */
async function release(home: string, node = nodes[0]): Promise<string | undefined> {
  return withRequester(await through(home, node), async (requester) =>
    refusal(async () => {
      const { releaseId } = await newRelease(requester, vault.versionId);
      await requester.client.end(releaseId);
    }),
  );
}

/** Releases the model through that node and reads a small file of it. */
async function reads(node: ServerProcess): Promise<boolean> {
  return withRequester(await through(machine, node), async (requester) => {
    let ended = '';
    await refusal(async () => {
      const { releaseId } = await newRelease(requester, vault.versionId);
      ended = await collectSlowly(await requester.client.object(releaseId, 'config.json')).ended;
    });
    return ended === 'end';
  });
}

/** A node goes on cutting what was lifted until it has read the lift, a second later at most. */
async function servedAgain(): Promise<void> {
  for (const node of nodes) expect(await until(() => reads(node))).toBe(true);
}

/** What a node sends to us, and the two ports of that connection. */
interface Stream {
  readonly node: ServerProcess;
  readonly reading: Reading;
  readonly serverPort: number;
  readonly clientPort: number;
}

/** Both nodes send all of it. On a disk so slow that one cannot read the stops for 4 s it cuts, and is right: then it is asked again. */
async function bothToTheEnd(): Promise<boolean> {
  const ends: string[] = [];
  await streamingOnBoth(machine, async ({ streams }) => {
    for (const { reading } of streams) ends.push(await reading.ended);
  });
  return ends.every((end) => end === 'end');
}

interface Streaming {
  readonly streams: readonly [Stream, Stream];
  readonly releaseId: string;
}

/** One release, read slowly through both nodes; `event` happens when both send. */
async function streamingOnBoth(home: string, event: (streaming: Streaming) => Promise<void>): Promise<void> {
  await withRequester(await through(home, nodes[0]), async (here) => {
    const { releaseId } = await newRelease(here, vault.versionId);
    const first = streamOf(nodes[0], await here.client.object(releaseId, LARGE));
    await withRequester(await through(home, nodes[1]), async (there) => {
      const second = streamOf(nodes[1], await there.client.object(releaseId, LARGE));
      await until(() => first.reading.count() > 0 && second.reading.count() > 0, 10_000);
      await event({ streams: [first, second], releaseId });
    });
  });
}

function streamOf(node: ServerProcess, response: IncomingMessage): Stream {
  return { node, reading: collectSlowly(response, SLOW), serverPort: node.dataPort, clientPort: response.socket.localPort ?? 0 };
}

/** Every stream is reset, and its connection was gone at the server less than 5 s after `since`: what had arrived here by then, we read later. */
async function expectCut({ streams }: Streaming, since: number, what: string): Promise<void> {
  const original = vault.model.get(LARGE) ?? Buffer.alloc(0);
  const goneAfterMs = async ({ node, serverPort, clientPort }: Stream) =>
    Math.round(await promptly(node, PROMISED_MS, since, async () => !(await serverHolds(serverPort, clientPort))));
  const gone = await Promise.all(streams.map(goneAfterMs));
  for (const [index, { reading }] of streams.entries()) {
    expect(await reading.ended).toBe('ECONNRESET');
    measured.push(`${what}: process ${index + 1} had ended the stream ${gone[index]} ms after it`);
    expect(gone[index]).toBeLessThan(PROMISED_MS);
    expect(reading.count()).toBeGreaterThan(0);
    expect(reading.bytes().equals(original.subarray(0, reading.count()))).toBe(true);
  }
}

/** Presses the button while both nodes stream. Resolves with what the admin process answered. */
async function pressed(what: string, path: string, body?: object, home = machine): Promise<Record<string, unknown>> {
  let answer: Record<string, unknown> = {};
  await streamingOnBoth(home, async (streaming) => {
    answer = await vault.as('bob', (bob) => bob.call('POST', path, body));
    await expectCut(streaming, performance.now(), what);
  });
  return answer;
}

/** bob asks, and another consents. */
async function lift(stopId: string, namespace = 'default'): Promise<void> {
  const asked = await vault.as('bob', (bob) => bob.call('POST', `/v1/namespaces/${namespace}/stops/${stopId}/lift`));
  expect(asked['state']).toBe('pending');
  await consent(asked, namespace);
}

async function consent(asked: Record<string, unknown>, namespace: string): Promise<void> {
  const [requestId, operationDigest] = [String(asked['requestId']), String(asked['operationDigest'])];
  await vault.approve({ requestId, operationDigest }, namespace, 'bob');
}

const DEFAULT = '/v1/namespaces/default';

describe('a stop on the admin process cuts the streams of both data processes within 5 s', () => {
  test('block: one machine, and no other', async () => {
    const bad = await vault.enrolledAlone('gpu-bad');
    const { stopId } = await pressed('block', `${DEFAULT}/requesters/gpu-bad/block`, undefined, bad);
    expect(await pressedAgain(`${DEFAULT}/requesters/gpu-bad/block`)).toBe(stopId);
    for (const node of nodes) expect(await release(bad, node)).toBe('subject_blocked');
    expect(await release(machine)).toBeUndefined();
  });

  test('suspend: one version; lifted by two people it is released again, and what was cut stays cut', async () => {
    const path = `${DEFAULT}/models/${MODEL}/suspend`;
    const { stopId } = await pressed('suspend a version', path, { version: vault.versionId });
    for (const node of nodes) expect(await release(machine, node)).toBe('version_suspended');
    await lift(String(stopId));
    await servedAgain();
  });

  test('lockdown of a namespace: nothing is released or changed in it, until two people lift it', async () => {
    const { stopId } = await pressed('lockdown of the namespace', `${DEFAULT}/lockdown`);
    for (const node of nodes) expect(await release(machine, node)).toBe('lockdown');
    const publish = await wv('publish', '--kit', vault.kit('alice'), '--model', MODEL, '--class', 'restricted', vault.at('model'));
    expect([publish.exit, publish.err]).toEqual([3, expect.stringContaining('lockdown')]);
    await lift(String(stopId));
    await servedAgain();
  });

  test('lockdown of the vault, with `wv`: asks for --yes, is listed, and lifted with `wv lift` and `wv approve`', async () => {
    const kit = ['--kit', vault.kit('bob')];
    const unsure = await wv('lockdown', ...kit, '--vault');
    expect([unsure.exit, unsure.err]).toEqual([2, expect.stringContaining('--yes')]);
    let stopId = '';
    await streamingOnBoth(machine, async (streaming) => {
      stopId = String((await wvJson('lockdown', ...kit, '--vault', '--yes'))['stopId']);
      await expectCut(streaming, performance.now(), 'lockdown of the vault, by `wv`');
    });
    expect(await release(machine, nodes[1])).toBe('lockdown');
    const { stops } = await wvJson('stops', ...kit, '--namespace', 'system');
    expect(stops).toEqual([expect.objectContaining({ stopId, kind: 'lockdown', scope: 'vault', state: 'in-force' })]);
    expect(await vault.as('bob', (bob) => bob.call('GET', '/v1/stops'))).toEqual({ stops });
    expect((await wv('stops', ...kit)).out).toMatch(/^STOP +KIND +OF +STATE +SINCE\n.* lockdown +vault +in-force /);
    const system = [...kit, '--namespace', 'system'];
    const lifted = await wvJson('lift', ...system, '--code', await vault.code('bob'), stopId);
    await consent(lifted, 'system');
    expect((await wv('stops', ...system)).out).toMatch(/ lockdown +vault +lifted /);
    await servedAgain();
  });

  test('suspend: the version of the KEK that the streams are under; resumed by two people it opens again', async () => {
    const { stopId } = await pressed('suspend a KEK version', '/v1/namespaces/system/keys/1/suspend');
    for (const node of nodes) expect(await release(machine, node)).toBe('key_suspended');
    await lift(String(stopId), 'system');
    await servedAgain();
  });

  test('suspend: a whole model, while the HSM and the keeper of the admin process are gone', async () => {
    const tokens = join(vault.tokenFolder, 'tokens');
    let stopId: unknown;
    await streamingOnBoth(machine, async (streaming) => {
      renameSync(tokens, `${tokens}-away`);
      try {
        process.kill(keeperPid(admin), 'SIGKILL');
        const answer = await vault.as('bob', (bob) => bob.call('POST', `${DEFAULT}/models/${MODEL}/suspend`, {}));
        stopId = answer['stopId'];
        await expectCut(streaming, performance.now(), 'suspend a model, without HSM and keeper');
      } finally {
        renameSync(`${tokens}-away`, tokens);
      }
    });
    const codeWhenBack = async () => (await release(machine)) === 'version_suspended';
    expect(await until(codeWhenBack)).toBe(true);
    expect(typeof stopId).toBe('string');
  });
});

async function pressedAgain(path: string): Promise<unknown> {
  return (await vault.as('bob', (bob) => bob.call('POST', path)))['stopId'];
}

describe('stops outlive the processes', () => {
  test('all are killed and started again: what was stopped is stopped, until two people lift it', async () => {
    await Promise.all([admin, ...nodes].map((server) => server.kill()));
    await startAll();
    const { stops } = await vault.as('bob', (bob) => bob.call('GET', `${DEFAULT}/stops`));
    const inForce = (stops as Array<Record<string, string>>).filter(({ state }) => state === 'in-force');
    expect(inForce.map(({ kind, scope }) => `${kind} ${scope}`).sort()).toEqual(['block requester', 'suspend model']);
    for (const node of nodes) expect(await release(machine, node)).toBe('version_suspended');
    expect(await release(vault.at('gpu-bad'))).toBe('subject_blocked');
    const suspended = inForce.find(({ kind }) => kind === 'suspend')?.['stopId'] ?? '';
    expect(await wvJson('suspend', '--kit', vault.kit('bob'), MODEL)).toMatchObject({ stopId: suspended, scope: 'model' });
    await lift(suspended);
    for (const node of nodes) expect(await release(machine, node)).toBeUndefined();
  });

  test.each([0, 400, 900, 1_600])('a block placed %d ms after a process began to start is in force when it serves', async (delay) => {
    const name = `gpu-start-${delay}`;
    const home = await vault.enrolledAlone(name);
    expect(await release(home)).toBeUndefined();
    await nodes[1].kill();
    const starting = startServer(folders[1], 'data');
    await sleep(delay);
    await vault.block(name);
    nodes[1] = await starting;
    expect(await release(home, nodes[1])).toBe('subject_blocked');
  });
});

describe('processes that lose the database', () => {
  /** Every transaction of the vault takes the write lock, so whoever keeps it has taken the database away from all of them. */
  test('cut their streams within 5 s, and serve again when it is back', async () => {
    await streamingOnBoth(machine, async (streaming) => {
      const thief = new Database(join(vault.folder, 'vault.db'), { timeout: 60_000 });
      try {
        thief.exec('BEGIN EXCLUSIVE');
        const goneAt = performance.now();
        await expectCut(streaming, goneAt, 'the database taken away');
        await sleep(Math.max(0, 8_000 - (performance.now() - goneAt)));
      } finally {
        thief.exec('ROLLBACK');
        thief.close();
      }
    });
    for (const node of nodes) expect(await until(() => reads(node))).toBe(true);
    expect(await until(bothToTheEnd)).toBe(true);
    for (const server of [admin, ...nodes]) expect(server.process.exitCode).toBeNull();
  });
});

test('every stop and lift is on record, and the log verifies', async () => {
  await wvJson('log', 'export', vault.at('log'), '--kit', vault.kit('bob'));
  const report = await wvJson('log', 'verify', vault.at('log'), '--vkey', vault.vkey);
  expect(report).toMatchObject({ ok: true, problems: [] });
  const rows = new Database(join(vault.folder, 'vault.db'), { readonly: true });
  const leaves = rows.prepare('SELECT CAST(leaf AS TEXT) AS leaf FROM log_leaves').all() as Array<{ leaf: string }>;
  rows.close();
  const count = (type: string) => leaves.filter(({ leaf }) => JSON.parse(leaf).type === type).length;
  expect([count('stop.placed'), count('stop.lifted')]).toEqual([10, 5]);
});

test('the rules that `wv init` put in force raised what happened, once each, though three processes watch one log', async () => {
  const kit = ['--kit', vault.kit('bob')];
  let raised: Array<Record<string, unknown>> = [];
  const all = async () => {
    const { alerts } = (await wvJson('alerts', 'ls', ...kit)) as { alerts: typeof raised };
    raised = alerts.filter(({ title }) => title === 'Something was stopped' || title === 'A stop was lifted');
    return raised.length >= 15;
  };
  await until(all);
  expect(raised.map(({ rule, matches }) => [rule, matches])).toEqual(Array(15).fill(['A20', 1]));
  expect(new Set(raised.map(({ last }) => last)).size).toBe(15); // each of another record
  const [one] = raised;
  expect(await wvJson('alerts', 'show', ...kit, String(one?.['recordId']))).toEqual(one);
  const told = await wvJson('alerts', 'backtest', ...kit, '--days', '1');
  expect((told['byRule'] as Record<string, number>)['A20 Something was stopped']).toBe(10);
});
