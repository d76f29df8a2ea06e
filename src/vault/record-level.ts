/** What must be true of the record of a release before a byte leaves: what the class demands, or more where the configuration asks for it (P1). */
import type { RecordedPermit } from '../domain/access.ts';
import { CLASSES, type ClassName, DEFAULTS, RECORD_LEVELS, type RecordLevel } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import { type Refusal, refuse } from '../domain/evidence.ts';
import type { RecordId } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'levels' | 'recordLevels'>;

const WAIT_MS = { committed: DEFAULTS.logCommitWaitMs, witnessed: DEFAULTS.logWitnessWaitMs };
const MISSING = { committed: 'log_uncommitted', witnessed: 'log_unwitnessed' } as const;

/** The higher of what the class demands and what this vault was configured to wait for. */
export function levelOf(name: ClassName, { recordLevels }: Ports): RecordLevel {
  const rank = (level: RecordLevel) => RECORD_LEVELS.indexOf(level);
  const [demanded, wanted] = [CLASSES[name].record, recordLevels[name] ?? 'durable'];
  return rank(wanted) > rank(demanded) ? wanted : demanded;
}

/** A class that must be witnessed is refused where nobody witnesses: before anything is recorded or waited for. */
export function refusedUnwatched(name: ClassName, vault: Ports): Refusal | undefined {
  if (levelOf(name, vault) !== 'witnessed' || vault.levels.watched) return undefined;
  return refuse('class_demands_unmet', `${name} versions need witnesses of the access log, and this vault has none`);
}

/**
 * Resolves when the record has come as far as the class demands, with its receipt where that is further than durable. `log_uncommitted` or
 * `log_unwitnessed` when it has not in time: then nothing may leave.
 */
export async function awaitLevel(recordId: RecordId, name: ClassName, vault: Ports): Promise<Uint8Array | undefined> {
  const level = levelOf(name, vault);
  if (level === 'durable') return undefined;
  const receipt = await vault.levels.reached(recordId, level, WAIT_MS[level]);
  if (receipt === undefined) throw new VaultError(MISSING[level]);
  return receipt;
}

/** The same for a read: on whichever node, and without waiting. */
export async function assertLevel(tx: Tx, { recordId }: RecordedPermit, name: ClassName, vault: Ports): Promise<void> {
  const level = levelOf(name, vault);
  if (level !== 'durable' && !(await vault.levels.isReached(tx, recordId, level))) throw new VaultError(MISSING[level]);
}
