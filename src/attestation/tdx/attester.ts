/** Attester of kind `tdx`: asks the quoting enclave for a quote through configfs-tsm, and takes the firmware's event log along. */
import { readFile } from 'node:fs/promises';
import { toBase64, toHex } from '../../domain/bytes.ts';
import { teeReportData } from '../../domain/evidence.ts';
import type { Attester, CapturedState } from '../port.ts';
import { readTsmReport, type TsmOptions } from '../tsm/report.ts';
import { MAX_LOG_BYTES, type TdxBody } from './evidence.ts';
import { readQuotedReport, readQuoteSignature, withoutPadding } from './quote.ts';

export const EVENT_LOG_FILE = '/sys/firmware/acpi/tables/data/CCEL';

export interface TdxAttesterOptions extends TsmOptions {
  /** Default: where Linux shows the ACPI table CCEL. A guest without one attests without a log. */
  readonly eventLogFile?: string;
}

export interface TdxAttester extends Attester {
  readonly kind: 'tdx';
  attest(binding: Uint8Array): Promise<TdxBody>;
  capture(binding: Uint8Array): Promise<CapturedState>;
}

export function createTdxAttester({ eventLogFile = EVENT_LOG_FILE, ...options }: TdxAttesterOptions = {}): TdxAttester {
  return {
    kind: 'tdx',
    attest: async (binding) => {
      const output = await quoteOf(binding, options);
      const log = await readEventLog(eventLogFile);
      return { quote: toBase64(withoutPadding(output)), ...(log !== undefined && { eventLog: toBase64(log) }) };
    },
    capture: async (binding) => stateOf(await quoteOf(binding, options)),
  };
}

/** Whole: its lengths say where it ends, and the kernel's buffer may be shorter. */
async function quoteOf(binding: Uint8Array, options: TsmOptions): Promise<Uint8Array> {
  const { output } = await readTsmReport(teeReportData(binding), 'tdx_guest', options);
  try {
    readQuoteSignature(output, readQuotedReport(output));
  } catch (cause) {
    throw new Error('the kernel gave no whole quote', { cause });
  }
  return output;
}

/** All that was measured before the application, which register 3 is for: it may extend that differently each time. */
function stateOf(quote: Uint8Array): CapturedState {
  const { mrTd, rtmr } = readQuotedReport(quote).report;
  const registers = rtmr.slice(0, 3).map((value, at) => [`rtmr${at}`, [toHex(value)]] as const);
  return { kind: 'tdx', claims: { mrtd: [toHex(mrTd)], ...Object.fromEntries(registers) } };
}

/** Undefined when there is none, or one that is larger than the vault takes: the quote says the same without it. */
async function readEventLog(file: string): Promise<Uint8Array | undefined> {
  try {
    const bytes = new Uint8Array(await readFile(file));
    return bytes.length === 0 || bytes.length > MAX_LOG_BYTES ? undefined : bytes;
  } catch (error) {
    if (typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
