/** Sinks of a whole vault, with receivers nobody here wrote: every record arrives, none is in the way of a release, and who lags is on record. */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
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
import { issueChallenge } from '../../src/vault/challenge.ts';
import { createLogSinks, type LogSinks, type SinkFailure } from '../../src/vault/log-sinks.ts';
import { createReadiness } from '../../src/vault/readiness.ts';
import type { Granted } from '../../src/vault/release.ts';
import { renew } from '../../src/vault/renew.ts';
import { readSinks, sinkStates } from '../../src/vault/sink-lag.ts';
import { type ReceiverCertificates, receiverCertificates } from '../audit/receiver-certificates.ts';
import { freePort } from '../harness/free-port.ts';
import { hasRsyslog, startRsyslog } from '../harness/rsyslog.ts';
import { codeFrom, type Machine, type Published, TestVault } from './test-vault.ts';

const ask = async (): Promise<string> => {
  const answer = await vault.ask({ machine, version }).catch((error: { code?: string }) => error.code ?? String(error));
  return typeof answer === 'string' ? answer : answer.refused ? answer.code : 'granted';
};

let vault: TestVault;
let certificates: ReceiverCertificates;
let machine: Machine;
let version: Published;
let sinks: LogSinks | undefined;
let counter = 0;
const servers: Server[] = [];
const sockets: Socket[] = [];
const failures: SinkFailure[] = [];
const unreadable: string[] = [];
const secret = Buffer.alloc(32, 5);

beforeAll(async () => {
  [vault, certificates] = await Promise.all([TestVault.ready(), receiverCertificates()]);
  machine = await vault.machine('gpu-1');
  version = await vault.publish('falcon', 'internal');
  mkdirSync(join(vault.site.folder, 'sinks'));
  for (const name of ['jsonl', 'ocsf', 'required', 'moody'])
    writeFileSync(join(vault.site.folder, `hook-${name}.secret`), `whsec_${secret.toString('base64')}\n`);
});
afterEach(async () => {
  await sinks?.stop();
  for (const server of servers.splice(0)) server.close();
  for (const socket of sockets.splice(0)) socket.destroy(); // one that hangs stays half open, and would keep this process alive
  failures.length = 0;
});
afterAll(() => vault.remove());

/** Two people agree, and a process that serves reads it. */
async function send(...to: LogSink[]): Promise<void> {
  counter++;
  await vault.twoPeople({ kind: 'log-sinks', namespace: SYSTEM, counter, sinks: to });
  await sinks?.stop();
  sinks = createLogSinks(vault.vault, surroundingsOf({ sinkFiles: join(vault.site.folder, 'sinks'), sinkSecrets: vault.site.folder }), {
    failed: (failure) => failures.push(failure),
    unreadable: (code) => unreadable.push(code),
  });
  await vault.node.sequencer.tick();
  await sinks.tick();
}

async function listening(server: Server): Promise<number> {
  servers.push(server);
  server.on('connection', (socket) => sockets.push(socket));
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

async function renewed({ permit: { namespace, releaseId } }: Granted): Promise<unknown> {
  const challenge = await issueChallenge(machine.spki, vault.vault);
  const evidence = [await vault.evidenceFor(machine, challenge)];
  const who = { requestId: 'renew', remoteAddress: '198.51.100.7', spki: machine.spki };
  return renew({ ...who, namespace, releaseId, challengeId: challenge.challengeId, evidence } as never, vault.vault);
}

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

  it('that hangs, drops the connection, answers 500, and takes a batch without being able to say so, lags on record after a minute and has every record at last', async () => {
    const lines: string[] = [];
    const tried: string[] = [];
    let mood: 'hangs' | '500' | 'forgets' | 'well' = 'hangs';
    const port = await listening(
      createHttps(certificates.good, async (request, response) => {
        let body = '';
        for await (const chunk of request) body += chunk;
        const now = mood;
        tried.push(now);
        if (now === 'forgets' || now === 'well') lines.push(...(JSON.parse(body) as object[]).map((record) => JSON.stringify(record)));
        if (now === 'hangs') await until(() => mood !== 'hangs');
        if (now === 'well') response.writeHead(204).end();
        else if (now === '500') response.writeHead(500).end();
        else request.socket.destroy();
      }),
    );
    await send({
      kind: 'webhook',
      name: 'hook-moody',
      from: 'first',
      host: 'localhost',
      port,
      path: '/log',
      ca: certificates.ca,
      format: 'jsonl',
    });
    await until(() => tried.includes('hangs'));
    for (let at = 0; at < 5; at++) await vault.granted({ machine, version }); // nobody who is released to waits for it
    await vault.node.sequencer.tick();
    const told = () => vault.records().filter(({ type, detail }) => type === 'log.lagging' && detail?.includes('hook-moody'));
    vault.clock.advance(61);
    await sinks?.tick();
    expect(told().map(({ outcome }) => outcome)).toEqual(['failure']);
    for (const next of ['500', 'forgets', 'well'] as const) {
      mood = next;
      await until(() => tried.includes(next));
    }
    await vault.node.sequencer.tick();
    await until(() => idle('hook-moody'));
    expect(failures.map(({ code }) => code)).toEqual(expect.arrayContaining(['sink_unreachable', 'sink_refused']));
    const size = (await sinkStates(vault.vault))[0]?.next ?? 0;
    const copy = await compared(lines, 'jsonl');
    expect(copy).toMatchObject({ ok: true, verified: size, absent: 0 }); // no gap
    expect(copy.repeated).toBeGreaterThan(0); // what it took and could not say, known by index and leaf hash
    await sinks?.tick();
    expect(told().map(({ outcome }) => outcome)).toEqual(['failure', 'success']);
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

  it('that releases must not outrun stops them while it is behind, on record and for whoever asks after health, and lets them go on by itself', async () => {
    let well = true;
    const port = await listening(
      createHttps(certificates.good, (request, response) => {
        request.resume().on('end', () => response.writeHead(well ? 204 : 503).end());
      }),
    );
    const sink = {
      kind: 'webhook',
      name: 'hook-required',
      from: 'next',
      host: 'localhost',
      port,
      path: '/log',
      ca: certificates.ca,
    } as const;
    await send({ ...sink, format: 'jsonl', required: { seconds: 30, records: 1_000 } });
    const health = () => createReadiness({ ...vault.vault, revocations: { ...vault.vault.revocations, isStale: () => false } }).check();
    const told = () => vault.records().filter(({ type }) => type === 'log.refusing' || type === 'log.accepting');
    await until(() => idle('hook-required'));
    const running = await vault.granted({ machine, version });
    expect(await health()).toBeUndefined();

    well = false;
    await vault.granted({ machine, version }); // its records wait now
    await vault.node.sequencer.tick();
    expect(await ask()).toBe('granted'); // a moment is no lag
    vault.clock.advance(31);
    expect(await ask()).toBe('log_sink_behind');
    expect(await codeFrom(renewed(running))).toBe('log_sink_behind');
    expect((await vault.fetch(machine, running)).length).toBeGreaterThan(0); // what runs may finish
    expect(await health()).toBe('log_sink_behind');
    await until(() => failures.some(({ code }) => code === 'sink_refused'));
    for (let at = 0; at < 2; at++) await sinks?.tick();
    expect(told()).toMatchObject([{ type: 'log.refusing', outcome: 'failure', reason: 'log_sink_behind' }]);
    expect(vault.records('log.lagging').at(-1)).toMatchObject({ outcome: 'failure', reason: 'sink_refused' }); // below the minute of other sinks
    expect(await sinkStates(vault.vault)).toMatchObject([{ required: true, refusing: true, lagging: true }]);

    well = true;
    await until(() => idle('hook-required'));
    expect(await ask()).toBe('granted');
    await until(() => idle('hook-required'));
    for (let at = 0; at < 2; at++) await sinks?.tick();
    expect(told().map(({ type }) => type)).toEqual(['log.refusing', 'log.accepting']);
    expect(await health()).toBeUndefined();
  });

  it('that releases must not outrun stops them too by the number of records, before anybody reads for it, and when its document was altered', async () => {
    const sink = { kind: 'file', from: 'next', format: 'jsonl', rotateBytes: 65_536, required: { seconds: 3_600, records: 100 } } as const;
    counter++;
    await vault.twoPeople({ kind: 'log-sinks', namespace: SYSTEM, counter, sinks: [{ ...sink, name: 'fresh' }] });
    expect(await ask()).toBe('log_sink_behind'); // nobody has begun
    await send({ ...sink, name: 'fresh' });
    await until(() => idle('fresh'));
    expect(await ask()).toBe('granted');
    await sinks?.stop();
    await vault.stores.unitOfWork.run(async (tx) => {
      for (let at = 0; at < 101; at++)
        await vault.vault.accessLog.append(tx, { type: 'log.heartbeat', outcome: 'success', actor: { kind: 'system' } });
    });
    await vault.node.sequencer.tick();
    expect(await ask()).toBe('log_sink_behind');
    await send(); // two people can always give it up
    expect(await ask()).toBe('granted');
    await send({ ...sink, name: 'fresh' });
    await until(() => idle('fresh'));
    vault.sql("UPDATE document_slots SET counter = counter - 1 WHERE slot = 'log-sinks'");
    expect(await ask()).toBe('document_invalid');
    vault.sql("UPDATE document_slots SET counter = counter + 1 WHERE slot = 'log-sinks'");
    expect(await ask()).toBe('granted');
    await send();
  });

  it('that releases must not outrun stops them while its next record says no time that can be read, or is not there', async () => {
    await send({
      ...({ kind: 'file', name: 'timeless', from: 'next', format: 'jsonl', rotateBytes: 65_536 } as const),
      required: { seconds: 3_600, records: 1_000 },
    });
    await until(() => idle('timeless'));
    await sinks?.stop();
    for (let at = 0; at < 2; at++) await vault.granted({ machine, version }); // their records wait now
    await vault.node.sequencer.tick();
    expect(await ask()).toBe('granted');
    const next = (await sinkStates(vault.vault))[0]?.next ?? 0;
    const { leaf } = vault.row(`SELECT leaf FROM log_leaves WHERE leaf_index = ${next}`) as { leaf: Buffer };
    const write = vault.database.prepare('UPDATE log_leaves SET leaf = ? WHERE leaf_index = ?');
    vault.dropTriggers();
    const timeless = JSON.stringify({ ...JSON.parse(leaf.toString()), time: 'soon' });
    for (const damaged of [timeless, '{', '']) {
      write.run(Buffer.from(damaged), next);
      expect(await ask()).toBe('log_sink_behind');
    }
    write.run(leaf, next);
    expect(await ask()).toBe('granted');
    const { position } = vault.row(`SELECT position FROM log_leaves WHERE leaf_index = ${next}`);
    vault.sql('UPDATE log_leaves SET leaf_index = NULL WHERE position = ?', position);
    expect(await ask()).toBe('log_sink_behind');
    vault.sql('UPDATE log_leaves SET leaf_index = ? WHERE position = ?', next, position);
    expect(await ask()).toBe('granted');
    await send();
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
    expect(await ask()).toBe('document_invalid'); // nobody knows whether releases may outrun it
    await vault.node.sequencer.tick();
    const at = join(vault.site.folder, 'sinks', 'goes-on');
    await until(() => existsSync(at) && readdirSync(at).some((name) => readFileSync(join(at, name), 'utf8').includes('release.denied')));
  });
});
