/**
 * One release for several pieces of evidence, through the listener of the data plane: real verifiers, real binding, real record. Only the makers'
 * keys are ours.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createJwtVerifier } from '../../src/attestation/jwt/verifier.ts';
import { createNvidiaVerifier } from '../../src/attestation/nvidia-gpu/verifier.ts';
import { createSnpReportCheck, createSnpVerifier } from '../../src/attestation/sev-snp/verifier.ts';
import { createTdxVerifier } from '../../src/attestation/tdx/verifier.ts';
import { createTpm2Verifier } from '../../src/attestation/tpm2/verifier.ts';
import { concat, sha256, sha512 } from '../../src/domain/bytes.ts';
import { type Evidence, gpuNonce, jwtNonce, type ReferenceValue, type TrustAnchor } from '../../src/domain/evidence.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';
import { type Asked, bindingOf, type ConfidentialMachines, makeConfidentialMachines } from '../attestation/confidential-machines.ts';
import { BEARER_ANCHOR, honestClaims, ISSUER, NONCE_ANCHOR, SUBJECT, tokenOf } from '../attestation/token-issuer.ts';
import { ANCHOR, GOOD_VALUE, PROD, type Published, starterPolicies } from '../vault/test-vault.ts';
import { type Answer, type Served, startServing } from './serving.ts';

const PLAIN = Buffer.from('weights that only such machines may have');
const KUBERNETES = 'https://kubernetes.test';
const NS = '/v1/namespaces/prod';

let served: Served;
let machines: ConfidentialMachines;
let restricted: Published;
let open: Published;
let asked: Asked;

beforeAll(async () => {
  const verifiers = [
    createTdxVerifier(),
    createSnpVerifier(),
    createNvidiaVerifier(),
    createTpm2Verifier(createSnpReportCheck()),
    createJwtVerifier({ keysOf: async () => [] }),
  ];
  served = await startServing(undefined, { verifiers: new Map(verifiers.map((one) => [one.kind, one])) });
  const { vault } = served;
  machines = await makeConfidentialMachines(vault.clock.now());
  const kubernetes: TrustAnchor = { ...BEARER_ANCHOR, name: 'cluster', issuer: KUBERNETES };
  const anchors = [ANCHOR, NONCE_ANCHOR, kubernetes, ...machines.anchors];
  const token = (issuer: string): ReferenceValue => ({ id: issuer.slice(8, 14), kind: 'jwt', issuer, claims: { image: ['sha256:aa'] } });
  const values = [GOOD_VALUE, token(ISSUER), token(KUBERNETES), ...machines.referenceValues];
  await vault.twoPeople({ kind: 'trust-anchors', namespace: PROD, counter: 2, anchors });
  await vault.twoPeople({ kind: 'reference-values', namespace: PROD, counter: 2, values });
  await vault.twoPeople({ kind: 'policy-set', namespace: PROD, counter: 2, policies: { ...starterPolicies('public', 'restricted') } });
  const { unitOfWork, attestation } = vault.vault.stores;
  await unitOfWork.run(async (tx) => {
    for (const row of machines.collateral) await attestation.putCollateral(tx, row);
  });
  restricted = await vault.publish('secret', 'restricted', { 'weights.bin': PLAIN });
  open = await vault.publish('open', 'public', { 'weights.bin': PLAIN });
  for (const [kind, identity] of Object.entries(machines.identities)) {
    expect(await enrol('workloads', { name: `${kind}-1`, kind, identity })).toBe(201);
  }
  for (const issuer of [ISSUER, KUBERNETES]) {
    expect(await enrol('requesters', { name: `by ${issuer.slice(8, 14)}`.replace(' ', '-'), issuer, subject: SUBJECT })).toBe(201);
  }
}, 120_000);
afterAll(() => served?.stop());

async function enrol(what: string, body: object): Promise<number> {
  const attributes = { fleet: 'production', owner: 'us' };
  const headers = await served.session();
  const answer = await served.ask('admin', `${NS}/${what}`, { method: 'POST', headers, body: JSON.stringify({ attributes, ...body }) });
  return answer.status;
}

async function challenge(): Promise<Asked & { readonly id: string }> {
  const { json } = await served.ask('data', '/v1/challenges', { method: 'POST' });
  const nonce = new Uint8Array(Buffer.from(String(json['nonce']), 'base64'));
  return { id: String(json['id']), vaultId: served.served.vaultId, challengeNonce: nonce, spki: served.machine.spki };
}

type Shows = (asked: Asked) => Promise<readonly Evidence[]> | readonly Evidence[];

/** Answers a challenge with what `shows` makes for it. */
async function ask(shows: Shows, version = restricted): Promise<Answer> {
  const { id, ...fresh } = await challenge();
  asked = fresh;
  const body = { challengeId: id, model: version.model, version: version.versionId, evidence: await shows(fresh) };
  return served.ask('data', `${NS}/releases`, { method: 'POST', body: JSON.stringify(body) });
}

/** The code, and that it is on record with it; the requester was told nothing else. */
async function refusalOf(shows: Shows, version = restricted): Promise<string> {
  const answer = await ask(shows, version);
  const record = served.vault.lastRecord();
  expect(answer.status).toBe(403);
  expect(record).toMatchObject({ type: 'release.denied', reason: answer.json['code'] });
  return String(answer.json['code']);
}

async function bytesOf(release: Answer): Promise<string> {
  const { body } = await served.ask('data', `${NS}/releases/${String(release.json['id'])}/objects/weights.bin`);
  return body.toString();
}

const tdxWithGpu: Shows = async (to) => {
  const gpu = await machines.gpu(to);
  return [machines.tdx(to, [gpu]), gpu];
};
const snpWithVtpm: Shows = async (to) => {
  const vtpm = await machines.vtpm(to);
  return [machines.snp(to, [vtpm]), vtpm];
};

/** The stored result that the newest record of that type names. */
function resultOf(type: 'release.begin' | 'release.denied'): string {
  const { resultDigest } = served.vault.records(type).at(-1) as unknown as { readonly resultDigest: string }; // a member of version 2
  return Buffer.from(
    served.vault.row('SELECT bytes FROM attestation_results WHERE digest = ?', resultDigest)['bytes'] as Uint8Array,
  ).toString();
}

describe('a TDX guest with a GPU', () => {
  test('gets the weights, and the result has both, what each stood on, and the connection', async () => {
    const release = await ask(tdxWithGpu);
    expect(release.json).toMatchObject({ objects: [{ path: 'weights.bin' }] });
    expect(await bytesOf(release)).toBe(PLAIN.toString());
    const text = resultOf('release.begin');
    for (const said of ['"mrtd"', '"confidentialMode":true', 'TDX collateral', 'driver RIM', 'VBIOS RIM']) expect(text).toContain(said);
    expect(text).toMatch(/"weight-vault.tls-exporter":"[0-9a-f]{64}"/);
  });

  test.each<[string, string, Shows]>([
    ['a GPU alone', 'evidence_malformed', async (to) => [await machines.gpu(to)]],
    ['a GPU in front of its guest', 'evidence_malformed', async (to) => [...(await tdxWithGpu(to))].reverse()],
    ['a GPU twice', 'evidence_malformed', async (to) => twice(to, await machines.gpu(to))],
    ['a guest beside another guest', 'evidence_malformed', async (to) => [machines.tdx(to, [machines.tdx(to)]), machines.tdx(to)]],
    ['a GPU that answered another challenge', 'evidence_binding_mismatch', (to) => besideTdx(to, (gpu) => gpu(elsewhere(to)))],
    [
      'a GPU that answered another key',
      'evidence_binding_mismatch',
      (to) => besideTdx(to, (gpu) => gpu({ ...to, spki: to.spki.slice(1) })),
    ],
    ['a GPU whose nonce is cut', 'evidence_malformed', (to) => besideTdx(to, (gpu) => gpu(to, gpuNonce(to).slice(0, 31)))],
    ['a GPU whose nonce is padded', 'evidence_malformed', (to) => besideTdx(to, (gpu) => gpu(to, concat(gpuNonce(to), new Uint8Array(1))))],
    ['a GPU under a root of the same name', 'endorsement_untrusted', (to) => besideTdx(to, () => machines.strangeGpu(to))],
  ])('%s: %s', async (_what, code, shows) => {
    expect(await refusalOf(shows)).toBe(code);
  });

  test.each<[string, Shows]>([
    ['a GPU is put there that the guest did not name', async (to) => [machines.tdx(to), await machines.gpu(to)]],
    ['the GPU it named is left out', async (to) => (await tdxWithGpu(to)).slice(0, 1)],
    [
      'the GPU is exchanged for another that answers the same challenge',
      async (to) => [...(await tdxWithGpu(to)).slice(0, 1), await machines.gpu(to)],
    ],
    ['a member is added to what it named', async (to) => (await tdxWithGpu(to)).map((one, at) => (at === 0 ? one : { ...one, note: 'x' }))],
    ['the report data is SHA-256 of B with zeros behind it', withReportData((b) => concat(sha256(b), new Uint8Array(32)))],
    ['the report data is the first half of SHA-512 of B', withReportData((b) => concat(sha512(b).slice(0, 32), new Uint8Array(32)))],
    [
      'the report data is of B without what stands beside',
      async (to) => [machines.tdx(to, [], sha512(bindingOf(to, []))), await machines.gpu(to)],
    ],
    ['it all answered another challenge', (to) => tdxWithGpu(elsewhere(to))],
    ['it is for another vault', (to) => tdxWithGpu({ ...to, vaultId: to.vaultId.replace(/.$/, '0') as Asked['vaultId'] })],
  ])('is refused when %s', async (_what, shows) => {
    expect(['evidence_binding_mismatch', 'request_invalid']).toContain(await codeOf(shows));
  });

  test('is refused when another connection shows what it made', async () => {
    const evidence = await tdxWithGpu(await challenge());
    const thief = await issueSelfSigned({ commonName: 'thief', days: 1, now: new Date() });
    const { json } = await served.ask('data', '/v1/challenges', { method: 'POST', as: thief });
    const body = JSON.stringify({ challengeId: json['id'], model: 'secret', version: restricted.versionId, evidence });
    const answer = await served.ask('data', `${NS}/releases`, { method: 'POST', body, as: thief });
    expect(answer.json).toMatchObject({ code: 'evidence_binding_mismatch' });
  });

  test('is refused the second time: the challenge is spent', async () => {
    const { id, ...to } = await challenge();
    const body = { challengeId: id, model: 'secret', version: restricted.versionId, evidence: await tdxWithGpu(to) };
    const post = () => served.ask('data', `${NS}/releases`, { method: 'POST', body: JSON.stringify(body) });
    expect((await post()).status).toBe(201);
    expect((await post()).json).toMatchObject({ code: 'challenge_spent' });
  });

  test('says what failed to whoever reads the log, and only the code to whoever asked', async () => {
    const answer = await ask((to) => besideTdx(to, (gpu) => gpu(elsewhere(to))));
    expect(Object.keys(answer.json).toSorted()).not.toContain('failed');
    expect(JSON.stringify(answer.json)).not.toContain('nonce');
    const text = resultOf('release.denied');
    expect(text).toContain(Buffer.from(gpuNonce(asked)).toString('hex'));
    expect(text).toContain(Buffer.from(gpuNonce(elsewhere(asked))).toString('hex'));
  });
});

describe('a SEV-SNP guest with a virtual TPM', () => {
  test('gets the weights, each piece for what it says', async () => {
    const release = await ask(snpWithVtpm);
    expect(await bytesOf(release)).toBe(PLAIN.toString());
    expect(served.vault.records('release.begin').at(-1)).toMatchObject({ type: 'release.begin' });
    const text = resultOf('release.begin');
    for (const said of ['"measurement"', '"akTrust":"tee"', 'VCEK', 'ARK']) expect(text).toContain(said);
  });

  test('or shows its TPM alone, which the report of the guest names', async () => {
    expect((await ask(async (to) => [await machines.vtpm(to)])).status).toBe(201);
  });

  test.each<[string, string, Shows]>([
    ['the TPM answered another challenge', 'evidence_binding_mismatch', async (to) => besideSnp(to, await machines.vtpm(elsewhere(to)))],
    [
      'the TPM answered B with what stands beside',
      'evidence_binding_mismatch',
      async (to) => besideSnp(to, await machines.vtpm(to, [machines.snp(to)])),
    ],
    [
      'the report data is padded',
      'evidence_binding_mismatch',
      (to) => [machines.snp(to, [], concat(sha256(bindingOf(to, [])), new Uint8Array(32)))],
    ],
    ['the report of another challenge', 'evidence_binding_mismatch', (to) => [machines.snp(elsewhere(to))]],
    ['the TPM shows a report cut short', 'evidence_malformed', async (to) => besideSnp(to, cut(await machines.vtpm(to)))],
  ])('is refused when %s: %s', async (_what, code, shows) => {
    expect(await refusalOf(shows)).toBe(code);
  });
});

describe('a token', () => {
  const token = async (to: Asked, over: object = {}): Promise<Evidence> => ({
    kind: 'jwt',
    body: {
      token: await tokenOf(
        honestClaims({ eat_nonce: jwtNonce(bindingOf(to, [])), jti: Buffer.from(to.challengeNonce).toString('hex'), ...over }),
      ),
    },
  });
  const bearer: Shows = async (to) => [await token(to, { iss: KUBERNETES, eat_nonce: undefined })];

  test('that answers nothing opens what may be read over an unbound channel, and nothing else', async () => {
    expect((await ask(bearer, open)).status).toBe(201);
    expect(await refusalOf(bearer)).toBe('class_demands_unmet');
  });

  test('that answers the challenge is still no hardware', async () => {
    expect(await refusalOf(async (to) => [await token(to)])).toBe('class_demands_unmet');
  });

  test('that answers nothing cannot vouch for a GPU beside it', async () => {
    expect(await refusalOf(async (to) => [...(await bearer(to)), await machines.gpu(to)], open)).toBe('evidence_binding_mismatch');
  });

  test('beside a guest adds what it says; of another challenge it spoils the rest', async () => {
    const beside = async (to: Asked, made: Asked) => {
      const one = await token(made);
      return [machines.tdx(to, [one]), one];
    };
    expect((await ask((to) => beside(to, to))).status).toBe(201);
    expect(await refusalOf((to) => beside(to, elsewhere(to)))).toBe('evidence_binding_mismatch');
  });
});

const elsewhere = (to: Asked): Asked => ({ ...to, challengeNonce: to.challengeNonce.map((byte) => byte ^ 1) });

async function besideTdx(to: Asked, make: (gpu: ConfidentialMachines['gpu']) => Promise<Evidence>): Promise<readonly Evidence[]> {
  const gpu = await make(machines.gpu);
  return [machines.tdx(to, [gpu]), gpu];
}
function besideSnp(to: Asked, piece: Evidence): readonly Evidence[] {
  return [machines.snp(to, [piece]), piece];
}
function twice(to: Asked, gpu: Evidence): readonly Evidence[] {
  return [machines.tdx(to, [gpu, gpu]), gpu, gpu];
}
function withReportData(reportData: (binding: Uint8Array) => Uint8Array): Shows {
  return (to) => [machines.tdx(to, [], reportData(bindingOf(to, [])))];
}
function cut({ kind, body }: Evidence): Evidence {
  const { report, ...rest } = body['hcl'] as { report: string };
  return { kind, body: { ...body, hcl: { ...rest, report: report.slice(0, 1600) } } };
}
async function codeOf(shows: Shows): Promise<string> {
  return String((await ask(shows)).json['code']);
}
