/** The attestation document inside (AWS Nitro Enclaves, attestation_process.md): from CBOR members to values, each checked by itself. */
import { readTopMap } from './cbor.ts';

/** What the Nitro Security Module can answer at most is 12288 bytes. */
export const MAX_DOCUMENT_BYTES = 16_384;
/** The specification says 1024 for each of these three, and genuine documents use it. */
const MAX_USER_BYTES = 1024;
const MAX_CERTIFICATE_BYTES = 1024;
/** Real ones have four or five. */
const MAX_BUNDLE = 8;
const MAX_PCR_INDEX = 31;
const PCR_BYTES = 48;
/** Milliseconds at the end of the year 9999. */
const MAX_TIMESTAMP_MS = 253_402_300_799_999;

export interface NitroDocument {
  readonly moduleId: string;
  readonly timestampMs: number;
  /** Every PCR that is locked; more than 16 occur. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  /** DER of the key that signed. */
  readonly certificate: Uint8Array;
  /** DER, from the root to the issuer of `certificate`. */
  readonly cabundle: readonly Uint8Array[];
  readonly publicKey: Uint8Array | null;
  readonly userData: Uint8Array | null;
  readonly nonce: Uint8Array | null;
}

export interface ReadDocument {
  /** What could be read. */
  readonly document: Partial<NitroDocument>;
  /** Members that are missing or not what they must be. */
  readonly wrong: readonly string[];
  readonly hasBundle: boolean;
  readonly isEndless: boolean;
}

/** Throws Malformed when it is no map at all. Members it does not know are signed like the others, and nothing here depends on them. */
export function readDocument(payload: Uint8Array): ReadDocument {
  const { members, isEndless } = readTopMap(payload);
  const wrong: string[] = [];
  const take = <T>(name: string, read: (value: unknown) => T | undefined): T | undefined => {
    const value = read(members.get(name));
    if (value === undefined) wrong.push(name);
    return value;
  };
  take('digest', (value) => (value === 'SHA384' ? value : undefined));
  const read = {
    moduleId: take('module_id', (value) => (typeof value === 'string' && value.length > 0 && value.length <= 256 ? value : undefined)),
    timestampMs: take('timestamp', asTimestamp),
    pcrs: take('pcrs', asPcrs),
    certificate: take('certificate', asCertificate),
    cabundle: take('cabundle', asBundle),
    publicKey: take('public_key', asOptionalBytes),
    userData: take('user_data', asOptionalBytes),
    nonce: take('nonce', asOptionalBytes),
  };
  const document = Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined)) as Partial<NitroDocument>; // by name
  return { document, wrong, hasBundle: !isNothing(members.get('cabundle')), isEndless };
}

function asTimestamp(value: unknown): number | undefined {
  return typeof value === 'number' && value > 0 && value <= MAX_TIMESTAMP_MS ? value : undefined;
}

/** PCR 0, 1 and 2 are in every document: without them nothing is said about the image. */
function asPcrs(value: unknown): ReadonlyMap<number, Uint8Array> | undefined {
  if (!(value instanceof Map)) return undefined;
  const pcrs = new Map<number, Uint8Array>();
  for (const [index, digest] of value) {
    if (typeof index !== 'number' || index < 0 || index > MAX_PCR_INDEX) return undefined;
    if (!(digest instanceof Uint8Array) || digest.length !== PCR_BYTES) return undefined;
    pcrs.set(index, digest);
  }
  return [0, 1, 2].every((index) => pcrs.has(index)) ? pcrs : undefined;
}

/** Whether it is one is asked where it is read. */
function asCertificate(value: unknown): Uint8Array | undefined {
  return value instanceof Uint8Array && value.length <= MAX_CERTIFICATE_BYTES ? value : undefined;
}

function asBundle(value: unknown): readonly Uint8Array[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_BUNDLE) return undefined;
  const certificates = value.map(asCertificate).filter((one) => one !== undefined);
  return certificates.length === value.length ? certificates : undefined;
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0);
}

/** Null and absent mean the same. */
function asOptionalBytes(value: unknown): Uint8Array | null | undefined {
  if (value === null || value === undefined) return null;
  return value instanceof Uint8Array && value.length <= MAX_USER_BYTES ? value : undefined;
}
