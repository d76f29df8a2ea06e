/**
 * AWS KMS for one test file: the emulator of deploy/kms-emulator on loopback, behind a proxy that can make it fail as AWS does. Where the
 * emulator lacks something (access control, throttling, an outage), the proxy is what answers, and the test that uses it says so.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { KMS } from '@aws-sdk/client-kms';
import type { AwsKmsConfig } from '../../src/keys/aws-kms/provider.ts';

const BINARY = fileURLToPath(new URL('../../.cache/kms-emulator/kms-emulator', import.meta.url));

/** Why tests that need KMS are skipped here; undefined when they are not. */
export const noKms = existsSync(BINARY) ? undefined : 'no KMS emulator was built: `npm run setup` says why';

/** What the proxy answers instead of the emulator, or does with the emulator's answer. */
export type Fault =
  | { readonly answer: number; readonly error: string; readonly afterMs?: number }
  | { readonly delayMs: number }
  /** The connection breaks: before the emulator saw the request, or after it did it. */
  | { readonly reset: 'before' | 'after' }
  /** Members of the key's metadata, said differently. */
  | { readonly metadata: Readonly<Record<string, unknown>> }
  /** Members of the answer, said differently. */
  | { readonly members: Readonly<Record<string, unknown>> };

export interface Asked {
  readonly operation: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly atMs: number;
  readonly accessKeyId: string;
}

export interface TestKms {
  readonly config: AwsKmsConfig;
  readonly folder: string;
  /** The administrator of the account, past the proxy. */
  readonly admin: KMS;
  /** Everything that was asked through the proxy, refused or not. */
  readonly asked: Asked[];
  /** Each next request for that operation meets the next fault; `times` of it, or for ever. */
  fail(operation: string, fault: Fault, times?: number): void;
  /** No fault from here on. */
  heal(): void;
  /** How many requests were answered at once at most, since the last `heal`. */
  atOnce(): number;
  stop(): Promise<void>;
}

export async function startKms(): Promise<TestKms> {
  const folder = mkdtempSync(join(tmpdir(), 'wv-kms-'));
  const emulator = spawn(BINARY, [join(folder, 'keys')], { stdio: ['pipe', 'pipe', 'ignore'] });
  const address = await firstLine(emulator);
  const proxy = createProxy(address);
  const endpoint = await proxy.listen();
  const credentialsFile = join(folder, 'credentials.json');
  writeFileSync(credentialsFile, credentials('AKIATEST'), { mode: 0o600 });
  const admin = new KMS({
    region: 'eu-west-2',
    endpoint: `http://${address}`,
    credentials: { accessKeyId: 'AKIAADMIN', secretAccessKey: 'secret' },
  });
  return {
    config: { region: 'eu-west-2', endpoint, credentialsFile, aliasPrefix: 'wv-test', deletionDays: 7 },
    folder,
    admin,
    asked: proxy.asked,
    fail: proxy.fail,
    heal: proxy.heal,
    atOnce: proxy.atOnce,
    stop: async () => {
      admin.destroy();
      await proxy.close();
      const gone = new Promise((resolve) => emulator.once('close', resolve));
      emulator.stdin.end();
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export function credentials(accessKeyId: string): string {
  return JSON.stringify({ Version: 1, AccessKeyId: accessKeyId, SecretAccessKey: 'wJalrXUtnFEMI-SECRET' });
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    if (child.stdout === null) throw new Error('no pipe');
    createInterface({ input: child.stdout }).once('line', resolve);
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`the KMS emulator ended: ${code}`)));
  });
}

function createProxy(emulator: string) {
  const asked: Asked[] = [];
  const faults: Array<{ readonly operation: string; readonly fault: Fault; left: number }> = [];
  let now = 0;
  let most = 0;

  async function answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = Buffer.concat(await incoming.toArray());
    const operation = String(incoming.headers['x-amz-target']).replace('TrentService.', '');
    const accessKeyId = /Credential=([^/]+)/.exec(incoming.headers.authorization ?? '')?.[1] ?? '';
    asked.push({ operation, body: JSON.parse(body.toString()), atMs: performance.now(), accessKeyId });
    const next = faults.find((one) => one.operation === operation && one.left > 0);
    if (next !== undefined) next.left -= 1;
    const fault = next?.fault;
    if (fault !== undefined && 'answer' in fault) {
      await sleep(fault.afterMs ?? 0);
      return refuse(outgoing, fault.answer, fault.error);
    }
    if (fault !== undefined && 'reset' in fault && fault.reset === 'before') return void incoming.socket.destroy();
    if (fault !== undefined && 'delayMs' in fault) await sleep(fault.delayMs, undefined, { ref: false });
    const { status, text, headers } = await forward(emulator, incoming, body);
    if (fault !== undefined && 'reset' in fault) return void incoming.socket.destroy();
    outgoing.writeHead(status, headers).end(fault === undefined ? text : changed(text, fault));
  }

  const server = createServer((incoming, outgoing) => {
    now += 1;
    most = Math.max(most, now);
    outgoing.once('close', () => {
      now -= 1;
    });
    answer(incoming, outgoing).catch(() => outgoing.destroy());
  });
  server.keepAliveTimeout = 3_600_000; // who stood still for a while finds its connections as they were: no break that a test did not ask for
  return {
    asked,
    fail(operation: string, fault: Fault, times = Number.POSITIVE_INFINITY) {
      faults.push({ operation, fault, left: times });
    },
    heal() {
      faults.length = 0;
      most = 0;
    },
    atOnce: () => most,
    listen: () =>
      new Promise<string>((resolve) => {
        server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)); // it listens on TCP
      }),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function changed(text: string, fault: Fault): string {
  if ('members' in fault) return JSON.stringify({ ...JSON.parse(text), ...fault.members });
  if (!('metadata' in fault)) return text;
  const { metadata } = fault;
  const answer = JSON.parse(text);
  return JSON.stringify({ ...answer, KeyMetadata: { ...answer.KeyMetadata, ...metadata } });
}

function refuse(outgoing: ServerResponse, status: number, error: string): void {
  const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': '00000000-1111-2222-3333-444444444444' };
  outgoing.writeHead(status, headers).end(JSON.stringify({ __type: error, message: 'arn:aws:iam::111122223333:role/keeper is not …' }));
}

function forward(emulator: string, incoming: IncomingMessage, body: Buffer) {
  return new Promise<{ status: number; text: string; headers: Record<string, string> }>((resolve, reject) => {
    const { 'x-amz-target': target, 'content-type': type } = incoming.headers;
    const headers = { 'x-amz-target': target, 'content-type': type, 'content-length': body.length };
    const onward = request(`http://${emulator}`, { method: 'POST', headers }, async (reply) => {
      const text = Buffer.concat(await reply.toArray()).toString();
      const id = String(reply.headers['x-amzn-requestid']);
      resolve({ status: reply.statusCode ?? 500, text, headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': id } });
    });
    onward.on('error', reject);
    onward.end(body);
  });
}
