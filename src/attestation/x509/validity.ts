/** Periods in which documents count, ends included. */
export interface Validity {
  readonly from: Date;
  readonly until: Date;
}

/** The period in which all of them count; it may be empty (`from` after `until`). Undefined of nothing. */
export function overlap(periods: readonly Validity[]): Validity | undefined {
  if (periods.length === 0) return undefined;
  return {
    from: new Date(Math.max(...periods.map(({ from }) => from.getTime()))),
    until: new Date(Math.min(...periods.map(({ until }) => until.getTime()))),
  };
}

export function standing({ from, until }: Validity, now: Date): 'early' | 'current' | 'late' {
  return now < from ? 'early' : now > until ? 'late' : 'current';
}

/** `2024-10-23T04:36:24Z`: to the second, as certificates write it. */
export function isoSeconds(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`;
}
