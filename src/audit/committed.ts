/** Waiting until a record is *committed*: under a published checkpoint. */
import type { Clock } from '../domain/clock.ts';
import { VaultError } from '../domain/errors.ts';
import type { RecordId } from '../domain/ids.ts';
import type { UnitOfWork } from '../domain/unit-of-work.ts';
import type { LogStore } from './port.ts';

export interface CommittedOptions {
  readonly unitOfWork: UnitOfWork;
  readonly log: LogStore;
  readonly clock: Clock;
  readonly periodMs: number;
  /** Called after every round of this process. */
  readonly waiting: Set<() => void>;
  readonly halted: () => VaultError | undefined;
}

/** Asks the store, not this process: another node may be the one that sequences. */
export async function waitCommitted(options: CommittedOptions, recordId: RecordId, timeoutMs: number): Promise<void> {
  const deadline = options.clock.monotonicMs() + timeoutMs;
  while (!(await isCommitted(options, recordId))) {
    const cause = options.halted();
    const left = deadline - options.clock.monotonicMs();
    if (cause !== undefined) throw new VaultError('log_unavailable', 'the access log is halted', { cause });
    if (left <= 0) throw new VaultError('log_unavailable', 'the record is not under a checkpoint in time');
    await nextRound(options.waiting, Math.min(left, options.periodMs));
  }
}

function isCommitted({ unitOfWork, log }: CommittedOptions, recordId: RecordId): Promise<boolean> {
  return unitOfWork.run(async (tx) => {
    const row = await log.leafByRecord(tx, recordId);
    if (row?.index === undefined) return false;
    const head = await log.head(tx);
    return head !== undefined && row.index < head.size;
  });
}

function nextRound(waiting: Set<() => void>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      waiting.delete(wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    waiting.add(wake);
  });
}
