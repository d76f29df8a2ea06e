/**
 * A vault with nothing pretended, for tests: SoftHSM, `wv init`, `wv serve` as a process of its own, software TPMs enrolled by credential
 * activation, a model published and promoted by two people. Making one takes about ten seconds, so a test file makes one for all its tests.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { setupDevelopmentToken } from '../../softhsm/setup.ts';
import { createTpm2Attester } from '../../src/attestation/tpm2/attester.ts';
import { type Kit, withKit } from '../../src/cli/kit.ts';
import { createRequester, type Requester, withTpmRequester } from '../../src/cli/requester.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { codeOf, isErrorCode, VaultError } from '../../src/domain/errors.ts';
import type { AwsKmsConfig } from '../../src/keys/aws-kms/provider.ts';
import { splitPolicies } from '../../src/policy/policy-set.ts';
import { Codes } from '../harness/codes.ts';
import { SAYING_STANDSTILL, standstillIn } from '../harness/standstill.ts';
import { type Swtpm, startSwtpm } from '../harness/swtpm.ts';
import { cannotJustNow, patiently, refusal, until } from './patience.ts';

export { patiently, promptly, refusal, unlessItStoodStill, until, withRequester } from './patience.ts';

const WV = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const POLICIES = fileURLToPath(new URL('../../policies', import.meta.url));
export const MODEL = 'tiny-llm';
/** One file larger than what two kernels buffer for a connection: only so can a reader that has stopped stop the sender. */
export const LARGE = 'model.safetensors';
export const NESTED = 'tokenizer/vocab/words.txt';
export const EMPTY = 'empty.bin';
/** Each can consent twice at once; then a code takes half a minute. bob, who has other work too, comes last. */
export const APPROVERS = ['carol', 'dan', 'erin', 'frank', 'grace', 'bob'] as const;
const LARGE_BYTES = 48 * 1024 * 1024 + 12_345;

export interface Exit {
  readonly exit: number | null;
  readonly out: string;
  readonly err: string;
}

/**
 * Runs `wv` as a person at a shell would, and never throws for how it ends. Run again when it says that the vault cannot just now; a `wv serve` that
 * ends is a refusal to start.
 */
export async function wv(...args: readonly string[]): Promise<Exit> {
  for (let again = args[0] === 'serve' ? 0 : 10; ; again--) {
    const ended = await wvOnce(args);
    if (again === 0 || !cannotJustNow(codeIn(ended.err))) return ended;
  }
}

function wvOnce(args: readonly string[]): Promise<Exit> {
  return new Promise((done) => {
    const child = spawnWv(args);
    const [out, err] = [collect(child.stdout), collect(child.stderr)];
    child.once('close', (exit) => done({ exit, out: out.join(''), err: err.join('') }));
  });
}

/** The code that a command ended with, on the last line of its standard error. */
function codeIn(err: string): string | undefined {
  const last = err.trim().split('\n').at(-1) ?? '';
  return (/"code":"([a-z_]+)"/.exec(last) ?? /^([a-z_]+): /.exec(last))?.[1];
}

/** The app of whoever a kit was made for, by the kit's folder. */
const authenticators = new Map<string, Codes>();

/** As `wv ... --json` where it must succeed. Gives a code when it asks for one: on a slow machine the login's is older than five minutes. */
export async function wvJson(...args: readonly string[]): Promise<Record<string, unknown>> {
  let { exit, out, err } = await wv(...args, '--json');
  const codes = authenticators.get(args[args.indexOf('--kit') + 1] ?? '');
  if (exit !== 0 && err.includes('This takes a ') && codes !== undefined && !args.includes('--code'))
    ({ exit, out, err } = await wv(...args, '--code', await codes.next(), '--json'));
  if (exit !== 0) throw new Error(`wv ${args.slice(0, 2).join(' ')} ended with ${exit}: ${err}`);
  return JSON.parse(out.trim().split('\n').at(-1) ?? '{}');
}

function spawnWv(args: readonly string[], flags: readonly string[] = []) {
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...flags, WV, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

function collect(stream: NodeJS.ReadableStream): string[] {
  const pieces: string[] = [];
  stream.setEncoding('utf8').on('data', (piece: string) => pieces.push(piece));
  return pieces;
}

export interface ServerProcess {
  readonly process: ChildProcess;
  readonly pid: number;
  readonly dataPort: number;
  readonly adminPort: number;
  /** Lines of the operational log so far. */
  readonly log: readonly string[];
  /** For how many milliseconds it stood still so far (test/harness/standstill.ts). */
  stoodStillMs(): number;
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL: nothing is flushed, nothing is said. */
  kill(): Promise<void>;
}

/**
 * Starts `wv serve` and resolves when it listens; rejects with its standard error when it ends before. `flags` are Node's. Started again, as whoever
 * supervises it would, when its disk was too slow for a start.
 */
export function startServer(
  folder: string,
  plane: 'data' | 'admin' | 'both' = 'both',
  flags: readonly string[] = [],
): Promise<ServerProcess> {
  return patiently(() => startServerOnce(folder, plane, flags), 3);
}

function startServerOnce(folder: string, plane: 'data' | 'admin' | 'both', flags: readonly string[]): Promise<ServerProcess> {
  const child = spawnWv(['serve', '--folder', folder, '--plane', plane, '--json'], [...SAYING_STANDSTILL, ...flags]);
  const log: string[] = [];
  let stoodStill = 0;
  createInterface({ input: child.stderr }).on('line', (line) => {
    const milliseconds = standstillIn(line);
    if (milliseconds === undefined) log.push(line);
    else stoodStill += milliseconds;
  });
  const gone = new Promise<number | null>((done) => child.once('close', done));
  const end = (signal: 'SIGTERM' | 'SIGKILL') => {
    child.kill(signal);
    return gone;
  };
  return new Promise((done, fail) => {
    void gone.then((exit) => {
      const said = `wv serve ended with ${exit}: ${log.join('\n')}`;
      const code = codeIn(log.at(-1) ?? '') ?? '';
      fail(isErrorCode(code) && cannotJustNow(code) ? new VaultError(code, said) : new Error(said));
    });
    createInterface({ input: child.stdout }).once('line', (line) => {
      const { dataPort, adminPort } = JSON.parse(line);
      const stop = () => end('SIGTERM');
      const kill = async () => void (await end('SIGKILL'));
      done({ process: child, pid: child.pid ?? 0, dataPort, adminPort, log, stoodStillMs: () => stoodStill, stop, kill });
    });
  });
}

/** Starts `wv witness serve` on a free port. */
export function startWitness(folder: string): Promise<{ readonly port: number; stop(): Promise<number | null> }> {
  const child = spawnWv(['witness', 'serve', folder, '--port', '0', '--json']);
  const gone = new Promise<number | null>((done) => child.once('close', done));
  const stop = () => {
    child.kill('SIGTERM');
    return gone;
  };
  return new Promise((done, fail) => {
    void gone.then((exit) => fail(new Error(`wv witness serve ended with ${exit}`)));
    createInterface({ input: child.stdout }).once('line', (line) => done({ port: JSON.parse(line).port, stop }));
  });
}

export interface RealVault {
  readonly folder: string;
  readonly tokenFolder: string;
  /** The first server, for both planes. */
  readonly server: ServerProcess;
  readonly vkey: string;
  readonly versionId: string;
  readonly tpm: Swtpm;
  /** The bytes that were published, by path. */
  readonly model: ReadonlyMap<string, Buffer>;
  /** A path below the vault's temporary folder. */
  at(...parts: string[]): string;
  /** Serves `folder` (as at first: both planes), and points kits and requesters at the new ports. */
  serve(folder?: string, plane?: 'data' | 'admin' | 'both', flags?: readonly string[]): Promise<ServerProcess>;
  /** Another configuration folder of the same vault: own keeper socket, `change` applied. */
  secondFolder(name: string, change?: (config: Record<string, unknown>) => void): string;
  kit(name: 'alice' | 'bob'): string;
  as<T>(name: 'alice' | 'bob', use: (kit: Kit) => Promise<T>): Promise<T>;
  /** A code of that person's app, which nobody has used. */
  code(name: string): Promise<string>;
  /** One of the approvers consents, with the step-up it takes; not the one who asked, where that is `not`. */
  approve(asked: { readonly requestId: string; readonly operationDigest: string }, namespace?: string, not?: string): Promise<void>;
  /** alice proposes, another approves. */
  propose(slot: string, body: object): Promise<void>;
  /** A requester folder with a TLS key of its own. */
  requester(name: string, options?: { tpm?: Swtpm; ak?: 'ecc' | 'rsa' }): Promise<string>;
  /** As `requester`, enrolled under that name. */
  enrolled(name: string, options?: { tpm?: Swtpm; ak?: 'ecc' | 'rsa' }): Promise<string>;
  /** As `enrolled`, with a TPM of its own from the same maker: for a machine that is blocked, because its TPM is then enrolled nowhere else. */
  enrolledAlone(name: string): Promise<string>;
  /** After a TPM moved to another port. */
  pointAt(requester: string, tpm: Swtpm): void;
  /** The request to promote the model, made by alice. */
  readonly approval: { readonly requestId: string; readonly operationDigest: string };
  /** A second person approves the model, and the starter policies come into force. */
  promote(): Promise<void>;
  block(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** The model is published and in quarantine, and there is no access policy: `promote` does both. With `kms`, the keys are there, not in SoftHSM. */
export async function startRealVault(kms?: AwsKmsConfig): Promise<RealVault> {
  const folder = await mkdtemp(join(tmpdir(), 'wv-e2e-'));
  const at = (...parts: string[]) => join(folder, ...parts);
  const servers: ServerProcess[] = [];
  const requesters: string[] = [];
  const tpms: Swtpm[] = [];
  const stop = async () => {
    for (const server of servers.splice(0)) if (server.process.exitCode === null && server.process.signalCode === null) await server.stop();
    for (const tpm of tpms.splice(0)) await tpm.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const [token, madeTpm] = await Promise.all([
      setupDevelopmentToken({ folder: at('token'), label: 'weight-vault-e2e' }),
      startSwtpm(at('tpm')),
    ]);
    tpms.push(madeTpm);
    writeFileSync(at('token.json'), JSON.stringify(token));
    writeFileSync(at('kms.json'), JSON.stringify(kms ?? {}));
    const ceremony = await wvJson(...initArgs(at, kms === undefined ? ['--token', at('token.json')] : ['--kms', at('kms.json')]));
    const kit = (name: string) => at('vault', 'kits', name);
    const as = <T>(name: string, use: (kit: Kit) => Promise<T>) => withKit(kit(name), (one) => use(patient(one, kit(name))));

    const enrolments = ceremony['enrolments'] as Array<{ administrator: string; uri: string }>;
    const codes = new Map(enrolments.map(({ administrator, uri }) => [administrator, new Codes(uri)]));
    for (const [name, of] of codes) authenticators.set(kit(name), of);
    const loggedIn = new Set<string>();
    const logIn = async (administrator: string) => {
      if (loggedIn.has(administrator)) return;
      loggedIn.add(administrator);
      const code = await codes.get(administrator)?.next();
      await withKit(kit(administrator), async ({ https, saveSession }) => {
        const answer = await patiently(() => https.json('POST', '/v1/session', { administrator, code }));
        await saveSession((answer as { token: string }).token);
      });
    };
    const serve: RealVault['serve'] = async (from = at('vault'), plane = 'both', flags = []) => {
      const server = await startServer(from, plane, flags);
      servers.push(server);
      if (plane !== 'data') for (const name of codes.keys()) edit(join(kit(name), 'kit.json'), { url: url(server.adminPort) });
      dataPort = plane === 'admin' ? dataPort : server.dataPort;
      for (const requester of requesters) edit(join(requester, 'requester.json'), { url: url(dataPort) });
      return server;
    };
    let dataPort = 0;
    const server = await serve();
    for (const name of ['alice', 'bob']) await logIn(name);

    const model = writeModel(at('model'));
    const published = await wvJson('publish', '--kit', kit('alice'), '--model', MODEL, '--class', 'restricted', at('model'));
    const approval = published['approval'] as { requestId: string; operationDigest: string };
    /** By whoever can give a code first: each is good once. */
    const approve = async ({ requestId, operationDigest }: typeof approval, namespace = 'default', not = '') => {
      const others = APPROVERS.filter((one) => one !== not);
      const [name = 'bob'] = others.sort((a, b) => (codes.get(a)?.waitMs() ?? 0) - (codes.get(b)?.waitMs() ?? 0));
      await logIn(name);
      const code = await codes.get(name)?.next();
      await as(name, async (approver) => {
        await approver.call('POST', '/v1/session/step-up', { code, operationDigest });
        await approver.call('POST', `/v1/namespaces/${namespace}/requests/${requestId}/approve`, { operationDigest });
      });
    };
    const propose = async (slot: string, body: object) => {
      const path = `/v1/namespaces/default/documents/${slot}`;
      await as('alice', async (alice) => {
        const { counter } = await alice.call('GET', path);
        await approve((await alice.call('PUT', path, { counter: Number(counter) + 1, ...body })) as typeof approval);
      });
    };
    const requester: RealVault['requester'] = async (name, { tpm: which = madeTpm, ak = 'ecc' } = {}) => {
      const settings = { url: url(dataPort), namespace: 'default', tcti: which.tcti, akAlgorithm: ak, pcrs: [0, 1, 2, 3, 4, 5, 6, 7] };
      await createRequester(at(name), settings, readFileSync(at('vault', 'tls', 'data.crt')));
      requesters.push(at(name));
      return at(name);
    };
    const intermediate = derOf(readFileSync(madeTpm.issuerCertificate, 'utf8'));
    const enrolled: RealVault['enrolled'] = async (name, options = {}) => {
      const home = await requester(name, options);
      await withTpmRequester(home, async ({ attester }) => {
        await attester.prepare();
        const request = await attester.enrolmentRequest([intermediate]);
        await as('alice', async (alice) => {
          const base = '/v1/namespaces/default/enrolments';
          const begun = await alice.call('POST', base, { name, attributes: { fleet: 'production' }, request });
          using secret = await attester.activate(begun['credential'] as Parameters<typeof attester.activate>[0]);
          const answer = secret.expose((bytes) => toBase64(bytes));
          await alice.call('POST', `${base}/${String(begun['requestId'])}/confirm`, { secret: answer });
        });
      });
      return home;
    };
    const enrolledAlone: RealVault['enrolledAlone'] = async (name) => {
      const own = at('tpms', name);
      cpSync(join(madeTpm.folder, 'ca'), join(own, 'ca'), { recursive: true });
      const tpm = await startSwtpm(own);
      tpms.push(tpm);
      return enrolled(name, { tpm });
    };

    const root = derOf(readFileSync(madeTpm.rootCertificate, 'utf8'));
    await propose('trust-anchors', { anchors: [{ kind: 'tpm2', name: 'test root', certificate: toBase64(root) }] });
    await propose('reference-values', { values: [{ id: 'image-1', kind: 'tpm2', pcrs: await pcrsOf(madeTpm, at('capture')) }] });
    return {
      folder: at('vault'),
      tokenFolder: at('token'),
      server,
      approval,
      vkey: String(ceremony['vkey']),
      versionId: String(published['versionId']),
      tpm: madeTpm,
      model,
      at,
      serve,
      secondFolder: (name, change) => secondFolder(at('vault'), at(name), change),
      kit,
      as,
      code: async (name) => (await codes.get(name)?.next()) ?? '',
      approve,
      propose,
      requester,
      enrolled,
      enrolledAlone,
      pointAt: (home, moved) => edit(join(home, 'requester.json'), { tcti: moved.tcti }),
      block: (name) => as('bob', async (bob) => void (await bob.call('POST', `/v1/namespaces/default/requesters/${name}/block`))),
      stop,
      async promote() {
        await approve(approval);
        const text = ['public', 'internal', 'restricted', 'critical'].map((name) => readFileSync(join(POLICIES, `${name}.cedar`), 'utf8'));
        await propose('policy-set', { policies: splitPolicies(text.join('\n')) });
      },
    };
  } catch (cause) {
    const log = servers.flatMap((server) => server.log).slice(-5);
    await stop();
    throw new Error(`the vault was not made: ${String(cause)}\n${log.join('\n')}`, { cause });
  }
}

export function initArgs(at: (...parts: string[]) => string, keys = ['--token', at('token.json')]): string[] {
  const people = [
    'alice:publisher,policy-author,enroller,registrar,key-custodian,approver',
    'bob:approver,responder,reviewer',
    ...APPROVERS.filter((name) => name !== 'bob').map((name) => `${name}:approver`),
  ];
  const ports = ['--data-port', '0', '--admin-port', '0', '--origin', 'vault.example/e2e/2026'];
  return ['init', '--folder', at('vault'), ...keys, ...ports, ...people.flatMap((one) => ['--administrator', one])];
}

const url = (port: number) => `https://127.0.0.1:${port}`;

/** The kit in `folder`, asking as `wvJson` does. */
function patient(kit: Kit, folder: string): Kit {
  const call: Kit['call'] = (...asked) =>
    patiently(async () => {
      const codes = authenticators.get(folder);
      try {
        return await kit.call(...asked);
      } catch (error) {
        if (codeOf(error) !== 'step_up_required' || (error instanceof VaultError && error.detail !== '') || codes === undefined)
          throw error;
        await kit.call('POST', '/v1/session/step-up', { code: await codes.next() });
        return kit.call(...asked);
      }
    });
  return { ...kit, call };
}

function edit(file: string, change: object): void {
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...change }));
}

function secondFolder(from: string, folder: string, change: (config: Record<string, unknown>) => void = () => {}): string {
  const config = JSON.parse(readFileSync(join(from, 'vault.json'), 'utf8'));
  const inside = (path: string) => resolve(from, path);
  const plane = (one: Record<string, string>) => ({
    ...one,
    certificate: inside(one['certificate'] ?? ''),
    privateKey: inside(one['privateKey'] ?? ''),
  });
  const { token } = config;
  mkdirSync(join(folder, 'keeper'), { recursive: true, mode: 0o700 });
  const moved = {
    ...config,
    database: inside(config.database),
    logHead: inside(config.logHead),
    blobs: inside(config.blobs),
    token: { ...token, pinFile: inside(token.pinFile), softhsmConf: inside(token.softhsmConf) },
    dataPlane: plane(config.dataPlane),
    adminPlane: plane(config.adminPlane),
  };
  change(moved);
  writeFileSync(join(folder, 'vault.json'), JSON.stringify(moved));
  return folder;
}

function derOf(pem: string): Uint8Array {
  return new Uint8Array(Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64'));
}

async function pcrsOf(tpm: Swtpm, stateFolder: string): Promise<object> {
  mkdirSync(stateFolder, { recursive: true });
  const attester = createTpm2Attester({ tcti: tpm.tcti, stateFolder, pcrs: { sha256: [0, 1, 2, 3, 4, 5, 6, 7] }, akAlgorithm: 'ecc' });
  const banks = Object.entries(await attester.readPcrs());
  return Object.fromEntries(
    banks.map(([bank, values]) => [bank, Object.fromEntries(Object.entries(values).map(([index, value]) => [index, [value]]))]),
  );
}

/** A safetensors file (8-byte length, JSON header, numbers that do not compress), a nested text, an empty file. */
function writeModel(folder: string): ReadonlyMap<string, Buffer> {
  const header = Buffer.from(JSON.stringify({ weight: { dtype: 'U8', shape: [LARGE_BYTES], data_offsets: [0, LARGE_BYTES] } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const numbers = createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16)).update(Buffer.alloc(LARGE_BYTES));
  const files = new Map([
    [LARGE, Buffer.concat([length, header, numbers])],
    [NESTED, Buffer.from('the quick brown fox\n'.repeat(1000))],
    ['config.json', Buffer.from('{"model_type":"tiny"}\n')],
    [EMPTY, Buffer.alloc(0)],
  ]);
  for (const [path, bytes] of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
  return files;
}

// --- what tests of a release do again and again ---------------------------------------------------------------------------------

export interface OpenRelease {
  readonly requester: Requester;
  readonly releaseId: Awaited<ReturnType<Requester['client']['release']>>['releaseId'];
  readonly objects: Awaited<ReturnType<Requester['client']['release']>>['objects'];
}

/** Attests and is granted a release of the model. */
export function newRelease(requester: Requester, versionId: string): Promise<OpenRelease> {
  return patiently(() => oneRelease(requester, versionId));
}

async function oneRelease(requester: Requester, versionId: string): Promise<OpenRelease> {
  const { client, attester } = requester;
  const challenge = await client.challenge();
  const { releaseId, objects } = await client.release(MODEL, versionId, challenge.id, [await client.evidence(challenge, attester)]);
  return { requester, releaseId, objects };
}

/** The last byte may be here before the vault has seen its stream end: then it answers release_busy, and is asked again, as `wv fetch` does. */
export async function endRelease({ client }: Requester, releaseId: OpenRelease['releaseId']): Promise<void> {
  let code: string | undefined;
  await until(async () => {
    code = await refusal(() => client.end(releaseId));
    return code !== 'release_busy';
  });
  if (code !== undefined) throw new Error(`the release does not end: ${code}`);
}

export interface Reading {
  readonly response: IncomingMessage;
  /** Bytes that arrived. */
  bytes(): Buffer;
  count(): number;
  /** performance.now() of the last byte. */
  lastByteAt(): number;
  /** How it ended: `end`, or the error's code. */
  readonly ended: Promise<string>;
}

/** Collects a response's bytes, at most about `bytesPerSecond`, and remembers how it ended. */
export function collectSlowly(response: IncomingMessage, bytesPerSecond = Number.POSITIVE_INFINITY): Reading {
  const chunks: Buffer[] = [];
  let count = 0;
  let lastByteAt = 0;
  const read = async () => {
    try {
      for await (const chunk of response) {
        chunks.push(chunk);
        count += chunk.length;
        lastByteAt = performance.now();
        if (bytesPerSecond < Number.POSITIVE_INFINITY) await sleep((chunk.length / bytesPerSecond) * 1000);
      }
      return response.complete ? 'end' : 'incomplete';
    } catch (error) {
      return String((error as NodeJS.ErrnoException).code ?? codeOf(error));
    }
  };
  return { response, bytes: () => Buffer.concat(chunks), count: () => count, lastByteAt: () => lastByteAt, ended: read() };
}

/** Regular files below a folder, by path. */
export function filesBelow(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  } catch {
    return [];
  }
}

/** Is the server's side of the loopback connection from `clientPort` still open (established, or waiting to be closed)? */
export async function serverHolds(serverPort: number, clientPort: number): Promise<boolean> {
  const port = (value: number) => value.toString(16).toUpperCase().padStart(4, '0');
  const ends = `0100007F:${port(serverPort)} 0100007F:${port(clientPort)} `;
  const table = await readFile('/proc/net/tcp', 'utf8');
  return ['01', '08'].some((state) => table.includes(`${ends}${state} `));
}

/** The keeper of a serving process. */
export function keeperPid(server: ServerProcess): number {
  const children = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').trim().split(/\s+/).map(Number);
  const keeper = children.find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('keeper/main.ts'));
  if (keeper === undefined) throw new Error('the vault has no keeper');
  return keeper;
}
