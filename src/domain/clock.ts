/** Time comes from outside, so a test can move it. */
export interface Clock {
  /** Wall time. Decides nothing that several nodes must agree on: that is the database's time (`Tx.now`). */
  now(): Date;
  /** Milliseconds that never go backwards, for deadlines and leases inside one process. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
};

export function addSeconds(date: Date, seconds: number): Date {
  return new Date(date.getTime() + seconds * 1000);
}
