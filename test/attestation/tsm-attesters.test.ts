/** Attesters of SEV-SNP and TDX guests against a double of configfs-tsm: what they make is what the vault verifies. No hardware takes part. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { createSnpAttester } from '../../src/attestation/sev-snp/attester.ts';
import { readCertificateTable } from '../../src/attestation/sev-snp/certificate-table.ts';
import { createSnpVerifier } from '../../src/attestation/sev-snp/verifier.ts';
import { createTdxAttester } from '../../src/attestation/tdx/attester.ts';
import { createTdxVerifier } from '../../src/attestation/tdx/verifier.ts';
import { readTsmReport, TSM_FOLDER } from '../../src/attestation/tsm/report.ts';
import { referenceValue } from '../../src/documents/reference-values.ts';
import { toBase64, toHex } from '../../src/domain/bytes.ts';
import { teeReportData } from '../../src/domain/evidence.ts';
import { fakeTsm } from './fake-tsm.ts';
import { makeReport, makeSnpLine, NOW, pemOf, TCB } from './snp-maker.ts';
import { FMSPC, makeBundle, makeIntelWorld, makePck, makeQuote } from './tdx-maker.ts';
import { BINDING, keeping, workloadContext } from './workload-context.ts';

const temporary = mkdtempSync(join(tmpdir(), 'wv-tsm-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

const genoa = await makeSnpLine('Genoa');
const vcek = await genoa.key({ tcb: TCB.Genoa.extensions });
const world = await makeIntelWorld();
const pck = await makePck(world);
const snpReport = (reportData: Uint8Array) => makeReport({ tcb: TCB.Genoa.raw, reportData }, vcek.keys.privateKey);
const tdxQuote = (reportData: Uint8Array) => makeQuote(world, pck, { reportData, trailing: new Uint8Array(2000) });
const folder = TSM_FOLDER;

/** {GUID, offset, length} each, a zero entry, then the certificates. */
function certificateTable(...certificates: ReadonlyArray<readonly [guid: string, der: Uint8Array]>): Uint8Array {
  const header = Buffer.alloc((certificates.length + 1) * 24);
  const blobs: Uint8Array[] = [];
  let at = header.length;
  for (const [index, [guid, der]] of certificates.entries()) {
    Buffer.from(guid.replaceAll('-', ''), 'hex').copy(header, index * 24);
    header.writeUInt32LE(at, index * 24 + 16);
    header.writeUInt32LE(der.length, index * 24 + 20);
    blobs.push(der);
    at += der.length;
  }
  return new Uint8Array(Buffer.concat([header, ...blobs]));
}
const VCEK = '63da758d-e664-4564-adc5-f4b93be8accd';
const ASK = '4ab7b379-bbac-4fe4-a02f-05aef327c782';
const ARK = 'c0b406a4-a803-4952-9743-3fb6014cd0ae';

describe('a SEV-SNP guest', () => {
  const context = workloadContext({
    kind: 'sev-snp',
    identity: { fact: 'measurement', value: 'ab'.repeat(48) },
    anchors: [{ kind: 'sev-snp', name: 'ark', certificate: toBase64(genoa.pinned.certificate) }],
    collateral: keeping({}),
    now: NOW,
  });

  test('shows a report with the certificates its host gave along, and leaves nothing behind', async () => {
    const auxiliary = certificateTable([ARK, genoa.pinned.certificate], [ASK, genoa.ask], [VCEK, vcek.der]);
    const tsm = fakeTsm({ folder, provider: 'sev_guest', report: snpReport, auxiliary });
    const body = await createSnpAttester({ files: tsm.files }).attest(BINDING);
    expect(await createSnpVerifier().verify(body, context)).toMatchObject({ kind: 'sev-snp', attester: { name: 'guest-1' } });
    expect(tsm.left.size).toBe(0);
  });

  test('shows the report alone when its host gave nothing, nonsense, or a table that lies', async () => {
    const lying = certificateTable([VCEK, vcek.der]);
    new DataView(lying.buffer).setUint32(20, 0xffffffff, true);
    for (const auxiliary of [
      undefined,
      new Uint8Array(0),
      new Uint8Array(4096).fill(0xff),
      lying,
      certificateTable([VCEK, Uint8Array.of(1)]),
    ]) {
      const wishes = { folder, provider: 'sev_guest', report: snpReport, ...(auxiliary && { auxiliary }) };
      expect(Object.keys(await createSnpAttester({ files: fakeTsm(wishes).files }).attest(BINDING))).toEqual(['report']);
    }
  });

  test('takes certificates that its host gave as PEM', async () => {
    const auxiliary = certificateTable([VCEK, pemOf([vcek.der])]);
    const body = await createSnpAttester({ files: fakeTsm({ folder, provider: 'sev_guest', report: snpReport, auxiliary }).files }).attest(
      BINDING,
    );
    expect(body.certificate).toBe(toBase64(vcek.der));
  });

  test('a table without an end, or with offsets into itself, gives what it holds and throws nothing', () => {
    expect(readCertificateTable(Buffer.alloc(24, 0xff))).toEqual({});
    for (let length = 0; length < 100; length++)
      expect(() => readCertificateTable(certificateTable([VCEK, vcek.der]).slice(0, length))).not.toThrow();
  });
});

describe('the state a guest is in', () => {
  test('of SEV-SNP is its launch measurement, and firmware at least as new as now', async () => {
    const report = (reportData: Uint8Array) =>
      makeReport({ version: 3, tcb: TCB.Genoa.raw, reportData } as Parameters<typeof makeReport>[0], vcek.keys.privateKey);
    const state = await createSnpAttester({ files: fakeTsm({ folder, provider: 'sev_guest', report }).files }).capture(BINDING);
    expect(state).toMatchObject({ kind: 'sev-snp', claims: { measurement: ['ab'.repeat(48)] } });
    expect(Object.keys(state.atLeast ?? {}).sort()).toEqual(['guestSvn', 'tcbBootLoader', 'tcbMicrocode', 'tcbSnp', 'tcbTee']);
    expect(referenceValue.safeParse({ id: 'golden', ...state })).toMatchObject({ success: true });
  });

  test('of TDX is its launch measurement and the registers before the application’s', async () => {
    const state = await createTdxAttester({ files: fakeTsm({ folder, provider: 'tdx_guest', report: tdxQuote }).files }).capture(BINDING);
    expect(Object.keys(state.claims)).toEqual(['mrtd', 'rtmr0', 'rtmr1', 'rtmr2']);
    expect(state.claims['mrtd']).toEqual(['cd'.repeat(48)]);
    expect(referenceValue.safeParse({ id: 'golden', ...state })).toMatchObject({ success: true });
  });
});

describe('a TDX guest', () => {
  const attest = (eventLogFile: string) =>
    createTdxAttester({ files: fakeTsm({ folder, provider: 'tdx_guest', report: tdxQuote }).files, eventLogFile }).attest(BINDING);

  test('shows a quote in the buffer of its kernel, which is larger, and the vault verifies it', async () => {
    const context = workloadContext({
      kind: 'tdx',
      identity: { fact: 'mrtd', value: 'cd'.repeat(48) },
      anchors: [{ kind: 'tdx', name: 'root', certificate: toBase64(world.root.der) }],
      collateral: keeping({ [`tdx-collateral ${FMSPC}`]: await makeBundle(world) }),
      now: NOW,
    });
    const body = await attest(join(temporary, 'no-ccel'));
    expect(Object.keys(body)).toEqual(['quote']);
    expect(await createTdxVerifier().verify(body, context)).toMatchObject({ kind: 'tdx', facts: { tcbStatus: 'UpToDate' } });
  });

  test('takes the event log of its firmware along, unless there is none or it is too large', async () => {
    const file = join(temporary, 'ccel');
    writeFileSync(file, 'a log');
    expect(await attest(file)).toMatchObject({ eventLog: toBase64(Buffer.from('a log')) });
    for (const size of [0, 163_841]) {
      writeFileSync(file, new Uint8Array(size));
      expect(Object.keys(await attest(file))).toEqual(['quote']);
    }
    await expect(attest(temporary)).rejects.toThrow('EISDIR');
  });
});

describe('configfs-tsm', () => {
  const wishes = { folder, provider: 'sev_guest', report: snpReport };

  test('is asked for all 64 bytes of SHA-512 of the binding', async () => {
    let asked = '';
    const report = (reportData: Uint8Array) => {
      asked = toHex(reportData);
      return snpReport(reportData);
    };
    await createSnpAttester({ files: fakeTsm({ ...wishes, report }).files }).attest(BINDING);
    expect(asked).toBe(toHex(teeReportData(BINDING)));
  });

  test('of another technology is no report, and the entry is removed all the same', async () => {
    const tsm = fakeTsm({ ...wishes, provider: 'tdx_guest' });
    await expect(createSnpAttester({ files: tsm.files }).attest(BINDING)).rejects.toThrow('this machine is a tdx_guest');
    expect(tsm.left.size).toBe(0);
  });

  test('that somebody else writes to is asked again, and then not believed', async () => {
    let times = 0;
    const once = fakeTsm({ ...wishes, interfere: (write) => times++ === 0 && write() });
    const body = await createSnpAttester({ files: once.files }).attest(BINDING);
    expect(toHex(Buffer.from(body.report, 'base64').subarray(0x50, 0x90))).toBe(toHex(teeReportData(BINDING)));
    const always = fakeTsm({ ...wishes, interfere: (write) => write() });
    await expect(createSnpAttester({ files: always.files }).attest(BINDING)).rejects.toThrow('another process writes');
    expect(always.left.size).toBe(0);
  });

  test('that is not there says so, and so do files that are no attributes', async () => {
    await expect(createSnpAttester({ folder: join(temporary, 'missing') }).attest(BINDING)).rejects.toThrow('is this a confidential guest');
    await expect(createSnpAttester({ folder: temporary }).attest(BINDING)).rejects.toThrow('ENOENT'); // a plain folder gets no attributes
  });

  test('is never asked for other than 64 bytes, and never believed beyond 64 KiB', async () => {
    const { files } = fakeTsm({ ...wishes, report: () => new Uint8Array(65_537) });
    await expect(readTsmReport(new Uint8Array(63), 'sev_guest', { files })).rejects.toThrow(RangeError);
    await expect(readTsmReport(new Uint8Array(64), 'sev_guest', { files })).rejects.toThrow('more than 65536');
  });

  test('that is busy is asked again as a whole, and given up in the end', async () => {
    const busy = (times: number) => createSnpAttester({ files: fakeTsm({ ...wishes, busy: times }).files, pauseMs: 1 }).attest(BINDING);
    expect(Object.keys(await busy(7))).toEqual(['report']);
    await expect(busy(8)).rejects.toThrow('EBUSY');
  });

  test('below a paravisor is asked at the level the guest has, and says which', async () => {
    const asked = fakeTsm({ ...wishes, levelFloor: 2 });
    expect(Object.keys(await createSnpAttester({ files: asked.files }).attest(BINDING))).toEqual(['report']);
    expect(asked.left.size).toBe(0);
    await createSnpAttester({ files: fakeTsm({ ...wishes, levelFloor: 0 }).files }).attest(BINDING);
    const beyond = createSnpAttester({ files: fakeTsm({ ...wishes, levelFloor: 4 }).files }).attest(BINDING);
    await expect(beyond).rejects.toThrow('EINVAL');
  });

  test('that gives a report or quote cut off gives none', async () => {
    const cut = (report: Uint8Array, by: number) => report.slice(0, report.length - by);
    const snp = createSnpAttester({ files: fakeTsm({ ...wishes, report: (data) => cut(snpReport(data), 1) }).files });
    await expect(snp.attest(BINDING)).rejects.toThrow('at least 1184');
    const quote = (by: number) => ({ folder, provider: 'tdx_guest', report: (data: Uint8Array) => cut(tdxQuote(data), by) });
    for (const by of [2001, 3000]) {
      await expect(createTdxAttester({ files: fakeTsm(quote(by)).files }).attest(BINDING)).rejects.toThrow('no whole quote');
    }
    for (const provider of ['arm_cca_guest', 'sev_guest ', '']) {
      const other = createTdxAttester({ files: fakeTsm({ ...quote(0), provider }).files });
      await expect(other.attest(BINDING)).rejects.toThrow('and not a tdx_guest');
    }
  });
});
