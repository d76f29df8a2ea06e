/** What registers hold when every event of a log was extended into them. */
import { createHash } from 'node:crypto';
import { toHex } from '../../domain/bytes.ts';
import { EV_NO_ACTION, type EventLog, type LogBank, type LoggedEvent } from './event-log.ts';

/** Values of the registers that some event extends, by bank and register, lower-case hex. */
export type Replayed = Readonly<Partial<Record<LogBank, Readonly<Record<string, string>>>>>;

const STARTUP_LOCALITY = 'StartupLocality\0';
/** Registers of dynamic launch start with ones until a launch resets them (TCG PTP 1.05, 4.6.2). */
const ALL_ONES = [17, 18, 19, 20, 21, 22];

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

/** PCR 0 starts with the locality the TPM was started from (10.4.5.3). */
function startOf(register: number, bytes: number, events: readonly LoggedEvent[]): Uint8Array {
  const start = new Uint8Array(bytes).fill(ALL_ONES.includes(register) ? 0xff : 0);
  if (register === 0) start[bytes - 1] = startupLocality(events);
  return start;
}

function startupLocality(events: readonly LoggedEvent[]): number {
  for (const { type, data } of events) {
    if (type !== EV_NO_ACTION || data.length !== STARTUP_LOCALITY.length + 1) continue;
    if (Buffer.from(data.subarray(0, -1)).toString('latin1') === STARTUP_LOCALITY) return data.at(-1) ?? 0;
  }
  return 0;
}
