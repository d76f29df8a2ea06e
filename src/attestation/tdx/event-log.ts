/** The log of what was measured into RTMRs (CCEL, UEFI 2.10 section 38): it counts when its replay equals the signed registers. */
import { toHex } from '../../domain/bytes.ts';
import { type EventLog, parseEventLog, UnusableLog } from '../event-log/event-log.ts';
import { factsOf, type LogFacts } from '../event-log/facts.ts';
import { replay } from '../event-log/replay.ts';
import type { TdReport } from './quote.ts';

/** Register 0 of a log is MRTD, 1 to 4 are RTMR 0 to 3. */
const REGISTERS = [1, 2, 3, 4];
/** What the guest extends after boot is in no log of the firmware: RTMR 3 may stand alone. */
const AFTER_BOOT = 4;
const ZEROS = '00'.repeat(48);

export interface CheckedLog {
  readonly problem: 'event_log_malformed' | 'event_log_mismatch' | undefined;
  /** Of the registers above; undefined when the log does not count. */
  readonly facts: LogFacts | undefined;
}

export function checkEventLog(bytes: Uint8Array, { rtmr }: TdReport): CheckedLog {
  const log = parsed(bytes);
  if (log === undefined || !log.banks.includes('sha384')) return { problem: 'event_log_malformed', facts: undefined };
  const replayed = replay(log).sha384 ?? {};
  const differs = REGISTERS.some((register, at) => {
    const found = replayed[register] ?? (register === AFTER_BOOT ? undefined : ZEROS);
    return found !== undefined && found !== toHex(rtmr[at] ?? new Uint8Array(0));
  });
  if (differs) return { problem: 'event_log_mismatch', facts: undefined };
  return { problem: undefined, facts: factsOf(log, 'ccel', { bank: 'sha384', registers: REGISTERS }) };
}

function parsed(bytes: Uint8Array): EventLog | undefined {
  try {
    return parseEventLog(bytes);
  } catch (error) {
    if (error instanceof UnusableLog) return undefined;
    throw error;
  }
}
