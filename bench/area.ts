/** What a benchmark reports, and what it is told. An area is a file in `areas/` that exports `about` and `run`. */

/** One measure. A list of these is what `--json` writes. */
export interface Row {
  readonly area: string;
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What was measured beside it in the same minute, or why nothing was. */
  readonly peer: string | null;
  readonly peerValue: number | null;
  /** value / peerValue; null also when the peer's is 0 */
  readonly ratio: number | null;
  /** `ratio <= 1.5`, `value >= 150` */
  readonly target: string | null;
  /** Null when there is no target, or nothing to compare it with. */
  readonly met: boolean | null;
}

export interface Target {
  readonly of: 'value' | 'ratio';
  readonly atMost?: number;
  readonly atLeast?: number;
}

export interface Measured {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly peer?: string;
  readonly peerValue?: number;
  readonly target?: Target;
}

export interface BenchOptions {
  /** Size of the object that is streamed. */
  readonly mib: number;
  readonly rounds: number;
  /** Does it run at all? Sizes and durations that say nothing about speed. */
  readonly quick: boolean;
  /** False: measure nothing but ourselves. */
  readonly peers: boolean;
}

/** Where an area puts what it finds, as soon as it is found. */
export interface Report {
  row(measured: Measured): void;
  /** Something a reader of the figures must know. */
  note(text: string): void;
  /** A part that could not be measured; the others go on. */
  failed(part: string, error: unknown): void;
}

export interface Area {
  readonly about: string;
  run(options: BenchOptions, report: Report): Promise<void>;
}

export function rowOf(area: string, measured: Measured): Row {
  const { name, value, unit, peer = null, peerValue = null, target } = measured;
  const ratio = peerValue === null || peerValue === 0 ? null : value / peerValue;
  return { area, name, value, unit, peer, peerValue, ratio, target: target === undefined ? null : textOf(target), met: isMet() };

  function isMet(): boolean | null {
    const against = target?.of === 'ratio' ? ratio : value;
    if (target === undefined || against === null) return null;
    return against <= (target.atMost ?? Number.POSITIVE_INFINITY) && against >= (target.atLeast ?? Number.NEGATIVE_INFINITY);
  }
}

function textOf({ of, atMost, atLeast }: Target): string {
  const bounds = [atMost === undefined ? [] : [`<= ${atMost}`], atLeast === undefined ? [] : [`>= ${atLeast}`]].flat();
  return `${of} ${bounds.join(' and ')}`;
}
