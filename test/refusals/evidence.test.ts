/**
 * Evidence that is not what it should be, sent to the data plane of a vault that would release to the honest twin: each is refused with its own
 * reason, on record with the digest of what was sent and a result that says what failed. docs/refusals.md has the table.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { concat, fromBase64, toBase64 } from '../../src/domain/bytes.ts';
import { type Evidence, gpuNonce, jwtNonce, teeReportData } from '../../src/domain/evidence.ts';
import { type Asked, bindingOf, nitroPiece } from '../attestation/confidential-machines.ts';
import { bstr, leafUnder, makeDocument, map, membersOf, startEnclave, tstr } from '../attestation/nitro-enclave.ts';
import { makeReport, TCB } from '../attestation/snp-maker.ts';
import { makeIntelWorld, makePck, makeQuote } from '../attestation/tdx-maker.ts';
import { honestClaims, makeKey, tokenOf } from '../attestation/token-issuer.ts';
import { ConfidentialServing, elsewhere, type Shows } from '../http/confidential-serving.ts';
import { withVectors } from '../shared-vectors.ts';

let serving: ConfidentialServing;
let token: (to: Asked, over?: object, key?: ReturnType<typeof makeKey>) => Promise<Evidence>;
beforeAll(async () => {
  serving = await ConfidentialServing.start();
  const seconds = () => Math.floor(serving.served.vault.clock.now().getTime() / 1000);
  token = async (to, over = {}, key = undefined) => {
    const times = { iat: seconds() - 5, nbf: seconds() - 5, exp: seconds() + 300, eat_nonce: jwtNonce(bindingOf(to, [])) };
    return { kind: 'jwt', body: { token: await tokenOf(honestClaims({ ...times, ...over }), {}, key) } };
  };
});
afterAll(() => serving?.served.stop());

const DAY = 86_400; // seconds
const reportData = (to: Asked) => teeReportData(bindingOf(to, []));
/** P-384. */
const ORDER = BigInt('0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973');

const snp = (to: Asked, change: (report: Uint8Array) => Uint8Array = (report) => report, more: object = {}): Evidence => {
  const { chip } = serving.machines.world;
  const report = change(makeReport({ tcb: TCB.Genoa.raw, reportData: reportData(to) }, chip.privateKey));
  return { kind: 'sev-snp', body: { report: toBase64(report), ...more } };
};
const put = (at: number, bytes: Uint8Array) => (report: Uint8Array) => {
  report.set(bytes, at);
  return report;
};
/** Little-endian, 72 bytes each, from byte 672 on. */
const [R, S] = [672, 744];
const otherS = (report: Uint8Array) => {
  const s = BigInt(
    `0x${Buffer.from(report.slice(S, S + 48))
      .reverse()
      .toString('hex')}`,
  );
  return put(S, Buffer.from((ORDER - s).toString(16).padStart(96, '0'), 'hex').reverse())(report);
};
/** The outermost length in one byte more than it takes. */
const inBer = (der: Uint8Array) => concat(Uint8Array.of(0x30, 0x83, 0), der.slice(2));

test('the honest twins are released to', async () => {
  const twins: readonly Shows[] = [
    async (to) => [await serving.machines.nitro(to)],
    (to) => [serving.machines.tdx(to)],
    (to) => [snp(to)],
    (to) => [snp(to, otherS)],
    async (to) => [await serving.machines.vtpm(to)],
  ];
  for (const shows of twins) expect((await serving.ask(shows)).status).toBe(201);
});

describe('evidence', () => {
  test.each<[string, string, Shows]>([
    ['that is not there', 'evidence_missing', () => []],
    ['whose body is empty', 'evidence_malformed', () => [{ kind: 'tdx', body: {} }]],
    ['of a kind that nobody knows', 'evidence_kind_unsupported', () => [{ kind: 'sgx', body: {} }]],
    [
      'that is of another kind than it says',
      'evidence_malformed',
      (to) => [{ kind: 'tdx', body: { quote: String(snp(to).body['report']) } }],
    ],
    ['that is longer than its kind may be', 'evidence_malformed', () => [{ kind: 'sev-snp', body: { report: 'A'.repeat(1 << 20) } }]],
    ['for a challenge that was answered before', 'evidence_binding_mismatch', (to) => [serving.machines.tdx(elsewhere(to))]],
    ['from the future: a token', 'evidence_expired', async (to) => [await token(to, { iat: later(DAY) })]],
    ['from the future: a certificate', 'evidence_expired', async (to) => [await nitroWith(to, [DAY, 2 * DAY])]],
    ['with a leaf that has expired: Nitro', 'evidence_expired', async (to) => [await nitroWith(to, [-2 * DAY, -DAY])]],
    ['with a leaf that has expired: SEV-SNP', 'evidence_expired', expiredChip],
    ['with a leaf that has expired: TDX', 'evidence_expired', expiredPck],
    ['under a self-signed root that it brings along', 'endorsement_untrusted', ownRoot],
    ['under a root that is called like the maker’s', 'endorsement_untrusted', sameNames],
    ['with a key twice in its CBOR', 'evidence_malformed', twiceInCbor],
    ['with bytes behind it: Nitro', 'evidence_malformed', async (to) => [longer(await serving.machines.nitro(to), 'document')]],
    ['with bytes behind it: TDX', 'evidence_malformed', (to) => [longer(serving.machines.tdx(to), 'quote')]],
    ['with bytes behind it: SEV-SNP', 'evidence_malformed', (to) => [longer(snp(to), 'report')]],
    ['with bytes behind it: TPM', 'evidence_malformed', async (to) => [longer(await serving.machines.vtpm(to), 'quote')]],
    [
      'with a certificate in BER',
      'evidence_malformed',
      (to) => [snp(to, undefined, { certificate: toBase64(inBer(serving.machines.world.vcek)) })],
    ],
    ['whose r is zero', 'evidence_malformed', (to) => [snp(to, put(R, new Uint8Array(48)))]],
    ['whose s is zero', 'evidence_malformed', (to) => [snp(to, put(S, new Uint8Array(48)))]],
    [
      'whose r is the order of the curve',
      'evidence_malformed',
      (to) => [snp(to, put(R, Buffer.from(ORDER.toString(16), 'hex').reverse()))],
    ],
    ['signed on another curve: Nitro', 'evidence_malformed', async (to) => [await nitroWith(to, [-DAY, DAY], 'P-256')]],
    ['signed on another curve: a token', 'evidence_signature_invalid', async (to) => [await token(to, {}, makeKey('key-1', 'ES384'))]],
    [
      'whose nonce is a byte short: Nitro',
      'evidence_binding_mismatch',
      async (to) => [await serving.machines.nitro(to, { nonce: bstr(to.challengeNonce.slice(1)) })],
    ],
    [
      'whose nonce is a byte short: a token',
      'evidence_binding_mismatch',
      async (to) => [await token(to, { eat_nonce: jwtNonce(bindingOf(to, [])).slice(1) })],
    ],
    ['whose nonce is a byte short: a GPU', 'evidence_malformed', shortGpu],
  ])('%s: %s', async (_what, code, shows) => {
    expect(await serving.refusalOf(shows)).toBe(code);
  });

  test('whose s became n - s, shown again for the same challenge: challenge_spent', async () => {
    const { id, ...to } = await serving.challenge();
    const evidence = snp(to);
    const other = { kind: 'sev-snp', body: { report: toBase64(otherS(fromBase64(String(evidence.body['report'])))) } };
    expect((await serving.post(id, [evidence])).status).toBe(201);
    expect((await serving.post(id, [other])).json).toMatchObject({ code: 'challenge_spent' });
    expect(serving.served.vault.lastRecord()).toMatchObject({ type: 'release.denied', reason: 'challenge_spent' });
    expect(await serving.refusalOf(() => [other])).toBe('evidence_binding_mismatch');
  });

  test('of 64 MiB is not read to its end: request_too_large', async () => {
    const body = Buffer.alloc(64 << 20, 'A');
    const answer = await serving.served
      .ask('data', '/v1/namespaces/prod/releases', { method: 'POST', body })
      .catch((error: Error) => error);
    if (answer instanceof Error) expect(answer.message).toMatch(/EPIPE|ECONNRESET|hang up/);
    else expect(answer.json).toMatchObject({ code: 'request_too_large' });
    expect((await serving.ask((to) => [serving.machines.tdx(to)])).status).toBe(201);
  });
});

/** Seconds since 1970, by the vault's clock. */
function later(seconds: number): number {
  return Math.floor(serving.served.vault.clock.now().getTime() / 1000) + seconds;
}

/** A leaf of other days, or of another curve, under the authority that is in force. */
async function nitroWith(to: Asked, [from, until]: readonly [number, number], curve: 'P-256' | 'P-384' = 'P-384'): Promise<Evidence> {
  const { bundle } = serving.machines.world.enclave;
  const leaf = await leafUnder(bundle, { curve, from: new Date(later(from) * 1000), until: new Date(later(until) * 1000) });
  return serving.machines.nitro(to, {}, { bundle, leaf });
}

async function expiredChip(to: Asked): Promise<readonly Evidence[]> {
  const notAfter = new Date(later(-DAY) * 1000);
  const { der, keys } = await serving.machines.world.snp.key({ tcb: TCB.Genoa.extensions, notAfter });
  const report = makeReport({ tcb: TCB.Genoa.raw, reportData: reportData(to) }, keys.privateKey);
  return [{ kind: 'sev-snp', body: { report: toBase64(report), certificate: toBase64(der) } }];
}

async function expiredPck(to: Asked): Promise<readonly Evidence[]> {
  const { intel } = serving.machines.world;
  const pck = await makePck(intel, { notAfter: new Date(later(-DAY) * 1000) });
  return [{ kind: 'tdx', body: { quote: toBase64(makeQuote(intel, pck, { reportData: reportData(to) })) } }];
}

/** Its chain ends at a root of its own, of the maker's name. */
async function ownRoot(to: Asked): Promise<readonly Evidence[]> {
  const intel = await makeIntelWorld();
  const quote = makeQuote(intel, await makePck(intel), { reportData: reportData(to) });
  return [{ kind: 'tdx', body: { quote: toBase64(quote) } }];
}

async function sameNames(to: Asked): Promise<readonly Evidence[]> {
  return [await serving.machines.nitro(to, {}, await startEnclave('P-384', new Date(later(-DAY) * 1000), new Date(later(DAY) * 1000)))];
}

async function twiceInCbor(to: Asked): Promise<readonly Evidence[]> {
  const { enclave } = serving.machines.world;
  const bound = { user_data: bstr(reportData(to)), nonce: bstr(to.challengeNonce) };
  const members = [...membersOf(enclave, bound), [tstr('nonce'), bstr(to.challengeNonce)] as const];
  return [nitroPiece(await makeDocument(enclave, { payload: map(...members) }))];
}

async function shortGpu(to: Asked): Promise<readonly Evidence[]> {
  const gpu = await serving.machines.gpu(to, gpuNonce(to).slice(1));
  return [serving.machines.tdx(to, [gpu]), gpu];
}

function longer({ kind, body }: Evidence, member: string): Evidence {
  return { kind, body: { ...body, [member]: toBase64(concat(fromBase64(String(body[member])), Uint8Array.of(0))) } };
}

type Collected = { readonly lookalikes: ReadonlyArray<{ readonly file: string }> };
withVectors<Collected>('published certificates that only look like the maker’s', 'attestation/roots/ROOTS.json', ({ lookalikes }) => {
  test.each(lookalikes.map(({ file }) => file))('%s ends no chain: endorsement_untrusted', async (file) => {
    const { intel, pck } = serving.machines.world;
    const der = new X509Certificate(readFileSync(new URL(`../../../shared/vectors/attestation/${file}`, import.meta.url))).raw;
    const quote = (to: Asked) => makeQuote(intel, pck, { reportData: reportData(to), chain: [pck.der, intel.platform.der, der] });
    expect(await serving.refusalOf((to) => [{ kind: 'tdx', body: { quote: toBase64(quote(to)) } }])).toBe('endorsement_untrusted');
  });
});
