/** TDX quotes from platforms of our own making: every rule, and what happens when it is broken. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ExaminationInputs } from '../../src/attestation/examination.ts';
import { pinnedRoots } from '../../src/attestation/pinned-roots.ts';
import { examineTdxQuote } from '../../src/attestation/tdx/examine.ts';
import { readCertificate } from '../../src/attestation/x509/certificate.ts';
import { IssuerMemo } from '../../src/attestation/x509/path.ts';
import { issueCrl } from './crl-maker.ts';
import { flipEachByte } from './damage.ts';
import { acceptsNoFlippedBit } from './damaged-evidence.ts';
import {
  type BundleWishes,
  isvLevel,
  level,
  makeBundle,
  makeIntelWorld,
  makePck,
  makeQuote,
  NOW,
  type PckWishes,
  type QuoteWishes,
  qeIdentity,
  tcbInfo,
  tdxInputs,
} from './tdx-maker.ts';
import { issue, notCa } from './test-ca.ts';
import { TwinsMemo } from './twins-memo.ts';

const world = await makeIntelWorld();
const pck = await makePck(world);
const genuine = tdxInputs(world, makeQuote(world, pck), await makeBundle(world));

interface Case {
  readonly quote?: QuoteWishes;
  readonly pck?: PckWishes;
  readonly bundle?: BundleWishes;
  readonly inputs?: Partial<ExaminationInputs>;
}
async function examine(wishes: Case) {
  const key = wishes.pck === undefined ? pck : await makePck(world, wishes.pck);
  const inputs = tdxInputs(world, makeQuote(world, key, wishes.quote), await makeBundle(world, wishes.bundle));
  return examineTdxQuote({ ...inputs, ...wishes.inputs });
}
const reasons = async (wishes: Case) => (await examine(wishes)).reasons;
const serialOf = ({ der }: { der: Uint8Array }) => {
  const { serial } = readCertificate(der);
  return serial.padStart(serial.length + (serial.length % 2), '0');
};

describe('a genuine quote', () => {
  test.each([
    ['version 4', {}],
    ['version 5 with a TD 1.0 body', { quote: { version: 5 } }],
    ['version 5 with a TD 1.5 body', { quote: { version: 5, bodyType: 3 } }],
    ['a TDX 1.0 module, judged with the platform', { quote: { teeTcbSvn: [5, 0, 5] } }],
    ['zeros behind it, as a buffer leaves them', { quote: { trailing: new Uint8Array(300) } }],
    ['a chain without the root', { quote: { chain: [pck.der, world.platform.der] } }],
    ['no authentication data', { quote: { authenticationData: new Uint8Array(0) } }],
  ] as ReadonlyArray<[string, Case]>)('with %s is authentic and acceptable', async (_, wishes) => {
    expect(await examine(wishes)).toMatchObject({ valid: true, accept: true, reasons: [], claims: { tcb_status: 'UpToDate' } });
  });

  test('says what it says, and with which collateral', () => {
    expect(examineTdxQuote(genuine).claims).toMatchObject({
      measurement: 'cd'.repeat(48),
      report_data: '07'.repeat(64),
      sept_ve_disable: true,
      debug: false,
      fmspc: '90c06f000000',
      pck_issuer: 'Intel SGX PCK Platform CA',
      pcesvn: 13,
      tcb_date: '2025-01-01T00:00:00Z',
      tcb_evaluation_data_number: 18,
      tcb_info_issued: '2026-01-01T00:00:00Z',
      valid_from: '2026-01-01T00:00:00Z',
      valid_until: '2026-02-01T00:00:00Z',
    });
  });

  test('without collateral is authentic, but nobody knows its status', async () => {
    const answer = examineTdxQuote({ ...genuine, companions: {} });
    expect(answer).toMatchObject({ valid: true, accept: false, reasons: ['tcb_status_unknown'], claims: { tcb_status: null } });
  });
});

describe('the status', () => {
  const statuses: ReadonlyArray<readonly [string, string, readonly string[]]> = [
    ['UpToDate', 'UpToDate', []],
    ['SWHardeningNeeded', 'SWHardeningNeeded', ['tcb_sw_hardening_needed']],
    ['ConfigurationNeeded', 'ConfigurationNeeded', ['tcb_configuration_needed']],
    ['ConfigurationAndSWHardeningNeeded', 'ConfigurationAndSWHardeningNeeded', ['tcb_configuration_needed', 'tcb_sw_hardening_needed']],
    ['OutOfDate', 'OutOfDate', ['tcb_out_of_date']],
    ['OutOfDateConfigurationNeeded', 'OutOfDateConfigurationNeeded', ['tcb_out_of_date', 'tcb_configuration_needed']],
    ['Revoked', 'Revoked', ['tcb_revoked']],
    ['Splendid', 'Unknown', ['tcb_status_unknown']],
    ['constructor', 'Unknown', ['tcb_status_unknown']],
  ];
  test.each(statuses)('%s of the platform is %s: authentic, and acceptable only up to date', async (written, status, words) => {
    const answer = await examine({ bundle: { info: tcbInfo({ tcbLevels: [level(written, 5, 5)] }) } });
    expect(answer).toMatchObject({ valid: true, accept: words.length === 0, reasons: words, claims: { platform_tcb_status: status } });
  });

  test('is its own answer when no level matches, and the module is not asked then', async () => {
    const answer = await examine({ pck: { components: [...Array<number>(7).fill(5), 2, ...Array<number>(8).fill(5)] } });
    expect(answer).toMatchObject({
      valid: true,
      accept: false,
      reasons: ['tcb_not_supported'],
      claims: { tcb_status: 'NoMatchingLevel', tdx_module_status: null, tcb_date: null, advisories: [] },
    });
    expect(await reasons({ pck: { pceSvn: 12 } })).toEqual(['tcb_not_supported']);
  });

  test.each([
    ['platform SWHardeningNeeded, module OutOfDate', 'SWHardeningNeeded', 'OutOfDate', 'UpToDate', 'OutOfDate'],
    ['platform ConfigurationNeeded, module OutOfDate', 'ConfigurationNeeded', 'OutOfDate', 'UpToDate', 'OutOfDateConfigurationNeeded'],
    ['platform UpToDate, enclave Revoked', 'UpToDate', 'UpToDate', 'Revoked', 'Revoked'],
    ['platform Revoked, module UpToDate', 'Revoked', 'UpToDate', 'UpToDate', 'Revoked'],
    ['platform UpToDate, enclave OutOfDate', 'UpToDate', 'UpToDate', 'OutOfDate', 'OutOfDate'],
    ['software here, configuration there', 'SWHardeningNeeded', 'ConfigurationNeeded', 'UpToDate', 'ConfigurationAndSWHardeningNeeded'],
  ])('is the worse of all three: %s', async (_, platform, module, enclave, together) => {
    const { tdxModuleIdentities: identities } = tcbInfo();
    const info = tcbInfo({
      tcbLevels: [level(platform, 5, 5)],
      tdxModuleIdentities: identities.map((identity) => ({ ...identity, tcbLevels: [isvLevel(module, 5)] })),
    });
    const answer = await examine({ bundle: { info, identity: qeIdentity({ tcbLevels: [isvLevel(enclave, 4)] }) } });
    expect(answer.claims).toMatchObject({
      tcb_status: together,
      platform_tcb_status: platform,
      tdx_module_status: module,
      qe_status: enclave,
    });
  });

  test('walks the levels from the top, and names the advisories of everything that is behind, once and sorted', async () => {
    const { claims } = await examine({ pck: { components: Array<number>(16).fill(4) }, quote: { teeTcbSvn: [3, 1, 4] } });
    expect(claims).toMatchObject({ tcb_status: 'OutOfDate', tdx_module_status: 'OutOfDate', advisories: ['INTEL-SA-1', 'INTEL-SA-2'] });
  });

  test('leaves the first two numbers of a module with a version of its own to its own levels', async () => {
    const behind = await examine({ quote: { teeTcbSvn: [2, 1, 5] } });
    expect(behind.claims).toMatchObject({ platform_tcb_status: 'UpToDate', tdx_module_status: 'OutOfDate', tcb_status: 'OutOfDate' });
    expect(await reasons({ quote: { teeTcbSvn: [4, 0, 5] } })).toEqual(['tcb_out_of_date']); // no version: [0] counts for the platform
    expect(await reasons({ quote: { teeTcbSvn: [1, 1, 5] } })).toEqual(['tcb_not_supported']);
    expect(await reasons({ quote: { teeTcbSvn: [5, 1, 2] } })).toEqual(['tcb_not_supported']);
  });

  test('of a guest whose module was updated under it is that of its launch, and says when a relaunch would help', async () => {
    const judged = async (launch: readonly number[], now: readonly number[]) => {
      const { tcb_status, td_relaunch_advised } = (
        await examine({ quote: { version: 5, bodyType: 3, teeTcbSvn: launch, body: { 584: now } } })
      ).claims;
      return [tcb_status, td_relaunch_advised];
    };
    expect(await judged([5, 1, 5], [5, 1, 5])).toEqual(['UpToDate', false]);
    expect(await judged([2, 1, 5], [5, 1, 5])).toEqual(['OutOfDate', true]);
    expect(await judged([2, 1, 5], [2, 1, 5])).toEqual(['OutOfDate', false]);
    expect(await judged([5, 1, 5], [2, 1, 5])).toEqual(['OutOfDate', false]); // no update goes that way: the worse counts
    expect(await judged([5, 1, 5], [0, 0, 0])).toEqual(['UpToDate', null]); // it does not say
    expect(examineTdxQuote(genuine).claims).toMatchObject({ td_relaunch_advised: null });
  });

  test('refuses a module that Intel does not know, or that another signer made', async () => {
    expect(await reasons({ quote: { teeTcbSvn: [5, 2, 5] } })).toEqual(['tdx_module_mismatch', 'tcb_not_supported']);
    expect(await reasons({ quote: { body: { 64: [1] } } })).toEqual(['tdx_module_mismatch']);
    expect(await reasons({ quote: { body: { 112: [1] } } })).toEqual(['tdx_module_mismatch']);
    expect(await reasons({ quote: { body: { 64: [1] }, teeTcbSvn: [5, 0, 5] } })).toEqual(['tdx_module_mismatch']);
  });
});

describe('a quote is refused', () => {
  test('as unacceptable but authentic when the TD is under debug', async () => {
    expect(await examine({ quote: { tdAttributes: [1, 0, 0, 0x10] } })).toMatchObject({
      valid: true,
      accept: false,
      reasons: ['debug_enabled'],
    });
    expect(await reasons({ quote: { tdAttributes: [0x80] } })).toEqual(['debug_enabled']);
  });

  test('when something other than zeros stands behind it', async () => {
    expect(await reasons({ quote: { trailing: Uint8Array.of(0, 0, 1) } })).toEqual(['trailing_bytes']);
  });

  test('and still shows whose platform it is when another certificate of its chain is damaged', () => {
    const evidence = genuine.evidence.slice();
    const root = Buffer.from(evidence).lastIndexOf('-----BEGIN CERTIFICATE-----');
    evidence[root + 100] = 0x21;
    expect(examineTdxQuote({ ...genuine, evidence })).toMatchObject({
      valid: false,
      reasons: ['malformed', 'chain_invalid', 'untrusted_root'],
      claims: { fmspc: expect.any(String), tcb_status: 'UpToDate' },
    });
  });

  test('when its chain ends in a root of the same name, or does not hold together', async () => {
    const lookalike = await makeIntelWorld();
    const impostor = await makePck(lookalike);
    const quote = makeQuote(lookalike, impostor);
    expect(examineTdxQuote({ ...genuine, evidence: quote, companions: {} }).reasons).toEqual(['untrusted_root', 'tcb_status_unknown']);
    const chain = async (...certificates: ReadonlyArray<{ der: Uint8Array }>) =>
      reasons({ quote: { chain: certificates.map(({ der }) => der) } });
    expect(await chain(pck, world.platform, lookalike.root)).toEqual(['chain_invalid', 'untrusted_root']);
    expect(await chain(pck, world.root)).toContain('chain_invalid');
    expect(await chain(pck, world.processor, world.root)).toContain('chain_invalid');
    expect(await chain(world.platform, world.root)).toContain('malformed');
    expect(examineTdxQuote({ ...genuine, roots: pinnedRoots() }).reasons).toContain('untrusted_root');
    expect(examineTdxQuote({ ...genuine, roots: [] }).reasons).toContain('untrusted_root');
  });

  test('outside the life of its chain', async () => {
    const short = { notAfter: new Date('2026-01-10T00:00:00Z') };
    expect(await reasons({ pck: short })).toEqual(['pck_chain_expired']);
    expect(await reasons({ inputs: { now: new Date('2019-12-31T00:00:00Z') } })).toContain('pck_chain_not_yet_valid');
  });

  test('when any of its three signatures, or the binding between them, is broken', async () => {
    const other = await makePck(world);
    expect(await reasons({ quote: { chain: [other.der, world.platform.der, world.root.der] } })).toEqual(['qe_sig_invalid']);
    expect(await reasons({ quote: { qe: { 320: [1, 2, 3] } } })).toEqual(['qe_binding_invalid']);
    expect(await reasons({ quote: { qe: { 383: [1] } } })).toEqual(['qe_binding_invalid']);
    const patched = (at: number, ...bytes: readonly number[]) => {
      const evidence = genuine.evidence.slice();
      evidence.set(bytes, at);
      return examineTdxQuote({ ...genuine, evidence }).reasons;
    };
    expect(patched(600, 1, 2)).toEqual(['quote_sig_invalid']);
    expect(patched(636, ...new Uint8Array(32))).toEqual(['quote_sig_invalid']);
    expect(patched(668, ...new Uint8Array(32).fill(0xff))).toEqual(['quote_sig_invalid']);
    expect(patched(700, ...new Uint8Array(64))).toEqual(['qe_binding_invalid', 'quote_sig_invalid']); // no point of the curve
  });

  test('whose s became n - s is the same quote in other bytes: authentic', () => {
    const evidence = genuine.evidence.slice();
    const order = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
    const s = evidence.subarray(668, 700);
    s.set(Buffer.from((order - BigInt(`0x${Buffer.from(s).toString('hex')}`)).toString(16).padStart(64, '0'), 'hex'));
    expect(examineTdxQuote({ ...genuine, evidence }).accept).toBe(true);
  });

  test('when it is of another quoting enclave than Intel names', async () => {
    expect(await reasons({ quote: { qe: { 128: [0] } } })).toEqual(['qe_mrsigner_mismatch']);
    expect(await reasons({ quote: { qe: { 256: [3] } } })).toEqual(['qe_identity_mismatch']);
    expect(await reasons({ quote: { qe: { 48: [0x13] } } })).toEqual(['qe_identity_mismatch']); // an enclave under debug
    expect(await reasons({ quote: { qe: { 16: [1] } } })).toEqual(['qe_identity_mismatch']);
    expect(await reasons({ quote: { qe: { 48: [0x15], 56: [0xe7] } } })).toEqual([]); // bits that the mask leaves out
    expect(await reasons({ quote: { qe: { 258: [0] } } })).toEqual(['tcb_not_supported']);
  });

  test('when the collateral is of another platform or another technology', async () => {
    expect(await reasons({ pck: { fmspc: '00806f050000' } })).toEqual(['fmspc_mismatch']);
    expect(await reasons({ bundle: { info: tcbInfo({ pceId: '0001' }) } })).toEqual(['pce_id_mismatch']);
    expect(await reasons({ bundle: { info: tcbInfo({ id: 'SGX' }) } })).toEqual(['tcb_info_of_another_kind']);
    expect(await reasons({ bundle: { info: tcbInfo({ version: 2 }) } })).toEqual(['tcb_info_of_another_kind']);
    expect(await reasons({ bundle: { identity: qeIdentity({ id: 'QE' }) } })).toEqual(['qe_identity_of_another_kind']);
  });

  test('when somebody else signed the collateral, or the signature is over other bytes', async () => {
    const stranger = await issue({ name: 'Intel SGX TCB Signing', extensions: [notCa] });
    const wanted = ['tcb_info_untrusted_root', 'qe_identity_untrusted_root'];
    expect(await reasons({ bundle: { signer: stranger } })).toEqual(wanted);
    expect(await reasons({ bundle: { signer: world.platform } })).toEqual(wanted); // it leads to the root, but it signs no TCB information
    const spaced = { tcb_info: JSON.stringify(tcbInfo(), null, 1) };
    expect(await reasons({ bundle: { change: spaced } })).toEqual(['tcb_info_signature_invalid']);
    expect(await reasons({ bundle: { change: { qe_identity_signature: '00'.repeat(64) } } })).toEqual(['qe_identity_signature_invalid']);
    expect(await reasons({ bundle: { change: { qe_identity_signature: '00'.repeat(63) } } })).toEqual([
      'malformed',
      'qe_identity_signature_invalid',
    ]);
  });

  test('before the collateral was issued, and after it should have been renewed', async () => {
    const at = (time: string) => reasons({ inputs: { now: new Date(time) } });
    expect(await at('2025-12-31T23:59:59Z')).toEqual([
      'tcb_info_not_yet_issued',
      'qe_identity_not_yet_issued',
      'root_crl_not_yet_valid',
      'pck_crl_not_yet_valid',
    ]);
    expect(await at('2026-02-01T00:00:01Z')).toEqual(['tcb_info_expired', 'qe_identity_expired', 'root_crl_expired', 'pck_crl_expired']);
    expect(await at('2026-02-01T00:00:00Z')).toEqual([]);
  });

  test('when a list revokes its key, its authority or the signer of the collateral, or is of somebody else', async () => {
    const rootCrl = (...revoked: readonly string[]) => issueCrl({ issuer: world.root, revoked });
    const pckCrl = (...revoked: readonly string[]) => issueCrl({ issuer: world.platform, revoked });
    expect(await reasons({ bundle: { pckCrl: await pckCrl('0abc', serialOf(pck)) } })).toEqual(['pck_revoked']);
    expect(await reasons({ bundle: { rootCrl: await rootCrl(serialOf(world.platform)) } })).toEqual(['pck_ca_revoked']);
    expect(await reasons({ bundle: { rootCrl: await rootCrl(serialOf(world.signer)) } })).toEqual(['tcb_signing_revoked']);
    const processors = await issueCrl({ issuer: world.processor });
    expect(await reasons({ bundle: { pckCrl: processors } })).toEqual(['pck_crl_issuer_mismatch', 'pck_crl_signature_invalid']);
    const stranger = await makeIntelWorld();
    expect(await reasons({ bundle: { pckCrl: await issueCrl({ issuer: stranger.platform }) } })).toEqual(['pck_crl_signature_invalid']);
    expect(await reasons({ bundle: { rootCrl: await issueCrl({ issuer: stranger.root }) } })).toEqual(['root_crl_signature_invalid']);
  });

  test('when the collateral is not a bundle, or a part of it is missing or of another form', async () => {
    const sent = (collateral: Uint8Array) => examineTdxQuote({ ...genuine, companions: { collateral } }).reasons;
    for (const text of ['', '[]', '{}', 'null', '{"tcb_info":1}'])
      expect(sent(Buffer.from(text))).toEqual(['malformed', 'tcb_status_unknown']);
    expect(sent(new Uint8Array(1_048_577))).toEqual(['malformed', 'tcb_status_unknown']);
    for (const [change, ...words] of [
      [{ pck_crl: undefined }, 'malformed', 'pck_crl_signature_invalid'],
      [{ pck_crl: '3000' }, 'malformed', 'pck_crl_signature_invalid'],
      [{ root_ca_crl: 'xyz' }, 'malformed', 'root_crl_signature_invalid'],
      [{ tcb_info_signature: 7 }, 'malformed', 'tcb_info_signature_invalid'],
      [{ qe_identity_issuer_chain: undefined }, 'malformed', 'qe_identity_untrusted_root', 'qe_identity_signature_invalid'],
      [{ qe_identity: undefined }, 'qe_identity_signature_invalid', 'malformed', 'tcb_status_unknown'],
    ] as const) {
      expect(await reasons({ bundle: { change } })).toEqual(words);
    }
    const tooFew = tcbInfo({ tcbLevels: [{ ...level('UpToDate', 0, 0), tcb: { sgxtcbcomponents: [], pcesvn: 0, tdxtcbcomponents: [] } }] });
    for (const info of [tooFew, tcbInfo({ tcbLevels: [] }), tcbInfo({ fmspc: 'zz' }), tcbInfo({ nextUpdate: 'soon' }), {}]) {
      expect(await reasons({ bundle: { info } })).toEqual(['malformed', 'tcb_status_unknown']);
    }
  });

  test('when a level names no TDX components, because nothing of TDX reaches it', async () => {
    const { tdxtcbcomponents: _, ...tcb } = level('UpToDate', 0, 0).tcb;
    expect(await reasons({ bundle: { info: tcbInfo({ tcbLevels: [{ ...level('UpToDate', 0, 0), tcb }] }) } })).toEqual([
      'tcb_not_supported',
    ]);
  });

  test('when it is of another version, technology, key or enclave maker, or a length lies', () => {
    const patched = (at: number, ...bytes: readonly number[]) => {
      const evidence = genuine.evidence.slice();
      evidence.set(bytes, at);
      return examineTdxQuote({ ...genuine, evidence }).reasons;
    };
    for (const [at, value, ...more] of [
      [0, 3],
      [0, 6],
      [2, 3],
      [4, 0],
      [12, 0],
      [632, 0, 'trailing_bytes'],
      [635, 1],
      [764, 5],
      [766, 0],
    ] as const) {
      expect([at, patched(at, value)]).toEqual([at, ['malformed', ...more, 'quote_sig_invalid']]);
    }
    const v5 = makeQuote(world, pck, { version: 5, bodyType: 3 });
    for (const at of [48, 50]) {
      const evidence = v5.slice();
      evidence[at] = 0;
      expect(examineTdxQuote({ ...genuine, evidence }).reasons).toEqual(['malformed', 'quote_sig_invalid']);
    }
    for (const evidence of [new Uint8Array(0), new Uint8Array(65_537), genuine.evidence.slice(0, -1)]) {
      expect(examineTdxQuote({ ...genuine, evidence }).reasons).toEqual(['malformed', 'quote_sig_invalid']);
    }
  });
});

describe('damage', () => {
  test('no flipped bit of a quote is accepted', async () => {
    const memo = new TwinsMemo();
    await acceptsNoFlippedBit(genuine.evidence, 3, (evidence) => examineTdxQuote({ ...genuine, evidence }, memo), 3);
  });

  test('nor in the collateral, unless what came of it says the same', async () => {
    const collateral = genuine.companions['collateral'] ?? new Uint8Array(0);
    const whole = JSON.stringify(examineTdxQuote(genuine));
    await flipEachByte(
      collateral,
      4,
      (damaged, at) => {
        const answer = examineTdxQuote({ ...genuine, companions: { collateral: damaged } });
        // A hex digit in the other case, or the name of a member that may be absent: the same collateral, spelled otherwise.
        if (answer.valid) expect([at, JSON.stringify(answer)]).toEqual([at, whole]);
      },
      19,
    );
  });

  test('cuts, splices and lies end in a finding, never in an exception', () => {
    const memo = new IssuerMemo();
    const splice = fc.record({ from: fc.nat(5000), length: fc.nat(80), bytes: fc.uint8Array({ maxLength: 80 }) });
    fc.assert(
      fc.property(fc.constantFrom('evidence', 'collateral'), fc.array(splice, { minLength: 1, maxLength: 3 }), (name, splices) => {
        const original = name === 'evidence' ? genuine.evidence : (genuine.companions['collateral'] ?? new Uint8Array(0));
        const bytes = splices.reduce(
          (left, { from, length, bytes: put }) => Uint8Array.of(...left.subarray(0, from), ...put, ...left.subarray(from + length)),
          original,
        );
        const inputs = name === 'evidence' ? { ...genuine, evidence: bytes } : { ...genuine, companions: { collateral: bytes } };
        const { accept } = examineTdxQuote(inputs, memo);
        if (name === 'evidence' && Buffer.compare(bytes, original) !== 0) {
          const onlyZerosBehind = Buffer.compare(bytes.subarray(0, original.length), original) === 0;
          expect(accept && !onlyZerosBehind).toBe(false);
        }
      }),
      { numRuns: 400 },
    );
  });
});

test('the time of the examination is the one it is given', () => {
  expect(examineTdxQuote({ ...genuine, now: NOW })).toEqual(examineTdxQuote(genuine, new IssuerMemo()));
});
