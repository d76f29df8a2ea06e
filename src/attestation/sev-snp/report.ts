/** ATTESTATION_REPORT of the SEV-SNP firmware (AMD 56860, section 7.3, table "ATTESTATION_REPORT Structure"). Little-endian. */
import { Malformed } from '../x509/der.ts';

export const REPORT_BYTES = 1184;
/** 0x2A0: what the signature covers ends here. */
const SIGNED_BYTES = 672;
/** r and s are 72 bytes each, least significant first; a P-384 value fills 48. */
const PART_BYTES = 72;
const P384_BYTES = 48;
/** Order of the curve (SEC 2, section 2.5.1), as wide as r and s are here. */
const P384_ORDER = Buffer.from(
  `${'00'.repeat(PART_BYTES - P384_BYTES)}${'ff'.repeat(24)}c7634d81f4372ddf581a0db248b0a77aecec196accc52973`,
  'hex',
);

/** 56860 rev. 1.55 to 1.58; 4 is laid out as 3. Others have fields that nobody here knows. */
const VERSIONS = [2, 3, 4, 5];
export const ECDSA_P384_SHA384 = 1;

/** Which key signed: bits 2 to 4 of the word at 0x48. */
export type SigningKey = 'VCEK' | 'VLEK' | 'none' | 'reserved';
const SIGNING_KEYS: Readonly<Record<number, SigningKey>> = { 0: 'VCEK', 1: 'VLEK', 7: 'none' };

export interface Cpuid {
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
}

export interface SnpReport {
  readonly version: number;
  readonly guestSvn: number;
  readonly policy: bigint;
  readonly familyId: Uint8Array;
  readonly imageId: Uint8Array;
  readonly vmpl: number;
  readonly signatureAlgorithm: number;
  readonly currentTcb: Uint8Array;
  readonly platformInfo: bigint;
  readonly authorKeyEnabled: boolean;
  readonly chipKeyMasked: boolean;
  readonly signingKey: SigningKey;
  readonly reportData: Uint8Array;
  readonly measurement: Uint8Array;
  readonly hostData: Uint8Array;
  readonly idKeyDigest: Uint8Array;
  readonly authorKeyDigest: Uint8Array;
  readonly reportId: Uint8Array;
  readonly reportIdMa: Uint8Array;
  readonly reportedTcb: Uint8Array;
  /** From version 3 on. */
  readonly cpuid: Cpuid | undefined;
  readonly chipId: Uint8Array;
  readonly committedTcb: Uint8Array;
  readonly launchTcb: Uint8Array;
  /** Firmware as major.minor.build. */
  readonly currentVersion: string;
  readonly committedVersion: string;
  readonly signed: Uint8Array;
  /** Big-endian, 48 bytes. */
  readonly signature: { readonly r: Uint8Array; readonly s: Uint8Array };
  /** Both are numbers from 1 to the order of the curve less 1, as ECDSA has it; so the upper 24 bytes are zero. */
  readonly signatureFits: boolean;
  /** So are the 368 bytes behind s. Nobody signs them: anything else would be a second report with the same content. */
  readonly signatureRestIsZero: boolean;
}

/** At least 1184 bytes, of which the first are read: whether it is as long as a report, `reportFaults` says. */
export function readReport(bytes: Uint8Array): SnpReport {
  if (bytes.length < REPORT_BYTES) throw new Malformed(`${bytes.length} bytes where a report has ${REPORT_BYTES}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, REPORT_BYTES);
  const take = (from: number, length: number) => bytes.slice(from, from + length);
  const u32 = (at: number) => view.getUint32(at, true);
  const version = u32(0);
  const keys = u32(0x48);
  const release = (at: number) => `${view.getUint8(at + 2)}.${view.getUint8(at + 1)}.${view.getUint8(at)}`;
  return {
    version,
    guestSvn: u32(4),
    policy: view.getBigUint64(8, true),
    familyId: take(0x10, 16),
    imageId: take(0x20, 16),
    vmpl: u32(0x30),
    signatureAlgorithm: u32(0x34),
    currentTcb: take(0x38, 8),
    platformInfo: view.getBigUint64(0x40, true),
    authorKeyEnabled: (keys & 1) !== 0,
    chipKeyMasked: (keys & 2) !== 0,
    signingKey: SIGNING_KEYS[(keys >>> 2) & 7] ?? 'reserved',
    reportData: take(0x50, 64),
    measurement: take(0x90, 48),
    hostData: take(0xc0, 32),
    idKeyDigest: take(0xe0, 48),
    authorKeyDigest: take(0x110, 48),
    reportId: take(0x140, 32),
    reportIdMa: take(0x160, 32),
    reportedTcb: take(0x180, 8),
    cpuid: version < 3 ? undefined : { family: view.getUint8(0x188), model: view.getUint8(0x189), stepping: view.getUint8(0x18a) },
    chipId: take(0x1a0, 64),
    committedTcb: take(0x1e0, 8),
    launchTcb: take(0x1f0, 8),
    currentVersion: release(0x1e8),
    committedVersion: release(0x1ec),
    signed: take(0, SIGNED_BYTES),
    signature: { r: take(SIGNED_BYTES, P384_BYTES).reverse(), s: take(SIGNED_BYTES + PART_BYTES, P384_BYTES).reverse() },
    signatureFits: [SIGNED_BYTES, SIGNED_BYTES + PART_BYTES].every((at) => isPart(take(at, PART_BYTES).reverse())),
    signatureRestIsZero: isZero(bytes.subarray(SIGNED_BYTES + 2 * PART_BYTES, REPORT_BYTES)),
  };
}

/** Big-endian. Fixed width makes the order of bytes the order of numbers. */
function isPart(part: Uint8Array): boolean {
  return !isZero(part) && Buffer.compare(part, P384_ORDER) < 0;
}

/** Guest policy (56860, table "Guest Policy Structure"). */
export const POLICY = {
  smt: 1n << 16n,
  alwaysOne: 1n << 17n,
  migrationAgent: 1n << 18n,
  debug: 1n << 19n,
  singleSocket: 1n << 20n,
} as const;

export function policyHas(report: SnpReport, bit: bigint): boolean {
  return (report.policy & bit) !== 0n;
}

/** What no firmware writes: another length or version, reserved bytes that are not zero. In words. */
export function reportFaults(bytes: Uint8Array, report: SnpReport): readonly string[] {
  const reserved: ReadonlyArray<readonly [number, number]> = [
    [0x4c, 0x50],
    [report.version < 3 ? 0x188 : 0x18b, 0x1a0],
    [0x1eb, 0x1ec],
    [0x1ef, 0x1f0],
    [0x208, SIGNED_BYTES],
    [SIGNED_BYTES + 2 * PART_BYTES, REPORT_BYTES],
  ];
  const keysReserved = (bytes[0x48] ?? 0) > 0x1f || !isZero(bytes.subarray(0x49, 0x4c));
  return [
    ...(bytes.length === REPORT_BYTES ? [] : [`${bytes.length} bytes where a report has ${REPORT_BYTES}`]),
    ...(VERSIONS.includes(report.version) ? [] : [`version ${report.version}`]),
    ...(policyHas(report, POLICY.alwaysOne) ? [] : ['policy bit 17 is not set']),
    ...(keysReserved || report.signingKey === 'reserved' ? ['an unknown signing key'] : []),
    ...reserved.filter(([from, to]) => !isZero(bytes.subarray(from, to))).map(([from]) => `reserved bytes at ${from} are not zero`),
  ];
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
