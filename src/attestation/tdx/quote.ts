/** A TDX quote, version 4 or 5 (Intel TDX DCAP Quoting Library API, appendix A.3 and A.4; SGX types from the ECDSA quote library). Little-endian. */
import { equalBytes } from '../../domain/bytes.ts';
import { Malformed, orUndefined } from '../x509/der.ts';

/** Real ones have 5 KiB, buffers around them 8 KiB. */
export const MAX_QUOTE_BYTES = 65_536;

const TEE_TDX = 0x81;
const ECDSA_P256 = 2;
/** Only Intel's quoting enclave is known here. */
const INTEL_QE = Buffer.from('939a7233f79c4ca9940a0db3957f0607', 'hex');
const BODY_BYTES: Readonly<Record<number, number>> = { 2: 584, 3: 648 };
/** Certification data: the QE report with its own certification data, and in there the PCK chain as PEM. */
const QE_REPORT_CERTIFICATION = 6;
const PCK_CHAIN = 5;
const QE_REPORT_BYTES = 384;

export interface TdReport {
  /** 2: TD 1.0, 3: TD 1.5. */
  readonly type: number;
  readonly teeTcbSvn: Uint8Array;
  readonly mrSeam: Uint8Array;
  readonly mrSignerSeam: Uint8Array;
  readonly seamAttributes: Uint8Array;
  readonly tdAttributes: Uint8Array;
  readonly xfam: Uint8Array;
  readonly mrTd: Uint8Array;
  readonly mrConfigId: Uint8Array;
  readonly mrOwner: Uint8Array;
  readonly mrOwnerConfig: Uint8Array;
  readonly rtmr: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  readonly reportData: Uint8Array;
  /** TD 1.5 only. */
  readonly teeTcbSvn2: Uint8Array | undefined;
  readonly mrServiceTd: Uint8Array | undefined;
}

/** Header and body: what can be read even when what follows is broken. */
export interface QuotedReport {
  readonly version: number;
  readonly report: TdReport;
  /** Header and body as they stand in the quote. */
  readonly signed: Uint8Array;
  /** By Intel's quoting enclave with ECDSA P-256: the only header that is known here. */
  readonly isKnown: boolean;
}

export interface QuoteSignature {
  readonly signature: Uint8Array;
  /** x and y. */
  readonly attestationKey: Uint8Array;
  readonly qeReport: Uint8Array;
  readonly qeReportSignature: Uint8Array;
  readonly authenticationData: Uint8Array;
  /** PEM; zeros behind it are cut off. */
  readonly pckChain: Uint8Array;
  /** Bytes behind the quote, and whether all are zero: a buffer that is larger than the quote. */
  readonly trailing: { readonly length: number; readonly isZero: boolean };
}

/** Throws Malformed. */
export function readQuotedReport(bytes: Uint8Array): QuotedReport {
  if (bytes.length > MAX_QUOTE_BYTES) throw new Malformed(`longer than ${MAX_QUOTE_BYTES} bytes`);
  const reader = new Reader(bytes);
  const version = reader.u16();
  if (version !== 4 && version !== 5) throw new Malformed(`version ${version}`);
  const keyType = reader.u16();
  if (reader.u32() !== TEE_TDX) throw new Malformed('not a TDX quote');
  reader.take(4); // reserved; signed, and of no meaning here
  const isKnown = equalBytes(reader.take(16), INTEL_QE) && keyType === ECDSA_P256;
  reader.take(20);
  const type = version === 4 ? 2 : reader.u16();
  const size = version === 4 ? BODY_BYTES[2] : reader.u32();
  if (size === undefined || BODY_BYTES[type] !== size) throw new Malformed(`a body of type ${type} and ${size} bytes`);
  const report = readReport(reader, type);
  return { version, report, signed: bytes.slice(0, reader.at), isKnown };
}

function readReport(reader: Reader, type: number): TdReport {
  const digest = () => reader.take(48);
  return {
    type,
    teeTcbSvn: reader.take(16),
    mrSeam: digest(),
    mrSignerSeam: digest(),
    seamAttributes: reader.take(8),
    tdAttributes: reader.take(8),
    xfam: reader.take(8),
    mrTd: digest(),
    mrConfigId: digest(),
    mrOwner: digest(),
    mrOwnerConfig: digest(),
    rtmr: [digest(), digest(), digest(), digest()],
    reportData: reader.take(64),
    teeTcbSvn2: type === 3 ? reader.take(16) : undefined,
    mrServiceTd: type === 3 ? digest() : undefined,
  };
}

/** What follows the signature section, as the quote says where that ends. Throws Malformed when it ends nowhere. */
export function readTrailing(bytes: Uint8Array, { signed }: QuotedReport): QuoteSignature['trailing'] {
  const file = new Reader(bytes, signed.length);
  file.take(file.u32());
  const rest = bytes.subarray(file.at);
  return { length: rest.length, isZero: rest.every((byte) => byte === 0) };
}

/** A quote as a kernel's buffer of fixed size hands it over, without the zeros behind it. Bytes that are no quote stay as they are. */
export function withoutPadding(bytes: Uint8Array): Uint8Array {
  const trailing = orUndefined(() => readTrailing(bytes, readQuotedReport(bytes)));
  return trailing?.isZero ? bytes.subarray(0, bytes.length - trailing.length) : bytes;
}

/** Every length must say exactly what is there. Throws Malformed. */
export function readQuoteSignature(bytes: Uint8Array, quoted: QuotedReport): QuoteSignature {
  const file = new Reader(bytes, quoted.signed.length);
  const section = new Reader(file.take(file.u32()));
  const signature = section.take(64);
  const attestationKey = section.take(64);
  const qe = section.certification(QE_REPORT_CERTIFICATION);
  section.end();
  const qeReport = qe.take(QE_REPORT_BYTES);
  const qeReportSignature = qe.take(64);
  const authenticationData = qe.take(qe.u16());
  const chain = qe.certification(PCK_CHAIN);
  qe.end();
  return {
    signature,
    attestationKey,
    qeReport,
    qeReportSignature,
    authenticationData,
    pckChain: withoutTrailingZeros(chain.rest()),
    trailing: readTrailing(bytes, quoted),
  };
}

function withoutTrailingZeros(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.findLastIndex((byte) => byte !== 0) + 1);
}

export interface QeReport {
  readonly miscSelect: Uint8Array;
  readonly attributes: Uint8Array;
  readonly mrSigner: Uint8Array;
  readonly isvProdId: number;
  readonly isvSvn: number;
  readonly reportData: Uint8Array;
}

/** sgx_report_body_t. */
export function readQeReport(bytes: Uint8Array): QeReport {
  const view = new DataView(bytes.buffer, bytes.byteOffset, QE_REPORT_BYTES);
  return {
    miscSelect: bytes.slice(16, 20),
    attributes: bytes.slice(48, 64),
    mrSigner: bytes.slice(128, 160),
    isvProdId: view.getUint16(256, true),
    isvSvn: view.getUint16(258, true),
    reportData: bytes.slice(320, 384),
  };
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at: number;
  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
  }
  u16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }
  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }
  take(length: number): Uint8Array {
    const from = this.#advance(length);
    return this.#bytes.slice(from, from + length);
  }
  rest(): Uint8Array {
    return this.take(this.#bytes.length - this.at);
  }
  certification(type: number): Reader {
    const found = this.u16();
    if (found !== type) throw new Malformed(`certification data of type ${found} where ${type} is known`);
    return new Reader(this.take(this.u32()));
  }
  end(): void {
    if (this.at !== this.#bytes.length) throw new Malformed('a length that leaves bytes over');
  }
  #advance(length: number): number {
    const from = this.at;
    if (from + length > this.#bytes.length) throw new Malformed('it ends too early');
    this.at = from + length;
    return from;
  }
}
