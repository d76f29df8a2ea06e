/** Collateral read again from mirrors on this machine: what comes in, and that bad answers change nothing. The pinned roots are the tests' own. */
import 'reflect-metadata';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Extension } from '@peculiar/x509';
import type { EvidenceVerifier } from '../../src/attestation/port.ts';
import { createFetchPublication } from '../../src/attestation/publications/fetch-publication.ts';
import { type PublicationSource, readSource } from '../../src/attestation/publications/sources.ts';
import { identifySnpCollateral } from '../../src/attestation/sev-snp/identify.ts';
import { identifyTdxCollateral } from '../../src/attestation/tdx/identify.ts';
import { refuse } from '../../src/domain/evidence.ts';
import { refreshOnce, startRefreshing } from '../../src/vault/refresh-collateral.ts';
import { issueCrl } from '../attestation/crl-maker.ts';
import { AMD_NAME, makeSnpLine, PSS } from '../attestation/snp-maker.ts';
import { FMSPC, makeBundle, makeIntelWorld, qeIdentity, tcbInfo } from '../attestation/tdx-maker.ts';
import { TestVault } from './test-vault.ts';

type Answers = Record<string, { body: Uint8Array | string; headers?: Record<string, string>; status?: number }>;
let answers: Answers = {};
const asked: string[] = [];
let server: Server;
let base: string;
beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const { body, headers = {}, status = 200 } = answers[request.url ?? ''] ?? { body: 'no', status: 404 };
    response.writeHead(status, headers).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

const intel = await makeIntelWorld();
const genoa = await makeSnpLine('Genoa');
const verifier = (
  kind: 'tdx' | 'sev-snp',
  identify: (bytes: Uint8Array) => ReturnType<NonNullable<EvidenceVerifier['identifyCollateral']>>,
) => ({ kind, verify: async () => refuse('evidence_malformed', ''), identifyCollateral: identify }) as EvidenceVerifier;
const verifiers = new Map<string, EvidenceVerifier>([
  ['tdx', verifier('tdx', (bytes) => identifyTdxCollateral(bytes, [intel.root.der]))],
  ['sev-snp', verifier('sev-snp', (bytes) => identifySnpCollateral(bytes, [genoa.pinned.certificate]))],
]);

let vault: TestVault;
beforeEach(async () => {
  vault = await TestVault.ready();
  answers = {};
  asked.length = 0;
});
afterEach(() => vault.remove());

const tdx = (): PublicationSource => ({ of: 'tdx', fmspc: FMSPC, authority: 'platform', pcs: base, rootCrl: `${base}/root.der` });
const snp = (): PublicationSource => ({ of: 'sev-snp', product: 'Genoa', kds: base });

/** As Intel's service answers: what is signed as it is, chains in headers, percent-encoded. */
async function publishTdx(info: object = {}, identity: object = {}): Promise<void> {
  const made = await makeBundle(intel, { info: tcbInfo(info), identity: qeIdentity(identity) } as Parameters<typeof makeBundle>[1]);
  const bundle = JSON.parse(Buffer.from(made).toString('utf8')) as Record<string, string>;
  const part = (name: string) => bundle[name] ?? '';
  const chain = (name: string) => encodeURIComponent(part(name));
  answers[`/tdx/certification/v4/tcb?fmspc=${FMSPC}`] = {
    body: `{"tcbInfo":${part('tcb_info')},"signature":"${part('tcb_info_signature')}"}`,
    headers: { 'TCB-Info-Issuer-Chain': chain('tcb_info_issuer_chain') },
  };
  answers['/tdx/certification/v4/qe/identity'] = {
    body: `{"enclaveIdentity":${part('qe_identity')},"signature":"${part('qe_identity_signature')}"}`,
    headers: { 'SGX-Enclave-Identity-Issuer-Chain': chain('qe_identity_issuer_chain') },
  };
  answers['/sgx/certification/v4/pckcrl?ca=platform&encoding=der'] = {
    body: Buffer.from(part('pck_crl'), 'hex'),
    headers: { 'SGX-PCK-CRL-Issuer-Chain': encodeURIComponent(pemOfAuthorities) },
  };
  answers['/root.der'] = { body: Buffer.from(part('root_ca_crl'), 'hex') };
}
const pemOfAuthorities = [intel.platform, intel.root]
  .map(
    ({ der }) =>
      `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64').replace(/.{64}/g, '$&\n').replace(/\n$/, '')}\n-----END CERTIFICATE-----\n`,
  )
  .join('');

async function refresh(...sources: PublicationSource[]): Promise<string[]> {
  const problems: string[] = [];
  const onProblem = (_: PublicationSource, error: unknown) => void problems.push(error instanceof Error ? error.message : String(error));
  await refreshOnce({ ...vault.vault, verifiers }, { sources, everyHours: 1, fetch: createFetchPublication(), onProblem });
  return problems;
}
const kept = () =>
  vault.stores.unitOfWork.run(async (tx) =>
    (await vault.stores.attestation.listCollateral(tx)).map(({ type, key, issuedAt }) => [type, key, issuedAt.toISOString()]),
  );

describe('what Intel and AMD publish', () => {
  test('is read from the paths of their services, kept, and on record as done by the vault itself', async () => {
    await publishTdx();
    answers['/vcek/v1/Genoa/cert_chain'] = { body: genoa.chain() };
    expect(await refresh(tdx())).toEqual([]);
    expect((await kept()).map(([type, key]) => [type, key])).toEqual([['tdx-collateral', FMSPC]]);
    expect(vault.lastRecord()).toMatchObject({ type: 'collateral.imported', outcome: 'success', actor: { kind: 'system' } });
    const records = vault.records('collateral.imported').length;
    expect(await refresh(tdx())).toEqual([]);
    expect(vault.records('collateral.imported')).toHaveLength(records); // the same again is no change
  });

  test('of AMD is its chain and its list; a list with a lower number is refused', async () => {
    const issuer = { subject: `CN=ARK-Genoa, ${AMD_NAME}`, signer: genoa.rootKeys.privateKey, algorithm: PSS };
    const list = (number: number, from: string) =>
      issueCrl({
        issuer,
        from: new Date(from),
        until: new Date('2027-01-01T00:00:00Z'),
        extensions: [new Extension('2.5.29.20', false, Uint8Array.of(2, 1, number))],
      });
    answers['/vcek/v1/Genoa/cert_chain'] = { body: genoa.chain() };
    answers['/vcek/v1/Genoa/crl'] = { body: await list(7, '2026-01-02T00:00:00Z') };
    expect(await refresh(snp())).toEqual([]);
    expect((await kept()).map(([type, key]) => `${type} ${key}`)).toEqual(['amd-chain Genoa/VCEK', 'amd-crl Genoa']);
    const before = await kept();
    answers['/vcek/v1/Genoa/crl'] = { body: await list(6, '2026-01-03T00:00:00Z') };
    expect(await refresh(snp())).toEqual([expect.stringContaining('amd-crl Genoa: older by its own count')]);
    expect(await kept()).toEqual(before);
  });

  test('that is whole in one part and missing in another is not taken, and the other sources are', async () => {
    answers['/vcek/v1/Genoa/cert_chain'] = { body: genoa.chain() };
    await publishTdx();
    expect(await refresh(snp(), tdx())).toEqual(['HTTP status 404']);
    expect((await kept()).map(([type]) => type)).toEqual(['tdx-collateral']);
  });

  test.each<[string, (url: string) => void, string]>([
    ['another status', (url) => void (answers[url] = { body: 'busy', status: 503 }), 'HTTP status 503'],
    ['a redirect', (url) => void (answers[url] = { body: '', status: 302, headers: { location: '/root.der' } }), 'HTTP status 302'],
    ['a megabyte and more', (url) => void (answers[url] = { body: Buffer.alloc(1_048_577) }), 'larger than'],
    ['something else entirely', (url) => void (answers[url] = { body: '<html></html>' }), 'no signed tcbInfo'],
  ])('answered by %s, changes nothing', async (_, spoil, problem) => {
    await publishTdx();
    await refresh(tdx());
    const before = await kept();
    spoil(`/tdx/certification/v4/tcb?fmspc=${FMSPC}`);
    expect(await refresh(tdx())).toEqual([expect.stringContaining(problem)]);
    expect(await kept()).toEqual(before);
  });

  test('signed by somebody else, or altered on the way, is not taken', async () => {
    await publishTdx();
    const url = `/tdx/certification/v4/tcb?fmspc=${FMSPC}`;
    const honest = answers[url];
    answers[url] = { ...honest, body: String(honest?.body).replace('"tcbEvaluationDataNumber":', '"tcbEvaluationDataNumber": ') };
    expect(await refresh(tdx())).toEqual([expect.stringContaining('collateral_unknown')]);
    expect(await kept()).toEqual([]);
  });

  test('dated later but with a lower evaluation number is refused: the one before goes on being used', async () => {
    await publishTdx({ issueDate: '2026-01-10T00:00:00Z', tcbEvaluationDataNumber: 18 });
    expect(await refresh(tdx())).toEqual([]);
    await publishTdx({ issueDate: '2026-01-12T00:00:00Z', tcbEvaluationDataNumber: 17 });
    expect(await refresh(tdx())).toEqual([expect.stringContaining('older by its own count')]);
    expect(await kept()).toEqual([['tdx-collateral', FMSPC, '2026-01-10T00:00:00.000Z']]);
    await publishTdx({ issueDate: '2026-01-14T00:00:00Z', tcbEvaluationDataNumber: 18 });
    expect(await refresh(tdx())).toEqual([]);
    expect(await kept()).toEqual([['tdx-collateral', FMSPC, '2026-01-14T00:00:00.000Z']]);
  });
});

describe('reading', () => {
  test('goes over https alone, but for this machine', async () => {
    const fetch = createFetchPublication();
    for (const url of ['http://example.test/x', 'ftp://127.0.0.1/x']) await expect(fetch(url)).rejects.toThrow('https only');
  });

  test('takes a RIM out of the answer of NVIDIA’s service only under its own id', async () => {
    const source = { of: 'nvidia-rim', id: 'NV_GPU_DRIVER_GH100_1', rims: base } as const;
    answers['/v1/rim/NV_GPU_DRIVER_GH100_1'] = {
      body: JSON.stringify({ id: source.id, rim: Buffer.from('<x/>').toString('base64'), sha256: '' }),
    };
    expect(await readSource(source, createFetchPublication())).toEqual([{ name: source.id, bytes: new Uint8Array(Buffer.from('<x/>')) }]);
    answers['/v1/rim/NV_GPU_DRIVER_GH100_1'] = { body: JSON.stringify({ id: 'NV_OTHER', rim: '' }) };
    await expect(readSource(source, createFetchPublication())).rejects.toThrow('is no RIM');
  });

  test('begins at once, asks nobody that is not configured, and has ended when it was stopped', async () => {
    await publishTdx();
    const settings = { sources: [tdx()], everyHours: 1, fetch: createFetchPublication(), onProblem: () => undefined };
    await startRefreshing({ ...vault.vault, verifiers }, settings)();
    expect(asked).toHaveLength(4);
    expect(await kept()).toHaveLength(1);
  });
});
