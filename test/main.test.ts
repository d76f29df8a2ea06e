/** A real process: its figures on a loopback port, and how it stops. Needs SoftHSM, no TPM. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get as httpGet } from 'node:http';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { setupDevelopmentToken } from '../softhsm/setup.ts';
import { initArgs, type ServerProcess, startServer, until, wvJson } from './e2e/real-vault.ts';

const folder = mkdtempSync(join(tmpdir(), 'wv-main-'));
const at = (...parts: string[]) => join(folder, ...parts);
const servers: ServerProcess[] = [];

beforeAll(async () => {
  writeFileSync(at('token.json'), JSON.stringify(await setupDevelopmentToken({ folder: at('token'), label: 'weight-vault-main' })));
  await wvJson(...initArgs(at));
});
afterAll(async () => {
  for (const server of servers) if (server.process.exitCode === null) await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(plane: 'data' | 'admin' | 'both' = 'both'): Promise<ServerProcess> {
  const server = await startServer(at('vault'), plane);
  servers.push(server);
  return server;
}

/** Settings of vault.json changed; undefined takes one out. */
function configure(change: Readonly<Record<string, unknown>>): void {
  const file = at('vault', 'vault.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...change }));
}

/** What the operational log said when the process began to serve. */
function serving(server: ServerProcess): Record<string, unknown> {
  return server.log.map((line) => JSON.parse(line)).find((line) => line.message === 'serving') ?? {};
}

function scrape(port: number): Promise<{ status: number | undefined; text: string }> {
  return new Promise((done, fail) => {
    httpGet({ host: '127.0.0.1', port, path: '/metrics', agent: false }, async (response) => {
      const pieces: Buffer[] = [];
      for await (const piece of response) pieces.push(piece);
      done({ status: response.statusCode, text: Buffer.concat(pieces).toString('utf8') });
    }).once('error', fail);
  });
}

function ready(port: number): Promise<readonly [status: number | undefined, connection: string | undefined]> {
  const ca = readFileSync(at('vault', 'tls', 'data.crt'));
  return new Promise((done, fail) => {
    get({ host: '127.0.0.1', port, path: '/v1/health/ready', ca, agent: false }, (response) => {
      response.resume().once('end', () => done([response.statusCode, response.headers.connection]));
    }).once('error', fail);
  });
}

describe('metricsPlane', () => {
  test('is off by default', async () => {
    const server = await start();
    expect(serving(server)).not.toHaveProperty('metricsPort');
    expect(await server.stop()).toBe(0);
  });

  test('serves the figures of the process, its keeper and its log', async () => {
    configure({ metricsPlane: { host: '127.0.0.1', port: 0 } });
    const server = await start();
    expect((await ready(server.dataPort))[0]).toBe(200);
    const port = Number(serving(server)['metricsPort']);
    const lines = [
      /^weight_vault_ready 1$/m,
      /^weight_vault_log_records [1-9]/m,
      /^weight_vault_log_records_waiting 0$/m,
      /^weight_vault_keeper_sessions 4$/m,
      /^weight_vault_keeper_operations_waiting 0$/m,
      /^weight_vault_key_call_seconds_count\{verb="sign"\} [1-9]/m,
      /^weight_vault_records_total\{type="vault.started",outcome="success",reason=""\} 1$/m,
      /^weight_vault_http_request_seconds_count\{plane="data",operation="readReadiness",status="200"\} 1$/m,
      /^nodejs_eventloop_lag_seconds /m,
    ];
    let latest = await scrape(port);
    // The log is signed within a fifth of a second or, on a busy machine, a little later.
    await until(async () => {
      latest = await scrape(port);
      return lines.every((line) => line.test(latest.text));
    });
    expect(latest.status).toBe(200);
    for (const line of lines) expect(latest.text).toMatch(line);
    expect(await server.stop()).toBe(0);
  });

  test('stops the start when it is no loopback address', async () => {
    configure({ metricsPlane: { host: '0.0.0.0', port: 0 } });
    await expect(start()).rejects.toThrow(/configuration_invalid[\s\S]*metricsPlane/);
    configure({ metricsPlane: undefined });
  });
});

describe('SIGTERM', () => {
  test('makes the node unready first, then ends it, and nothing is left undone', async () => {
    const server = await start('data');
    expect(await ready(server.dataPort)).toEqual([200, 'close']); // the client asked for it: no agent
    const stopped = server.stop();
    // It says so for a second. Who comes later finds nobody, and that is no readiness either.
    expect(await until(async () => (await ready(server.dataPort).catch(() => [503]))[0] === 503)).toBe(true);
    expect(await stopped).toBe(0);
    const said = server.log.map((line) => JSON.parse(line));
    expect(said).toContainEqual(expect.objectContaining({ message: 'not ready', reason: 'draining' }));
    expect(said.filter(({ level }) => level === 'error')).toEqual([]);
  });
});
