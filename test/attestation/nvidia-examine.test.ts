/** Reports of NVIDIA GPUs and switches: real ones, our own, and what an attacker makes of them. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ExaminationInputs } from '../../src/attestation/examination.ts';
import { examineNvidiaReport } from '../../src/attestation/nvidia-gpu/examine.ts';
import { acceptsNoFlippedBit, hostileBytes } from './damaged-evidence.ts';
import {
  block,
  buildDevice,
  compositeDeviceId,
  FWID,
  GPU_NONCE,
  makeReport,
  measurementOf,
  NVIDIA_NOW,
  OPAQUE,
  opaqueField,
  pemOf,
  type ReportWishes,
  rootsOf,
  tcbInfo,
} from './nvidia-device.ts';
import { agreesOnEverySharedEntry } from './shared-evidence.ts';
import { issue } from './test-ca.ts';
import { TwinsMemo } from './twins-memo.ts';

agreesOnEverySharedEntry('nvidia-spdm', examineNvidiaReport);

const device = await buildDevice();
const chain = pemOf(...device.chain);
const roots = rootsOf(device);
const inputs = (evidence: Uint8Array, change: Partial<ExaminationInputs> = {}): ExaminationInputs => ({
  evidence,
  companions: { chain },
  parameters: {},
  roots,
  now: NVIDIA_NOW,
  ...change,
});
const reasonsOf = (evidence: Uint8Array, change: Partial<ExaminationInputs> = {}) => examineNvidiaReport(inputs(evidence, change)).reasons;
const wordsFor = async (wishes: ReportWishes, change: Partial<ExaminationInputs> = {}) =>
  reasonsOf(await makeReport(device, wishes), change);
const hex = (text: string) => Buffer.from(text, 'hex');

describe('a report of our own device', () => {
  test('is authentic, with every value read; whether it was revoked nobody here can say', async () => {
    expect(examineNvidiaReport(inputs(await makeReport(device)))).toMatchObject({
      valid: true,
      accept: true,
      reasons: [],
      claims: {
        arch: 'HOPPER',
        driver_version: '590.12',
        vbios_version: '96.00.A5.00.01',
        project: 'G520',
        project_sku: '0200',
        chip_sku: '885',
        fwid: FWID.toString('hex'),
        nvdec0_enabled: false,
        protected_pcie: false,
        mode: 'single',
        measurement_count: 8,
        debug: null,
        revocation: 'unknown',
        leaf: 'GH100 A01 GSP FMC LF',
        valid_until: '9999-12-31T23:59:59Z',
      },
    });
  });

  test.each([
    ['GB100', 'BLACKWELL'],
    ['GB202', 'BLACKWELL'],
    ['LS_10', 'LS10'],
    ['GR100', 'HOPPER'], // no such chip: the VBIOS decides
  ])('of a %s is known as %s', async (chip, arch) => {
    const other = await buildDevice({ chip, fwid: [tcbInfo()] });
    const examined = examineNvidiaReport({
      ...inputs(await makeReport(other)),
      companions: { chain: pemOf(...other.chain) },
      roots: rootsOf(other),
    });
    expect(examined).toMatchObject({ valid: true, claims: { arch, product: `NVIDIA ${arch}` } });
  });

  test('says in which mode it runs, or that it cannot be said', async () => {
    const modes = await Promise.all(
      [[0], [1], [2], [3], [0, 1]].map(async (value) => {
        const opaque = [...OPAQUE.slice(0, -1), opaqueField(36, Buffer.from(value))];
        return examineNvidiaReport(inputs(await makeReport(device, { opaque }))).claims['mode'];
      }),
    );
    expect(modes).toEqual(['single', 'multi', 'protected-pcie', 'unknown', 'unknown']);
    const early = await makeReport(device, { opaque: OPAQUE.slice(0, 6) });
    expect(examineNvidiaReport(inputs(early)).claims).toMatchObject({ mode: 'legacy', fwid: null, protected_pcie: null });
  });

  test('shows no version that is not printable', async () => {
    const opaque = [opaqueField(3, Buffer.from('590\x1b[2J')), opaqueField(6, Buffer.alloc(7)), opaqueField(11, Buffer.of(0x11))];
    expect(examineNvidiaReport(inputs(await makeReport(device, { opaque }))).claims).toMatchObject({
      driver_version: null,
      vbios_version: null,
      nvdec0_enabled: null,
    });
  });

  test('may be followed by the zeros of its buffer and by nothing else', async () => {
    const report = await makeReport(device);
    const behind = (...bytes: number[]) => new Uint8Array([...report, ...bytes]);
    expect(examineNvidiaReport(inputs(behind(0, 0, 0)))).toMatchObject({ accept: true, claims: { trailing_bytes: 3 } });
    expect(reasonsOf(behind(0, 0, 1))).toEqual(['trailing_bytes']);
  });

  test('must answer the nonce that was sent', async () => {
    const report = await makeReport(device);
    const asked = (expected_nonce: unknown) => reasonsOf(report, { parameters: { expected_nonce } });
    for (const fine of [GPU_NONCE.toString('hex'), undefined, null]) expect(asked(fine)).toEqual([]);
    for (const wrong of ['', '5a', 'zz'.repeat(32), '00'.repeat(32), 7]) expect(asked(wrong)).toEqual(['nonce_mismatch']);
  });
});

describe('the chain', () => {
  const [leaf, rom, provisioner, identity, root] = device.chain;
  if (!leaf || !rom || !provisioner || !identity || !root) throw new Error('a chain of five');
  const withChain = async (file: Uint8Array | undefined) =>
    reasonsOf(await makeReport(device), { companions: file === undefined ? {} : { chain: file } });

  test('must be there, whole and readable', async () => {
    expect(await withChain(undefined)).toEqual(['chain_incomplete', 'untrusted_root']);
    for (const file of [
      new Uint8Array(0),
      pemOf(leaf).slice(3),
      new Uint8Array(1 << 20),
      Buffer.concat([pemOf(leaf), Buffer.from('--x')]),
    ]) {
      expect(await withChain(new Uint8Array(file))).toEqual(['malformed', 'chain_incomplete', 'untrusted_root']);
    }
  });

  test('shows who signed when another certificate of it is damaged', async () => {
    const damaged = pemOf(leaf, rom, provisioner, identity, root);
    damaged[Buffer.from(damaged).lastIndexOf('-----BEGIN CERTIFICATE-----') + 100] = 0x21;
    expect(examineNvidiaReport(inputs(await makeReport(device), { companions: { chain: damaged } }))).toMatchObject({
      reasons: ['malformed', 'chain_incomplete', 'untrusted_root'],
      claims: { leaf: 'GH100 A01 GSP FMC LF', valid_from: expect.any(String) },
    });
  });

  test('must lead without a gap to the pinned root', async () => {
    expect(await withChain(pemOf(leaf, rom, identity, root))).toEqual(['chain_incomplete']);
    expect(await withChain(pemOf(leaf, rom, provisioner, identity))).toEqual(['chain_incomplete', 'untrusted_root']);
    expect(await withChain(pemOf(leaf, provisioner, rom, identity, root))).toEqual(['chain_incomplete']);
    expect(await withChain(pemOf(leaf, root))).toEqual(['chain_incomplete']);
  });

  test('counts by the root’s bytes, not by its name', async () => {
    const lookalike = await issue({ name: 'NVIDIA Device Identity CA', curve: 'P-384', hash: 'SHA-384' });
    expect(await withChain(pemOf(leaf, rom, provisioner, identity, lookalike))).toEqual(['chain_incomplete', 'untrusted_root']);
    const foreign = await buildDevice();
    expect(reasonsOf(await makeReport(foreign), { companions: { chain: pemOf(...foreign.chain) } })).toEqual(['untrusted_root']);
    const rimRoot = rootsOf(device, 'nvidia-corim-signing-root-ca');
    expect(reasonsOf(await makeReport(device), { roots: rimRoot })).toEqual(['untrusted_root']);
  });

  test('must begin with the certificate that signed', async () => {
    expect(await withChain(pemOf(rom, provisioner, identity, root))).toEqual(['leaf_without_fwid', 'report_signature_invalid']);
    const twin = await buildDevice();
    const mixed = pemOf(...twin.chain);
    expect(await withChain(mixed)).toEqual(['report_signature_invalid', 'untrusted_root']);
  });

  test('must be valid at the time', async () => {
    const brief = await buildDevice({ notAfter: new Date('2025-12-31T23:59:59Z') });
    const change = { companions: { chain: pemOf(...brief.chain) }, roots: rootsOf(brief) };
    const report = await makeReport(brief);
    expect(reasonsOf(report, change)).toEqual(['certificate_expired']);
    expect(reasonsOf(report, { ...change, now: new Date('2025-06-01T00:00:00Z') })).toEqual([]);
    expect(reasonsOf(report, { ...change, now: new Date('2021-01-01T00:00:00Z') })).toEqual(['certificate_not_yet_valid']);
  });

  test('must name the firmware that the report names', async () => {
    const ask = async (fwid: Parameters<typeof buildDevice>[0]) => {
      const other = await buildDevice(fwid);
      return reasonsOf(await makeReport(other), { companions: { chain: pemOf(...other.chain) }, roots: rootsOf(other) });
    };
    expect(await ask({ fwid: [] })).toEqual(['leaf_without_fwid']);
    expect(await ask({ fwid: [compositeDeviceId(Buffer.alloc(48, 1))] })).toEqual(['fwid_mismatch']);
    expect(await ask({ fwid: [tcbInfo(Buffer.alloc(48, 1))] })).toEqual(['fwid_mismatch']);
    expect(await ask({ fwid: [compositeDeviceId(Buffer.alloc(32))] })).toEqual(['leaf_without_fwid']);
    // Of a Blackwell certificate with both, the TcbInfo counts.
    expect(await ask({ fwid: [compositeDeviceId(Buffer.alloc(48, 1)), tcbInfo()] })).toEqual([]);
  });

  test('a signer on another curve signs nothing', async () => {
    const other = await buildDevice({ curve: 'P-256' });
    const signature = (honest: Buffer) => Buffer.concat([Buffer.alloc(16), honest.subarray(0, 32), Buffer.alloc(16), honest.subarray(32)]);
    const report = await makeReport(other, { signature });
    expect(reasonsOf(report, { companions: { chain: pemOf(...other.chain) }, roots: rootsOf(other) })).toEqual([
      'report_signature_invalid',
    ]);
  });
});

describe('SPDM', () => {
  test('of another version, code, or without a signature asked for is malformed', async () => {
    for (const request of ['12e001ff', '10e001ff', '11e101ff', '11e000ff'])
      expect(await wordsFor({ request: hex(request) })).toEqual(['malformed']);
    for (const responseHead of ['12600000', '11610000', '117f0000']) {
      expect(await wordsFor({ responseHead: hex(responseHead) })).toEqual(['malformed']);
    }
  });

  test('with measurements that do not add up is malformed, even when the device signed it; what lies about a length is not read at all', async () => {
    const value = measurementOf(1);
    const odd: readonly ReportWishes[] = [
      { blocks: [] },
      { blocks: [block(1), block(2)], blockCount: 1 },
      { blocks: [block(1), block(1)] },
      { blocks: [block(0)] },
      { blocks: [Buffer.concat([Buffer.of(1, 2), block(1).subarray(2)])] }, // not DMTF's form
      { opaque: [...OPAQUE, opaqueField(3, Buffer.from('570.00'))] }, // which driver version would count?
    ];
    for (const wishes of odd) expect(await wordsFor(wishes)).toEqual(['malformed']);
    const lying: readonly ReportWishes[] = [
      { blocks: [block(1)], blockCount: 2 },
      { blocks: [Buffer.concat([Buffer.of(1, 1, 52, 0, 1, 48, 0), value])] },
      { blocks: [Buffer.concat([Buffer.of(1, 1, 51, 0, 1, 49, 0), value])] },
      { opaque: [Buffer.of(3, 0, 9, 0, 1)] },
    ];
    for (const wishes of lying) expect(await wordsFor(wishes)).toEqual(['malformed', 'report_signature_invalid']);
  });

  test('with a signature of zeros, beyond the order or by somebody else is not signed', async () => {
    const zero = Buffer.alloc(48);
    for (const signature of [
      (honest: Buffer) => Buffer.concat([zero, honest.subarray(48)]),
      (honest: Buffer) => Buffer.concat([honest.subarray(0, 48), zero]),
      () => Buffer.alloc(96, 0xff),
      () => Buffer.alloc(96, 1),
    ]) {
      expect(await wordsFor({ signature })).toEqual(['report_signature_invalid']);
    }
    expect(await wordsFor({ signature: (honest) => honest.subarray(1) })).toEqual(['malformed', 'report_signature_invalid']);
  });

  test('that is empty, or larger than any report, is malformed', () => {
    for (const length of [0, 1, 37, 32_769, 1 << 20])
      expect(reasonsOf(new Uint8Array(length))).toEqual(['malformed', 'report_signature_invalid']);
  });
});

describe('damage', () => {
  test('no flipped bit of our own report or its chain is accepted', async () => {
    const report = await makeReport(device);
    const memo = new TwinsMemo();
    await acceptsNoFlippedBit(report, 1, (evidence) => examineNvidiaReport(inputs(evidence), memo), 2);
    await acceptsNoFlippedBit(chain, 2, (altered) => examineNvidiaReport(inputs(report, { companions: { chain: altered } }), memo), 5);
  });

  test('any bytes get an answer and never an exception', async () => {
    const honest = await makeReport(device);
    const padded = (evidence: Uint8Array) =>
      Buffer.compare(evidence.subarray(0, honest.length), honest) === 0 && evidence.subarray(honest.length).every((byte) => byte === 0);
    fc.assert(
      fc.property(hostileBytes(honest), (evidence) => {
        expect(examineNvidiaReport(inputs(evidence)).accept).toBe(padded(evidence));
      }),
      { numRuns: 400 },
    );
    fc.assert(
      fc.property(hostileBytes(chain), (altered) => {
        const { accept } = examineNvidiaReport(inputs(honest, { companions: { chain: altered } }));
        const blocks = (file: Uint8Array) =>
          Buffer.from(file)
            .toString('latin1')
            .match(/^-----BEGIN (?:.+\n)+?-----END .+-----$/gm)
            ?.join();
        expect(!accept || blocks(altered) === blocks(chain)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
