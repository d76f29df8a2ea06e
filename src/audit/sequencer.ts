/** The sequencer: gives durable leaves their place in the tree and publishes signed checkpoints. Then they are *committed*. */
import { DEFAULTS } from '../domain/classes.ts';
import type { Clock } from '../domain/clock.ts';
import { codeOf, type ErrorCode, VaultError } from '../domain/errors.ts';
import type { Incarnation, TreeSize } from '../domain/ids.ts';
import type { UnitOfWork } from '../domain/unit-of-work.ts';
import type { SignText } from './note.ts';
import type { HeadStore, LogStore } from './port.ts';
import { createRounds, type RoundResult } from './round.ts';
import type { TrailingHead } from './trailing-head.ts';
import { verifierKey } from './vkey.ts';

export interface SequencerOptions {
  readonly unitOfWork: UnitOfWork;
  readonly log: LogStore;
  /** Name of the log, of its key, and first line of every checkpoint. */
  readonly origin: string;
  /** DER SubjectPublicKeyInfo of an Ed25519 or P-256 key; raw 32 bytes are Ed25519. */
  readonly publicKey: Uint8Array;
  /** By the HSM's log key. */
  readonly sign: SignText;
  readonly node: Incarnation;
  readonly clock: Clock;
  /** Where the last checkpoint is kept apart from the store. */
  readonly heads?: HeadStore | undefined;
  /** Where it is kept besides, a moment later. */
  readonly trailing?: TrailingHead | undefined;
  readonly periodMs?: number | undefined;
  /** Most leaves of one round, which bounds its memory: 16 KiB each. */
  readonly batch?: number | undefined;
  readonly onEvent?: ((event: SequencerEvent) => void) | undefined;
}

export type SequencerEvent =
  | { readonly kind: 'published'; readonly severity: 'info'; readonly size: TreeSize }
  /** Nothing is lost: the next round tries again. */
  | {
      readonly kind: 'round_failed';
      readonly severity: 'warning';
      readonly step: 'store' | 'sign';
      readonly code: ErrorCode;
      readonly error: unknown;
    }
  /** Another signer published first. */
  | { readonly kind: 'conflict'; readonly severity: 'warning' }
  /** The stored log is not the log that was signed. Nothing is signed again in the life of this process. */
  | { readonly kind: 'halted'; readonly severity: 'critical'; readonly code: ErrorCode; readonly error: unknown };

export interface Sequencer {
  /** One round each period, and the next at once after a full batch. */
  start(): void;
  /** Ends after the running round and lets another node take over at once. */
  stop(): Promise<void>;
  /** One round. Never rejects; rounds of one sequencer never overlap. `published` may mean that there is more. */
  tick(): Promise<RoundResult>;
  /** Why nothing is signed any more; undefined while all is well. */
  halted(): VaultError | undefined;
  /** For whoever else found that the stored log is not the one that was signed. */
  halt(error: VaultError): void;
  /** Whether the store was compared with what is kept apart from it: before that nothing is signed, and nobody should serve. */
  compared(): boolean;
}

export function createSequencer(options: SequencerOptions): Sequencer {
  const { periodMs = DEFAULTS.logCheckpointMs, onEvent = () => undefined } = options;
  const rounds = createRounds({ ...options, key: verifierKey(options.origin, options.publicKey), batch: options.batch ?? 1024 });
  let halted: VaultError | undefined;
  let last: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  let running = false;
  let more = false;

  async function round(): Promise<RoundResult> {
    if (halted !== undefined) return 'halted';
    const outcome = await rounds.run();
    more = outcome.more === true;
    if (outcome.event?.kind === 'halted') halted = asVaultError(outcome.event.error);
    if (outcome.event !== undefined) onEvent(outcome.event);
    return outcome.result;
  }

  function tick(): Promise<RoundResult> {
    const next = last.then(round);
    last = next.catch(() => undefined); // only onEvent can throw; the next round does not care
    return next;
  }

  async function loop(): Promise<void> {
    const result = await tick().catch(() => 'failed' as const);
    if (running && result !== 'halted') timer = setTimeout(() => void loop(), more ? 0 : periodMs);
  }

  return {
    start() {
      if (running) return;
      running = true;
      void loop();
    },
    async stop() {
      running = false;
      clearTimeout(timer);
      await last;
      await rounds.handOver();
      await options.trailing?.settle();
    },
    tick,
    halted: () => halted,
    halt(error) {
      if (halted !== undefined) return;
      halted = error;
      onEvent({ kind: 'halted', severity: 'critical', code: error.code, error });
    },
    compared: rounds.compared,
  };
}

function asVaultError(error: unknown): VaultError {
  return error instanceof VaultError ? error : new VaultError(codeOf(error), '', { cause: error });
}
