/** Both planes over TLS on loopback, in this process, before an in-process vault (test/vault/test-vault.ts): quick, and open to faults. */
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { signDocument } from '../../src/documents/document.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { evidenceBinding } from '../../src/domain/evidence.ts';
import { SYSTEM } from '../../src/domain/ids.ts';
import { adminPlaneRoutes } from '../../src/http/admin-plane/routes.ts';
import { dataPlaneRoutes } from '../../src/http/data-plane/routes.ts';
import { type Listening, listen, planeApplication } from '../../src/http/listener.ts';
import type { Route } from '../../src/http/route.ts';
import { type IssuedCertificate, issueSelfSigned } from '../../src/identity/certificates.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { administratorInForce } from '../../src/vault/administrators.ts';
import { slotOf } from '../../src/vault/documents.ts';
import { gaugesOf, measuredKeys, measuredLog, measuredMeter } from '../../src/vault/measure.ts';
import { createReadiness, type Readiness } from '../../src/vault/readiness.ts';
import type { Vault } from '../../src/vault/vault.ts';
import { type Machine, TestVault } from '../vault/test-vault.ts';

export type Plane = 'data' | 'admin';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Of a JSON answer. */
  readonly json: Record<string, unknown>;
}

export interface Asking {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Whose TLS key; default: the enrolled machine on the data plane, alice's workstation on the admin plane. */
  readonly as?: IssuedCertificate | undefined;
  readonly withoutCertificate?: boolean;
}

export interface Served {
  readonly vault: TestVault;
  readonly served: Vault;
  readonly machine: Machine;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  readonly planes: Readonly<Record<Plane, Listening>>;
  readonly routes: Readonly<Record<Plane, readonly Route[]>>;
  /** PEM of the planes' certificate, and the key that the enrolled machine holds. */
  readonly ca: string;
  readonly machineKey: IssuedCertificate;
  /** alice's. */
  readonly workstation: IssuedCertificate;
  ask(plane: Plane, path: string, asking?: Asking): Promise<Answer>;
  /** alice's session, as headers. */
  session(): Promise<Record<string, string>>;
  /** The body of a release request by the machine, bound to a fresh challenge. */
  releaseBody(model: string, version: string): Promise<Record<string, unknown>>;
  stop(): Promise<void>;
}

const now = new Date();
const issue = (commonName: string, hosts?: readonly string[]) => issueSelfSigned({ commonName, days: 1, now, ...(hosts && { hosts }) });

/** `over`: members of the vault that a test brings, such as the real verifiers. */
export async function startServing(log: (message: string) => void = () => undefined, over: Partial<Vault> = {}): Promise<Served> {
  const vault = await TestVault.ready();
  const [server, machineKey, workstation] = await Promise.all([issue('vault', ['127.0.0.1']), issue('machine'), issue('alice')]);
  const machine = await vault.machine('gpu-node-77', { spki: spkiOf(machineKey) });
  await addWorkstation(vault, 'alice', workstation);

  const metrics = createMetrics();
  const { vault: plain } = vault.node;
  const served: Vault = {
    ...plain,
    keys: measuredKeys(plain.keys, metrics),
    accessLog: measuredLog(plain.accessLog, metrics),
    meter: measuredMeter(plain.meter, metrics),
    ...over,
  };
  const readiness = createReadiness(served);
  metrics.watch(gaugesOf(served, readiness));
  const folder = mkdtempSync(join(tmpdir(), 'wv-serving-'));
  const files = { certificate: join(folder, 'tls.crt'), privateKey: join(folder, 'tls.key') };
  writeFileSync(files.certificate, server.certificatePem);
  writeFileSync(files.privateKey, server.privateKeyPem, { mode: 0o600 });
  const routes = { data: dataPlaneRoutes(served, readiness), admin: adminPlaneRoutes(served, readiness) };
  const logger = { info: () => undefined, warn: log, error: log };
  const open = (plane: Plane) =>
    listen(planeApplication(routes[plane], { plane, log: logger, metrics, draining: readiness.draining }), {
      host: '127.0.0.1',
      port: 0,
      ...files,
    });
  const planes = { data: await open('data'), admin: await open('admin') };

  const agents: Agent[] = [];
  const agentOf = new Map<string, Agent>();
  const agentFor = (key: IssuedCertificate | undefined): Agent => {
    const name = key?.spkiDigest ?? '';
    const known = agentOf.get(name);
    if (known !== undefined) return known;
    const client = key && { cert: key.certificatePem, key: key.privateKeyPem };
    const agent = new Agent({ keepAlive: true, maxCachedSessions: 0, ca: server.certificatePem, ...client });
    agents.push(agent);
    agentOf.set(name, agent);
    return agent;
  };
  const ask = (plane: Plane, path: string, asking: Asking = {}, again = true): Promise<Answer> =>
    new Promise((done, fail) => {
      const { method = 'GET', headers = {}, body, as, withoutCertificate = false } = asking;
      const agent = agentFor(withoutCertificate ? undefined : (as ?? (plane === 'data' ? machineKey : workstation)));
      const asked = request({ agent, host: '127.0.0.1', port: planes[plane].port, method, path, headers }, async (response) => {
        try {
          const chunks: Buffer[] = [];
          for await (const chunk of response) chunks.push(chunk);
          const bytes = Buffer.concat(chunks);
          const isJson = /json/.test(response.headers['content-type'] ?? '') && bytes.length > 0;
          const json = isJson ? JSON.parse(bytes.toString('utf8')) : {};
          done({ status: response.statusCode ?? 0, headers: response.headers, body: bytes, json });
        } catch (error) {
          fail(error);
        }
      });
      // An idle connection may be closed while it is taken up again: nothing was asked then. The other idle ones are no better.
      asked.once('error', (error) => {
        if (!asked.reusedSocket || !again) return fail(error);
        for (const [name, known] of agentOf) if (known === agent) agentOf.delete(name);
        ask(plane, path, asking, false).then(done, fail);
      });
      asked.end(body);
    });
  let token: Promise<string> | undefined;
  const logIn = async () => {
    vault.clock.advance(30);
    const body = JSON.stringify({ administrator: 'alice', code: await vault.code('alice') });
    const answer = await ask('admin', '/v1/session', { method: 'POST', body });
    await plain.revocations.refresh();
    return String(answer.json['token']);
  };
  await plain.revocations.refresh();
  return {
    vault,
    served,
    machine,
    metrics,
    readiness,
    planes,
    routes,
    ca: server.certificatePem,
    machineKey,
    workstation,
    ask,
    session: async () => ({ Authorization: `Bearer ${await (token ??= logIn())}` }),
    async releaseBody(model, version) {
      const challenge = await ask('data', '/v1/challenges', { method: 'POST' });
      const challengeNonce = Buffer.from(String(challenge.json['nonce']), 'base64');
      const binding = evidenceBinding({ vaultId: served.vaultId, challengeNonce, spki: machine.spki });
      const evidence = [{ kind: 'tpm2', body: { akName: machine.akName, pcrs: machine.pcrs, binding: toBase64(binding) } }];
      return { challengeId: challenge.json['id'], model, version, evidence };
    },
    async stop() {
      for (const agent of agents) agent.destroy();
      await Promise.all([planes.data.close(0), planes.admin.close(0)]);
      await vault.remove();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function spkiOf({ certificatePem }: IssuedCertificate): Uint8Array {
  return new Uint8Array(new X509Certificate(certificatePem).publicKey.export({ type: 'spki', format: 'der' }));
}

/** As two people would decide it: the next document of that person names this workstation too. */
async function addWorkstation({ vault }: TestVault, name: string, { spkiDigest }: IssuedCertificate): Promise<void> {
  const { unitOfWork, identity, documents } = vault.stores;
  const body = await unitOfWork.run(async (tx) => {
    const row = await identity.administratorByName(tx, name);
    return row && administratorInForce(row.administratorId, tx, vault);
  });
  if (body === undefined) throw new Error(`nobody is called ${name}`);
  const counter = body.counter + 1;
  const next = { ...body, counter, workstations: [...body.workstations, spkiDigest] };
  const document = await signDocument('administrator', next, vault.catalogueKey.sign);
  await unitOfWork.run(async (tx) => {
    await documents.put(tx, document);
    await documents.point(tx, SYSTEM, slotOf('administrator', body.administratorId), { digest: document.digest, counter });
  });
}
