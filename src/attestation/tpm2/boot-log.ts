/** A boot log beside a quote: it counts where its replay equals the quoted PCR values, and only there. */
import type { PcrBanks } from '../../domain/evidence.ts';
import type { EventLog, LogBank } from '../event-log/event-log.ts';
import { factsOf, type LogFacts } from '../event-log/facts.ts';
import { type Replayed, replay } from '../event-log/replay.ts';
import type { PcrSelection } from './quote.ts';

export interface LogComparison {
  /** Quoted PCRs that no event of the log extends, by bank. Others write there later (IMA, dynamic launch). */
  readonly unlogged: Readonly<Record<string, readonly number[]>>;
  /** Quoted PCRs that hold something else than the log says. */
  readonly differing: ReadonlyArray<{ readonly pcr: string; readonly logged: string; readonly quoted: string }>;
}

/** `pcrs` are the quoted values: verified before. */
export function compareWithLog(log: EventLog, selection: readonly PcrSelection[], pcrs: PcrBanks): LogComparison {
  const replayed = replay(log);
  const all = selection.flatMap(({ bank, indexes }) =>
    indexes.map((index) => ({ bank, index, logged: loggedValue(replayed, bank, index), quoted: pcrs[bank]?.[String(index)] ?? '' })),
  );
  const differing = all.flatMap(({ bank, index, logged, quoted }) =>
    logged === undefined || logged === quoted ? [] : [{ pcr: `${bank}:${index}`, logged, quoted }],
  );
  return { unlogged: unloggedPcrs(log, selection, replayed), differing };
}

export function unloggedPcrs(log: EventLog, selection: readonly PcrSelection[], replayed = replay(log)): LogComparison['unlogged'] {
  return Object.fromEntries(
    selection.map(({ bank, indexes }) => [bank, indexes.filter((index) => loggedValue(replayed, bank, index) === undefined)]),
  );
}

/** What the log says by the strongest quoted bank that it has; nothing of PCRs that were not quoted. The log must not differ. */
export function quotedFacts(log: EventLog, selection: readonly PcrSelection[]): LogFacts {
  const quoted = STRENGTH.flatMap((bank) => selection.filter((one) => one.bank === bank));
  const [{ bank, indexes } = { bank: 'sha256' as const, indexes: [] }] = quoted.filter((one) => log.banks.includes(one.bank));
  return factsOf(log, 'tpm', { bank, registers: indexes });
}

/** No fact rests on SHA-1. */
const STRENGTH: readonly LogBank[] = ['sha384', 'sha256'];

function loggedValue(replayed: Replayed, bank: LogBank, index: number): string | undefined {
  const values = replayed[bank] ?? {};
  return Object.hasOwn(values, String(index)) ? values[String(index)] : undefined;
}
