/**
 * Machines with several things to show, from authorities of our own in the place of the makers': a TDX guest with a GPU, and a SEV-SNP guest with
 * a virtual TPM. What they show is signed as hardware signs it, and the real verifiers judge it under anchors that name our authorities.
 */
import type { CollateralRow } from '../../src/attestation/kept/port.ts';
import type { CollateralType } from '../../src/attestation/port.ts';
import { parsePublicArea } from '../../src/attestation/tpm2/public-area.ts';
import { sha256Hex, toBase64 } from '../../src/domain/bytes.ts';
import {
  additionalEvidenceDigest,
  type BindingInputs,
  type Evidence,
  evidenceBinding,
  gpuNonce,
  type ReferenceValue,
  type TrustAnchor,
  teeReportData,
} from '../../src/domain/evidence.ts';
import { parseDigest } from '../../src/domain/ids.ts';
import { makeHcl, quoteOf } from './azure-maker.ts';
import { issueCrl } from './crl-maker.ts';
import { bstr, type Members, makeDocument, map, membersOf, startEnclave, uint } from './nitro-enclave.ts';
import { buildDevice, makeReport as makeGpuReport, measurementOf, pemOf, rimAuthority, rimText, signRim } from './nvidia-device.ts';
import { makeAk, publicArea } from './quote-maker.ts';
import { CHIP_ID, makeReport, makeSnpLine, TCB } from './snp-maker.ts';
import { FMSPC, makeBundle, makeIntelWorld, makePck, makeQuote, qeIdentity, tcbInfo } from './tdx-maker.ts';
import type { Issued } from './test-ca.ts';

/** For this challenge, key and vault; what stands beside is in `additional`. */
export type Asked = Omit<BindingInputs, 'additionalEvidenceDigest' | 'hpkePublicKey'>;

/** Makers whose publications count on that day. */
export async function makeConfidentialMachines(day: Date) {
  const hour = 3_600_000; // milliseconds
  const [from, until] = [new Date(day.getTime() - hour), new Date(day.getTime() + 24 * hour)];
  const [intel, device, rims, snp] = await Promise.all([makeIntelWorld(), buildDevice(), rimAuthority(), makeSnpLine('Genoa')]);
  const enclave = await startEnclave('P-384', from, until);
  const [pck, { der: vcek, keys: chip }] = await Promise.all([makePck(intel), snp.key({ tcb: TCB.Genoa.extensions })]);
  const ak = makeAk();
  const gpu = async (asked: Asked, nonce = gpuNonce(asked), of = device): Promise<Evidence> => ({
    kind: 'nvidia-gpu',
    body: { report: toBase64(await makeGpuReport(of, { nonce })), chain: toBase64(pemOf(...of.chain)) },
  });
  const reportDataOf = (asked: Asked, beside: readonly Evidence[]) => teeReportData(bindingOf(asked, beside));
  const akName = parsePublicArea(publicArea(ak)).name;
  return {
    anchors: [
      { kind: 'tdx', name: 'intel', certificate: toBase64(intel.root.der) },
      { kind: 'nitro', name: 'aws', certificate: toBase64(enclave.bundle[0]?.der ?? new Uint8Array(0)) },
      { kind: 'sev-snp', name: 'amd', certificate: toBase64(snp.pinned.certificate) },
      { kind: 'nvidia-gpu', name: 'devices', certificate: rootOf(device.chain) },
      { kind: 'nvidia-gpu', name: 'rims', certificate: rootOf(rims), use: 'reference-values' },
    ] satisfies TrustAnchor[],
    referenceValues: [
      { id: 'td-image', kind: 'tdx', claims: { mrtd: ['cd'.repeat(48)] } },
      { id: 'snp-image', kind: 'sev-snp', claims: { measurement: ['ab'.repeat(48)] } },
      { id: 'enclave', kind: 'nitro', claims: { pcr0: ['01'.repeat(48)] } },
      { id: 'gpu', kind: 'nvidia-gpu', claims: { driverVersion: ['590.12'], vbiosVersion: ['96.00.A5.00.01'] } },
      {
        id: 'boot',
        kind: 'tpm2',
        pcrs: { sha256: { '7': ['07'.repeat(32)] } },
        claims: { akTrust: ['tee'], teeMeasurement: ['ab'.repeat(48)] },
      },
    ] satisfies ReferenceValue[],
    /** Facts that they can be enrolled by. */
    identities: {
      tdx: { fact: 'mrtd', value: 'cd'.repeat(48) },
      'sev-snp': { fact: 'measurement', value: 'ab'.repeat(48) },
      nitro: { fact: 'pcr0', value: '01'.repeat(48) },
      tpm2: { fact: 'akName', value: akName },
    },
    collateral: [
      row('tdx-collateral', FMSPC, await intelBundle(intel, day), day),
      row('nvidia-rim', 'NV_GPU_DRIVER_GH100_590.12', await rimOf([1, 2], '590.12', rims), day),
      row('nvidia-rim', 'NV_GPU_VBIOS_G520_0200_885_9600A50001', await rimOf([3], '96.00.A5.00.01', rims), day),
      row('amd-vcek', `Genoa/${Buffer.from(CHIP_ID).toString('hex')}/${Buffer.from(TCB.Genoa.raw).toString('hex')}`, vcek, day),
      row('amd-chain', 'Genoa/VCEK', snp.chain(), day),
    ],
    gpu,
    /** What these tests damage: the makers' keys. */
    world: { intel, pck, snp, chip, vcek, enclave, ak },
    /** A GPU of another maker's: its chain leads to a root of the same name. */
    strangeGpu: async (asked: Asked) => gpu(asked, gpuNonce(asked), await buildDevice()),
    tdx: (asked: Asked, beside: readonly Evidence[] = [], reportData = reportDataOf(asked, beside)): Evidence => ({
      kind: 'tdx',
      body: { quote: toBase64(makeQuote(intel, pck, { reportData })) },
    }),
    snp: (asked: Asked, beside: readonly Evidence[] = [], reportData = reportDataOf(asked, beside)): Evidence => ({
      kind: 'sev-snp',
      body: { report: toBase64(makeReport({ tcb: TCB.Genoa.raw, reportData }, chip.privateKey)) },
    }),
    nitro: async (asked: Asked, change: Members = {}, of = enclave): Promise<Evidence> => {
      const bound = { user_data: bstr(reportDataOf(asked, [])), nonce: bstr(asked.challengeNonce), timestamp: uint(day.getTime()) };
      return nitroPiece(await makeDocument(of, { payload: map(...membersOf(of, { ...bound, ...change })) }));
    },
    /** The TPM of that guest, as its paravisor shows it. */
    vtpm: async (asked: Asked, beside: readonly Evidence[] = []): Promise<Evidence> => ({
      kind: 'tpm2',
      body: { ...quoteOf(ak, bindingOf(asked, beside)), hcl: await makeHcl(snp, { ak }) },
    }),
  };
}
export type ConfidentialMachines = Awaited<ReturnType<typeof makeConfidentialMachines>>;

export const nitroPiece = (document: Uint8Array): Evidence => ({ kind: 'nitro', body: { document: toBase64(document) } });

export function bindingOf(asked: Asked, beside: readonly Evidence[]): Uint8Array {
  const digest = additionalEvidenceDigest([{ kind: 'first', body: {} }, ...beside]);
  return evidenceBinding(digest === undefined ? asked : { ...asked, additionalEvidenceDigest: digest });
}

const rootOf = (chain: readonly Issued[]) => toBase64(chain.at(-1)?.der ?? new Uint8Array(0));

async function rimOf(measured: readonly number[], version: string, signers: readonly Issued[]): Promise<Uint8Array> {
  const golden = measured.map((index) => ({ index: index - 1, values: [measurementOf(index).toString('hex')] }));
  return new Uint8Array(Buffer.from(await signRim(rimText(golden, version), signers)));
}

async function intelBundle(intel: Awaited<ReturnType<typeof makeIntelWorld>>, day: Date): Promise<Uint8Array> {
  const [from, until] = [-1, 30].map((days) => new Date(day.getTime() + days * 86_400_000)) as [Date, Date]; // two in, two out
  const dates = { issueDate: from.toISOString().replace(/\.\d+/, ''), nextUpdate: until.toISOString().replace(/\.\d+/, '') };
  const [rootCrl, pckCrl] = await Promise.all([intel.root, intel.platform].map((issuer) => issueCrl({ issuer, from, until })));
  return makeBundle(intel, {
    info: tcbInfo(dates),
    identity: qeIdentity(dates),
    ...(rootCrl && { rootCrl }),
    ...(pckCrl && { pckCrl }),
  });
}

function row(type: CollateralType, key: string, bytes: Uint8Array, day: Date): CollateralRow {
  return { type, key, bytes, digest: parseDigest(sha256Hex(bytes)), issuedAt: day, importedAt: day };
}
