/**
 * A fixed number of PKCS#11 sessions, each lent to one operation at a time: a second operation on a busy session is CKR_OPERATION_ACTIVE.
 * Who finds none free waits in order; the queue is bounded and so is the time.
 */
import { VaultError } from '../../domain/errors.ts';
import type { Operation, Result } from './operation.ts';

/** A session and the thread that works on it. `perform` answers at once on this thread, later on another. */
export interface Lane {
  perform(operation: Operation): Result | Promise<Result>;
  close(): void;
}

export interface PoolLimits {
  /** Operations that may wait for a session; one more is `keeper_queue_full`. */
  readonly queue: number;
  /** From the call to the answer; then `keeper_deadline`, and what comes later is wiped. */
  readonly deadlineMs: number;
  /** Called when a session has not come back three deadlines after its own: a thread hangs inside the library. */
  readonly onStuck?: (() => void) | undefined;
}

export interface PoolLoad {
  readonly sessions: number;
  readonly busy: number;
  readonly waiting: number;
}

interface Waiting {
  give(lane: Lane): void;
  refuse(error: VaultError): void;
}

const STUCK_DEADLINES = 3;

export class SessionPool {
  readonly #idle: Lane[];
  readonly #lanes: readonly Lane[];
  readonly #limits: PoolLimits;
  readonly #waiting: Waiting[] = [];
  #closed = false;
  #drained: (() => void) | undefined;

  constructor(lanes: readonly Lane[], limits: PoolLimits) {
    this.#idle = [...lanes];
    this.#lanes = lanes;
    this.#limits = limits;
  }

  run(operation: Operation): Result | Promise<Result> {
    if (this.#closed) throw lost();
    const lane = this.#idle.pop();
    if (lane !== undefined) return this.#onLane(lane, operation, this.#limits.deadlineMs);
    if (this.#waiting.length >= this.#limits.queue)
      throw new VaultError('keeper_queue_full', 'too many operations wait for a session of the token');
    return this.#whenFree(operation);
  }

  load(): PoolLoad {
    const sessions = this.#lanes.length;
    return { sessions, busy: sessions - this.#idle.length, waiting: this.#waiting.length };
  }

  /**
   * Refuses who waits, then resolves when every lent session is back: only then may C_Finalize be called. False when one did not come back in
   * time; the process must then end, because a thread is still inside the library.
   */
  async close(): Promise<boolean> {
    this.#closed = true;
    for (const waiter of this.#waiting.splice(0)) waiter.refuse(lost());
    const whole = this.#idle.length === this.#lanes.length || (await this.#drain());
    if (whole) for (const lane of this.#lanes) lane.close();
    return whole;
  }

  #drain(): Promise<boolean> {
    return new Promise((resolve) => {
      const late = setTimeout(() => resolve(false), this.#limits.deadlineMs);
      this.#drained = () => {
        clearTimeout(late);
        resolve(true);
      };
    });
  }

  #onLane(lane: Lane, operation: Operation, deadlineMs: number): Result | Promise<Result> {
    let answer: Result | Promise<Result>;
    try {
      answer = lane.perform(operation);
    } catch (cause) {
      this.#giveBack(lane);
      throw cause;
    }
    if (answer instanceof Promise) return this.#inTime(lane, answer, deadlineMs);
    this.#giveBack(lane);
    return answer;
  }

  /** The session stays lent until the token answers, however late. */
  #inTime(lane: Lane, answer: Promise<Result>, deadlineMs: number): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    let late = false;
    let stuck: NodeJS.Timeout | undefined;
    const timer = setTimeout(() => {
      late = true;
      reject(new VaultError('keeper_deadline', 'the token did not answer in time'));
      stuck = setTimeout(() => this.#limits.onStuck?.(), this.#limits.deadlineMs * STUCK_DEADLINES);
    }, deadlineMs);
    const settle = (then: () => void) => {
      clearTimeout(timer);
      clearTimeout(stuck);
      this.#giveBack(lane);
      then();
    };
    answer.then(
      (result) => settle(() => (late ? wipe(result) : resolve(result))),
      (error) => settle(() => reject(error)),
    );
    return promise;
  }

  async #whenFree(operation: Operation): Promise<Result> {
    const startedAt = performance.now();
    const lane = await this.#free();
    return this.#onLane(lane, operation, this.#limits.deadlineMs - (performance.now() - startedAt));
  }

  #free(): Promise<Lane> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(new VaultError('keeper_deadline', 'no session of the token came free in time'));
      }, this.#limits.deadlineMs);
      const waiter: Waiting = {
        give: (lane) => {
          clearTimeout(timer);
          resolve(lane);
        },
        refuse: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      this.#waiting.push(waiter);
    });
  }

  #giveBack(lane: Lane): void {
    const next = this.#closed ? undefined : this.#waiting.shift();
    if (next === undefined) this.#idle.push(lane);
    else next.give(lane);
    if (this.#closed && this.#idle.length === this.#lanes.length) this.#drained?.();
  }
}

/** An answer that nobody waits for any more may be a secret. */
function wipe(answer: Result): void {
  if (answer instanceof Uint8Array) answer.fill(0);
}

const lost = () => new VaultError('hsm_unavailable', 'the sessions of this token were closed');
