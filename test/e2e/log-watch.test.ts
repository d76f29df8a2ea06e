/**
 * Who watches the log, with real processes: sinks and alerts set by `wv`, receivers that verify what they get, records as they come, a period that is closed under
 * the eyes of a witness, and a start that is refused.
 */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { type ReceiverCertificates, receiverCertificates } from '../audit/receiver-certificates.ts';
import { type RealVault, type ServerProcess, startRealVault, startWitness, until, wv, wvJson } from './real-vault.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const secret = Buffer.alloc(32, 3).toString('base64');

let vault: RealVault;
let certificates: ReceiverCertificates;
let receiver: Server;
let server: ServerProcess;
let witness: Awaited<ReturnType<typeof startWitness>> | undefined;
let witnessVkey: string;
const lines: string[] = [];
const alerts: Array<Record<string, unknown>> = [];
const bob = () => ['--kit', vault.kit('bob')];
const alice = () => ['--kit', vault.kit('alice')];

beforeAll(async () => {
  [vault, certificates] = await Promise.all([startRealVault(), receiverCertificates()]);
  receiver = createServer(certificates.good, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const said = new Webhook(secret).verify(body, request.headers as Record<string, string>);
    if (Array.isArray(said)) lines.push(...said.map((record) => JSON.stringify(record)));
    else alerts.push(said as Record<string, unknown>);
    response.writeHead(204).end();
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  for (const folder of ['secrets', 'sinks']) mkdirSync(vault.at(folder));
  for (const name of ['soc', 'pager']) writeFileSync(vault.at('secrets', `${name}.secret`), `whsec_${secret}\n`, { mode: 0o600 });
  const file = vault.at('vault', 'vault.json');
  const folders = { sinkFiles: vault.at('sinks'), sinkSecrets: vault.at('secrets'), alertSecrets: vault.at('secrets') };
  witnessVkey = String((await wvJson('witness', 'init', '--name', 'witness.example/watch', vault.at('witness')))['vkey']);
  await wvJson('witness', 'watch', vault.at('witness'), vault.vkey);
  witness = await startWitness(vault.at('witness'));
  const witnesses = { quorum: 1, list: [{ url: `http://127.0.0.1:${witness.port}/`, vkey: witnessVkey }] };
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...folders, witnesses }));
  await vault.server.stop();
  mkdirSync(vault.at('before'));
  for (const name of databaseFiles(vault.folder)) cpSync(join(vault.folder, name), vault.at('before', name));
  server = await vault.serve();
});
afterAll(async () => {
  receiver.close();
  await vault.stop();
  await witness?.stop();
});

const receiverAt = () => ({ host: 'localhost', port: (receiver.address() as AddressInfo).port, path: '/in', ca: certificates.ca });
const write = (name: string, value: unknown) => {
  writeFileSync(vault.at(name), JSON.stringify(value));
  return vault.at(name);
};
const consent = async (asked: Record<string, unknown>) => {
  expect(asked).toMatchObject({ requestId: expect.any(String), operationDigest: expect.stringMatching(/^[0-9a-f]{64}$/) });
  await vault.approve({ requestId: String(asked['requestId']), operationDigest: String(asked['operationDigest']) }, 'system', 'alice');
};
const eventually = async (holds: () => boolean | Promise<boolean>) => expect(await until(holds)).toBe(true);

describe('wv log sinks', () => {
  test('set asks, a second person consents, list shows how far each is; a list that makes no sense changes nothing', async () => {
    const none = await wv('log', 'sinks', 'list', ...bob());
    expect([none.exit, none.out.trim()]).toEqual([0, 'Records are sent nowhere.']);
    const bad = await wv('log', 'sinks', 'set', ...alice(), write('bad.json', [{ kind: 'webhook', name: 'soc', from: 'sometimes' }]));
    expect([bad.exit, bad.out]).toEqual([2, '']);
    expect((await wv('log', 'sinks', 'set', ...alice(), vault.at('absent.json'))).exit).toBe(2);

    const sinks = [
      { kind: 'webhook', name: 'soc', from: 'first', ...receiverAt(), format: 'jsonl', required: { seconds: 600, records: 10_000 } },
      { kind: 'file', name: 'archive', from: 'first', format: 'rfc5424', rotateBytes: 65_536 },
    ];
    await consent(await wvJson('log', 'sinks', 'set', ...alice(), write('sinks.json', sinks)));
    const states = async () => (await wvJson('log', 'sinks', 'list', ...bob()))['sinks'] as Array<Record<string, unknown>>;
    await eventually(async () => {
      const all = await states();
      return all.length === 2 && all.every(({ next, behind }) => Number(next) > 10 && Number(behind) < 10);
    });
    expect(await states()).toMatchObject([
      { name: 'soc', kind: 'webhook', lagging: false, required: true, refusing: false },
      { name: 'archive', kind: 'file', lagging: false, required: false, refusing: false },
    ]);
    const shown = await wv('log', 'sinks', 'list', ...bob());
    expect(shown.exit).toBe(0);
    expect(shown.out.split('\n')).toEqual(
      expect.arrayContaining([expect.stringMatching(/^sink +kind +next/), expect.stringMatching(/^soc +webhook +\d+ .*well$/)]),
    );
  });

  test('what the receivers have is what the signed tree has', async () => {
    writeFileSync(vault.at('soc.jsonl'), `${lines.join('\n')}\n`);
    const files = readdirSync(vault.at('sinks', 'archive')).sort();
    writeFileSync(vault.at('archive.log'), files.map((name) => readFileSync(vault.at('sinks', 'archive', name), 'utf8')).join(''));
    await wvJson('log', 'export', vault.at('tree'), ...bob()); // of later: it has all that was sent
    const tree = ['--tree', vault.at('tree'), '--vkey', vault.vkey];
    for (const [name, format] of [
      ['soc.jsonl', 'jsonl'],
      ['archive.log', 'rfc5424'],
    ] as const) {
      const report = await wvJson('log', 'verify-copy', ...tree, '--format', format, vault.at(name));
      expect(report).toMatchObject({ ok: true, problems: [] });
      expect(Number(report['verified'])).toBeGreaterThan(10);
    }
  });
});

describe('wv alerts', () => {
  test('deliver and set ask, with a code; what fires reaches the receiver, and ls, show and backtest say the same', async () => {
    const code = async () => ['--code', await vault.code('alice')];
    const delivery = { targets: [{ kind: 'webhook', name: 'pager', minimum: 'high', ...receiverAt() }], heartbeatSeconds: 10 };
    expect((await wv('alerts', 'deliver', ...alice(), '--code', '000000', write('bad-delivery.json', { targets: 1 }))).exit).toBe(2);
    await consent(await wvJson('alerts', 'deliver', ...alice(), ...(await code()), write('delivery.json', delivery)));
    await consent(await wvJson('alerts', 'set', ...alice(), ...(await code())));

    await vault.enrolled('gpu-watched');
    await vault.block('gpu-watched'); // A20, high
    await eventually(() => alerts.some(({ rule }) => rule === 'A20'));
    await eventually(() => alerts.some(({ type }) => type === 'heartbeat'));
    const sent = alerts.find(({ rule }) => rule === 'A20');
    const all = (await wvJson('alerts', 'ls', ...bob()))['alerts'] as Array<Record<string, unknown>>;
    const raised = all.find(({ recordId }) => recordId === sent?.['recordId']);
    expect(raised).toMatchObject({ rule: 'A20', level: 'high', title: 'Something was stopped', sending: 'sent' });
    expect(await wvJson('alerts', 'show', ...bob(), String(sent?.['recordId']))).toEqual(raised);
    const shown = await wv('alerts', 'show', ...bob(), String(sent?.['recordId']));
    expect([shown.exit, shown.out.split('\n')[0]]).toEqual([0, 'A20 high: Something was stopped']);
    expect((await wv('alerts', 'show', ...bob(), '01890000-0000-7000-8000-000000000000')).exit).toBe(3);
    const listed = await wv('alerts', 'ls', ...bob(), '--limit', '1');
    expect([listed.exit, listed.out.trim().split('\n').length]).toEqual([0, 2]);
    expect((await wv('alerts', 'ls', ...bob(), '--limit', '0')).exit).toBe(2);
    const told = (await wvJson('alerts', 'backtest', ...bob(), '--days', '1'))['byRule'] as Record<string, number>;
    expect(told['A20 Something was stopped']).toBe(1);
  });
});

describe('wv log', () => {
  test('tail shows records as they come, one document a line, until it is ended', async () => {
    const child = spawn(process.execPath, [
      '--disable-warning=ExperimentalWarning',
      MAIN,
      'log',
      'tail',
      '--json',
      ...bob(),
      '--type',
      'admin.denied',
    ]);
    const [said, noted] = [collected(child.stdout), collected(child.stderr)];
    const exited = new Promise<number | null>((done) => child.once('exit', done));
    try {
      await eventually(() => noted().includes('Waiting for records'));
      await wv('login', '--kit', vault.at('vault', 'kits', 'frank'), '--code', '000000'); // refused, and on record
      await eventually(() => said().includes('\n'));
      const [first = ''] = said().split('\n');
      expect(JSON.parse(first)).toMatchObject({ index: expect.any(Number), record: { type: 'admin.denied', outcome: 'deny' } });
      const { recordId, type } = JSON.parse(first).record;
      expect(await wvJson('log', 'show', ...bob(), recordId)).toMatchObject({ index: JSON.parse(first).index });
      const shown = await wv('log', 'show', ...bob(), recordId);
      expect([shown.exit, shown.out.includes(type)]).toEqual([0, true]);
      expect((await wv('log', 'show', ...bob(), '01890000-0000-7000-8000-000000000000')).exit).toBe(3);
    } finally {
      child.kill('SIGINT');
    }
    expect(await exited).toBe(130);
  });
});

describe('wv log close', () => {
  test('cuts the archive of a period under a checkpoint that the witness saw, and two people close it; nothing is pruned before, where they asked for that', async () => {
    const code = ['--code', await vault.code('alice')];
    const policy = ['--record-days', '365', '--disclosure-days', 'never', '--require-archive', 'yes'];
    await consent(await wvJson('log', 'retention', ...alice(), ...code, ...policy, '--yes')); // she may not read the log
    const retention = () => wvJson('log', 'retention', ...bob());
    expect(await retention()).toMatchObject({ recordDays: 365, requireArchive: true, prunedBefore: 0 });
    expect((await retention())['closed']).toBeUndefined();

    const [archive, end] = [vault.at('archive'), new Date().toISOString()];
    const close = (vkey: string, folder = archive) =>
      wv('log', 'close', ...bob(), '--vkey', vault.vkey, '--until', end, '--witness', vkey, '--json', folder);
    const { vkey: stranger } = await wvJson('witness', 'init', '--name', 'witness.example/stranger', vault.at('stranger'));
    const unseen = await close(String(stranger), vault.at('unseen'));
    expect([unseen.exit, JSON.parse(unseen.err).error.code]).toEqual([5, 'note_signature_invalid']);
    expect(existsSync(vault.at('unseen'))).toBe(false);

    let asked: Record<string, unknown> = {};
    await eventually(async () => {
      const { exit, out, err } = await close(witnessVkey);
      if (exit !== 0)
        expect(JSON.parse(err).error.code).toBe('log_incomplete'); // the witness is shown a checkpoint a second
      else asked = JSON.parse(out);
      return exit === 0;
    });
    expect(readFileSync(join(archive, 'policy'), 'utf8')).toContain(`witness w1 ${witnessVkey}`);
    const verified = ['log', 'verify', '--vkey', vault.vkey, '--witness', witnessVkey, archive];
    expect(await wvJson(...verified)).toMatchObject({ ok: true, size: asked['size'], pruned: 0 });

    await vault.approve({ requestId: String(asked['requestId']), operationDigest: String(asked['operationDigest']) }, 'system', 'bob');
    const closed = await close(witnessVkey);
    expect([closed.exit, JSON.parse(closed.out)]).toMatchObject([0, { closed: true, until: end, size: asked['size'] }]);
    expect(await wvJson(...verified)).toMatchObject({ ok: true, closed: { until: end } });
    expect(await retention()).toMatchObject({ requireArchive: true, closed: { until: end, size: asked['size'] } });
    expect([archive, join(archive, 'policy'), join(archive, 'checkpoint')].map((file) => statSync(file).mode & 0o222)).toEqual([0, 0, 0]);
  });
});

describe('a vault whose database was put back', () => {
  test('does not start, says why, and tells the receivers that two people signed last, which that database does not know', async () => {
    await eventually(() => readdirSync(vault.folder).includes('log-head.alert-delivery'));
    await server.stop();
    for (const name of databaseFiles(vault.folder)) rmSync(join(vault.folder, name));
    for (const name of databaseFiles(vault.at('before'))) cpSync(vault.at('before', name), join(vault.folder, name));
    alerts.length = 0;
    const refused = await wv('serve', '--folder', vault.folder);
    expect([refused.exit, refused.err.includes('log_rolled_back')]).toEqual([3, true]);
    expect(alerts).toMatchObject([{ rule: 'A09', level: 'critical', group: { reason: 'log_rolled_back' } }]);
  });
});

const databaseFiles = (folder: string) => readdirSync(folder).filter((name) => name.startsWith('vault.db'));

function collected(stream: NodeJS.ReadableStream): () => string {
  let text = '';
  stream.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  return () => text;
}
