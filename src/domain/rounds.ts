/** Work that comes round again and again, one round after another: after a while, or at once when somebody knows that there is something to do. */
export interface Rounds {
  /** Begins the next round now; one that is under way is followed by another. */
  wake(): void;
  /** Resolves when the round under way has ended. */
  stop(): Promise<void>;
}

export interface RoundsOptions {
  readonly everyMs: number;
  /** A round that failed is followed by the next one, after `everyMs`. */
  readonly onFailure: (error: unknown) => void;
}

/** The first round begins after `everyMs`, or when it is woken. */
export function startRounds(work: () => Promise<void>, { everyMs, onFailure }: RoundsOptions): Rounds {
  let timer: NodeJS.Timeout | undefined;
  let underWay: Promise<void> = Promise.resolve();
  let going = false;
  let asked = false;
  let stopped = false;

  async function round(): Promise<void> {
    clearTimeout(timer);
    [going, asked] = [true, false];
    let failed = false;
    await work().catch((error: unknown) => {
      failed = true; // what fails is not tried again without a pause, whoever asks
      onFailure(error);
    });
    going = false;
    if (!stopped) wait(asked && !failed ? 0 : everyMs);
  }
  const begin = () => {
    underWay = round();
  };
  const wait = (ms: number) => {
    timer = setTimeout(begin, ms);
  };

  wait(everyMs);
  return {
    wake() {
      asked = true;
      if (!going && !stopped) begin();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await underWay;
    },
  };
}
