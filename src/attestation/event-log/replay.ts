/** What registers hold when every event of a log was extended into them. */
import { createHash } from 'node:crypto';
import { toHex } from '../../domain/bytes.ts';
import { EV_NO_ACTION, type EventLog, type LogBank, type LoggedEvent } from './event-log.ts';

/** Values of the registers that some event extends, by bank and register, lower-case hex. */
export type Replayed = Readonly<Partial<Record<LogBank, Readonly<Record<string, string>>>>>;

const STARTUP_LOCALITY = 'StartupLocality\0';
const EV_EFI_HCRTM_EVENT = 0x8000_0010;
/** A processor that measures the first firmware itself does so from this locality, before the TPM is started (TPM 2.0 part 1, 34.2). */
const HCRTM_LOCALITY = 4;

export function replay(log: EventLog): Replayed {
  return Object.fromEntries(log.banks.map((bank) => [bank, replayBank(log, bank)]));
}

function replayBank({ events }: EventLog, bank: LogBank): Readonly<Record<string, string>> {
  const registers = new Map<number, Uint8Array>();
  for (const { register, type, digests } of events) {
    const digest = digests.get(bank);
    if (type === EV_NO_ACTION || digest === undefined) continue; // it is never extended (10.4.1)
    const before = registers.get(register) ?? startOf(register, digest.length, events);
    registers.set(register, createHash(bank).update(before).update(digest).digest());
  }
  return Object.fromEntries([...registers].sort(([a], [b]) => a - b).map(([register, value]) => [String(register), toHex(value)]));
}

/**
 * Zeros. PCR 0 ends with the locality the TPM was started from (10.4.5.3). Registers of dynamic launch hold ones only until a launch resets them
 * (TCG PTP 1.05, 4.6.2), and before that nobody who writes a log can extend them.
 */
function startOf(register: number, bytes: number, events: readonly LoggedEvent[]): Uint8Array {
  const start = new Uint8Array(bytes);
  if (register === 0) start[bytes - 1] = startupLocality(events);
  return start;
}

function startupLocality(events: readonly LoggedEvent[]): number {
  for (const { type, data } of events) {
    if (type !== EV_NO_ACTION || data.length !== STARTUP_LOCALITY.length + 1) continue;
    if (Buffer.from(data.subarray(0, -1)).toString('latin1') === STARTUP_LOCALITY) return data.at(-1) ?? 0;
  }
  return events.some(({ register, type }) => register === 0 && type === EV_EFI_HCRTM_EVENT) ? HCRTM_LOCALITY : 0;
}
