/** TPMS_ATTEST of type quote (TPM 2.0 Library part 2, 10.12): what the TPM signed. */
import { createHash } from 'node:crypto';
import { fromHex, toHex } from '../../domain/bytes.ts';
import type { PcrBanks } from '../../domain/evidence.ts';
import { BANK_BYTES, type BankName, bankName, type SignedHash } from './algorithms.ts';
import { Malformed, readWhole, TpmReader } from './reader.ts';

/** A quote over three banks is about 200 bytes. */
export const MAX_QUOTE_BYTES = 1024;
/** A PC client TPM has PCRs 0 to 23. */
export const PCR_COUNT = 24;

/** TPM_GENERATED_VALUE. Only a restricted key refuses to sign foreign bytes that start so: check the key as well. */
const MAGIC = 0xff544347;
const TYPE_QUOTE = 0x8018;

export interface PcrSelection {
  readonly bank: BankName;
  /** Ascending. */
  readonly indexes: readonly number[];
}

/** What a TPM states of itself in every TPMS_ATTEST, whatever it attests. */
export interface Statement {
  /** Name of the signing key, qualified by its parents: the TPM's own word, not compared with anything. */
  readonly qualifiedSigner: string;
  readonly extraData: Uint8Array;
  /** Milliseconds the TPM has been powered since it was last cleared. */
  readonly clock: bigint;
  readonly resetCount: number;
  readonly restartCount: number;
  /** False when `clock` may have been reported before (power was lost before it was written). */
  readonly safe: boolean;
  /** Vendor's number, 16 hex digits. */
  readonly firmwareVersion: string;
}

export interface Quote extends Statement {
  /** The signed bytes. */
  readonly bytes: Uint8Array;
  /** In the order of the quote, which is the order they are hashed in. */
  readonly selection: readonly PcrSelection[];
  readonly pcrDigest: Uint8Array;
}

/** What the first six bytes say the structure is. A TPM signs other statements with the same key, and nothing of its own without the magic. */
export function attestKind(bytes: Uint8Array): 'quote' | 'not_a_quote' | 'bad_magic' {
  const [magic, type] = [readNumber(bytes, 0, 4), readNumber(bytes, 4, 2)];
  if (magic !== MAGIC) return 'bad_magic';
  return type === TYPE_QUOTE ? 'quote' : 'not_a_quote';
}

/** Parses a whole TPMS_ATTEST. Throws Malformed, also for any type but a quote. */
export function parseQuote(bytes: Uint8Array): Quote {
  const kind = attestKind(bytes);
  if (kind === 'bad_magic') throw new Malformed('TPMS_ATTEST: not made by a TPM (magic)');
  if (kind !== 'quote') throw new Malformed('TPMS_ATTEST: not a quote');
  return parseAsQuote(bytes);
}

/** As if the first six bytes were a quote's: to show people what else is there. Throws Malformed. */
export function parseAsQuote(bytes: Uint8Array): Quote {
  return readWhole('TPMS_ATTEST', bytes, MAX_QUOTE_BYTES, (reader) => ({
    bytes: bytes.slice(),
    ...readStatement(reader),
    selection: readSelections(reader),
    pcrDigest: reader.sized(64),
  }));
}

/** Of a TPMS_ATTEST of any type, its first six bytes unseen. Throws Malformed. */
export function parseStatement(bytes: Uint8Array): Statement {
  return readStatement(new TpmReader(bytes.subarray(0, MAX_QUOTE_BYTES)));
}

function readStatement(reader: TpmReader): Statement {
  reader.take(6); // magic and type
  return {
    qualifiedSigner: toHex(reader.sized(66)),
    extraData: reader.sized(66), // TPM2B_DATA: as long as the longest TPMT_HA (part 2, 10.4.3)
    clock: reader.u64(),
    resetCount: reader.u32(),
    restartCount: reader.u32(),
    safe: readYesNo(reader),
    firmwareVersion: toHex(reader.take(8)),
  };
}

/** Hash over the values in the order of the selection, with the *signature's* hash (part 3, 18.4); undefined if a selected value is not there. */
export function pcrDigest(selection: readonly PcrSelection[], pcrs: PcrBanks, hash: SignedHash): Uint8Array | undefined {
  const state = createHash(hash);
  for (const { bank, indexes } of selection) {
    for (const index of indexes) {
      const value = pcrs[bank]?.[String(index)];
      if (value === undefined) return undefined;
      state.update(fromHex(value));
    }
  }
  return new Uint8Array(state.digest());
}

/** True when `pcrs` holds exactly the PCRs of the selection: nothing missing, nothing unsigned beside them. */
export function coversExactly(selection: readonly PcrSelection[], pcrs: PcrBanks): boolean {
  const quoted = selection.flatMap(({ bank, indexes }) => indexes.map((index) => `${bank}:${index}`));
  const sent = Object.entries(pcrs).flatMap(([bank, values]) => Object.keys(values).map((index) => `${bank}:${index}`));
  return quoted.length > 0 && quoted.length === sent.length && quoted.every((pcr) => sent.includes(pcr));
}

/** TPML_PCR_SELECTION. Each bank once: twice would let one PCR stand for two. */
function readSelections(reader: TpmReader): PcrSelection[] {
  const count = reader.u32();
  if (count > Object.keys(BANK_BYTES).length) throw new Malformed('more PCR banks than there are kinds');
  const selections: PcrSelection[] = [];
  for (let i = 0; i < count; i++) {
    const bank = bankName(reader.u16());
    if (selections.some((earlier) => earlier.bank === bank)) throw new Malformed(`PCR bank ${bank} twice`);
    selections.push({ bank, indexes: readBitmap(reader) });
  }
  return selections;
}

/** The lowest PCR is the lowest bit of the first byte (part 2, 10.6.1). */
function readBitmap(reader: TpmReader): number[] {
  const bitmap = reader.take(readBitmapBytes(reader));
  const indexes: number[] = [];
  bitmap.forEach((byte, at) => {
    for (let bit = 0; bit < 8; bit++) if ((byte >> bit) & 1) indexes.push(at * 8 + bit);
  });
  if (indexes.some((index) => index >= PCR_COUNT)) throw new Malformed('a PCR above 23');
  return indexes;
}

function readBitmapBytes(reader: TpmReader): number {
  const length = reader.u8();
  if (length > 4) throw new Malformed('a PCR bitmap longer than 32 PCRs');
  return length;
}

/** Big-endian; undefined behind the end. */
function readNumber(bytes: Uint8Array, at: number, length: number): number | undefined {
  return bytes.length < at + length ? undefined : Buffer.from(bytes).readUIntBE(at, length);
}

/** TPMI_YES_NO is 0 or 1 and nothing else. */
function readYesNo(reader: TpmReader): boolean {
  const value = reader.u8();
  if (value > 1) throw new Malformed('a yes-no that is neither');
  return value === 1;
}
