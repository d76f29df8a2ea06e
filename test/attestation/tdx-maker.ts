/** TDX quotes and Intel-shaped collateral from keys of our own: any platform, any level, any date. */
import 'reflect-metadata';
import { createHash, generateKeyPairSync, KeyObject, sign, type webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { ExaminationInputs } from '../../src/attestation/examination.ts';
import { issueCrl } from './crl-maker.ts';
import { pemOf } from './snp-maker.ts';
import { ca, type Issued, issue, keyUsage, notCa } from './test-ca.ts';

export const NOW = new Date('2026-01-15T00:00:00Z');
export const FMSPC = '90c06f000000';
const SGX = '1.2.840.113741.1.13.1';
const { keyCertSign, cRLSign, digitalSignature } = x509.KeyUsageFlags;

const tlv = (tag: number, ...parts: readonly Uint8Array[]): Uint8Array => {
  const contents = Buffer.concat(parts);
  const length = contents.length < 128 ? [contents.length] : [0x82, contents.length >> 8, contents.length & 0xff];
  return Uint8Array.of(tag, ...length, ...contents);
};
const member = (oid: string, value: Uint8Array) => tlv(0x30, oidOf(oid), value);
const integer = (value: number) => tlv(2, value < 128 ? Uint8Array.of(value) : Uint8Array.of(0, value));
function oidOf(text: string): Uint8Array {
  const [a = 0, b = 0, ...rest] = text.split('.').map(Number);
  const arc = (value: number): number[] =>
    value < 128 ? [value] : [...arc(Math.floor(value / 128)).map((byte) => byte | 0x80), value % 128];
  return tlv(6, Uint8Array.from([a * 40 + b, ...rest.flatMap(arc)]));
}

export interface PckWishes {
  readonly components?: readonly number[];
  readonly pceSvn?: number;
  readonly fmspc?: string;
  readonly notAfter?: Date;
}

export function sgxExtension({ components = Array<number>(16).fill(5), pceSvn = 13, fmspc = FMSPC }: PckWishes = {}): x509.Extension {
  const tcb = [...components.map((svn, at) => member(`${SGX}.2.${at + 1}`, integer(svn))), member(`${SGX}.2.17`, integer(pceSvn))];
  const value = tlv(
    0x30,
    member(`${SGX}.1`, tlv(4, new Uint8Array(16).fill(0xaa))),
    member(`${SGX}.2`, tlv(0x30, ...tcb, member(`${SGX}.2.18`, tlv(4, Uint8Array.from(components))))),
    member(`${SGX}.3`, tlv(4, new Uint8Array(2))),
    member(`${SGX}.4`, tlv(4, Buffer.from(fmspc, 'hex'))),
  );
  return new x509.Extension(SGX, false, value);
}

const authority = [ca(), keyUsage(keyCertSign | cRLSign)];

/** Root, both authorities, and who signs TCB information. */
export interface IntelWorld {
  readonly root: Issued;
  readonly platform: Issued;
  readonly processor: Issued;
  readonly signer: Issued;
}

export async function makeIntelWorld(): Promise<IntelWorld> {
  const root = await issue({ name: 'Intel SGX Root CA', extensions: authority });
  const [platform, processor, signer] = await Promise.all([
    issue({ name: 'Intel SGX PCK Platform CA', issuer: root, extensions: authority }),
    issue({ name: 'Intel SGX PCK Processor CA', issuer: root, extensions: authority }),
    issue({ name: 'Intel SGX TCB Signing', issuer: root, extensions: [notCa, keyUsage(digitalSignature)] }),
  ]);
  return { root, platform, processor, signer };
}

export const level = (status: string, sgx: number, tdx: number, rest: object = {}) => ({
  tcb: {
    sgxtcbcomponents: Array.from({ length: 16 }, () => ({ svn: sgx })),
    pcesvn: 13,
    tdxtcbcomponents: Array.from({ length: 16 }, (_, at) => ({ svn: at === 0 || at === 2 ? tdx : 0 })),
  },
  tcbDate: '2025-01-01T00:00:00Z',
  tcbStatus: status,
  ...rest,
});

const MODULE = { mrsigner: '00'.repeat(48), attributes: '00'.repeat(8), attributesMask: 'FF'.repeat(8) };
const isv = (status: string, isvsvn: number, rest: object = {}) => ({
  tcb: { isvsvn },
  tcbDate: '2025-01-01T00:00:00Z',
  tcbStatus: status,
  ...rest,
});

export { isv as isvLevel };

export const tcbInfo = (change: object = {}) => ({
  id: 'TDX',
  version: 3,
  issueDate: '2026-01-01T00:00:00Z',
  nextUpdate: '2026-02-01T00:00:00Z',
  fmspc: FMSPC.toUpperCase(),
  pceId: '0000',
  tcbType: 0,
  tcbEvaluationDataNumber: 18,
  tdxModule: MODULE,
  tdxModuleIdentities: [{ id: 'TDX_01', ...MODULE, tcbLevels: [isv('UpToDate', 5), isv('OutOfDate', 2, { advisoryIDs: ['INTEL-SA-2'] })] }],
  tcbLevels: [level('UpToDate', 5, 5), level('OutOfDate', 3, 3, { advisoryIDs: ['INTEL-SA-1'] })],
  ...change,
});

export const qeIdentity = (change: object = {}) => ({
  id: 'TD_QE',
  version: 2,
  issueDate: '2026-01-01T00:00:00Z',
  nextUpdate: '2026-02-01T00:00:00Z',
  tcbEvaluationDataNumber: 18,
  miscselect: '00000000',
  miscselectMask: 'FFFFFFFF',
  attributes: '11000000000000000000000000000000',
  attributesMask: 'FBFFFFFFFFFFFFFF0000000000000000',
  mrsigner: 'DC'.repeat(32),
  isvprodid: 2,
  tcbLevels: [isv('UpToDate', 4), isv('OutOfDate', 1)],
  ...change,
});

export interface BundleWishes {
  readonly info?: object;
  readonly identity?: object;
  readonly signer?: Issued;
  readonly rootCrl?: Uint8Array;
  readonly pckCrl?: Uint8Array;
  /** Over the finished members, signatures included. */
  readonly change?: Readonly<Record<string, unknown>>;
}

const raw = (data: Uint8Array, key: webcrypto.CryptoKey) => sign('sha256', data, { key: KeyObject.from(key), dsaEncoding: 'ieee-p1363' });

export async function makeBundle(world: IntelWorld, wishes: BundleWishes = {}): Promise<Uint8Array> {
  const signer = wishes.signer ?? world.signer;
  const [info, identity] = [JSON.stringify(wishes.info ?? tcbInfo()), JSON.stringify(wishes.identity ?? qeIdentity())];
  const signed = (text: string) => raw(Buffer.from(text), signer.keys.privateKey).toString('hex');
  const chain = Buffer.from(pemOf([signer.der, world.root.der])).toString('latin1');
  const bundle = {
    tcb_info: info,
    tcb_info_signature: signed(info),
    tcb_info_issuer_chain: chain,
    qe_identity: identity,
    qe_identity_signature: signed(identity),
    qe_identity_issuer_chain: chain,
    root_ca_crl: Buffer.from(wishes.rootCrl ?? (await issueCrl({ issuer: world.root }))).toString('hex'),
    pck_crl: Buffer.from(wishes.pckCrl ?? (await issueCrl({ issuer: world.platform }))).toString('hex'),
    pck_crl_issuer_chain: Buffer.from(pemOf([world.platform.der, world.root.der])).toString('latin1'),
    ...wishes.change,
  };
  return new Uint8Array(Buffer.from(JSON.stringify(bundle)));
}

export interface QuoteWishes {
  readonly version?: 4 | 5;
  readonly bodyType?: 2 | 3;
  readonly teeTcbSvn?: readonly number[];
  readonly tdAttributes?: readonly number[];
  readonly reportData?: Uint8Array;
  readonly rtmr?: readonly Uint8Array[];
  /** Offset in the body: bytes. */
  readonly body?: Readonly<Record<number, readonly number[]>>;
  /** Offset in the QE report: bytes, before it is signed. */
  readonly qe?: Readonly<Record<number, readonly number[]>>;
  /** The PCK chain, leaf first. */
  readonly chain?: readonly Uint8Array[];
  readonly authenticationData?: Uint8Array;
  readonly trailing?: Uint8Array;
}

const u16 = (value: number) => Uint8Array.of(value & 0xff, value >> 8);
const u32 = (value: number) => Uint8Array.of(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24);

export function makeQuote(world: IntelWorld, pck: Issued, wishes: QuoteWishes = {}): Uint8Array {
  const version = wishes.version ?? 4;
  const type = wishes.bodyType ?? 2;
  const body = new Uint8Array(type === 3 ? 648 : 584);
  body.set(wishes.teeTcbSvn ?? [5, 1, 5], 0);
  body.set(wishes.tdAttributes ?? [0, 0, 0, 0x10], 120);
  body.fill(0xcd, 136, 184);
  for (const [at, value] of (wishes.rtmr ?? []).entries()) body.set(value, 328 + at * 48);
  body.set(wishes.reportData ?? new Uint8Array(64).fill(7), 520);
  for (const [at, bytes] of Object.entries(wishes.body ?? {})) body.set(bytes, Number(at));
  const header = Buffer.concat([
    u16(version),
    u16(2),
    u32(0x81),
    new Uint8Array(4),
    Buffer.from('939a7233f79c4ca9940a0db3957f0607', 'hex'),
    new Uint8Array(20),
  ]);
  const signed = Buffer.concat([header, ...(version === 5 ? [u16(type), u32(body.length)] : []), body]);

  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const attestationKey = Buffer.concat([Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
  const authenticationData = wishes.authenticationData ?? new Uint8Array(32).fill(3);
  const qe = new Uint8Array(384);
  qe.set([0x11], 48);
  qe.fill(0xdc, 128, 160);
  qe.set([2, 0, 4, 0], 256);
  qe.set(createHash('sha256').update(attestationKey).update(authenticationData).digest(), 320);
  for (const [at, bytes] of Object.entries(wishes.qe ?? {})) qe.set(bytes, Number(at));

  const pem = pemOf(wishes.chain ?? [pck.der, world.platform.der, world.root.der]);
  const certification = Buffer.concat([
    qe,
    raw(qe, pck.keys.privateKey),
    u16(authenticationData.length),
    authenticationData,
    u16(5),
    u32(pem.length),
    pem,
  ]);
  const section = Buffer.concat([
    sign('sha256', signed, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
    attestationKey,
    u16(6),
    u32(certification.length),
    certification,
  ]);
  return new Uint8Array(Buffer.concat([signed, u32(section.length), section, wishes.trailing ?? new Uint8Array(0)]));
}

export function makePck(world: IntelWorld, wishes: PckWishes = {}, issuer = world.platform): Promise<Issued> {
  const { notAfter } = wishes;
  return issue({ name: 'Intel SGX PCK Certificate', issuer, extensions: [notCa, sgxExtension(wishes)], ...(notAfter && { notAfter }) });
}

export function tdxInputs(world: IntelWorld, evidence: Uint8Array, collateral: Uint8Array | undefined): ExaminationInputs {
  return {
    evidence,
    companions: collateral === undefined ? {} : { collateral },
    parameters: {},
    roots: [{ name: 'intel-sgx-root-ca', vendor: 'intel', certificate: world.root.der }],
    now: NOW,
  };
}
