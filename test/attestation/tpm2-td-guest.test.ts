/** A virtual TPM of a TDX guest on Azure: its key counts by a quote whose report data is the digest of a text that names the key. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import type { VerificationContext } from '../../src/attestation/port.ts';
import { matchReferenceValues } from '../../src/attestation/reference-values.ts';
import { fetchAzureQuote } from '../../src/attestation/tdx/azure-quote.ts';
import { parsePublicArea } from '../../src/attestation/tpm2/public-area.ts';
import { createTpm2Verifier } from '../../src/attestation/tpm2/verifier.ts';
import { referenceValue } from '../../src/documents/reference-values.ts';
import { fromBase64, toBase64 } from '../../src/domain/bytes.ts';
import { isRefusal, type TrustAnchor, type VerifiedClaims } from '../../src/domain/evidence.ts';
import { problemsOfFacts } from '../../src/domain/facts.ts';
import { makeHcl, makeTdHcl, quoteOf, type TdHclWishes } from './azure-maker.ts';
import { makeAk, publicArea } from './quote-maker.ts';
import { reportChecks } from './report-checks.ts';
import { makeSnpLine } from './snp-maker.ts';
import { type BundleWishes, FMSPC, level, makeBundle, makeIntelWorld, makePck, makeQuote, NOW, tcbInfo } from './tdx-maker.ts';
import { keeping, workloadContext } from './workload-context.ts';

const verifier = createTpm2Verifier(reportChecks());
const ak = makeAk();
const other = makeAk();
const akName = parsePublicArea(publicArea(ak)).name;
const world = await makeIntelWorld();
const pck = await makePck(world);
const stranger = await makeIntelWorld();
const intel: TrustAnchor = { kind: 'tdx', name: 'intel-sgx-root-ca', certificate: toBase64(world.root.der) };
const kept = async (wishes: BundleWishes = {}) => keeping({ [`tdx-collateral ${FMSPC}`]: await makeBundle(world, wishes) });
const collateral = await kept();

const context = (change: Partial<VerificationContext> = {}): VerificationContext => ({
  ...workloadContext({ kind: 'tpm2', identity: { fact: 'akName', value: akName }, anchors: [intel], collateral, now: NOW }),
  ...change,
});
async function answer(hcl: object, change: Partial<VerificationContext> = {}) {
  const inContext = context(change);
  return verifier.verify({ ...quoteOf(ak, inContext.binding), hcl }, inContext);
}
async function codeOf(hcl: object, change: Partial<VerificationContext> = {}): Promise<string> {
  const claims = await answer(hcl, change);
  return isRefusal(claims) ? claims.code : 'verified';
}
const made = (wishes: Partial<TdHclWishes> = {}) => makeTdHcl(world, pck, { ak, ...wishes });

describe('a key that the quote of its TDX guest names', () => {
  test('counts under the anchors of the quote, and is inside that TEE', async () => {
    const claims = await answer(made());
    if (isRefusal(claims)) throw new Error(`${claims.code}: ${claims.detail}`);
    expect(claims).toMatchObject({
      anchoredBy: 'tdx',
      proved: { tee: true, hardware: true },
      facts: {
        akTrust: 'tee',
        teeProduct: 'TDX',
        teeMeasurement: 'cd'.repeat(48),
        teeTcbStatus: 'UpToDate',
        teeFmspc: FMSPC,
        teeRevocation: 'good',
        collateralStale: false,
        debug: false,
      },
    });
    expect(claims.endorsements?.map(({ what }) => what)).toEqual(['PCK', 'PCK CA', 'SGX root CA', 'TDX collateral']);
    expect(problemsOfFacts('tpm2', claims.facts)).toEqual([]);
  });

  test.each<[string, Partial<TdHclWishes>, string]>([
    ['another key', { ak: other }, 'endorsement_untrusted'],
    ['a text that was changed afterwards', { otherText: (text) => text.replace('true', 'null') }, 'endorsement_untrusted'],
    ['a quote of other report data', { quote: { reportData: new Uint8Array(64).fill(7) } }, 'endorsement_untrusted'],
    ['a guest that a service may move', { quote: { tdAttributes: [0, 0, 0, 0x30] } }, 'endorsement_untrusted'],
    ['a module of another signer', { quote: { body: { 64: [1] } } }, 'endorsement_untrusted'],
    ['zeros behind the quote', { quote: { trailing: new Uint8Array(70) } }, 'evidence_malformed'],
  ])('is refused with %s', async (_name, wishes, code) => {
    expect(await codeOf(made(wishes))).toBe(code);
  });

  test('is refused without a quote: nobody can tell who made a TDREPORT', async () => {
    const { report, quote } = made();
    expect(await codeOf({ report })).toBe('evidence_malformed');
    expect(await codeOf({ report, quote, certificate: toBase64(pck.der) })).toBe('evidence_malformed');
    const snp = await makeHcl(await makeSnpLine('Genoa'), { ak });
    expect(await codeOf({ ...snp, quote })).toBe('evidence_malformed');
  });

  test('is refused without an anchor of the kind, under a root of that name, and without collateral', async () => {
    expect(await codeOf(made(), { anchors: [] })).toBe('endorsement_untrusted');
    const lookalike: TrustAnchor = { ...intel, certificate: toBase64(stranger.root.der) };
    expect(await codeOf(made(), { anchors: [lookalike] })).toBe('endorsement_untrusted');
    expect(await codeOf(made(), { collateral: keeping({}) })).toBe('collateral_missing');
  });

  test('says that the guest may be read, for the appraisal to refuse', async () => {
    expect(await answer(made({ quote: { tdAttributes: [1, 0, 0, 0x10] } }))).toMatchObject({ facts: { debug: true } });
  });

  test('matches a reference value that says which firmware, and only while its TCB is up to date or the value says otherwise', async () => {
    const pcrs = { sha256: { '7': ['07'.repeat(32)] } };
    const named = { akTrust: ['tee'], teeMeasurement: ['cd'.repeat(48)] };
    const codeUnder = (claims: VerifiedClaims, value: object) => {
      const parsed = referenceValue.parse({ id: 'v', kind: 'tpm2', pcrs, ...value });
      const matched = matchReferenceValues(claims, [parsed], NOW);
      return isRefusal(matched) ? matched.code : 'matched';
    };
    const claimsUnder = async (change: Partial<VerificationContext>) => {
      const claims = await answer(made(), change);
      if (isRefusal(claims)) throw new Error(claims.detail);
      return claims;
    };
    const current = await claimsUnder({});
    expect(codeUnder(current, {})).toBe('measurement_mismatch');
    expect(codeUnder(current, { claims: named })).toBe('matched');
    const behind = await claimsUnder({ collateral: await kept({ info: tcbInfo({ tcbLevels: [level('OutOfDate', 5, 5)] }) }) });
    expect(behind.facts).toMatchObject({ teeTcbStatus: 'OutOfDate' });
    expect(codeUnder(behind, { claims: named })).toBe('tcb_unacceptable');
    expect(codeUnder(behind, { claims: { ...named, teeTcbStatus: ['UpToDate', 'OutOfDate'] } })).toBe('matched');
  });
});

describe('the quote service of Azure', () => {
  const serving = async <T>(respond: (report: Uint8Array) => { status?: number; body: string }, use: (url: string) => Promise<T>) => {
    const server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const { report } = JSON.parse(Buffer.concat(parts).toString('utf8')) as { report: string };
        const { status = 200, body } = respond(new Uint8Array(Buffer.from(report, 'base64url')));
        response.writeHead(status, { 'Content-Type': 'application/json' }).end(body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/acc/tdquote`);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  };
  const tdReport = fromBase64(made().report).slice(32, 32 + 1024);

  test('makes a quote of a report: cut where it ends, though the service fills its buffer with zeros', async () => {
    const quote = makeQuote(world, pck, { reportData: tdReport.slice(128, 192) });
    const seen: Uint8Array[] = [];
    const respond = (report: Uint8Array) => {
      seen.push(report);
      return { body: JSON.stringify({ quote: Buffer.from([...quote, ...new Uint8Array(70)]).toString('base64url') }) };
    };
    expect(await serving(respond, (url) => fetchAzureQuote(tdReport, url))).toEqual(quote);
    expect(seen).toEqual([tdReport]);
  });

  test.each<[string, { status?: number; body: string }, string]>([
    ['no quote', { body: '{"quote":"AAAA"}' }, 'without a TDX quote'],
    ['something else', { body: '[]' }, 'without a TDX quote'],
    ['an error', { status: 503, body: '{}' }, 'HTTP status 503'],
    ['too much', { body: JSON.stringify({ quote: 'A'.repeat(40_000) }) }, 'larger than'],
  ])('that answers with %s is named', async (_name, response, message) => {
    await expect(
      serving(
        () => response,
        (url) => fetchAzureQuote(tdReport, url),
      ),
    ).rejects.toThrow(message);
  });
});
