/**
 * A GPU's or NVSwitch's report: the SPDM 1.1 request GET_MEASUREMENTS and its response MEASUREMENTS, one behind the other
 * (DMTF DSP0274 1.1.x, 10.11). Little-endian, nothing skipped.
 */
import { Malformed } from '../x509/der.ts';

/** 64 measurements and the longest opaque data seen make 4.3 KiB. */
export const MAX_REPORT_BYTES = 32_768;
const SPDM_1_1 = 0x11;
const GET_MEASUREMENTS = 0xe0;
const MEASUREMENTS = 0x60;
/** Param1 of the request: the response is signed. Without it nothing is. */
const SIGNATURE_REQUESTED = 0x01;
const DMTF_SPECIFICATION = 0x01;
const NONCE_BYTES = 32;
/** r and s of P-384. */
export const SIGNATURE_BYTES = 96;

export interface NvidiaReport {
  /** Of the request: what the relying party sent. */
  readonly nonce: Uint8Array;
  /** By index, from 1. */
  readonly measurements: ReadonlyMap<number, Uint8Array>;
  /** By type (opaque.ts). */
  readonly opaque: ReadonlyMap<number, Uint8Array>;
  /** Request and response up to the signature. */
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
  readonly trailingBytes: number;
  /** What no device writes, although it can be read. In words. */
  readonly faults: readonly string[];
  /** What follows the signature is zeros: the buffer it came in. */
  readonly isOnlyPadded: boolean;
}

/** Throws Malformed. */
export function readReport(bytes: Uint8Array): NvidiaReport {
  if (bytes.length > MAX_REPORT_BYTES) throw new Malformed(`longer than ${MAX_REPORT_BYTES} bytes`);
  const reader = new Reader(bytes);
  const faults: string[] = [];
  const nonce = readRequest(reader, faults);
  const record = readResponseHead(reader, faults);
  const measurements = readMeasurements(reader.take(record.bytes), record.blocks, faults);
  reader.take(NONCE_BYTES); // of the responder: makes each signature another one
  const opaque = readOpaque(reader.take(reader.number(2)), faults);
  const signed = bytes.slice(0, reader.at);
  const signature = reader.take(SIGNATURE_BYTES);
  const trailing = bytes.subarray(reader.at);
  return {
    nonce,
    measurements,
    opaque,
    signed,
    signature,
    trailingBytes: trailing.length,
    faults,
    isOnlyPadded: trailing.every((byte) => byte === 0),
  };
}

/** The nonce. Param2, which measurements, is signed like the rest: fewer of them match fewer reference values. */
function readRequest(reader: Reader, faults: string[]): Uint8Array {
  const [version, code, attributes] = reader.take(4);
  if (version !== SPDM_1_1 || code !== GET_MEASUREMENTS || ((attributes ?? 0) & SIGNATURE_REQUESTED) === 0) {
    faults.push('not an SPDM 1.1 request for signed measurements');
  }
  const nonce = reader.take(NONCE_BYTES);
  reader.take(1); // slot of the certificate chain
  return nonce;
}

function readResponseHead(reader: Reader, faults: string[]): { blocks: number; bytes: number } {
  const [version, code] = reader.take(4);
  if (version !== SPDM_1_1 || code !== MEASUREMENTS) faults.push('not an SPDM 1.1 response with measurements');
  return { blocks: reader.number(1), bytes: reader.number(3) };
}

function readMeasurements(record: Uint8Array, blocks: number, faults: string[]): ReadonlyMap<number, Uint8Array> {
  const reader = new Reader(record);
  const measurements = new Map<number, Uint8Array>();
  for (let block = 0; block < blocks; block++) {
    const index = reader.number(1);
    if (reader.number(1) !== DMTF_SPECIFICATION) faults.push('a measurement that is not of the DMTF form');
    const size = reader.number(2);
    reader.take(1); // type: digest or raw, and of what
    const length = reader.number(2);
    if (length + 3 !== size) throw new Malformed('a measurement with two sizes');
    if (index === 0 || measurements.has(index)) faults.push('a measurement without an index of its own');
    measurements.set(index, reader.take(length));
  }
  if (reader.at !== record.length) faults.push('bytes behind the last measurement');
  if (measurements.size === 0) faults.push('no measurements');
  return measurements;
}

/** Type, size, value, as NVIDIA's firmware writes them. A field that comes twice would be read as one and shown as another. */
function readOpaque(bytes: Uint8Array, faults: string[]): ReadonlyMap<number, Uint8Array> {
  const reader = new Reader(bytes);
  const fields = new Map<number, Uint8Array>();
  while (reader.at < bytes.length) {
    const type = reader.number(2);
    if (fields.has(type)) faults.push('an opaque field twice');
    fields.set(type, reader.take(reader.number(2)));
  }
  return fields;
}

class Reader {
  readonly #bytes: Uint8Array;
  at = 0;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  /** A copy, so that what was verified cannot change with the caller's buffer. */
  take(length: number): Uint8Array {
    const from = this.at;
    if (from + length > this.#bytes.length) throw new Malformed('it ends too early');
    this.at = from + length;
    return this.#bytes.slice(from, this.at);
  }
  number(bytes: 1 | 2 | 3): number {
    return this.take(bytes).reduceRight((sum, byte) => sum * 256 + byte, 0);
  }
}
