/**
 * The report of Azure's paravisor (HCL): a hardware report whose report data is the digest of a JSON text, and in that text the vTPM's
 * attestation key. The caller's nonce is in the vTPM quote, not in here. Layout: Azure's "confidential VM guest attestation" sample code.
 */
import type { KeyObject } from 'node:crypto';
import { createHash } from 'node:crypto';
import { equalBytes, sha256Hex, toHex } from '../../domain/bytes.ts';
import { keyOf, readJwk } from '../../domain/jwk.ts';
import { type JsonObject, parseStrictObject } from '../strict-json.ts';
import { Malformed } from './reader.ts';

/** Real ones are 2600 bytes. */
export const MAX_HCL_BYTES = 16_384;

const MAGIC = 'HCLA';
const REPORT_AT = 32;
const REPORT_AREA_BYTES = 1184;
const HEADER_AT = 1216;
const JSON_AT = 1236;
/** `igvm_hash_type`. */
const HASHES = new Map([
  [1, 'sha256'],
  [2, 'sha384'],
  [3, 'sha512'],
]);
/** By `report_type`: where REPORTDATA (64 bytes) stands in the report, and how long the report is. */
const REPORTS = new Map<number, { readonly tee: Tee; readonly dataAt: number; readonly bytes: number }>([
  [2, { tee: 'snp', dataAt: 0x50, bytes: 1184 }],
  [4, { tee: 'tdx', dataAt: 128, bytes: 1024 }],
]);
const REPORT_DATA_BYTES = 64;

export type Tee = 'snp' | 'tdx';

export interface HclReport {
  readonly tee: Tee;
  /** SEV-SNP report, or TDREPORT: the latter is believed only through a quote that carries the same report data. */
  readonly report: Uint8Array;
  readonly reportData: Uint8Array;
  /** True when `reportData` is the digest of the JSON text, followed by zeros. */
  readonly bindsRuntimeData: boolean;
  readonly runtimeDataSha256: string;
  readonly runtimeData: JsonObject;
  /** `kid` of its keys, in order. */
  readonly keyNames: readonly string[];
  readonly attestationKey: KeyObject | undefined;
}

/** Throws Malformed. */
export function parseHclReport(bytes: Uint8Array): HclReport {
  if (bytes.length < JSON_AT || bytes.length > MAX_HCL_BYTES) throw new Malformed('the HCL report is too short or too long');
  if (Buffer.from(bytes.subarray(0, 4)).toString('latin1') !== MAGIC) throw new Malformed('not an HCL report');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [type, hashType, length] = [8, 12, 16].map((offset) => view.getUint32(HEADER_AT + offset, true)) as [number, number, number];
  const layout = REPORTS.get(type);
  const hash = HASHES.get(hashType);
  if (layout === undefined || hash === undefined) throw new Malformed('a hardware report or hash the HCL report names is not known');
  if (length > bytes.length - JSON_AT) throw new Malformed('the HCL report ends too early');
  const text = bytes.slice(JSON_AT, JSON_AT + length);
  const runtimeData = parseStrictObject(text);
  if (typeof runtimeData === 'string') throw new Malformed(`the runtime data ${runtimeData}`);
  const report = bytes.slice(REPORT_AT, REPORT_AT + Math.min(layout.bytes, REPORT_AREA_BYTES));
  const reportData = report.slice(layout.dataAt, layout.dataAt + REPORT_DATA_BYTES);
  return {
    tee: layout.tee,
    report,
    reportData,
    bindsRuntimeData: equalBytes(reportData, padded(createHash(hash).update(text).digest())),
    runtimeDataSha256: sha256Hex(text),
    runtimeData,
    ...keysOf(runtimeData),
  };
}

/** The same report data in a hardware report that was verified. */
export function carriesSameReportData({ reportData }: HclReport, verified: unknown): boolean {
  return typeof verified === 'string' && verified === toHex(reportData);
}

function padded(digest: Uint8Array): Uint8Array {
  const data = new Uint8Array(REPORT_DATA_BYTES);
  data.set(digest);
  return data;
}

/** `HCLAkPub` once: of two, neither is meant. */
function keysOf({ keys }: JsonObject): Pick<HclReport, 'keyNames' | 'attestationKey'> {
  const listed = (Array.isArray(keys) ? (keys as unknown[]) : []).slice(0, 16).filter(isObject);
  const keyNames = listed.flatMap(({ kid }) => (typeof kid === 'string' ? kid : []));
  const [found, ...more] = listed.filter(({ kid }) => kid === 'HCLAkPub');
  const jwk = found === undefined || more.length > 0 ? undefined : readJwk(withoutOperations(found));
  return { keyNames, attestationKey: jwk && keyOf(jwk) };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Azure says `key_ops: ["sign"]` of a public key: its other half signs. */
function withoutOperations(key: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(key).filter(([name]) => name !== 'key_ops'));
}
