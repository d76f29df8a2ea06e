/**
 * A crypto-agile measured boot log (TCG PC Client Platform Firmware Profile 1.06, 10; the CCEL of a TDX guest has the same form), little-endian.
 * Nothing in it is signed: it counts only where its replay equals signed register values, and then only by its digests.
 */

/** Bytes. Logs of servers with a long boot menu reach some hundred KiB. */
export const MAX_LOG_BYTES = 1024 * 1024;
/** The longest known have a few hundred. */
const MAX_EVENTS = 2048;
const MAX_ALGORITHMS = 8;
const MAX_DIGEST_BYTES = 64;

export const EV_NO_ACTION = 3;
const REGISTERS = 24;
const SPEC_ID = 'Spec ID Event03\0';
/** The same record of BIOS and of the first UEFI, with SHA-1 alone (TCG EFI Platform Specification 1.22, 7.4). */
const OLD_SPEC_ID = /^Spec ID Event0[0-2]\0$/;
/** Of a record in the old form: register, type, SHA-1 digest, size. */
const OLD_HEADER_BYTES = 32;

/** Digest sizes by TPM_ALG_ID (TPM 2.0 Library part 2, 6.3). */
const BANKS = new Map<number, { readonly name: LogBank; readonly bytes: number }>([
  [0x0004, { name: 'sha1', bytes: 20 }],
  [0x000b, { name: 'sha256', bytes: 32 }],
  [0x000c, { name: 'sha384', bytes: 48 }],
  [0x000d, { name: 'sha512', bytes: 64 }],
  [0x0012, { name: 'sm3', bytes: 32 }],
]);

/** SM3 is replayed, and no fact rests on it: no quote that is understood here covers it. */
export type LogBank = 'sha1' | 'sha256' | 'sha384' | 'sha512' | 'sm3';

export interface LoggedEvent {
  /** The PCR, or in a CCEL the measurement register. Any number where nothing is extended: 0xffffffff in reference manifests. */
  readonly register: number;
  readonly type: number;
  /** Of the banks known here, as far as the event has them: in the others it was not extended. */
  readonly digests: ReadonlyMap<LogBank, Uint8Array>;
  readonly data: Uint8Array;
}

export interface EventLog {
  readonly banks: readonly LogBank[];
  /** Register of the first record: 0, or 1 in a CCEL. Unsigned like the rest: whoever has a quote knows which it is. */
  readonly opensAt: number;
  /** Without the record that opens the log. */
  readonly events: readonly LoggedEvent[];
}

export type LogProblem = 'legacy_sha1_log' | 'malformed_event_log';

/** The bytes are no log that can be used; `problems` are what they are instead. */
export class UnusableLog extends Error {
  readonly problems: readonly LogProblem[];
  constructor(message: string, problems: readonly LogProblem[] = ['malformed_event_log']) {
    super(message);
    this.problems = problems;
  }
}

/** Parses a whole log; zeros or ones behind its last event are the unused rest of its table. Throws UnusableLog and nothing else. */
export function parseEventLog(bytes: Uint8Array): EventLog {
  if (bytes.length > MAX_LOG_BYTES) throw new UnusableLog(`longer than ${MAX_LOG_BYTES} bytes`);
  const reader = new Reader(bytes);
  const first = readOldRecord(reader);
  if (first.type !== EV_NO_ACTION) throw legacy(bytes);
  const algorithms = readSpecId(first.data);
  const events: LoggedEvent[] = [];
  while (!reader.onlyPadding()) {
    if (events.length === MAX_EVENTS) throw new UnusableLog(`more than ${MAX_EVENTS} events`);
    events.push(readEvent(reader, algorithms));
  }
  const banks = [...algorithms.keys()].flatMap((id) => BANKS.get(id)?.name ?? []);
  if (!banks.some((bank) => bank !== 'sha1')) throw new UnusableLog('no digests but SHA-1', ['legacy_sha1_log']);
  return { banks, opensAt: first.register, events };
}

/** It does not say which digests it has, so it could only be of the time when SHA-1 was the only one. */
function legacy(bytes: Uint8Array): UnusableLog {
  try {
    const reader = new Reader(bytes);
    for (let count = 0; count < MAX_EVENTS && !reader.onlyPadding(); count++) readOldRecord(reader);
    return new UnusableLog('a log of the old form, with SHA-1 alone', ['legacy_sha1_log']);
  } catch {
    return new UnusableLog('no Spec ID event, and not a log of the old form either', ['malformed_event_log', 'legacy_sha1_log']);
  }
}

/** TCG_PCClientPCREvent (10.2.1). */
function readOldRecord(reader: Reader): Pick<LoggedEvent, 'register' | 'type' | 'data'> {
  if (reader.left() < OLD_HEADER_BYTES) throw new UnusableLog('shorter than one event');
  const register = reader.u32();
  const type = reader.u32();
  reader.take(20); // zeros; extended into nothing
  return { register, type, data: reader.take(reader.u32()) };
}

/** TCG_EfiSpecIDEvent (10.4.5.1): digest sizes by algorithm. */
function readSpecId(data: Uint8Array): ReadonlyMap<number, number> {
  const reader = new Reader(data);
  const signature = Buffer.from(reader.take(16)).toString('latin1');
  if (OLD_SPEC_ID.test(signature)) throw new UnusableLog('a log of the old form', ['malformed_event_log', 'legacy_sha1_log']);
  if (signature !== SPEC_ID) throw new UnusableLog('not a crypto agile log');
  reader.u32(); // platform class
  const [minor, major] = [reader.u8(), reader.u8()];
  if (major !== 2 || minor !== 0) throw new UnusableLog(`version ${major}.${minor} of the log is not known`);
  reader.take(2); // errata, size of an UINTN
  const count = reader.u32();
  if (count === 0 || count > MAX_ALGORITHMS) throw new UnusableLog(`${count} digest algorithms`);
  const sizes = new Map<number, number>();
  for (let at = 0; at < count; at++) {
    const [id, size] = [reader.u16(), reader.u16()];
    if (sizes.has(id)) throw new UnusableLog('a digest algorithm twice');
    if (size === 0 || size > MAX_DIGEST_BYTES || (BANKS.get(id)?.bytes ?? size) !== size) throw new UnusableLog('a digest of a wrong size');
    sizes.set(id, size);
  }
  reader.take(reader.u8()); // vendor's
  if (reader.left() > 0) throw new UnusableLog('bytes behind the Spec ID event');
  return sizes;
}

/** TCG_PCR_EVENT2 (10.2.2). Firmware writes every algorithm of the log, Windows only some of them into what it adds at the end. */
function readEvent(reader: Reader, algorithms: ReadonlyMap<number, number>): LoggedEvent {
  const register = reader.u32();
  const type = reader.u32();
  if (register >= REGISTERS && type !== EV_NO_ACTION) throw new UnusableLog(`register ${register}`);
  const count = reader.u32();
  if (count === 0 || count > algorithms.size) throw new UnusableLog('an event without digests, or with more than the log has algorithms');
  const digests = new Map<LogBank, Uint8Array>();
  const seen = new Set<number>();
  for (let at = 0; at < count; at++) {
    const id = reader.u16();
    const size = algorithms.get(id);
    if (size === undefined || seen.has(id)) throw new UnusableLog('a digest of an algorithm the log does not have, or twice');
    seen.add(id);
    const bank = BANKS.get(id)?.name;
    const digest = reader.take(size);
    if (bank !== undefined) digests.set(bank, digest);
  }
  return { register, type, digests, data: reader.take(reader.u32()) };
}

/** Views of the bytes, never copies: a length that lies costs nothing. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }
  u16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }
  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }
  take(length: number): Uint8Array {
    const from = this.#advance(length);
    return this.#bytes.subarray(from, from + length);
  }
  left(): number {
    return this.#bytes.length - this.#at;
  }
  /** Nothing, or one value repeated to the end. An event cannot begin so: four ones are its register only with a type that is not all ones. */
  onlyPadding(): boolean {
    const value = this.#bytes[this.#at];
    if (value === undefined) return true;
    if (value !== 0 && value !== 0xff) return false;
    for (let at = this.#at + 1; at < this.#bytes.length; at++) if (this.#bytes[at] !== value) return false;
    return true;
  }
  #advance(length: number): number {
    if (length > this.left()) throw new UnusableLog('it ends too early');
    this.#at += length;
    return this.#at - length;
  }
}
