import { VaultError } from '../../domain/errors.ts';

/** One timer for works that run one after another, because a timer for each costs as much as a small work. */
export class Deadline {
  readonly #timer: NodeJS.Timeout;
  #expired: () => void = () => undefined;

  /** `ms` are those of each work, not of all. The timer keeps the process alive until `end`. */
  constructor(ms: number) {
    this.#timer = setTimeout(() => this.#expired(), ms);
  }

  /** As `work` ends, or `store_unavailable` when it has not in time; how it ends later is nobody's business any more. */
  run<T>(work: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#expired = () => reject(new VaultError('store_unavailable', 'a transaction did not finish in time'));
      this.#timer.refresh();
      work().then(resolve, reject);
    });
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
