/** A start that is refused because the log is another one is told outside of the log, by what two people signed, also where the database no longer knows it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { createKeptFile } from '../../src/audit/head-file/kept-file.ts';
import { createWatching } from '../../src/compose-watch.ts';
import type { Config } from '../../src/config/config.ts';
import { VaultError } from '../../src/domain/errors.ts';
import { SYSTEM } from '../../src/domain/ids.ts';
import { createDeliveryKeeper, type KeptForRefusal, tellOutsideOfLog } from '../../src/vault/alert-at-start.ts';
import { type ReceiverCertificates, receiverCertificates } from '../audit/receiver-certificates.ts';
import { TestVault } from './test-vault.ts';

const secret = Buffer.alloc(32, 7);
const secretOf = async () => secret;
let certificates: ReceiverCertificates;
let vault: TestVault;
let folder: string;
let kept: KeptForRefusal;
const closers: Array<() => void> = [];
const received: Array<Record<string, unknown>> = [];
beforeAll(async () => {
  certificates = await receiverCertificates();
});
beforeEach(async () => {
  vault = await TestVault.ready();
  folder = mkdtempSync(join(tmpdir(), 'wv-kept-'));
  kept = { delivery: createKeptFile(join(folder, 'delivery')), told: createKeptFile(join(folder, 'told')) };
  received.length = 0;
});
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  rmSync(folder, { recursive: true });
  await vault.remove();
});

/** A receiver that verifies the signature as its specification says, and fails so often first. */
async function deliverTo(counter: number, failures = 0): Promise<void> {
  const server = createHttps(certificates.good, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    if (failures-- > 0) return void response.writeHead(503).end();
    received.push({
      counter,
      ...(new Webhook(secret.toString('base64')).verify(body, request.headers as Record<string, string>) as object),
    });
    response.writeHead(204).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close());
  const { port } = server.address() as AddressInfo; // a TCP server has one
  const hook = { kind: 'webhook', name: 'hook', minimum: 'critical', host: 'localhost', port, path: '/', ca: certificates.ca } as const;
  await vault.twoPeople({ kind: 'alert-delivery', namespace: SYSTEM, counter, targets: [hook], heartbeatSeconds: 60 });
}
const refused = (code: 'log_rolled_back' | 'log_entry_mismatch' | 'store_unavailable' = 'log_rolled_back', without?: 'kept') =>
  tellOutsideOfLog(new VaultError(code), 'start', vault.vault, without ? undefined : kept, secretOf);

test('it is told once in five minutes, after a receiver that failed at first, and nothing is written to the log', async () => {
  await deliverTo(1, 1);
  const records = vault.records().length;
  expect(await refused()).toEqual({ told: 1, failed: 0 });
  expect(await refused('log_entry_mismatch')).toBeUndefined();
  expect(received).toMatchObject([
    { type: 'alert', vaultId: vault.vault.vaultId, rule: 'A09', level: 'critical', matches: 0, group: { reason: 'log_rolled_back' } },
  ]);
  expect(vault.records()).toHaveLength(records);
  await kept.told.write(Buffer.from(new Date(Date.now() - 301_000).toISOString()));
  expect(await refused()).toEqual({ told: 1, failed: 0 });
});

test('the shipped rule of the same name is the one that is named', async () => {
  await deliverTo(1);
  await refused();
  expect(readFileSync(new URL('../../policies/alerts/wv_a09_log_integrity.yml', import.meta.url), 'utf8')).toContain(
    String(received[0]?.['ruleId']),
  );
});

test('a database that was put back to before there were receivers, or to others, hides nothing', async () => {
  await deliverTo(1);
  const keep = createDeliveryKeeper(vault.vault, kept.delivery);
  await keep();
  const first = readFileSync(join(folder, 'delivery'));
  await deliverTo(2);
  await keep();
  const second = readFileSync(join(folder, 'delivery'));
  expect(second).not.toEqual(first);
  vault.sql("DELETE FROM document_slots WHERE slot = 'alert-delivery'");
  expect(await refused()).toEqual({ told: 1, failed: 0 });
  expect(received.map(({ counter }) => counter)).toEqual([2]);
  expect(await refused('log_rolled_back', 'kept')).toEqual({ told: 0, failed: 0 }); // that is what it is kept for
});

test('what was kept is believed only as it was signed; the newer of both counts', async () => {
  await deliverTo(1);
  const keep = createDeliveryKeeper(vault.vault, kept.delivery);
  await keep();
  await deliverTo(2); // the database knows a newer one
  await refused();
  expect(received.map(({ counter }) => counter)).toEqual([2]);
  rmSync(join(folder, 'told'));
  const { digest, bytes, signature } = JSON.parse(readFileSync(join(folder, 'delivery'), 'utf8'));
  const forged = Buffer.from(Buffer.from(bytes, 'base64').toString().replace('"counter":1', '"counter":9')).toString('base64');
  for (const text of [JSON.stringify({ digest, bytes: forged, signature }), '{}', 'null', '', '\0', JSON.stringify({ digest, bytes })]) {
    writeFileSync(join(folder, 'delivery'), text);
    await refused();
    rmSync(join(folder, 'told'));
  }
  expect(new Set(received.map(({ counter }) => counter))).toEqual(new Set([2]));
});

test('of a start that fails for another reason nobody is told', async () => {
  await deliverTo(1);
  expect(await refused('store_unavailable')).toBeUndefined();
  expect(received).toEqual([]);
});

test('a log that halts while it is served, in a store that takes no record, is told outside too; in one that does, it is an alert', async () => {
  await deliverTo(1);
  writeFileSync(join(folder, 'hook.secret'), `whsec_${secret.toString('base64')}\n`);
  const config = { alertSecrets: folder, dataPlane: {}, adminPlane: {} } as unknown as Config; // all that is read here
  const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const error = new VaultError('log_entry_mismatch');
  const halted = { kind: 'halted', severity: 'critical', code: error.code, error } as const;
  const accessLog = { append: () => Promise.reject(new VaultError('store_unavailable')) };
  for (const served of [{ ...vault.vault, accessLog }, vault.vault]) {
    const watching = createWatching(config, vault.clock, quiet);
    watching.onSequencer(halted); // before it serves
    const stop = watching.start(served, () => undefined);
    const done = () => (served === vault.vault ? vault.records('log.halted').length : received.length) > 0;
    for (let tries = 0; !done() && tries < 2_400; tries++) await new Promise((resolve) => setTimeout(resolve, 25));
    await stop();
  }
  expect(received).toMatchObject([{ rule: 'A09', title: 'The access log is not what was signed, and takes no record of that' }]);
  expect(vault.records('log.halted')).toMatchObject([{ reason: 'log_entry_mismatch' }]);
});
