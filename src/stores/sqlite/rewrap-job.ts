import type { RewrapJob } from '../../catalog/port.ts';
import type { VersionId } from '../../domain/ids.ts';

export const SELECT_JOB = `
  SELECT target, after, total, done, rewrapped, failed, waiting, keys_per_second AS keysPerSecond, started_at AS startedAt,
         updated_at AS updatedAt, finished_at AS finishedAt, holder, lease_until AS leaseUntil
  FROM rewrap_job WHERE one = 1`;

export const PUT_JOB = `
  INSERT OR REPLACE INTO rewrap_job (one, target, after, total, done, rewrapped, failed, waiting, keys_per_second, started_at, updated_at,
                                     finished_at, holder, lease_until)
  VALUES (1, :target, :after, :total, :done, :rewrapped, :failed, :waiting, :keysPerSecond, :startedAt, :updatedAt, :finishedAt, :holder,
          :leaseUntil)`;

export type StoredJob = Omit<RewrapJob, 'after' | 'startedAt' | 'updatedAt' | 'finishedAt' | 'leaseUntil'> & {
  readonly after: VersionId | null;
  readonly startedAt: number;
  readonly updatedAt: number;
  readonly finishedAt: number | null;
  readonly leaseUntil: number;
};

export function jobOf({ after, startedAt, updatedAt, finishedAt, leaseUntil, ...row }: StoredJob): RewrapJob {
  return {
    ...row,
    startedAt: new Date(startedAt),
    updatedAt: new Date(updatedAt),
    leaseUntil: new Date(leaseUntil),
    ...(after !== null && { after }),
    ...(finishedAt !== null && { finishedAt: new Date(finishedAt) }),
  };
}
