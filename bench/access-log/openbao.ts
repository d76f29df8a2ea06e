/**
 * OpenBao with a file audit device, where a `bao` is found: a development server in memory, asked for its own token, which it audits with two entries a
 * request. It does not sync the file, so what it promises is less than a durable record; and its figure includes HTTP, as ours does not.
 */
import { execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchOptions, Report } from '../area.ts';
import { rate } from './appends.ts';
import type { BenchLog } from './bench-log.ts';

const TOKEN = 'bench';
const CALLERS = 64;
const START_SECONDS = 60;

export async function measureOpenBao(log: BenchLog, { quick, peers }: BenchOptions, report: Report): Promise<void> {
  if (!peers) return;
  const bao = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'bao'))
    .find(isExecutable);
  if (bao === undefined) return report.note('OpenBao with a file audit device: skipped, `bao` is not found in PATH');
  const seconds = quick ? 0.2 : 5;
  const peer = `${execFileSync(bao, ['version'], { encoding: 'utf8' }).split(' (')[0]?.trim()}, file audit device, not synced`;
  const plain = await asked(bao, undefined, log.folder, seconds);
  const audited = await asked(bao, join(log.folder, 'audit.log'), log.folder, seconds);
  const [one, many] = [await rate(1, seconds, log.append), await rate(256, seconds, log.append)];
  report.row({ name: 'durable records, one caller', value: one.perSecond, unit: 'records/s', peer, peerValue: audited.oneEntries });
  const callers = `${peer}, ${CALLERS} callers`;
  report.row({
    name: 'durable records, 256 callers',
    value: many.perSecond,
    unit: 'records/s',
    peer: callers,
    peerValue: audited.manyEntries,
  });
  report.row({ name: 'added by a record, p50', value: one.p50Ms, unit: 'ms', peer, peerValue: Math.max(0, audited.p50Ms - plain.p50Ms) });
}

interface Asked {
  /** Entries in the file a second. */
  readonly oneEntries: number;
  readonly manyEntries: number;
  /** Of one request, by one caller. */
  readonly p50Ms: number;
}

async function asked(bao: string, file: string | undefined, folder: string, seconds: number): Promise<Asked> {
  const port = await freePort();
  const config = join(folder, 'bao.hcl');
  writeFileSync(config, file === undefined ? '' : `audit "file" "bench" {\n  options { file_path = ${JSON.stringify(file)} }\n}\n`);
  const address = [`-dev-listen-address=127.0.0.1:${port}`, `-dev-root-token-id=${TOKEN}`];
  const server = spawn(bao, ['server', '-dev', '-dev-no-store-token', ...address, `-config=${config}`], { stdio: 'ignore' });
  const gone = new Promise<void>((done) => server.once('exit', () => done()));
  const agent = new Agent({ keepAlive: true, maxSockets: CALLERS });
  try {
    await answering(port, agent);
    const lines = () => (file === undefined ? 0 : readFileSync(file, 'latin1').split('\n').length - 1);
    const measure = async (callers: number) => {
      const [before, startedAt] = [lines(), performance.now()];
      const { p50Ms } = await rate(callers, seconds, () => look(port, agent));
      const tookSeconds = (performance.now() - startedAt) / 1000;
      return { p50Ms, entries: (lines() - before) / tookSeconds };
    };
    const [one, many] = [await measure(1), await measure(CALLERS)];
    return { oneEntries: one.entries, manyEntries: many.entries, p50Ms: one.p50Ms };
  } finally {
    agent.destroy();
    server.kill();
    await gone;
  }
}

async function answering(port: number, agent: Agent): Promise<void> {
  for (let tries = 0; ; tries++) {
    const error = await look(port, agent).catch((failure: unknown) => failure ?? new Error('no answer'));
    if (error === undefined) return;
    if (tries > START_SECONDS * 10) throw new Error('bao does not start', { cause: error });
    await sleep(100);
  }
}

function look(port: number, agent: Agent): Promise<void> {
  return new Promise((done, fail) => {
    const headers = { 'X-Vault-Token': TOKEN };
    const call = request({ agent, port, host: '127.0.0.1', path: '/v1/auth/token/lookup-self', headers }, (answer) => {
      answer.resume();
      answer.once('end', () => (answer.statusCode === 200 ? done() : fail(new Error(`status ${answer.statusCode}`))));
      answer.once('error', fail);
    });
    call.once('error', fail);
    call.end();
  });
}

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
