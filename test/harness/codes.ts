/**
 * A person's authenticator app. The vault takes each time step of an authenticator once, in order, and one step early or late at most: so whoever
 * asks for many codes at once gets up to three, and then waits for the next step.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { generate } from 'otplib';
import { DEFAULTS } from '../../src/domain/classes.ts';

const STEP_SECONDS = DEFAULTS.totpStepSeconds;
/** A code of the step before is only given out while there is this long left to use it. */
const LATE_SECONDS = 20;

export class Codes {
  readonly #seed: string;
  #last = 0;

  /** `uri` is the enrolment link. */
  constructor(uri: string) {
    this.#seed = new URL(uri).searchParams.get('secret') ?? '';
  }

  /** Milliseconds until `next` can answer. */
  waitMs(): number {
    return Math.max(0, (this.#step() - 1) * STEP_SECONDS * 1000 - Date.now());
  }

  /** A code that was not given out before. */
  async next(): Promise<string> {
    for (let wait = this.waitMs(); wait > 0; wait = this.waitMs()) await sleep(wait);
    this.#last = this.#step();
    return generate({ secret: this.#seed, epoch: this.#last * STEP_SECONDS });
  }

  #step(): number {
    const seconds = Date.now() / 1000;
    const current = Math.floor(seconds / STEP_SECONDS);
    const oldest = STEP_SECONDS - (seconds % STEP_SECONDS) > LATE_SECONDS ? current - 1 : current;
    return Math.max(this.#last + 1, oldest);
  }
}
