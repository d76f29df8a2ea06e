/** Probes of the database and the access log in it. Pure over what store-facts.ts has read. */
import type { SinkState } from '../../vault/sink-lag.ts';
import { type Finding, finding } from './findings.ts';

/** What is in the database, read once and without its HSM. */
export interface StoredFacts {
  readonly integrity: readonly string[];
  /** Time of the newest access record. */
  readonly newestRecord: Date | undefined;
  /** Records there are, and records under the signed checkpoint. */
  readonly records: number;
  readonly checkpointSize: number;
  /** Time of the oldest record that no checkpoint covers. */
  readonly oldestUncovered: Date | undefined;
  /** Some node has a lease: a vault serves. */
  readonly serving: boolean;
  /** First problem of the verified log. */
  readonly logProblem: { readonly code: string; readonly detail: string } | undefined;
  /** Size of the kept checkpoint, or why it is not believed; undefined when none is kept. */
  readonly kept: number | { readonly code: string } | undefined;
}

const CLOCK_SLACK_MS = 60_000;
const UNCOVERED_MS = 60_000;

export function databaseIntegrity({ integrity }: StoredFacts): Finding {
  if (integrity.length === 1 && integrity[0] === 'ok') return finding('database_integrity', 'ok', 'sound');
  return finding('database_integrity', 'critical', `${integrity.length} problems, first: ${String(integrity[0]).slice(0, 200)}`);
}

export function clockRegressed({ newestRecord }: StoredFacts, now: Date): Finding {
  if (newestRecord === undefined) return finding('clock_regressed', 'ok', 'no record yet');
  const aheadMs = newestRecord.getTime() - now.getTime();
  if (aheadMs <= CLOCK_SLACK_MS) return finding('clock_regressed', 'ok', 'the newest record is in the past');
  return finding('clock_regressed', 'critical', `the newest record is ${Math.round(aheadMs / 1000)} s in the future`);
}

export function logVerifies({ logProblem, checkpointSize }: StoredFacts): Finding {
  if (logProblem !== undefined) return finding('log_verifies', 'critical', `${logProblem.code}: ${logProblem.detail}`);
  if (checkpointSize === 0) return finding('log_verifies', 'info', 'no checkpoint was signed yet');
  return finding('log_verifies', 'ok', `${checkpointSize} records`);
}

export function logRolledBack({ kept, checkpointSize }: StoredFacts): Finding {
  if (kept === undefined) return finding('log_rolled_back', 'info', 'no checkpoint is kept apart');
  if (typeof kept === 'object') return finding('log_rolled_back', 'critical', `${kept.code}: the kept checkpoint is not one of this log`);
  if (kept > checkpointSize)
    return finding('log_rolled_back', 'critical', `${kept} records were signed, the database knows a checkpoint of ${checkpointSize}`);
  return finding('log_rolled_back', 'ok', `nothing behind the ${kept} records that were signed`);
}

export function checkpointAge({ records, checkpointSize, oldestUncovered, serving }: StoredFacts, now: Date): Finding {
  const waiting = records - checkpointSize;
  if (waiting <= 0 || oldestUncovered === undefined) return finding('checkpoint_age', 'ok', 'every record is under a signed checkpoint');
  const ageMs = now.getTime() - oldestUncovered.getTime();
  const seen = `${waiting} records wait, the oldest for ${Math.round(ageMs / 1000)} s`;
  if (!serving) return finding('checkpoint_age', 'info', `${seen}; no vault serves, the next start signs them`);
  return finding('checkpoint_age', ageMs > UNCOVERED_MS ? 'critical' : 'ok', seen);
}

export function logSinks(sinks: readonly SinkState[] | undefined): Finding {
  if (sinks === undefined) return finding('log_sinks', 'unknown', 'the signed document of the sinks cannot be read');
  if (sinks.length === 0) return finding('log_sinks', 'info', 'records are sent nowhere');
  const lagging = sinks.filter((sink) => sink.lagging);
  if (lagging.length === 0) return finding('log_sinks', 'ok', `${sinks.length} sinks, none lags`);
  const words = lagging.map(
    ({ name, behind, lagSeconds, refusing }) =>
      `${name}: ${behind} records wait, the oldest for ${Math.round(lagSeconds)} s${refusing ? '; nothing is released until it has caught up' : ''}`,
  );
  return finding('log_sinks', lagging.some(({ refusing }) => refusing) ? 'critical' : 'warning', words.join('; '));
}
