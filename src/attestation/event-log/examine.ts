/** Examination of a measured boot log by itself. There is no signature in it: "authentic" says that it is whole, never that it is true. */
import type { Examination, ExaminationInputs } from '../examination.ts';
import { type LogProblem, parseEventLog, UnusableLog } from './event-log.ts';
import { factsOf } from './facts.ts';
import { replay } from './replay.ts';

export function examineEventLog({ evidence }: Pick<ExaminationInputs, 'evidence'>): Examination<LogProblem> {
  try {
    const log = parseEventLog(evidence);
    // The record that opens the log counts as an event too.
    const claims = { events: log.events.length + 1, replayed: replay(log), facts: factsOf(log, log.opensAt === 1 ? 'ccel' : 'tpm') };
    return { valid: true, accept: true, reasons: [], claims };
  } catch (error) {
    if (error instanceof UnusableLog) return { valid: false, accept: false, reasons: error.problems, claims: { problem: error.message } };
    throw error;
  }
}
