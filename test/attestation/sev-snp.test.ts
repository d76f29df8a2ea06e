/** SEV-SNP reports from chips of our own making: every rule, and what happens when it is broken. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ExaminationInputs } from '../../src/attestation/examination.ts';
import { examineSnpReport } from '../../src/attestation/sev-snp/examine.ts';
import { IssuerMemo } from '../../src/attestation/x509/path.ts';
import { issueCrl } from './crl-maker.ts';
import { flipEachByte } from './damage.ts';
import { acceptsNoFlippedBit } from './damaged-evidence.ts';
import { AMD_NAME, CHIP_ID, type KeyWishes, makeReport, makeSnpLine, PSS, pemOf, type ReportWishes, snpInputs, TCB } from './snp-maker.ts';
import { issue } from './test-ca.ts';
import { TwinsMemo } from './twins-memo.ts';

const genoa = await makeSnpLine('Genoa');
const turin = await makeSnpLine('Turin');
const milan = await makeSnpLine('Milan');
const CPUID = { Milan: [0x19, 0x01, 1], Genoa: [0x19, 0x11, 1], Turin: [0x1a, 0x02, 1] } as const;

interface Case {
  readonly line?: typeof genoa;
  readonly report?: Partial<ReportWishes>;
  readonly key?: Partial<KeyWishes>;
  readonly inputs?: Partial<ExaminationInputs>;
}

async function make({ line = genoa, report = {}, key = {}, inputs = {} }: Case): Promise<ExaminationInputs> {
  const product = line.product as keyof typeof TCB;
  const certified = await line.key({ tcb: TCB[product].extensions, ...key });
  const evidence = makeReport({ tcb: TCB[product].raw, cpuid: CPUID[product], ...report }, certified.keys.privateKey);
  return snpInputs(line, evidence, certified.der, inputs);
}
const reasons = async (wishes: Case) => examineSnpReport(await make(wishes)).reasons;
const good = await make({});

describe('a genuine report', () => {
  test.each([
    ['Milan, version 2, where only the chain names the product', { line: milan, report: { version: 2 } }],
    ['Genoa, version 3', {}],
    ['Genoa, version 4', { report: { version: 4 } }],
    ['Bergamo under the root of Genoa, version 5', { report: { version: 5, cpuid: [0x19, 0xa0, 2] } }],
    ['Turin, version 5, whose chip id has 8 bytes', turinCase()],
  ] as ReadonlyArray<[string, Case]>)('of %s is authentic and acceptable', async (_, wishes: Case) => {
    expect(await reasons(wishes)).toEqual([]);
  });

  test('signed with the key of a cloud (VLEK) is authentic, names the cloud and no chip', async () => {
    const inputs = await vlek();
    const { accept, claims } = examineSnpReport(inputs);
    expect([accept, claims['signing_key'], claims['csp_id']]).toEqual([true, 'VLEK', 'CN=a-cloud']);
  });

  test('says what it says', async () => {
    const { claims } = examineSnpReport(await make({ report: { policy: 0x17_011fn, patch: { 48: 1, 64: 0x25 } } }));
    expect(claims).toMatchObject({
      product: 'Genoa',
      policy: '0x17011f',
      vmpl: 1,
      guest_svn: 7,
      debug: false,
      smt_allowed: true,
      migration_agent_allowed: true,
      single_socket: true,
      platform_info: '0x25',
      reported_tcb: { raw: '0a00000000001754', bl: 10, tee: 0, snp: 23, microcode: 84 },
      cpuid: 'family 0x19 model 0x11 stepping 0x01',
      valid_from: '2024-01-01T00:00:00Z',
    });
  });

  test('whose s became n - s is the same report in other bytes: authentic, so its bytes are no key against replay', () => {
    const twin = { ...good, evidence: good.evidence.slice() };
    const order = BigInt('0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973');
    const s = twin.evidence.subarray(744, 792);
    const value = BigInt(`0x${Buffer.from(s).reverse().toString('hex')}`);
    s.set(Buffer.from((order - value).toString(16).padStart(96, '0'), 'hex').reverse());
    expect(examineSnpReport(twin).accept).toBe(true);
    expect(twin.evidence).not.toEqual(good.evidence);
  });
});

describe('a report is refused', () => {
  test('as unacceptable but authentic when its guest can be debugged', async () => {
    expect(examineSnpReport(await make({ report: { policy: 0xb0000n } }))).toMatchObject({
      valid: true,
      accept: false,
      reasons: ['debug_enabled'],
    });
  });

  test('when the certificate is of another TCB, in any part', async () => {
    for (const [part, value] of Object.entries(TCB.Genoa.extensions)) {
      expect(await reasons({ key: { tcb: { ...TCB.Genoa.extensions, [part]: value + 1 } } })).toEqual(['tcb_mismatch']);
    }
    expect(await reasons({ key: { tcb: { ...TCB.Genoa.extensions, 5: 1 } } })).toEqual(['tcb_mismatch']);
    const { 8: _, ...without } = TCB.Genoa.extensions as Record<number, number>;
    expect(await reasons({ key: { tcb: without } })).toEqual(['malformed', 'tcb_mismatch']);
  });

  test("when a Turin TCB is laid out like Genoa's", async () => {
    const raw = Uint8Array.of(2, 3, 0, 0, 0, 0, 4, 71);
    expect(await reasons(turinCase({ tcb: raw }))).toEqual(['tcb_mismatch']);
  });

  test('when the certificate is of another chip, of no chip, or its chip id is wrapped once more', async () => {
    for (const hwId of [CHIP_ID.map((byte) => byte ^ 1), CHIP_ID.slice(0, 63), Uint8Array.of(4, 64, ...CHIP_ID), new Uint8Array(0)]) {
      expect(await reasons({ key: { hwId } })).toEqual(['chip_id_mismatch']);
    }
    expect(await reasons({ report: { chipId: new Uint8Array(64) } })).toEqual(['chip_id_mismatch']); // masked by the host
  });

  test('when it says another kind of key than the certificate is', async () => {
    expect(await reasons({ report: { signingKey: 1 } })).toEqual(['signing_key_kind_mismatch']);
    expect(await reasons({ report: { signingKey: 7 } })).toEqual(['signing_key_kind_mismatch']);
    expect(await reasons({ report: { signingKey: 3 } })).toEqual(['malformed', 'signing_key_kind_mismatch']);
    expect(examineSnpReport(await vlek({ signingKey: 0 })).reasons).toEqual(['signing_key_kind_mismatch']);
  });

  test('when its key stands under the intermediate of the other kind', async () => {
    const inputs = await make({ key: { issuerKind: 'VLEK' }, inputs: { companions: {} } });
    const key = (await genoa.key({ tcb: TCB.Genoa.extensions, issuerKind: 'VLEK' })).der;
    const companions = { endorsement_key_certificate: key, issuer_chain: genoa.chain('VLEK') };
    expect(examineSnpReport({ ...inputs, companions }).reasons).toContain('chain_not_to_trusted_root');
  });

  test('when its processor, its certificate and its chain are of two products, or of none', async () => {
    expect(await reasons({ report: { cpuid: CPUID.Milan } })).toEqual(['product_mismatch']);
    expect(await reasons({ report: { cpuid: [0x17, 1, 1] } })).toEqual(['product_mismatch']);
    expect(await reasons({ key: { productName: 'Milan-B0' } })).toEqual(['product_mismatch']);
    expect(await reasons({ report: { version: 2 }, key: { productName: 'Rome-B0' } })).toEqual(['product_mismatch']);
  });

  test('when its root is not the pinned one, whatever its name, and whether it was sent or not', async () => {
    const lookalike = await makeSnpLine('Genoa');
    expect(await reasons({ line: lookalike, inputs: { roots: [genoa.pinned] } })).toEqual(['chain_not_to_trusted_root']);
    expect(await reasons({ inputs: { roots: [] } })).toEqual(['chain_not_to_trusted_root']);
    expect(await reasons({ inputs: { roots: [{ ...genoa.pinned, vendor: 'intel' }] } })).toEqual(['chain_not_to_trusted_root']);
    const alsoForeign = Uint8Array.of(...genoa.chain(), ...pemOf([lookalike.pinned.certificate]));
    const companions = { ...good.companions, issuer_chain: alsoForeign };
    expect(examineSnpReport({ ...good, companions }).reasons).toEqual(['chain_not_to_trusted_root']);
  });

  test('but not when authorities of other products of AMD came along', async () => {
    const issuer_chain = Uint8Array.of(...milan.chain(), ...genoa.chain());
    const roots = [milan.pinned, genoa.pinned];
    expect(examineSnpReport({ ...good, roots, companions: { ...good.companions, issuer_chain } })).toMatchObject({
      accept: true,
      claims: { product: 'Genoa' },
    });
  });

  test('when the intermediate is missing, but not when only the root is: that one is pinned', () => {
    const sent = (issuer_chain: Uint8Array) => examineSnpReport({ ...good, companions: { ...good.companions, issuer_chain } }).reasons;
    expect(sent(pemOf([genoa.ask]))).toEqual([]);
    expect(sent(genoa.ask)).toEqual([]);
    expect(sent(pemOf([genoa.pinned.certificate]))).toEqual(['chain_not_to_trusted_root']);
  });

  test('when a companion is missing or is something else', async () => {
    const { endorsement_key_certificate, issuer_chain } = good.companions as Record<string, Uint8Array>;
    const other = (await issue({ name: 'SEV-Genoa' })).der;
    const word = 'chain_not_to_trusted_root';
    const sent = (companions: Record<string, Uint8Array | undefined>) =>
      examineSnpReport({ ...good, companions: companions as Record<string, Uint8Array> }).reasons;
    expect(sent({})).toEqual([word, 'report_signature_invalid']);
    expect(sent({ issuer_chain })).toEqual([word, 'report_signature_invalid']);
    expect(sent({ endorsement_key_certificate })).toEqual([word]);
    expect(sent({ endorsement_key_certificate, issuer_chain: new Uint8Array(0) })).toEqual(['malformed', word]);
    expect(sent({ endorsement_key_certificate: other, issuer_chain })).toContain(word);
    expect(sent({ endorsement_key_certificate: issuer_chain, issuer_chain })).toContain(word);
    expect(sent({ endorsement_key_certificate, issuer_chain: new Uint8Array(5_000_000) })).toContain(word);
  });

  test('before and after the life of any certificate of its chain', async () => {
    const at = (time: string) => ({ inputs: { now: new Date(time) } });
    expect(await reasons(at('2023-12-31T23:59:59Z'))).toContain('certificate_not_yet_valid');
    expect(await reasons(at('2044-01-01T00:00:01Z'))).toContain('certificate_expired');
    expect(await reasons({ key: { notAfter: new Date('2025-01-01T00:00:00Z') } })).toEqual(['certificate_expired']);
  });

  test('when the list of its root revokes the intermediate, is of somebody else, or has ended', async () => {
    const by = { subject: `CN=ARK-Genoa, ${AMD_NAME}`, signer: genoa.rootKeys.privateKey, algorithm: PSS };
    const withCrl = async (wishes: Parameters<typeof issueCrl>[0]) =>
      examineSnpReport({ ...good, companions: { ...good.companions, crl: await issueCrl(wishes) } }).reasons;
    expect(await withCrl({ issuer: by, revoked: ['020001'] })).toEqual([]);
    expect(await withCrl({ issuer: by, revoked: ['010001'] })).toEqual(['issuer_revoked']);
    expect(await withCrl({ issuer: by, until: new Date('2026-01-02T00:00:00Z') })).toEqual(['crl_expired']);
    expect(await withCrl({ issuer: by, from: new Date('2026-01-16T00:00:00Z') })).toEqual(['crl_not_yet_valid']);
    expect(await withCrl({ issuer: { ...by, signer: milan.rootKeys.privateKey } })).toEqual(['crl_invalid']);
  });

  test('when its signature is zero, is of another algorithm, or does not end where it ends', async () => {
    const patched = (patch: (bytes: Uint8Array) => unknown) => {
      const evidence = good.evidence.slice();
      patch(evidence);
      return examineSnpReport({ ...good, evidence }).reasons;
    };
    const notOne = ['signature_not_canonical', 'report_signature_invalid'];
    expect(patched((bytes) => bytes.fill(0, 672, 720))).toEqual(notOne);
    expect(patched((bytes) => bytes.fill(0, 744, 792))).toEqual(notOne);
    expect(patched((bytes) => bytes.fill(0, 672))).toEqual(notOne);
    expect(patched((bytes) => bytes.fill(1, 720, 721))).toEqual(notOne);
    const order = Buffer.from(`${'ff'.repeat(24)}c7634d81f4372ddf581a0db248b0a77aecec196accc52973`, 'hex').reverse();
    expect(patched((bytes) => bytes.set(order, 672))).toEqual(notOne);
    expect(patched((bytes) => bytes.set(order.with(0, 0x72), 672))).toEqual(['report_signature_invalid']); // a number of ECDSA, if not the right one
    expect(patched((bytes) => bytes.fill(1, 1183))).toEqual(['malformed', 'signature_not_canonical']);
    expect(await reasons({ report: { patch: { 52: 2 } } })).toEqual(['signature_algorithm']);
  });

  test('when it has another length or version, or bytes that no firmware writes', async () => {
    for (const evidence of [new Uint8Array(0), good.evidence.slice(0, 1183), new Uint8Array(1183)]) {
      expect(examineSnpReport({ ...good, evidence })).toEqual({ valid: false, accept: false, reasons: ['malformed'], claims: {} });
    }
    expect(examineSnpReport({ ...good, evidence: Uint8Array.of(...good.evidence, 0) }).reasons).toEqual(['malformed']);
    for (const version of [0, 1, 6]) expect(await reasons({ report: { patch: { 0: version } } })).toContain('malformed');
    expect(await reasons({ report: { policy: 0x10000n } })).toEqual(['malformed']);
    for (const at of [0x4c, 0x49, 0x18b, 0x19f, 0x1eb, 0x1ef, 0x208, 0x29f]) {
      expect(await reasons({ report: { patch: { [at]: 1 } } })).toContain('malformed');
    }
  });
});

describe('damage', () => {
  test('no flipped bit in any byte of a report is accepted', async () => {
    const memo = new TwinsMemo();
    await acceptsNoFlippedBit(good.evidence, 1, (evidence) => examineSnpReport({ ...good, evidence }, memo));
  });

  test("nor in its key's certificate or in the chain", async () => {
    for (const name of ['endorsement_key_certificate', 'issuer_chain'] as const) {
      const memo = new IssuerMemo();
      await flipEachByte(
        good.companions[name] ?? new Uint8Array(0),
        2,
        (damaged, at) => {
          const companions = { ...good.companions, [name]: damaged };
          expect([name, at, examineSnpReport({ ...good, companions }, memo).valid]).toEqual([name, at, false]);
        },
        3,
      );
    }
  });

  test('cuts, splices and lies end in a finding, never in an exception', () => {
    const memo = new IssuerMemo();
    const part = fc.record({ from: fc.nat(1300), length: fc.nat(64), bytes: fc.uint8Array({ maxLength: 64 }) });
    const damaged = (bytes: Uint8Array, splices: readonly { from: number; length: number; bytes: Uint8Array }[]) =>
      splices.reduce(
        (left, { from, length, bytes: put }) => Uint8Array.of(...left.subarray(0, from), ...put, ...left.subarray(from + length)),
        bytes,
      );
    const where = fc.constantFrom('evidence', 'endorsement_key_certificate', 'issuer_chain');
    fc.assert(
      fc.property(where, fc.array(part, { minLength: 1, maxLength: 3 }), (name, splices) => {
        const original = name === 'evidence' ? good.evidence : (good.companions[name] ?? new Uint8Array(0));
        const bytes = damaged(original, splices);
        fc.pre(Buffer.compare(bytes, original) !== 0);
        const inputs = name === 'evidence' ? { ...good, evidence: bytes } : { ...good, companions: { ...good.companions, [name]: bytes } };
        const { valid, reasons: found } = examineSnpReport(inputs, memo);
        expect(valid).toBe(false);
        expect(found.length).toBeGreaterThan(0);
      }),
      { numRuns: 500 },
    );
  });
});

function turinCase(report: Partial<ReportWishes> = {}): Case {
  const chipId = Uint8Array.from(CHIP_ID, (byte, at) => (at < 8 ? byte : 0));
  return { line: turin, report: { version: 5, chipId, ...report }, key: { hwId: CHIP_ID.slice(0, 8) } };
}

async function vlek(report: Partial<ReportWishes> = {}): Promise<ExaminationInputs> {
  const inputs = await make({ report: { signingKey: 1, chipId: new Uint8Array(64), ...report }, key: { kind: 'VLEK' } });
  return { ...inputs, companions: { ...inputs.companions, issuer_chain: genoa.chain('VLEK') } };
}
