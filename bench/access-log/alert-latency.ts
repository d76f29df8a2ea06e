/** How long after a refusal its alert arrives: `wv serve` as a process, two people's rules and receiver, a webhook over TLS that is this process. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DataClient } from '../../src/agent/data-client.ts';
import { createHttpsClient } from '../../src/agent/https-client.ts';
import { DEFAULTS } from '../../src/domain/classes.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';
import { receiverCertificates } from '../../test/audit/receiver-certificates.ts';
import { MODEL, type RealVault, startRealVault, until, wvJson } from '../../test/e2e/real-vault.ts';
import type { BenchOptions, Report } from '../area.ts';
import { quantile } from '../core/rounds.ts';

const RULE = `title: A refusal
id: 00000000-0000-4000-8000-000000000001
name: bench_refusal
logsource:
    product: weight-vault
    service: access-log
detection:
    selection:
        type: release.denied
    condition: selection
level: high
weightvault:
    alert: A01
`;
const ARRIVE_MS = 60_000;

export async function measureAlertLatency({ quick }: BenchOptions, report: Report): Promise<void> {
  const vault = await startRealVault();
  const arrived = new Map<string, number>();
  const certificates = await receiverCertificates();
  const receiver = createServer(certificates.good, async (request, response) => {
    const at = performance.now();
    let body = '';
    for await (const chunk of request) body += chunk;
    response.writeHead(204).end();
    const { group } = JSON.parse(body) as { group?: Record<string, string> }; // of a heartbeat there is none
    if (group?.['actor.spkiDigest'] !== undefined) arrived.set(group['actor.spkiDigest'], at);
  });
  try {
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    const dataPort = await watched(vault, (receiver.address() as AddressInfo).port, certificates.ca);
    const times: number[] = [];
    // One for each of some fewer strangers than alerts are sent in a minute: of one stranger they would be repeats, of more a storm.
    for (let at = 0; at < (quick ? 2 : DEFAULTS.alertsPerMinute - 5); at++) {
      const { spkiDigest, askedAt } = await refusedStranger(vault, dataPort);
      if (!(await until(() => arrived.has(spkiDigest), ARRIVE_MS))) throw new Error('an alert did not arrive');
      times.push((arrived.get(spkiDigest) ?? Number.NaN) - askedAt);
    }
    report.row({ name: 'from a request that is refused to its alert at a webhook, p50', value: quantile(times, 0.5), unit: 'ms' });
    const target = { of: 'value', atMost: 2_000 } as const;
    report.row({ name: `the same, slowest of ${times.length}`, value: Math.max(...times), unit: 'ms', target });
  } finally {
    receiver.close();
    receiver.closeAllConnections();
    await vault.stop();
  }
}

/** Rules and receiver come in force, each by two people. The data plane's port. */
async function watched(vault: RealVault, port: number, ca: string): Promise<number> {
  const config = join(vault.folder, 'vault.json');
  writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, 'utf8')), alertSecrets: vault.at() }));
  writeFileSync(vault.at('hook.secret'), `whsec_${Buffer.alloc(32, 1).toString('base64')}\n`, { mode: 0o600 });
  await vault.server.stop();
  const { dataPort } = await vault.serve();
  const target = { kind: 'webhook', name: 'hook', minimum: 'high', host: 'localhost', port, path: '/', ca };
  writeFileSync(vault.at('delivery.json'), JSON.stringify({ targets: [target], heartbeatSeconds: 3_600 }));
  mkdirSync(vault.at('rules'));
  writeFileSync(vault.at('rules', 'bench_refusal.yml'), RULE);
  for (const [command, what] of [
    ['deliver', vault.at('delivery.json')],
    ['set', vault.at('rules')],
  ] as const) {
    const asked = await wvJson('alerts', command, '--kit', vault.kit('alice'), '--code', await vault.code('alice'), what);
    await vault.approve(asked as { requestId: string; operationDigest: string }, 'system', 'alice'); // what the command printed
  }
  return dataPort;
}

/** Somebody with a key that nobody knows asks without evidence. */
async function refusedStranger(vault: RealVault, dataPort: number) {
  const own = await issueSelfSigned({ commonName: 'stranger', days: 1, now: new Date() });
  const ca = readFileSync(join(vault.folder, 'tls', 'data.crt'), 'utf8');
  const url = `https://127.0.0.1:${dataPort}`;
  const https = createHttpsClient({ url, ca, certificate: own.certificatePem, privateKey: own.privateKeyPem, connections: 1 });
  try {
    const client = new DataClient(https, 'default', own.privateKeyPem);
    const { id } = await client.challenge();
    const askedAt = performance.now();
    await client.release(MODEL, vault.versionId, id, []).catch(() => undefined); // refused, which is what is wanted
    return { askedAt, spkiDigest: own.spkiDigest };
  } finally {
    https.close();
  }
}
