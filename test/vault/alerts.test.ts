/** What the rules raise in a vault: once, on record, acted upon, and sent to receivers nobody here wrote. */
import { writeFileSync } from 'node:fs';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { createServer as createTls } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { SMTPServer } from 'smtp-server';
import { Webhook } from 'standardwebhooks';
import { loggable } from '../../src/audit/record.ts';
import { startReaders } from '../../src/compose-readers.ts';
import { createWatching } from '../../src/compose-watch.ts';
import type { Config } from '../../src/config/config.ts';
import type { AlertTarget } from '../../src/documents/alert-delivery.ts';
import { sha256Hex, utf8 } from '../../src/domain/bytes.ts';
import { SYSTEM } from '../../src/domain/ids.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createAlertDelivery, type SecretOf } from '../../src/vault/alert-delivery.ts';
import { raiseAtOnce } from '../../src/vault/alert-watch.ts';
import { listAlerts, readAlert } from '../../src/vault/alerts.ts';
import { requestApproval } from '../../src/vault/approve.ts';
import { alertFollower } from '../../src/vault/log-readers.ts';
import { requestLift } from '../../src/vault/stop.ts';
import { knownStops } from '../../src/vault/stops.ts';
import { shippedRules } from '../alerts/shipped.ts';
import { type ReceiverCertificates, receiverCertificates } from '../audit/receiver-certificates.ts';
import { freePort } from '../harness/free-port.ts';
import { hasRsyslog, startRsyslog } from '../harness/rsyslog.ts';
import { codeFrom, type Machine, type Node, PROD, type Published, TestVault } from './test-vault.ts';

let certificates: ReceiverCertificates;
beforeAll(async () => {
  certificates = await receiverCertificates();
});

let vault: TestVault;
let machine: Machine;
let version: Published;
const servers: Array<{ close(): void }> = [];
beforeEach(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('gpu-1');
  version = await vault.publish('falcon', 'restricted');
  await vault.twoPeople({ kind: 'alert-rules', namespace: SYSTEM, counter: 1, rules: shippedRules() });
  await settle(); // from here on is watched
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await vault.remove();
});

const NOT_TIMEOUTS = ['setImmediate', 'clearImmediate', 'nextTick', 'queueMicrotask', 'Date', 'performance', 'hrtime'] as const;

/** Indexes for what was appended, and the rules over it: what the timers of a process do. */
async function settle(node: Node = vault.node): Promise<void> {
  const follower = alertFollower(node.vault);
  await node.sequencer.tick();
  while ((await follower.tick()) === 'moved') await node.sequencer.tick();
  await follower.stop();
}

const raised = () =>
  vault
    .records()
    .filter(({ type }) => type === 'alert.raised')
    .map(
      (record) =>
        record as unknown as {
          alert: { rule: string; level: string; matches: number; first: number; last: number; indexesDigest: string };
          detail: string;
          recordId: string;
        },
    );
const rulesRaised = () => raised().map(({ alert }) => alert.rule);
const deny = (count: number) =>
  Promise.all(Array.from({ length: count }, async () => vault.ask({ machine, version: { ...version, model: 'nowhere' } })));
const touchDecoy = (key?: string) =>
  vault.stores.unitOfWork.run((tx) =>
    vault.vault.accessLog.append(tx, {
      type: 'decoy.touched',
      outcome: 'deny',
      namespace: PROD,
      actor: {
        kind: 'requester',
        ...(key === undefined && { subjectId: machine.subjectId }),
        spkiDigest: sha256Hex(key === undefined ? machine.spki : utf8(key)) as never,
      },
      object: { modelId: version.modelId },
    }),
  );

describe('what fires', () => {
  test('is a record that names the records that made it, and nobody reads it without being on record', async () => {
    await deny(5);
    await settle();
    const [alert] = raised().filter((one) => one.alert.rule === 'A01');
    expect(alert).toMatchObject({ detail: expect.stringMatching(/^Many refusals of one/), alert: { level: 'high', matches: 5 } });
    const { first = 0, last = 0, indexesDigest } = alert?.alert ?? {};
    const indexes = Array.from({ length: last - first + 1 }, (_, at) => first + at);
    expect(indexesDigest).toBe(sha256Hex(utf8(indexes.map((index) => `${index}\n`).join(''))));
    const leaves = await vault.stores.unitOfWork.run((tx) => vault.stores.log.leaves(tx, first, last + 1));
    expect(leaves.map(({ leaf }) => JSON.parse(Buffer.from(leaf).toString()).type)).toEqual(Array(5).fill('release.denied'));

    const seen = await listAlerts(await vault.as('carol'), { limit: 10 }, vault.vault);
    expect(seen.alerts.map(({ rule, sending }) => [rule, sending])).toContainEqual(['A01', 'nowhere']);
    expect(await readAlert(await vault.as('carol'), alert?.recordId as never, vault.vault)).toMatchObject({ rule: 'A01', matches: 5 });
    expect(vault.lastRecord()).toMatchObject({ type: 'log.read', detail: `alert ${alert?.recordId}` });
    expect(await codeFrom(readAlert(await vault.as('carol'), machine.subjectId as never, vault.vault))).toBe('record_unknown');
  });

  test('is raised once, however often the watch dies, restarts, or is another process', async () => {
    const other = await vault.addNode();
    for (let round = 0; round < 5; round++) {
      await deny(1);
      await settle(round % 2 === 0 ? vault.node : other); // each has an engine of its own, made anew
      vault.clock.advance(31); // the state is kept now and then
    }
    expect(rulesRaised().filter((rule) => rule === 'A01')).toHaveLength(2); // of the key, and of the requester
    const before = raised().length;
    const { database } = vault;
    for (const node of [vault.node, other]) await settle(node);
    expect(raised()).toHaveLength(before);
    expect(database.prepare('SELECT count(*) AS n FROM alerts').get()).toEqual({ n: before });
  });

  test('nothing, where no rules are in force or the set is another one since', async () => {
    await deny(4);
    await settle();
    await vault.twoPeople({
      kind: 'alert-rules',
      namespace: SYSTEM,
      counter: 2,
      rules: { 'a08.yml': shippedRules()['wv_a08_decoy.yml'] ?? '' },
    });
    await deny(1);
    await settle();
    expect(rulesRaised().filter((rule) => rule === 'A01')).toEqual([]);
  });

  test('a set that cannot be run as it is written is refused when it is asked for, and the one in force stays', async () => {
    const rules = {
      'bad.yml': 'title: Bad\nlogsource:\n    product: weight-vault\ndetection:\n    a:\n        type|re: x\n    condition: a\n',
    };
    const ask = async (namespace = SYSTEM) =>
      requestApproval(await vault.as('alice'), { kind: 'alert-rules', namespace, counter: 2, rules }, vault.vault);
    await vault.stepUp('alice');
    expect(await codeFrom(ask())).toBe('alert_rule_invalid');
    expect(await codeFrom(ask(PROD))).toBe('request_invalid');
    await touchDecoy();
    await settle();
    expect(rulesRaised()).toContain('A08');
  });

  test('of a log that is halted, without waiting for an index that never comes', async () => {
    await raiseAtOnce('log.halted', 'log_entry_mismatch', vault.vault);
    expect(raised()).toMatchObject([{ alert: { rule: 'A09', level: 'critical', matches: 1 } }]);
  });
});

describe('a decoy', () => {
  test('blocks its requester by itself, in the transaction of the alert; two people lift that', async () => {
    const granted = await vault.granted({ machine, version });
    await touchDecoy();
    await settle();
    const alert = raised().find((one) => one.alert.rule === 'A08');
    const placed = vault.records().find(({ type }) => type === 'stop.placed');
    expect(placed).toMatchObject({ actor: { kind: 'system' }, detail: `alert A08 ${alert?.recordId}`, namespace: PROD });
    vault.expectDenied(await vault.ask({ machine, version }), 'subject_blocked');
    const [stop] = await vault.stores.unitOfWork.run((tx) => knownStops(tx, vault.vault));
    expect(stop).toMatchObject({ scope: 'requester', target: machine.subjectId, lifted: false });
    expect(alert?.detail).toBe(`A decoy was touched: block ${stop?.stopId}`);
    expect(granted.permit.subjectId).toBe(machine.subjectId);

    await touchDecoy(); // again: it is stopped already
    await settle();
    expect(vault.records().filter(({ type }) => type === 'stop.placed')).toHaveLength(1);

    await vault.stepUp('alice');
    const asked = await requestLift(await vault.as('alice'), { namespace: PROD, stop: stop?.stopId as never }, vault.vault);
    expect(await codeFrom(vault.approve('alice', asked))).toBe('approval_self');
    await vault.approve('bob', asked);
    expect((await vault.ask({ machine, version })).refused).toBe(false);
  });

  test('touched by nobody we know stops nothing, and says so', async () => {
    await vault.stores.unitOfWork.run((tx) =>
      vault.vault.accessLog.append(tx, {
        type: 'decoy.touched',
        outcome: 'deny',
        namespace: PROD,
        actor: { kind: 'requester', spkiDigest: sha256Hex(utf8('k')) as never },
      }),
    );
    await settle();
    expect(raised()).toMatchObject([{ detail: 'A decoy was touched: nothing to stop is known' }]);
    expect(vault.records().filter(({ type }) => type === 'stop.placed')).toEqual([]);
  });
});

describe('a rule that acts by itself', () => {
  test.each([
    ['block', 'requester', 'subject_blocked'],
    ['suspend', 'model', 'version_suspended'],
    ['lockdown', 'namespace', 'lockdown'],
  ] as const)('may %s: of a %s, until two people lift it', async (action, scope, code) => {
    const text = (shippedRules()['wv_a08_decoy.yml'] ?? '').replace('action: block', `action: ${action}`);
    await vault.twoPeople({ kind: 'alert-rules', namespace: SYSTEM, counter: 2, rules: { 'wv_a08_decoy.yml': text } });
    await settle();
    await touchDecoy();
    await settle();
    const [stop] = await vault.stores.unitOfWork.run((tx) => knownStops(tx, vault.vault));
    expect(stop).toMatchObject({ scope, lifted: false });
    expect(raised().at(-1)?.detail).toBe(`A decoy was touched: ${action} ${stop?.stopId}`);
    vault.expectDenied(await vault.ask({ machine, version }), code);
    const { namespace, stopId } = stop ?? {};
    await vault.stepUp('alice');
    const asked = await requestLift(await vault.as('alice'), { namespace: namespace as never, stop: stopId as never }, vault.vault);
    expect(await codeFrom(vault.approve('alice', asked))).toBe('approval_self');
    await vault.approve('bob', asked);
    expect((await vault.ask({ machine, version })).refused).toBe(false);
  });
});

describe('sending', () => {
  const secret = new Uint8Array(32).fill(9);
  const secretOf: SecretOf = async (name) => (name === 'hook' ? secret : name === 'mail' ? utf8('pass word') : undefined);
  const listening = async (server: Server): Promise<number> => {
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port; // a TCP server has one
  };
  const deliverTo = (targets: AlertTarget[], counter = 1) =>
    vault.twoPeople({ kind: 'alert-delivery', namespace: SYSTEM, counter, targets, heartbeatSeconds: 60 });
  /** One round, and all that it began. */
  const round = async (node = vault.node) => {
    const failures: unknown[] = [];
    const delivery = createAlertDelivery(node.vault, secretOf, { onSettled: () => undefined, onFailure: (error) => failures.push(error) });
    await delivery.round();
    await delivery.idle();
    expect(failures).toEqual([]);
  };

  async function hook(answers: readonly number[] = []) {
    const received: Array<Record<string, unknown>> = [];
    const beats: Array<Record<string, unknown>> = [];
    const port = await listening(
      createHttps(certificates.good, async (request, response) => {
        let body = '';
        for await (const chunk of request) body += chunk;
        const said = new Webhook(Buffer.from(secret).toString('base64')).verify(body, request.headers as Record<string, string>);
        const status = answers[received.length] ?? 204;
        (said as { type: string }).type === 'alert'
          ? received.push(said as Record<string, unknown>)
          : beats.push(said as Record<string, unknown>);
        response.writeHead(status).end();
      }),
    );
    const target: AlertTarget = {
      kind: 'webhook',
      name: 'hook',
      minimum: 'critical',
      host: 'localhost',
      port,
      path: '/alerts',
      ca: certificates.ca,
    };
    return { target, received, beats };
  }

  test('reaches a webhook, a syslog server and a mail server over TLS, each with the facts', async () => {
    const web = await hook();
    let line = '';
    const syslog = await listening(
      createTls(certificates.good, (socket) => void socket.on('data', (data) => (line += data)).on('end', () => socket.end())),
    );
    const mails: string[] = [];
    const mail = new SMTPServer({
      secure: true,
      ...certificates.good,
      onAuth: ({ username, password }, _, done) =>
        username === 'vault' && password === 'pass word' ? done(null, { user: username }) : done(new Error('no')),
      onData: (stream, _, done) => {
        let text = '';
        stream
          .on('data', (data) => (text += data))
          .on('end', () => {
            mails.push(text);
            done();
          });
      },
    });
    servers.push(mail);
    await new Promise<void>((resolve) => mail.listen(0, '127.0.0.1', resolve));
    const at = { host: 'localhost', minimum: 'critical', ca: certificates.ca } as const;
    await deliverTo([
      web.target,
      { ...at, kind: 'syslog', name: 'siem', port: syslog },
      {
        ...at,
        kind: 'email',
        name: 'mail',
        port: (mail.server.address() as AddressInfo).port,
        tls: 'implicit',
        user: 'vault',
        from: 'vault@example.org',
        to: ['night@example.org'],
      },
    ]);
    await settle(); // A11, which is below what they want
    await touchDecoy();
    await settle();
    await round();
    const [alert] = raised().filter((one) => one.alert.rule === 'A08');
    expect(web.received).toMatchObject([{ type: 'alert', rule: 'A08', level: 'critical', recordId: alert?.recordId, repeated: 0 }]);
    expect(line).toMatch(/^\d+ <106>1 \S+ - weight-vault \S+ alert \[alert@32473 /);
    expect(line).toContain(`record="${alert?.recordId}"`);
    expect(mails).toHaveLength(1);
    expect(mails[0]).toContain('Subject: [critical] A08 A decoy was touched');
    expect(mails[0]?.replaceAll('=\r\n', '')).toContain(`wv alerts show ${alert?.recordId}`);
    await round(); // nothing is left
    expect(mails).toHaveLength(1);
    expect(vault.records().filter(({ type }) => type === 'alert.undelivered')).toEqual([]);
  });

  (hasRsyslog ? test : test.skip)('to rsyslog is understood by it: severity, name, and the facts as structured data', async () => {
    const port = await freePort();
    const rsyslog = await startRsyslog(join(vault.site.folder, 'rsyslog'), port, { ca: certificates.ca, ...certificates.good });
    try {
      await deliverTo([{ kind: 'syslog', name: 'siem', minimum: 'critical', host: 'localhost', port, ca: certificates.ca }]);
      await touchDecoy();
      await settle();
      await round();
      for (let tries = 0; rsyslog.parsed().length === 0 && tries < 2_400; tries++) await new Promise((resolve) => setTimeout(resolve, 25));
      const [line = ''] = rsyslog.parsed();
      const recordId = raised().find(({ alert }) => alert.rule === 'A08')?.recordId;
      expect(line).toMatch(
        /^crit weight-vault alert \[alert@32473 vault=".*" record=".*" rule="A08" level="critical" .*\] A decoy was touched/,
      );
      expect(line).toContain(`record="${recordId}"`);
      expect(vault.records('alert.undelivered')).toEqual([]);
    } finally {
      await rsyslog.stop();
    }
  });

  test('is woken by the signature over the record: from record to receiver no timer is waited for', async () => {
    const web = await hook();
    await deliverTo([web.target]);
    await settle();
    const { folder } = vault.site;
    writeFileSync(join(folder, 'hook.secret'), `whsec_${Buffer.from(secret).toString('base64')}\n`);
    writeFileSync(join(folder, 'plane.crt'), certificates.good.cert);
    const plane = { host: '127.0.0.1', port: 0, certificate: join(folder, 'plane.crt'), privateKey: '' };
    const config = { alertSecrets: folder, dataPlane: plane, adminPlane: plane } as unknown as Config; // all that the watch reads
    const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
    jest.useFakeTimers({ doNotFake: [...NOT_TIMEOUTS] }); // whoever would wait for one waits for ever
    try {
      const watching = createWatching(config, vault.clock, quiet);
      const readers = startReaders(vault.vault, {}, quiet, createMetrics(), watching.raised);
      const stop = watching.start(vault.vault, readers.wake);
      await touchDecoy();
      for (let tries = 0; web.received.length === 0; tries++) {
        if ((await vault.node.sequencer.tick()) === 'published')
          watching.onSequencer({ kind: 'published', severity: 'info', size: 0 as never });
        await new Promise((resolve) => setImmediate(resolve));
        if (tries > 1_000_000) throw new Error('nothing arrived');
      }
      expect(web.received).toMatchObject([{ rule: 'A08' }]);
      await stop();
      await readers.stop();
    } finally {
      jest.useRealTimers();
    }
  });

  test('to a receiver that hangs is in no other one’s way', async () => {
    const web = await hook();
    let asked = 0;
    const answers: Array<() => void> = [];
    const port = await listening(
      createHttps(certificates.good, (_, response) => {
        asked++;
        answers.push(() => response.writeHead(204).end());
      }),
    );
    await deliverTo([{ ...web.target, name: 'slow', port }, web.target]);
    const both: SecretOf = async () => secret;
    let settledOnes = 0;
    const delivery = createAlertDelivery(vault.vault, both, { onSettled: () => void settledOnes++, onFailure: () => undefined });
    for (let at = 0; at < 3; at++) {
      await touchDecoy(`key ${at}`);
      await settle();
      await delivery.round(); // resolves while one of the two hangs
      while (settledOnes < at + 1) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(web.received).toHaveLength(3);
    while (asked === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toBe(1); // one batch at a time, however long it takes
    for (const answer of answers.splice(0)) answer();
    await delivery.idle();
    await delivery.round();
    while (asked < 3) await new Promise((resolve) => setImmediate(resolve));
    for (const answer of answers.splice(0)) answer();
    await delivery.idle();
  });

  test('tries again after a failure, which is on record once, and with the same id', async () => {
    const web = await hook([503, 500]);
    await deliverTo([web.target]);
    await touchDecoy();
    await settle();
    for (let at = 0; at < 3; at++) {
      await round();
      vault.clock.advance(41); // longer than any early pause
    }
    expect(web.received.map(({ recordId }) => recordId)).toEqual(Array(3).fill(raised().find((one) => one.alert.rule === 'A08')?.recordId));
    const failures = vault.records().filter(({ type }) => type === 'alert.undelivered');
    expect(failures).toMatchObject([{ outcome: 'failure', reason: 'sink_refused' }]);
  });

  test('gives up after a day, on record', async () => {
    await deliverTo([{ kind: 'webhook', name: 'nowhere', minimum: 'low', host: 'localhost', port: 1, path: '/', ca: certificates.ca }]);
    await touchDecoy();
    await settle();
    await round();
    vault.clock.advance(86_401);
    await round();
    const undelivered = vault.records().filter(({ type }) => type === 'alert.undelivered');
    expect(undelivered.at(-1)).toMatchObject({ reason: 'sink_refused', detail: expect.stringMatching(/given up$/) });
    expect(vault.database.prepare('SELECT count(*) AS n FROM alert_deliveries').get()).toEqual({ n: 0 });
  });

  test('sends one about the same thing in five minutes, and says then how many it kept', async () => {
    const web = await hook();
    await deliverTo([web.target]);
    for (let at = 0; at < 3; at++) {
      await touchDecoy();
      await settle();
      vault.clock.advance(60);
    }
    vault.clock.advance(300);
    await touchDecoy();
    await settle();
    await round();
    expect(web.received.filter(({ rule }) => rule === 'A08').map(({ repeated }) => repeated)).toEqual([0, 2]);
    expect(rulesRaised().filter((rule) => rule === 'A08')).toHaveLength(4);
  });

  test('a storm is cut at thirty a minute and counted in one message', async () => {
    const web = await hook();
    await deliverTo([web.target]);
    await settle();
    await vault.stores.unitOfWork.run(async (tx) => {
      for (let at = 0; at < 50; at++)
        await vault.vault.accessLog.append(tx, {
          type: 'decoy.touched',
          outcome: 'deny',
          namespace: PROD,
          detail: loggable('x', 8),
          actor: { kind: 'requester', spkiDigest: sha256Hex(utf8(`key ${at}`)) as never },
        });
    });
    await settle();
    for (let at = 0; at < 4; at++) await round();
    expect(web.received).toHaveLength(30);
    vault.clock.advance(61);
    await round();
    await round();
    expect(web.received).toHaveLength(31);
    expect(web.received.at(-1)).toMatchObject({ storm: 20 });
  });

  test('a sign of life comes each minute, one of however many processes, and a late one is on record as late', async () => {
    const web = await hook();
    await deliverTo([web.target]);
    const other = await vault.addNode();
    await round(); // begins
    for (const seconds of [61, 61, 200]) {
      vault.clock.advance(seconds);
      for (const node of [vault.node, other]) await round(node);
    }
    expect(web.beats.map(({ type, everySeconds }) => [type, everySeconds])).toEqual(Array(3).fill(['heartbeat', 60]));
    const beats = vault.records().filter(({ type }) => type === 'log.heartbeat') as unknown as Array<{ signals?: string[] }>;
    expect(beats.map(({ signals }) => signals)).toEqual([undefined, undefined, ['late']]);
  });

  test('a target that was taken out of the document gets nothing more', async () => {
    const web = await hook();
    await deliverTo([web.target]);
    await touchDecoy();
    await settle();
    await deliverTo([], 2);
    await round();
    expect(web.received).toEqual([]);
  });
});
