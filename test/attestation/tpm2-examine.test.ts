/** TPM quotes examined with what came along: signature, why the key is trusted, nonce, PCR values, boot log, Azure's report. */
import 'reflect-metadata';
import { createHash, type KeyObject, webcrypto } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ExaminationInputs, PinnedRoot } from '../../src/attestation/examination.ts';
import { examineSnpReport } from '../../src/attestation/sev-snp/examine.ts';
import { examineTdxQuote } from '../../src/attestation/tdx/examine.ts';
import { createTpmQuoteExamination } from '../../src/attestation/tpm2/examine.ts';
import { parseTpmtPublic } from '../../src/attestation/tpm2/public-area.ts';
import { parseSignature } from '../../src/attestation/tpm2/signature.ts';
import { concat, fromBase64, toBase64, toHex } from '../../src/domain/bytes.ts';
import { flipEachByte } from './damage.ts';
import { latin, le32, log, variable } from './log-maker.ts';
import { attest, makeAk, type QuoteWishes, type TestAk, tpmSignature } from './quote-maker.ts';
import { captured, windows } from './samples.ts';
import { agreesOnEverySharedEntry, describeShared, inputsOf, sharedEntries } from './shared-evidence.ts';
import { ca, certSign, deviceName, digitalSignature, issue, notCa, unknownCritical, usage } from './test-ca.ts';
import { TwinsMemo } from './twins-memo.ts';

const real = createTpmQuoteExamination({ snp: examineSnpReport, tdx: examineTdxQuote });
agreesOnEverySharedEntry('tpm2-quote', real);

const ak = makeAk();
const zeros = '00'.repeat(32);
const json = (value: object) => new Uint8Array(Buffer.from(JSON.stringify(value)));
const PCRS = { sha256: { 0: zeros, 4: '11'.repeat(32), 7: '22'.repeat(32) } };

function inputs(wishes: Partial<QuoteWishes> = {}, by: TestAk = ak, companions: Record<string, Uint8Array> = {}): ExaminationInputs {
  const pcrs = wishes.pcrs ?? PCRS;
  const evidence = attest({ ...wishes, pcrs });
  return {
    evidence,
    companions: { signature: tpmSignature(evidence, by), ak_public_key: by.spki, pcrs: json(pcrs), ...companions },
    parameters: { expected_nonce: '9009' },
    roots: [],
    now: new Date('2026-06-01T00:00:00Z'),
  };
}
const reasonsOf = async (given: ExaminationInputs, run = real) => (await run(given)).reasons;
const with_ = (given: ExaminationInputs, companions: Record<string, Uint8Array | undefined>): ExaminationInputs => ({
  ...given,
  companions: Object.fromEntries(
    Object.entries({ ...given.companions, ...companions }).flatMap(([name, bytes]) => (bytes === undefined ? [] : [[name, bytes]])),
  ),
});

describe('a quote by a bare key', () => {
  test.each(['ecdsa', 'rsassa', 'rsapss'] as const)('is authentic and anonymous, signed by %s', async (scheme) => {
    expect(await real(inputs({}, makeAk(scheme)))).toMatchObject({
      valid: true,
      accept: false,
      reasons: ['ak_not_certified'],
      claims: { signature_scheme: scheme, signature_hash: 'sha256', nonce: '9009', pcr_selection: [['sha256', [0, 4, 7]]] },
    });
  });

  test.each(Object.entries(captured.genuine))('of a software TPM is read with the key it describes: %s', async (_, body) => {
    const area = fromBase64(body.akPublic).subarray(2);
    const { key, name } = parseTpmtPublic(area);
    const spki = new Uint8Array(key.export({ type: 'spki', format: 'der' }));
    const companions = { signature: fromBase64(body.signature), ak_public_tpmt: area, ak_public_key: spki, pcrs: json(body.pcrs) };
    const answer = await real({ ...inputs(), evidence: fromBase64(body.quote), companions, parameters: {} });
    expect(answer).toMatchObject({ valid: true, reasons: ['ak_not_certified'], claims: { ak_restricted: true, ak_name: name } });
    expect(
      await reasonsOf({ ...inputs(), evidence: fromBase64(body.quote), companions: { ...companions, ak_public_key: ak.spki } }),
    ).toContain('quote_signature_invalid');
  });

  test('must carry the nonce that was asked for, to the last bit, and an empty one is none', async () => {
    expect(await reasonsOf({ ...inputs(), parameters: { expected_nonce: '9010' } })).toContain('nonce_mismatch');
    expect(await reasonsOf({ ...inputs(), parameters: { expected_nonce: '90' } })).toContain('nonce_mismatch');
    expect(await reasonsOf({ ...inputs(), parameters: { expected_nonce: 9009 } })).toContain('nonce_mismatch');
    expect(await reasonsOf(inputs({ nonce: new Uint8Array(0) }))).toContain('nonce_mismatch');
    expect(await reasonsOf({ ...inputs(), parameters: {} })).toEqual(['ak_not_certified']);
  });

  test('needs the PCR values it is over: others beside them, and whole banks, are nobody’s word', async () => {
    const more = { sha1: { 0: '33'.repeat(20) }, sha256: { ...PCRS.sha256, 8: zeros } };
    expect(await reasonsOf(with_(inputs(), { pcrs: json(more) }))).toEqual(['ak_not_certified']);
  });

  test('of a Windows machine that signs with SHA-1 is authentic, and nothing to rely on; a vault does not read it', async () => {
    const { quote, signature, akPublic, akPublicKey, pcrs } = windows;
    const companions = { signature: fromBase64(signature), ak_public_key: fromBase64(akPublicKey), ak_public_tpmt: fromBase64(akPublic) };
    const given = { ...inputs(), evidence: fromBase64(quote), companions: { ...companions, pcrs: json(pcrs) }, parameters: {} };
    expect(await real(given)).toMatchObject({
      valid: true,
      accept: false,
      reasons: ['sha1_bank', 'sha1_signature', 'ak_not_certified'],
      claims: { signature_scheme: 'rsassa', signature_hash: 'sha1', ak_restricted: true },
    });
    const other = fromBase64(quote).with(40, 0xff);
    expect(await reasonsOf({ ...given, evidence: other })).toContain('quote_signature_invalid');
    expect(() => parseSignature(companions.signature)).toThrow('hash algorithm 0x0004 is not accepted');
    expect(() => parseTpmtPublic(companions.ak_public_tpmt)).toThrow('hash algorithm 0x0004 is not accepted');
  });

  test('over SHA-1 alone is not acceptable, beside another bank it is', async () => {
    expect(await reasonsOf(inputs({ pcrs: { sha1: { 0: '33'.repeat(20) } } }))).toEqual(['sha1_bank', 'ak_not_certified']);
    expect(await reasonsOf(inputs({ pcrs: { sha1: { 0: '33'.repeat(20) }, sha384: { 0: '44'.repeat(48) } } }))).toEqual([
      'ak_not_certified',
    ]);
  });

  test.each<[string, () => ExaminationInputs, string[]]>([
    ['the magic is another', () => inputs({ magic: 0xff544348 }), ['bad_magic', 'ak_not_certified']],
    ['it certifies a key instead', () => inputs({ type: 0x8017 }), ['not_a_quote', 'ak_not_certified']],
    ['another key signed', () => with_(inputs(), { ak_public_key: makeAk().spki }), ['ak_not_certified', 'quote_signature_invalid']],
    ['there is no key', () => with_(inputs(), { ak_public_key: undefined }), ['ak_not_certified', 'quote_signature_invalid']],
    ['there is no signature', () => with_(inputs(), { signature: undefined }), ['ak_not_certified', 'quote_signature_invalid']],
    [
      'the signature is none',
      () => with_(inputs(), { signature: Uint8Array.of(0, 0x18) }),
      ['malformed', 'ak_not_certified', 'quote_signature_invalid'],
    ],
    [
      'the key is none',
      () => with_(inputs(), { ak_public_key: latin('key') }),
      ['malformed', 'quote_signature_invalid', 'ak_not_certified'],
    ],
    [
      'bytes stand behind the key',
      () => with_(inputs(), { ak_public_key: concat(ak.spki, Uint8Array.of(0)) }),
      ['malformed', 'quote_signature_invalid', 'ak_not_certified'],
    ],
    ['there are no PCR values', () => with_(inputs(), { pcrs: undefined }), ['ak_not_certified', 'pcr_values_missing']],
    [
      'a PCR value is another',
      () => with_(inputs(), { pcrs: json({ sha256: { ...PCRS.sha256, 7: zeros } }) }),
      ['ak_not_certified', 'pcr_digest_mismatch'],
    ],
    [
      'a PCR value is missing',
      () => with_(inputs(), { pcrs: json({ sha256: { 0: zeros } }) }),
      ['ak_not_certified', 'pcr_digest_mismatch'],
    ],
    [
      'the values are not hex',
      () => with_(inputs(), { pcrs: json({ sha256: { ...PCRS.sha256, 7: 'ZZ' } }) }),
      ['ak_not_certified', 'malformed', 'pcr_digest_mismatch'],
    ],
    ['the values are no JSON', () => with_(inputs(), { pcrs: latin('{') }), ['ak_not_certified', 'malformed', 'pcr_digest_mismatch']],
    ['it quotes nothing', () => inputs({ pcrs: {} }), ['ak_not_certified', 'pcr_digest_mismatch']],
    ['it is 64 KiB', () => ({ ...inputs(), evidence: new Uint8Array(65_536) }), ['malformed']],
    [
      'it is empty',
      () => ({ ...inputs(), evidence: new Uint8Array(0) }),
      ['malformed', 'bad_magic', 'ak_not_certified', 'quote_signature_invalid'],
    ],
  ])('is refused or doubted when %s', async (_, given, reasons) => expect(await reasonsOf(given())).toEqual(reasons));
});

test('says what else is in it when it begins wrongly', async () => {
  const { claims: whole } = await real(inputs());
  const { claims: foreign } = await real(inputs({ magic: 0xff544348 }));
  expect(foreign).toEqual(whole);
  const certified = concat(inputs({ type: 0x8017 }).evidence.subarray(0, -1), Uint8Array.of(1, 2));
  const { claims } = await real({ ...inputs(), evidence: certified });
  expect(claims).toMatchObject({ nonce: whole['nonce'], clock: whole['clock'], qualified_signer: whole['qualified_signer'] });
  expect(claims).not.toHaveProperty('pcr_digest');
});

describe('a boot log', () => {
  const measured = [
    { register: 7, type: 0x8000_0001, data: variable('SecureBoot', Uint8Array.of(1)) },
    { register: 7, type: 4, data: new Uint8Array(4) },
  ];
  const bytes = log(['sha1', 'sha256'], ...measured);
  const extended = (bank: 'sha1' | 'sha256') =>
    measured
      .reduce(
        (before, { data }) => createHash(bank).update(before).update(createHash(bank).update(data).digest()).digest(),
        Buffer.alloc(bank === 'sha1' ? 20 : 32),
      )
      .toString('hex');
  const quoted = { sha256: { 0: zeros, 7: extended('sha256') } };

  test('whose replay equals the quoted values says what was booted, and which registers it does not know', async () => {
    expect((await real(inputs({ pcrs: quoted }, ak, { eventlog: bytes }))).claims).toMatchObject({
      event_log_events: 3,
      event_log_unlogged_pcrs: { sha256: [0] },
      boot: [{ bank: 'sha256', secureBoot: true }],
    });
  });

  test('that says something else than the TPM is a mismatch, and says nothing', async () => {
    const { reasons, claims } = await real(inputs({ pcrs: { sha256: { 7: zeros } } }, ak, { eventlog: bytes }));
    expect([reasons, claims['boot']]).toEqual([['ak_not_certified', 'event_log_mismatch'], undefined]);
  });

  test('says nothing of registers that were not quoted, nor in a bank that was not', async () => {
    const { reasons, claims } = await real(inputs({ pcrs: { sha256: { 0: zeros } } }, ak, { eventlog: bytes }));
    expect([reasons, claims['boot']]).toEqual([['ak_not_certified'], [expect.objectContaining({ secureBoot: null })]]);
    const other = await real(inputs({ pcrs: { sha384: { 7: '00'.repeat(48) } } }, ak, { eventlog: bytes }));
    expect(other.claims['boot']).toEqual([expect.objectContaining({ bank: null, secureBoot: null })]);
  });

  test('that cannot be read is refused', async () => {
    expect(await reasonsOf(inputs({ pcrs: quoted }, ak, { eventlog: latin('log') }))).toEqual([
      'ak_not_certified',
      'malformed',
      'event_log_mismatch',
    ]);
  });
});

const pem = (...certificates: Array<{ der: Uint8Array }>) =>
  latin(certificates.map(({ der }) => `-----BEGIN CERTIFICATE-----\n${toBase64(der)}\n-----END CERTIFICATE-----\n`).join(''));
const importKey = (key: KeyObject) =>
  webcrypto.subtle.importKey('spki', key.export({ type: 'spki', format: 'der' }), { name: 'ECDSA', namedCurve: 'P-256' }, true, ['verify']);
const root = await issue({ name: 'root', extensions: [ca(), certSign] });
const middle = await issue({ name: 'middle', issuer: root, extensions: [ca(0), certSign] });
const publicKey = await importKey(ak.publicKey);
type Wishes = Partial<Parameters<typeof issue>[0]>;
const leafWith = (over: Wishes = {}) =>
  issue({ name: '', issuer: middle, publicKey, extensions: [notCa, deviceName, digitalSignature, usage('2.23.133.8.3')], ...over });
const leaf = await leafWith();
const pinned: PinnedRoot[] = [{ name: 'google-ek-ak-ca-root', vendor: 'google', certificate: root.der }];
const certified = (certificate: Uint8Array, chain: Uint8Array | undefined, over: Partial<ExaminationInputs> = {}): ExaminationInputs => ({
  ...with_(inputs(), { ak_certificate: certificate, ak_chain: chain }),
  roots: pinned,
  ...over,
});

describe('a certificate of the key', () => {
  test('that leads to a pinned root makes the quote acceptable, with the root in its chain or without', async () => {
    const answer = await real(certified(leaf.der, pem(middle, root)));
    expect(answer).toMatchObject({
      valid: true,
      accept: true,
      reasons: [],
      claims: { ak_root: 'CN=root', valid_from: '2020-01-01T00:00:00Z' },
    });
    expect(await reasonsOf(certified(leaf.der, pem(middle)))).toEqual([]);
    expect(await reasonsOf(with_(certified(leaf.der, pem(middle)), { ak_public_key: undefined }))).toEqual([]);
  });

  test.each<[string, () => Promise<ExaminationInputs>, string[]]>([
    ['the root is not pinned', async () => certified(leaf.der, pem(middle, root), { roots: [] }), ['untrusted_root', 'ak_not_certified']],
    [
      'the root is of tokens',
      async () => certified(leaf.der, pem(middle), { roots: [{ ...pinned[0], name: 'gcp-confidential-space-root-ca' } as PinnedRoot] }),
      ['untrusted_root', 'ak_not_certified'],
    ],
    [
      'a root of the same name came along',
      async () => certified(leaf.der, pem(middle, await issue({ name: 'root' }))),
      ['untrusted_root', 'ak_not_certified'],
    ],
    ['a link is missing', async () => certified(leaf.der, undefined), ['untrusted_root', 'ak_not_certified']],
    [
      'a stray certificate came along',
      async () => certified(leaf.der, pem(middle, await issue({ name: 'stray' }))),
      ['untrusted_root', 'ak_not_certified'],
    ],
    [
      'it is about another key',
      async () => certified((await leafWith({ publicKey: await importKey(makeAk().publicKey) })).der, pem(middle)),
      ['quote_signature_invalid'],
    ],
    [
      'it is an authority',
      async () => certified((await issue({ name: 'x', issuer: root, publicKey, extensions: [ca(), certSign] })).der, undefined),
      ['untrusted_root', 'ak_not_certified'],
    ],
    [
      'it is for something else',
      async () => certified((await leafWith({ extensions: [notCa, usage('1.3.6.1.5.5.7.3.1')] })).der, pem(middle)),
      ['untrusted_root', 'ak_not_certified'],
    ],
    [
      'it has a critical extension nobody knows',
      async () => certified((await leafWith({ extensions: [notCa, unknownCritical] })).der, pem(middle)),
      ['untrusted_root', 'ak_not_certified'],
    ],
    [
      'it has expired',
      async () => certified((await leafWith({ notAfter: new Date('2026-01-01') })).der, pem(middle)),
      ['certificate_expired', 'untrusted_root', 'ak_not_certified'],
    ],
    [
      'it is from the future',
      async () => certified((await leafWith({ notBefore: new Date('2027-01-01') })).der, pem(middle)),
      ['certificate_not_yet_valid', 'untrusted_root', 'ak_not_certified'],
    ],
    ['it is none', async () => certified(latin('certificate'), pem(middle)), ['malformed', 'untrusted_root', 'ak_not_certified']],
    ['its chain is none', async () => certified(leaf.der, latin('chain')), ['malformed', 'untrusted_root', 'ak_not_certified']],
  ])('is refused when %s', async (_, given, reasons) => expect(await reasonsOf(await given())).toEqual(reasons));

  test('still says when it counts where its chain is none, and other authorities of the vendor take nothing away', async () => {
    const { claims } = await real(certified(leaf.der, latin('chain')));
    expect([claims['valid_from'], claims['ak_root']]).toEqual([expect.stringMatching(/^\d{4}-/), null]);
    const sibling = await issue({ name: 'sibling', issuer: root, extensions: [ca(), certSign] });
    expect(await reasonsOf(certified(leaf.der, concat(pem(middle), pem(sibling))))).toEqual([]);
  });

  test('of a key that is not restricted to its TPM proves nothing: such a key signs anything', async () => {
    const area = fromBase64(captured.genuine.ecc.akPublic).subarray(2);
    const free = area.slice();
    free[5] = (free[5] ?? 0) & ~1; // bit 16 of the attributes, restricted
    expect((await real(with_(inputs(), { ak_public_tpmt: free }))).reasons).toContain('ak_unsuitable');
    expect((await real(with_(inputs(), { ak_public_tpmt: area }))).reasons).not.toContain('ak_unsuitable');
  });
});

describe("Azure's report", () => {
  const jwkOf = (key: KeyObject) => ({ ...key.export({ format: 'jwk' }), kid: 'HCLAkPub', key_ops: ['sign'] });
  const runtime = (keys: readonly object[] = [jwkOf(ak.publicKey)]) =>
    latin(JSON.stringify({ keys, 'vm-configuration': { 'secure-boot': true } }));
  const dataOf = (text: Uint8Array) => concat(createHash('sha256').update(text).digest(), new Uint8Array(32));

  /** Layout of the HCL report; `data` is what the hardware report carries. */
  function hcl(text = runtime(), data = dataOf(text), type = 2): Uint8Array {
    const report = new Uint8Array(1184);
    report.set(data, type === 2 ? 0x50 : 128);
    const header = concat(le32(text.length + 20), le32(1), le32(type), le32(1), le32(text.length));
    return concat(latin('HCLA'), new Uint8Array(28), report, header, text, new Uint8Array(100));
  }
  /** Stands for a SEV-SNP examination that found `answer`: real ones are in the shared vectors. */
  const snpOf = (answer: { valid?: boolean; accept?: boolean; debug?: boolean; data?: Uint8Array } = {}) =>
    createTpmQuoteExamination({
      tdx: examineTdxQuote,
      snp: ({ evidence }) => ({
        valid: answer.valid ?? true,
        accept: answer.accept ?? true,
        reasons: answer.valid === false ? ['report_signature_invalid'] : answer.accept === false ? ['debug_enabled'] : [],
        claims: {
          report_data: toHex(answer.data ?? evidence.slice(0x50, 0x90)),
          measurement: 'aa',
          debug: answer.debug ?? false,
          product: 'Milan',
        },
      }),
    });
  const shown = (bytes: Uint8Array) => with_(inputs(), { hcl_report: bytes });

  test('makes the key trusted: its digest is in a genuine hardware report, and it names the key', async () => {
    expect(await snpOf()(shown(hcl()))).toMatchObject({
      valid: true,
      accept: true,
      reasons: [],
      claims: {
        tee: 'snp',
        ak_bound_to_tee_report: true,
        ak_matches_hcl: true,
        hcl_keys: ['HCLAkPub'],
        vm_configuration: { 'secure-boot': true },
      },
    });
  });

  const changed = runtime([jwkOf(ak.publicKey), jwkOf(makeAk().publicKey)]);
  test.each<[string, Uint8Array, Parameters<typeof snpOf>[0], string[]]>([
    ['the hardware report is not genuine', hcl(), { valid: false }, ['ak_not_bound', 'ak_not_certified']],
    ['the text is not the one it carries', hcl(runtime(), dataOf(latin('{}'))), {}, ['ak_not_bound', 'ak_not_certified']],
    ['more than the digest is in it', hcl(runtime(), dataOf(runtime()).fill(1, 63)), {}, ['ak_not_bound', 'ak_not_certified']],
    ['the genuine report carries something else', hcl(), { data: new Uint8Array(64) }, ['ak_not_bound', 'ak_not_certified']],
    ['the text names another key', hcl(runtime([jwkOf(makeAk().publicKey)])), {}, ['ak_not_bound', 'ak_not_certified']],
    ['the text names no key', hcl(runtime([])), {}, ['ak_not_bound', 'ak_not_certified']],
    ['the text names two keys', hcl(changed), {}, ['ak_not_bound', 'ak_not_certified']],
    ['the guest can be debugged', hcl(), { debug: true, accept: false }, ['debug_enabled', 'tee_not_acceptable', 'ak_not_certified']],
    ['it is of TDX, and no quote came along', hcl(runtime(), dataOf(runtime()), 4), {}, ['ak_not_bound', 'ak_not_certified']],
    ['it is of a type nobody knows', hcl(runtime(), dataOf(runtime()), 3), {}, ['malformed', 'ak_not_bound', 'ak_not_certified']],
    ['its text is no JSON', hcl(latin('{')), {}, ['malformed', 'ak_not_bound', 'ak_not_certified']],
    ['its text is longer than it is', hcl().subarray(0, 1300), {}, ['malformed', 'ak_not_bound', 'ak_not_certified']],
    ['it is none', latin('HCLA'), {}, ['malformed', 'ak_not_bound', 'ak_not_certified']],
    ['it is 64 KiB', concat(hcl(), new Uint8Array(65_536)), {}, ['malformed', 'ak_not_bound', 'ak_not_certified']],
  ])('does not when %s', async (_, bytes, answer, reasons) => expect((await snpOf(answer)(shown(bytes))).reasons).toEqual(reasons));

  test('of another machine spoils even a certified key', async () => {
    const given = with_(certified(leaf.der, pem(middle)), { hcl_report: hcl(runtime([jwkOf(makeAk().publicKey)])) });
    expect(await snpOf()(given)).toMatchObject({ valid: true, accept: false, reasons: ['ak_not_bound', 'ak_not_certified'] });
  });
});

describe('whatever the bytes', () => {
  const COMPANIONS = [
    'signature',
    'ak_public_key',
    'ak_public_tpmt',
    'pcrs',
    'eventlog',
    'ak_certificate',
    'ak_chain',
    'ak_crl',
    'hcl_report',
  ];

  test('there is an answer', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(...COMPANIONS), fc.boolean(), async (bytes, name, asEvidence) => {
        const given = asEvidence ? { ...inputs(), evidence: bytes } : with_(certified(leaf.der, pem(middle)), { [name]: bytes });
        expect(typeof (await real(given)).valid).toBe('boolean');
      }),
    );
  });

  test('a flipped bit of quote, signature, key or values is never authentic', async () => {
    const given = certified(leaf.der, pem(middle));
    await flipEachByte(given.evidence, 1, async (bytes, at) => {
      expect([at, (await real({ ...given, evidence: bytes })).valid]).toEqual([at, false]);
    });
    for (const name of ['signature', 'ak_public_key', 'pcrs', 'ak_certificate', 'ak_chain']) {
      await flipEachByte(given.companions[name] ?? new Uint8Array(0), 1, async (bytes, at) => {
        expect([name, at, (await real(with_(given, { [name]: bytes }))).valid]).toEqual([name, at, false]);
      });
    }
  });

  describeShared('real quotes', () => {
    const genuine = sharedEntries('tpm2-quote').filter(({ expected }) => expected.valid);
    test.each(genuine.map((entry) => [entry.id, entry] as const))('%s: every byte damaged, never authentic', async (_, entry) => {
      const given = with_(inputsOf(entry), { eventlog: undefined }); // replaying it two thousand times finds nothing here
      const memo = new TwinsMemo();
      const reports = {
        snp: (one: ExaminationInputs) => examineSnpReport(one, memo),
        tdx: (one: ExaminationInputs) => examineTdxQuote(one, memo),
      };
      const examine = createTpmQuoteExamination(reports);
      const accepted: string[] = [];
      await flipEachByte(given.evidence, 1, async (bytes, at) => {
        if ((await examine({ ...given, evidence: bytes })).valid) accepted.push(`quote ${at}`);
      });
      for (const name of ['signature', 'ak_public_key', 'pcrs']) {
        const whole = given.companions[name];
        if (whole === undefined) continue;
        const visit = async (bytes: Uint8Array, at: number) => {
          if ((await examine(with_(given, { [name]: bytes }))).valid) accepted.push(`${name} ${at}`);
        };
        await flipEachByte(whole, 1, visit, name === 'pcrs' ? 3 : 1); // hex digits in JSON
      }
      expect(accepted).toEqual([]);
    });
  });
});
