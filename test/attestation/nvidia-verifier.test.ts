/** Evidence of kind `nvidia-gpu` as a vault judges it, and its attester over a stand-in for NVIDIA's tool. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import 'reflect-metadata';
import { X509Certificate } from '@peculiar/x509';
import { createNvidiaAttester } from '../../src/attestation/nvidia-gpu/attester.ts';
import { modelOf } from '../../src/attestation/nvidia-gpu/boards.ts';
import { createNvidiaVerifier } from '../../src/attestation/nvidia-gpu/verifier.ts';
import type { VerificationContext } from '../../src/attestation/port.ts';
import { readCertificate } from '../../src/attestation/x509/certificate.ts';
import { sha256Hex, toBase64, toHex } from '../../src/domain/bytes.ts';
import { gpuNonce, isRefusal, type TrustAnchor } from '../../src/domain/evidence.ts';
import { problemsOfFacts } from '../../src/domain/facts.ts';
import { answered, contextOf, type Kept } from './answered-challenge.ts';
import { issueCrl } from './crl-maker.ts';
import {
  block,
  buildDevice,
  type Device,
  type GoldenWishes,
  makeReport,
  measurementOf,
  NVIDIA_NOW,
  opaqueField,
  pemOf,
  type ReportWishes,
  rimAuthority,
  rimText,
  signRim,
} from './nvidia-device.ts';
import type { Issued } from './test-ca.ts';

const device = await buildDevice();
const signers = await rimAuthority();
const rootOf = (chain: readonly Issued[]) => toBase64(chain.at(-1)?.der ?? new Uint8Array(0));
const anchorsOf = (one: Device): readonly TrustAnchor[] => [
  { kind: 'nvidia-gpu', name: 'devices', certificate: rootOf(one.chain) },
  { kind: 'nvidia-gpu', name: 'rims', certificate: rootOf(signers), use: 'reference-values' },
];
const verifier = createNvidiaVerifier();
const golden = (index: number): GoldenWishes => ({ index: index - 1, values: [measurementOf(index).toString('hex')] });
const rim = async (key: string, entries: readonly GoldenWishes[], version: string, by = signers): Promise<Kept> => ({
  type: 'nvidia-rim',
  key,
  bytes: new Uint8Array(Buffer.from(await signRim(rimText(entries, version), by))),
});
const DRIVER = 'NV_GPU_DRIVER_GH100_590.12';
const VBIOS = 'NV_GPU_VBIOS_G520_0200_885_9600A50001';
const driver = await rim(DRIVER, [golden(1), golden(2)], '590.12');
const vbios = await rim(VBIOS, [golden(3)], '96.00.A5.00.01');

const bodyOf = async (wishes: ReportWishes = {}, from = device) => ({
  report: toBase64(await makeReport(from, { nonce: gpuNonce(answered), ...wishes })),
  chain: toBase64(pemOf(...from.chain)),
});
const context = (kept: readonly Kept[] = [driver, vbios], change: Partial<VerificationContext> = {}): VerificationContext => ({
  ...contextOf(NVIDIA_NOW, anchorsOf(device), undefined, kept),
  role: 'additional',
  ...change,
});
const verdict = async (body: Record<string, unknown>, within = context()) => {
  const answer = await verifier.verify(body, within);
  return isRefusal(answer) ? answer.code : answer;
};
const factsWith = async (kept: readonly Kept[], change: Partial<VerificationContext> = {}, wishes: ReportWishes = {}) => {
  const answer = await verifier.verify(await bodyOf(wishes), context(kept, change));
  if (isRefusal(answer)) throw new Error(`${answer.code}: ${answer.detail}`);
  expect(problemsOfFacts('nvidia-gpu', answer.facts)).toEqual([]);
  return answer.facts;
};

describe('the board', () => {
  const boardOf = (project: string | null, projectSku: string | null, chipSku: string | null) => modelOf({ project, projectSku, chipSku });

  test('tells the model by all three parts of its name, and is unknown when it is not in the table', () => {
    expect(boardOf('1010', '0210', '886')).toBe('H100');
    expect(boardOf('G525', '0220', '886')).toBe('B200');
    expect(boardOf('G520', '0280', '895')).toBe('H200');
    expect([boardOf(null, null, null), boardOf('G520', '0280', '886'), boardOf('constructor', '', '')]).toEqual(Array(3).fill('unknown'));
  });
});

describe('lists of revoked certificates', () => {
  const [, , provisioner, identity, root] = device.chain;
  if (provisioner === undefined || identity === undefined || root === undefined) throw new Error('a chain of five');
  const serialOf = ({ der }: Issued) => readCertificate(der).serial.padStart(4, '0');
  const signerOf = ({ der, keys }: Issued) => ({
    subject: new X509Certificate(der).subjectName.toString(),
    signer: keys.privateKey,
    algorithm: { name: 'ECDSA', hash: 'SHA-384' },
  });
  const listOf = (by: Issued, revoked: readonly string[], until = new Date('2028-01-01T00:00:00Z')) =>
    issueCrl({ issuer: signerOf(by), revoked, until });
  const kept = (by: Issued, bytes: Uint8Array): Kept => ({
    type: 'x509-crl',
    key: sha256Hex(readCertificate(by.der).publicKey.export({ type: 'spki', format: 'der' })),
    bytes,
  });
  const withChain = async (list: Uint8Array, ...chain: readonly Issued[]) =>
    new Uint8Array(Buffer.concat([Buffer.from(crlPem(list)), pemOf(...chain)]));
  const crlPem = (der: Uint8Array) =>
    `-----BEGIN X509 CRL-----\n${Buffer.from(der).toString('base64').replace(/.{64}/g, '$&\n').replace(/\n$/, '')}\n-----END X509 CRL-----\n`;

  test('take every device below a listed authority along', async () => {
    for (const [by, listed] of [
      [root, identity],
      [identity, provisioner],
    ] as const) {
      const list = kept(by, await listOf(by, [serialOf(listed)]));
      expect(await verdict(await bodyOf(), context([driver, vbios, list]))).toBe('endorsement_revoked');
    }
  });

  test('that name nobody here say nothing of the device, and one past its date is a fact', async () => {
    const list = kept(root, await listOf(root, ['00ff01']));
    expect(await factsWith([driver, vbios, list])).toMatchObject({ revocation: 'unknown', collateralStale: false });
    const old = kept(root, await listOf(root, ['00ff01'], new Date('2026-01-14T00:00:00Z')));
    expect(await factsWith([driver, vbios, old])).toMatchObject({ collateralStale: true });
  });

  test('of another signer, or that cannot be read, are none', async () => {
    const stranger = await buildDevice();
    const strangers = await listOf(stranger.chain.at(-1) ?? root, [serialOf(identity)]);
    for (const bytes of [strangers, new Uint8Array(9)]) {
      expect(await factsWith([driver, vbios, kept(root, bytes)])).toMatchObject({ revocation: 'unknown', collateralStale: false });
    }
  });

  test('are recognized at import: of the root alone, of an authority below it with its certificates', async () => {
    const identify = (bytes: Uint8Array, trusted = root.der) => verifier.identifyCollateral?.(bytes, 'l2', [trusted]);
    const ofRoot = await listOf(root, []);
    const dates = { type: 'x509-crl', issuedAt: new Date('2026-01-01T00:00:00Z'), expiresAt: new Date('2028-01-01T00:00:00Z') };
    expect(identify(ofRoot)).toMatchObject({ ...dates, key: kept(root, ofRoot).key });
    const below = await listOf(identity, []);
    expect(identify(below)).toBeUndefined();
    expect(identify(await withChain(below, identity))).toMatchObject({ ...dates, key: kept(identity, below).key });
    expect(identify(await withChain(below, identity), (await buildDevice()).chain.at(-1)?.der)).toBeUndefined();
    const both = kept(identity, await withChain(await listOf(identity, [serialOf(provisioner)]), identity));
    expect(await verdict(await bodyOf(), context([driver, vbios, both]))).toBe('endorsement_revoked');
  });
});

describe('nvidia-gpu evidence', () => {
  test('that NVIDIA’s signed lists explain is in confidential mode and no debug mode, whose revocation nobody was asked about', async () => {
    expect(await verdict(await bodyOf())).toMatchObject({
      kind: 'nvidia-gpu',
      facts: {
        architecture: 'HOPPER',
        model: 'H100',
        driverVersion: '590.12',
        vbiosVersion: '96.00.A5.00.01',
        mode: 'single',
        confidentialMode: true,
        debug: false,
        driverRimMatched: true,
        vbiosRimMatched: true,
        revocation: 'unknown',
        collateralStale: false,
      },
      endorsements: expect.arrayContaining([
        expect.objectContaining({ what: 'driver RIM' }),
        expect.objectContaining({ what: 'VBIOS RIM' }),
      ]),
    });
  });

  test('names nobody, even where somebody is enrolled', async () => {
    expect(await verdict(await bodyOf())).not.toHaveProperty('attester');
  });

  test('without a list, or with one that is not of it, claims neither mode', async () => {
    const [other = driver] = [await rim(DRIVER, [golden(1), { index: 1, values: ['ee'.repeat(48)] }], '590.12')];
    const foreign = await rim(DRIVER, [golden(1)], '590.12', await rimAuthority());
    const older = await rim(DRIVER, [golden(1)], '580.10');
    const idle = await rim(DRIVER, [{ ...golden(1), active: false }], '590.12');
    for (const kept of [
      [],
      [vbios],
      [other, vbios],
      [foreign, vbios],
      [older, vbios],
      [idle, vbios],
      [{ ...driver, bytes: new Uint8Array(9) }, vbios],
    ]) {
      const facts = await factsWith(kept);
      expect(facts).toMatchObject({ driverRimMatched: false, confidentialMode: false, vbiosRimMatched: kept.includes(vbios) });
      expect(facts).not.toHaveProperty('debug');
    }
    expect(await factsWith([driver])).toMatchObject({ driverRimMatched: true, vbiosRimMatched: false, confidentialMode: false });
  });

  test('is not explained by two lists that claim the same place', async () => {
    const greedy = await rim(VBIOS, [golden(2), golden(3)], '96.00.A5.00.01');
    expect(await factsWith([driver, greedy])).toMatchObject({ driverRimMatched: false, vbiosRimMatched: false });
  });

  test('does not believe a list under the root of devices, nor a report under the root of lists', async () => {
    const [devices, rims] = anchorsOf(device);
    if (devices === undefined || rims === undefined) throw new Error('two anchors');
    const swapped = [
      { ...devices, use: 'reference-values' },
      { ...rims, use: undefined },
    ] as TrustAnchor[];
    expect(await verdict(await bodyOf(), context([driver, vbios], { anchors: swapped }))).toBe('endorsement_untrusted');
    expect(await factsWith([driver, vbios], { anchors: [devices] })).toMatchObject({ driverRimMatched: false, vbiosRimMatched: false });
  });

  test('is judged by a list past its date as of its last day, and says so', async () => {
    const late = { now: new Date('2027-06-01T00:00:00Z') };
    expect(await factsWith([driver, vbios], late)).toMatchObject({ driverRimMatched: true, confidentialMode: true, collateralStale: true });
    const early = { now: new Date('2024-12-01T00:00:00Z') };
    expect(await factsWith([driver, vbios], early)).toMatchObject({ driverRimMatched: false, collateralStale: false });
  });

  test('of a Blackwell GPU asks for the list of its own chip', async () => {
    const blackwell = await buildDevice({ chip: 'GB100' });
    const opaque = [
      opaqueField(6, Buffer.from('008800970f000000', 'hex')),
      opaqueField(15, Buffer.from('886\0')),
      opaqueField(17, Buffer.from('G525\0')),
      opaqueField(18, Buffer.from('0220\0')),
      opaqueField(3, Buffer.from('575.32\0')),
      opaqueField(35, Buffer.from('GB100\0')),
    ];
    const kept = [
      await rim('NV_GPU_DRIVER_GH100_575.32', [{ index: 0, values: ['ee'.repeat(48)] }], '575.32'),
      await rim('NV_GPU_CC_DRIVER_GB100_575.32', [golden(1)], '575.32'),
      await rim('NV_GPU_VBIOS_G525_0220_886_970088000F', [golden(2)], '97.00.88.00.0f'),
    ];
    const within = context(kept, { anchors: anchorsOf(blackwell) });
    expect(await verdict(await bodyOf({ opaque }, blackwell), within)).toMatchObject({
      facts: { architecture: 'BLACKWELL', model: 'B200', driverRimMatched: true, vbiosRimMatched: true },
    });
  });

  test('of a switch has one list and no driver', async () => {
    const nvswitch = await buildDevice({ chip: 'LS_10' });
    const opaque = [opaqueField(6, Buffer.from('96.10.55.00.01'))];
    const kept = [await rim('NV_SWITCH_BIOS_5612_0002_890_9610550001', [golden(1)], '96.10.55.00.01')];
    const answer = await verdict(await bodyOf({ opaque }, nvswitch), context(kept, { anchors: anchorsOf(nvswitch) }));
    expect(answer).toMatchObject({
      facts: { architecture: 'LS10', confidentialMode: true, driverRimMatched: true, vbiosRimMatched: true },
    });
    expect(answer).not.toHaveProperty('facts.driverVersion');
  });

  test('of one device has one id, whatever firmware it runs', async () => {
    const [leaf, ...above] = device.chain;
    if (leaf === undefined) throw new Error('a chain');
    expect((await factsWith([]))['deviceId']).toBe((await factsWith([driver], {}, { blocks: [block(1)] }))['deviceId']);
    const other = await buildDevice();
    const answer = await verdict(await bodyOf({}, other), context([], { anchors: anchorsOf(other) }));
    expect(answer).not.toMatchObject({ facts: { deviceId: (await factsWith([]))['deviceId'] } });
    expect(above.length).toBe(4);
  });

  test('for another challenge, another key or another nonce is not bound', async () => {
    for (const nonce of [new Uint8Array(32), answered.challengeNonce]) {
      expect(await verdict(await bodyOf({ nonce }))).toBe('evidence_binding_mismatch');
    }
    for (const change of [{ challengeNonce: new Uint8Array(32) }, { spki: new Uint8Array(1) }]) {
      expect(await verdict(await bodyOf(), context([], change))).toBe('evidence_binding_mismatch');
    }
  });

  test('under no anchor, or of another root of that name, is not endorsed', async () => {
    expect(await verdict(await bodyOf(), context([], { anchors: [] }))).toBe('endorsement_untrusted');
    expect(await verdict(await bodyOf({}, await buildDevice()))).toBe('endorsement_untrusted');
  });

  test('of another form is malformed; altered, it is not signed', async () => {
    const body = await bodyOf();
    const proto = JSON.parse('{"__proto__": {"report": "AAAA"}}');
    for (const wrong of [
      {},
      [],
      { ...body, more: 1 },
      { report: body.report },
      { ...body, chain: '' },
      { ...body, report: 7 },
      { ...body, report: 'A'.repeat(1 << 20) },
      proto,
    ]) {
      expect(await verdict(wrong as Record<string, unknown>)).toBe('evidence_malformed');
    }
    const altered = Buffer.from(body.report, 'base64');
    altered[60] = (altered[60] ?? 0) ^ 1; // within the first measurement
    expect(await verdict({ ...body, report: altered.toString('base64') })).toBe('evidence_signature_invalid');
  });

  test('is answered alike twice, and after a hundred others', async () => {
    expect(await verdict(await bodyOf(), context())).toMatchObject({ facts: { driverRimMatched: true } });
    expect(await verdict(await bodyOf(), context([]))).toMatchObject({ facts: { driverRimMatched: false } });
    expect(await verdict(await bodyOf(), context())).toMatchObject({ facts: { driverRimMatched: true } });
  });
});

describe('a RIM that is imported', () => {
  const roots = anchorsOf(device).map((anchor) => new Uint8Array(Buffer.from('certificate' in anchor ? anchor.certificate : '', 'base64')));
  const identify = (bytes: Uint8Array, name: string, under = roots) => verifier.identifyCollateral?.(bytes, name, under);

  test('is known by its file’s name and the version that was signed, with the dates of its signer', () => {
    const dates = { issuedAt: new Date('2025-01-01T00:00:00Z'), expiresAt: new Date('2027-01-01T00:00:00Z') };
    expect(identify(driver.bytes, DRIVER)).toEqual({ type: 'nvidia-rim', key: DRIVER, ...dates });
    expect(identify(vbios.bytes, `vbiosRim_${VBIOS.toLowerCase()}`)).toEqual({ type: 'nvidia-rim', key: VBIOS, ...dates });
  });

  test('is nothing under another name, another version, another root, or when it is no RIM', () => {
    for (const name of ['', 'driver', 'NV_GPU_DRIVER_GH100_590.13', 'NV_GPU_DRIVER_GH100', VBIOS, `${DRIVER}/../x`]) {
      expect(identify(driver.bytes, name)).toBeUndefined();
    }
    expect(identify(driver.bytes, DRIVER, [])).toBeUndefined();
    expect(identify(driver.bytes, DRIVER, roots.slice(0, 1))).toBeUndefined();
    for (const bytes of [new Uint8Array(0), new Uint8Array(1 << 20), driver.bytes.slice(1), driver.bytes.slice(0, -30)]) {
      expect(identify(bytes, DRIVER)).toBeUndefined();
    }
  });
});

describe('the attester', () => {
  const withTool = async (printed: unknown, challenge = answered) => {
    const folder = await mkdtemp(join(tmpdir(), 'wv-nvattest-'));
    try {
      await writeFile(join(folder, 'printed'), typeof printed === 'string' ? printed : JSON.stringify(printed));
      const nonce = toHex(gpuNonce(challenge));
      const script = [
        "import { readFileSync } from 'node:fs';",
        `if (process.argv[2] !== '--nonce=${nonce}' || process.env.WV_NONCE !== '${nonce}') process.exit(3);`,
        `process.stdout.write(readFileSync(${JSON.stringify(join(folder, 'printed'))}));`,
      ];
      await writeFile(join(folder, 'tool.mjs'), script.join('\n'));
      return await createNvidiaAttester({ command: [process.execPath, join(folder, 'tool.mjs'), '--nonce={nonce}'] }).attestDevices(
        challenge,
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
  const printedFor = async (from = device) => {
    const { report, chain } = await bodyOf({}, from);
    return { arch: 'HOPPER', evidence: report, certificate: chain, driver_version: '590.12', nonce: 'ignored' };
  };

  test('makes one body a device, which the vault verifies', async () => {
    const bodies = await withTool([await printedFor(), await printedFor()]);
    expect(bodies).toHaveLength(2);
    for (const body of bodies) expect(await verdict({ ...body })).toMatchObject({ kind: 'nvidia-gpu' });
    expect(await withTool({ evidences: [await printedFor()], result_code: 0 })).toHaveLength(1);
  });

  test('says so when the tool answered another nonce, no device, or no evidence', async () => {
    const other = { ...answered, challengeNonce: new Uint8Array(32) };
    await expect(withTool([await printedFor()], other)).rejects.toThrow('answered another nonce');
    const broken = { ...(await printedFor()), evidence: 'AAAA' };
    await expect(withTool([broken])).rejects.toThrow('no report');
    for (const printed of [[], {}, 'no JSON', [{ evidence: 1 }], Array.from({ length: 13 }, () => broken)]) {
      await expect(withTool(printed)).rejects.toThrow('printed no evidence of devices');
    }
  });
});
