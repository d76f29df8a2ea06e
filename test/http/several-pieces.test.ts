/**
 * One release for several pieces of evidence, through the listener of the data plane: real verifiers, real binding, real record. Only the makers'
 * keys are ours.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { concat, sha256, sha256Hex, sha512, utf8 } from '../../src/domain/bytes.ts';
import { type Evidence, gpuNonce, jwtNonce } from '../../src/domain/evidence.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';
import { type Asked, bindingOf, type ConfidentialMachines } from '../attestation/confidential-machines.ts';
import { honestClaims, tokenOf } from '../attestation/token-issuer.ts';
import { ConfidentialServing, elsewhere, KUBERNETES, NS, PLAIN, type Shows } from './confidential-serving.ts';

let serving: ConfidentialServing;
beforeAll(async () => {
  serving = await ConfidentialServing.start();
});
afterAll(() => serving?.served.stop());

const tdxWithGpu: Shows = async (to) => {
  const gpu = await serving.machines.gpu(to);
  return [serving.machines.tdx(to, [gpu]), gpu];
};
const snpWithVtpm: Shows = async (to) => {
  const vtpm = await serving.machines.vtpm(to);
  return [serving.machines.snp(to, [vtpm]), vtpm];
};

describe('a TDX guest with a GPU', () => {
  test('gets the weights, and the result has both, what each stood on, and the connection', async () => {
    const release = await serving.ask(tdxWithGpu);
    expect(release.json).toMatchObject({ objects: [{ path: 'weights.bin' }] });
    expect(await serving.bytesOf(release)).toBe(PLAIN.toString());
    const text = serving.resultOf('release.begin');
    for (const said of ['"mrtd"', '"confidentialMode":true', 'TDX collateral', 'driver RIM', 'VBIOS RIM']) expect(text).toContain(said);
    expect(text).toMatch(/"weight-vault.tls-exporter":"[0-9a-f]{64}"/);
  });

  test.each<[string, string, Shows]>([
    ['a GPU alone', 'evidence_malformed', async (to) => [await serving.machines.gpu(to)]],
    ['a GPU in front of its guest', 'evidence_malformed', async (to) => [...(await tdxWithGpu(to))].reverse()],
    ['a GPU twice', 'evidence_malformed', async (to) => twice(to, await serving.machines.gpu(to))],
    [
      'a guest beside another guest',
      'evidence_malformed',
      async (to) => [serving.machines.tdx(to, [serving.machines.tdx(to)]), serving.machines.tdx(to)],
    ],
    ['a GPU that answered another challenge', 'evidence_binding_mismatch', (to) => besideTdx(to, (gpu) => gpu(elsewhere(to)))],
    [
      'a GPU that answered another key',
      'evidence_binding_mismatch',
      (to) => besideTdx(to, (gpu) => gpu({ ...to, spki: to.spki.slice(1) })),
    ],
    ['a GPU whose nonce is cut', 'evidence_malformed', (to) => besideTdx(to, (gpu) => gpu(to, gpuNonce(to).slice(0, 31)))],
    ['a GPU whose nonce is padded', 'evidence_malformed', (to) => besideTdx(to, (gpu) => gpu(to, concat(gpuNonce(to), new Uint8Array(1))))],
    ['a GPU under a root of the same name', 'endorsement_untrusted', (to) => besideTdx(to, () => serving.machines.strangeGpu(to))],
  ])('%s: %s', async (_what, code, shows) => {
    expect(await serving.refusalOf(shows)).toBe(code);
  });

  test.each<[string, Shows]>([
    ['a GPU is put there that the guest did not name', async (to) => [serving.machines.tdx(to), await serving.machines.gpu(to)]],
    ['the GPU it named is left out', async (to) => (await tdxWithGpu(to)).slice(0, 1)],
    [
      'the GPU is exchanged for another that answers the same challenge',
      async (to) => [...(await tdxWithGpu(to)).slice(0, 1), await serving.machines.gpu(to)],
    ],
    ['a member is added to what it named', async (to) => (await tdxWithGpu(to)).map((one, at) => (at === 0 ? one : { ...one, note: 'x' }))],
    ['the report data is SHA-256 of B with zeros behind it', withReportData((b) => concat(sha256(b), new Uint8Array(32)))],
    ['the report data is the first half of SHA-512 of B', withReportData((b) => concat(sha512(b).slice(0, 32), new Uint8Array(32)))],
    [
      'the report data is of B without what stands beside',
      async (to) => [serving.machines.tdx(to, [], sha512(bindingOf(to, []))), await serving.machines.gpu(to)],
    ],
    ['it all answered another challenge', (to) => tdxWithGpu(elsewhere(to))],
    ['it is for another vault', (to) => tdxWithGpu(otherVault(to))],
  ])('is refused when %s', async (_what, shows) => {
    expect(['evidence_binding_mismatch', 'request_invalid']).toContain(await codeOf(shows));
  });

  test('is refused when another connection shows what it made', async () => {
    const evidence = await tdxWithGpu(await serving.challenge());
    const thief = await issueSelfSigned({ commonName: 'thief', days: 1, now: new Date() });
    const { json } = await serving.served.ask('data', '/v1/challenges', { method: 'POST', as: thief });
    const body = JSON.stringify({ challengeId: json['id'], model: 'secret', version: serving.restricted.versionId, evidence });
    const answer = await serving.served.ask('data', `${NS}/releases`, { method: 'POST', body, as: thief });
    expect(answer.json).toMatchObject({ code: 'evidence_binding_mismatch' });
  });

  test('is refused the second time: the challenge is spent', async () => {
    const { id, ...to } = await serving.challenge();
    const body = { challengeId: id, model: 'secret', version: serving.restricted.versionId, evidence: await tdxWithGpu(to) };
    const post = () => serving.served.ask('data', `${NS}/releases`, { method: 'POST', body: JSON.stringify(body) });
    expect((await post()).status).toBe(201);
    expect((await post()).json).toMatchObject({ code: 'challenge_spent' });
  });

  test('says what failed to whoever reads the log, and only the code to whoever asked', async () => {
    const answer = await serving.ask((to) => besideTdx(to, (gpu) => gpu(elsewhere(to))));
    expect(Object.keys(answer.json).toSorted()).not.toContain('failed');
    expect(JSON.stringify(answer.json)).not.toContain('nonce');
    const text = serving.resultOf('release.denied');
    expect(text).toContain(Buffer.from(gpuNonce(serving.asked as Asked)).toString('hex'));
    expect(text).toContain(Buffer.from(gpuNonce(elsewhere(serving.asked as Asked))).toString('hex'));
  });
});

describe('a SEV-SNP guest with a virtual TPM', () => {
  test('gets the weights, each piece for what it says', async () => {
    const release = await serving.ask(snpWithVtpm);
    expect(await serving.bytesOf(release)).toBe(PLAIN.toString());
    expect(serving.served.vault.records('release.begin').at(-1)).toMatchObject({ type: 'release.begin' });
    const text = serving.resultOf('release.begin');
    for (const said of ['"measurement"', '"akTrust":"tee"', 'VCEK', 'ARK']) expect(text).toContain(said);
  });

  test('or shows its TPM alone, which the report of the guest names', async () => {
    expect((await serving.ask(async (to) => [await serving.machines.vtpm(to)])).status).toBe(201);
  });

  test.each<[string, string, Shows]>([
    [
      'the TPM answered another challenge',
      'evidence_binding_mismatch',
      async (to) => besideSnp(to, await serving.machines.vtpm(elsewhere(to))),
    ],
    [
      'the TPM answered B with what stands beside',
      'evidence_binding_mismatch',
      async (to) => besideSnp(to, await serving.machines.vtpm(to, [serving.machines.snp(to)])),
    ],
    [
      'the report data is padded',
      'evidence_binding_mismatch',
      (to) => [serving.machines.snp(to, [], concat(sha256(bindingOf(to, [])), new Uint8Array(32)))],
    ],
    ['the report of another challenge', 'evidence_binding_mismatch', (to) => [serving.machines.snp(elsewhere(to))]],
    ['the TPM shows a report cut short', 'evidence_malformed', async (to) => besideSnp(to, cut(await serving.machines.vtpm(to)))],
  ])('is refused when %s: %s', async (_what, code, shows) => {
    expect(await serving.refusalOf(shows)).toBe(code);
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
    expect((await serving.ask(bearer, serving.open)).status).toBe(201);
    expect(await serving.refusalOf(bearer)).toBe('class_demands_unmet');
  });

  test('that answers the challenge is still no hardware', async () => {
    expect(await serving.refusalOf(async (to) => [await token(to)])).toBe('class_demands_unmet');
  });

  test('that answers nothing cannot vouch for a GPU beside it', async () => {
    expect(await serving.refusalOf(async (to) => [...(await bearer(to)), await serving.machines.gpu(to)], serving.open)).toBe(
      'evidence_binding_mismatch',
    );
  });

  test('about others, beside a guest: with exactly the tokens that it has digests of', async () => {
    const bundle = async (to: Asked, left: (parts: Record<string, string>) => Record<string, string> = (parts) => parts) => {
      const gpu = String((await token(to, { measres: 'success' })).body['token']);
      const submods = { 'GPU-0': ['DIGEST', ['SHA-256', sha256Hex(utf8(gpu))]], container: undefined };
      const whole = (await token(to, { submods })).body['token'];
      const one: Evidence = { kind: 'jwt', body: { token: whole, parts: left({ 'GPU-0': gpu }) } };
      return [serving.machines.tdx(to, [one]), one];
    };
    expect(await serving.refusalOf((to) => bundle(to, (parts) => ({ ...parts, 'GPU-1': parts['GPU-0'] ?? '' })))).toBe(
      'evidence_signature_invalid',
    );
    expect((await serving.ask((to) => bundle(to))).status).toBe(201);
  });

  test('beside a guest adds what it says; of another challenge it spoils the rest', async () => {
    const beside = async (to: Asked, made: Asked) => {
      const one = await token(made);
      return [serving.machines.tdx(to, [one]), one];
    };
    expect((await serving.ask((to) => beside(to, to))).status).toBe(201);
    expect(await serving.refusalOf((to) => beside(to, elsewhere(to)))).toBe('evidence_binding_mismatch');
  });
});

async function besideTdx(to: Asked, make: (gpu: ConfidentialMachines['gpu']) => Promise<Evidence>): Promise<readonly Evidence[]> {
  const gpu = await make(serving.machines.gpu);
  return [serving.machines.tdx(to, [gpu]), gpu];
}
function besideSnp(to: Asked, piece: Evidence): readonly Evidence[] {
  return [serving.machines.snp(to, [piece]), piece];
}
function twice(to: Asked, gpu: Evidence): readonly Evidence[] {
  return [serving.machines.tdx(to, [gpu, gpu]), gpu, gpu];
}
function withReportData(reportData: (binding: Uint8Array) => Uint8Array): Shows {
  return (to) => [serving.machines.tdx(to, [], reportData(bindingOf(to, [])))];
}
function cut({ kind, body }: Evidence): Evidence {
  const { report, ...rest } = body['hcl'] as { report: string };
  return { kind, body: { ...body, hcl: { ...rest, report: report.slice(0, 1600) } } };
}
/** Whatever letter the id ends with: it is random. */
function otherVault(to: Asked): Asked {
  return { ...to, vaultId: to.vaultId.replace(/.$/, (last) => (last === '0' ? '1' : '0')) as Asked['vaultId'] };
}
async function codeOf(shows: Shows): Promise<string> {
  return String((await serving.ask(shows)).json['code']);
}
