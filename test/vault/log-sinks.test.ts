/** Sinks of a whole vault, with receivers nobody here wrote: every record arrives, none is in the way of a release, and who lags is on record. */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer as createTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { LOG_FORMATS, type LogFormatName } from '../../src/audit/formats/format.ts';
import { verifyCopy } from '../../src/audit/formats/verify-copy.ts';
import { formatVkey } from '../../src/audit/note.ts';
import { surroundingsOf } from '../../src/compose-readers.ts';
import type { LogSink } from '../../src/documents/log-sinks.ts';
import { SYSTEM } from '../../src/domain/ids.ts';
import { createLogSinks, type LogSinks, type SinkFailure } from '../../src/vault/log-sinks.ts';
import { readSinks, sinkStates } from '../../src/vault/sink-lag.ts';
import { type ReceiverCertificates, receiverCertificates } from '../audit/receiver-certificates.ts';
import { freePort } from '../harness/free-port.ts';
import { hasRsyslog, startRsyslog } from '../harness/rsyslog.ts';
import { type Machine, type Published, TestVault } from './test-vault.ts';

let vault: TestVault;
let certificates: ReceiverCertificates;
let machine: Machine;
let version: Published;
let sinks: LogSinks | undefined;
let counter = 0;
const servers: Server[] = [];
const failures: SinkFailure[] = [];
const unreadable: string[] = [];
const secret = Buffer.alloc(32, 5);

beforeAll(async () => {
  [vault, certificates] = await Promise.all([TestVault.ready(), receiverCertificates()]);
  machine = await vault.machine('gpu-1');
  version = await vault.publish('falcon', 'internal');
  mkdirSync(join(vault.site.folder, 'sinks'));
  for (const format of ['jsonl', 'ocsf'])
    writeFileSync(join(vault.site.folder, `hook-${format}.secret`), `whsec_${secret.toString('base64')}\n`);
});
afterEach(async () => {
  await sinks?.stop();
  for (const server of servers.splice(0)) server.close();
  failures.length = 0;
});
afterAll(() => vault.remove());

/** Two people agree, and a process that serves reads it. */
async function send(...to: LogSink[]): Promise<void> {
  counter++;
  await vault.twoPeople({ kind: 'log-sinks', namespace: SYSTEM, counter, sinks: to });
  sinks = createLogSinks(vault.vault, surroundingsOf({ sinkFiles: join(vault.site.folder, 'sinks'), sinkSecrets: vault.site.folder }), {
    failed: (failure) => failures.push(failure),
    unreadable: (code) => unreadable.push(code),
  });
  await vault.node.sequencer.tick();
  await sinks.tick();
}

async function listening(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port; // a TCP server has one
}

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await what()); tries++) {
    if (tries > 2_400) throw new Error(`it did not happen: ${JSON.stringify(failures.at(-1))}`);
    await sleep(25);
  }
}

const idle = async (name: string) => (await sinkStates(vault.vault)).some((state) => state.name === name && state.behind === 0);

/** All that arrived, compared with the signed tree. */
async function compared(lines: readonly string[], format: LogFormatName) {
  const { stores, logKey } = vault.vault;
  const tree = {
    checkpoint: async () => (await stores.unitOfWork.run((tx) => stores.log.head(tx)))?.checkpoint ?? new Uint8Array(0),
    tile: (path: string) => stores.unitOfWork.run((tx) => stores.log.tile(tx, path)),
  };
  async function* each() {
    yield* lines;
  }
  return verifyCopy(each(), LOG_FORMATS[format], tree, formatVkey(logKey));
}

describe('a sink', () => {
  (hasRsyslog ? it : it.skip)('of rsyslog over TLS has every record, and each is the one in the tree', async () => {
    const port = await freePort();
    const rsyslog = await startRsyslog(join(vault.site.folder, 'rsyslog'), port, { ca: certificates.ca, ...certificates.good });
    try {
      await send({ kind: 'syslog', name: 'siem', from: 'first', host: 'localhost', port, ca: certificates.ca });
      await until(() => idle('siem'));
      const size = (await sinkStates(vault.vault))[0]?.next ?? 0;
      await until(() => rsyslog.lines().length >= size);
      expect(await compared(rsyslog.lines(), 'rfc5424')).toMatchObject({ ok: true, verified: size, absent: 0 });
    } finally {
      await rsyslog.stop();
    }
  });

  it.each(['jsonl', 'ocsf'] as const)('of a webhook has every record in %s, signed, each batch with an id of its own', async (format) => {
    const lines: string[] = [];
    const ids = new Set<string>();
    let refuse = 1;
    const receiver = new Webhook(secret.toString('base64'));
    const port = await listening(
      createHttps(certificates.good, async (request, response) => {
        let body = '';
        for await (const chunk of request) body += chunk;
        if (refuse-- > 0) return void response.writeHead(503).end();
        const records = receiver.verify(body, request.headers as Record<string, string>) as object[];
        ids.add(String(request.headers['webhook-id']));
        lines.push(...records.map((record) => JSON.stringify(record)));
        response.writeHead(204).end();
      }),
    );
    await send({
      kind: 'webhook',
      name: `hook-${format}`,
      from: 'first',
      host: 'localhost',
      port,
      path: '/log',
      ca: certificates.ca,
      format,
    });
    await until(() => idle(`hook-${format}`));
    expect(failures).toEqual([{ sink: `hook-${format}`, kind: 'webhook', code: 'sink_refused' }]); // and then it was sent again
    const size = (await sinkStates(vault.vault))[0]?.next ?? 0;
    expect(await compared(lines, format)).toMatchObject({ ok: true, verified: size, repeated: 0 });
    expect(ids.size).toBeGreaterThan(0);
  });

  it('of files has exactly the records, over a restart, and goes on where it was', async () => {
    const sink = { kind: 'file', name: 'archive', from: 'first', format: 'jsonl', rotateBytes: 65_536 } as const;
    await send(sink);
    await until(() => idle('archive'));
    await sinks?.stop();
    await vault.granted({ machine, version });
    await send(sink);
    await until(() => idle('archive'));
    const at = join(vault.site.folder, 'sinks', 'archive');
    const lines = readdirSync(at)
      .sort()
      .flatMap((name) => readFileSync(join(at, name), 'utf8').split('\n').slice(0, -1));
    const size = (await sinkStates(vault.vault))[0]?.next ?? 0;
    expect(lines.map((line) => LOG_FORMATS.jsonl.read(line)?.index)).toEqual(Array.from({ length: size }, (_, index) => index));
    expect(await compared(lines, 'jsonl')).toMatchObject({ ok: true });
  });

  it('that hangs, or shows an expired certificate, gets nothing, is in nobody’s way, and lags on record until it is well', async () => {
    let taken = 0;
    const hanging = await listening(
      createTls({ ...certificates.good, allowHalfOpen: true }, (socket) => socket.on('error', () => undefined).resume()),
    );
    const expired = await listening(
      createTls(certificates.expired, (socket) => socket.on('error', () => undefined).on('data', () => taken++)),
    );
    const common = { kind: 'syslog', from: 'next', host: 'localhost', ca: certificates.ca } as const;
    await send({ ...common, name: 'hangs', port: hanging }, { ...common, name: 'expired', port: expired });
    await until(
      async () =>
        (await sinkStates(vault.vault)).length === 2 && (await sinkStates(vault.vault)).every(({ holder }) => holder !== undefined),
    );
    for (let at = 0; at < 20; at++) await vault.granted({ machine, version });
    await vault.node.sequencer.tick();
    await until(() => failures.some(({ code }) => code === 'sink_untrusted'));
    expect(taken).toBe(0);
    vault.clock.advance(120);
    await sinks?.tick();
    await sinks?.tick();
    const lagging = vault.records().filter(({ type }) => type === 'log.lagging');
    expect(lagging.map(({ outcome, reason, detail }) => [outcome, reason, detail?.replace(/[0-9]+/, 'N')])).toEqual(
      expect.arrayContaining([['failure', 'sink_untrusted', 'sink expired: N records wait']]),
    );
    expect(lagging.filter(({ detail }) => detail?.includes('expired'))).toHaveLength(1); // once, not each round
    const { sinks: shown } = await readSinks(await vault.as('carol'), vault.vault);
    expect(shown.find(({ name }) => name === 'expired')).toMatchObject({ lagging: true, kind: 'syslog' });
  });

  it('that nobody wants any more is sent nothing', async () => {
    await send();
    await vault.granted({ machine, version });
    await vault.node.sequencer.tick();
    await sinks?.tick();
    expect(await sinkStates(vault.vault)).toEqual([]);
  });

  it('goes on when its document was altered in the database, and the operational log says so', async () => {
    await send({ kind: 'file', name: 'goes-on', from: 'next', format: 'jsonl', rotateBytes: 65_536 });
    await until(() => idle('goes-on'));
    vault.sql("UPDATE document_slots SET counter = counter + 1 WHERE slot = 'log-sinks'");
    await sinks?.tick();
    expect(unreadable).toEqual(['document_invalid']);
    await vault.granted({ machine, version });
    await vault.node.sequencer.tick();
    const at = join(vault.site.folder, 'sinks', 'goes-on');
    await until(() => existsSync(at) && readdirSync(at).some((name) => readFileSync(join(at, name), 'utf8').includes('release.begin')));
  });
});
