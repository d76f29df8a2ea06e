/**
 * Keeps the one connection of a provider: opens it, notices when the token is gone, and opens a new one when it is back.
 *
 *   down --connect--> up --failed probe--> down (retried with backoff, on the next operation or health call)
 *   down --PIN refused, bad setting--> refused, for the life of this process
 */
import type { Clock } from '../../domain/clock.ts';
import { type ErrorCode, VaultError } from '../../domain/errors.ts';
import { type Connection, closeConnection, openConnection, probe, type TokenConfig } from './connection.ts';
import type { Pkcs11Module } from './module.ts';
import { inWords } from './self-test.ts';

const BACKOFF_MS = { first: 100, most: 5_000 };
const TERMINAL: ReadonlySet<ErrorCode> = new Set(['pin_incorrect', 'configuration_invalid']);

export type LinkEvent =
  | { readonly event: 'login'; readonly attempt: number; readonly outcome: string }
  /** `identity` and the serial inside it: no other token will do from now on. `detail`: what the self-test found. */
  | { readonly event: 'connected'; readonly identity: string; readonly serial: string; readonly detail: string }
  /** A call into the library does not return, or a thread of ours died: the process must end and be started again. */
  | { readonly event: 'stuck'; readonly detail: string }
  | { readonly event: 'lost' | 'refused'; readonly code: ErrorCode; readonly detail: string };

export interface LinkConfig extends TokenConfig {
  /** As an earlier process of this keeper saw it. */
  readonly identity?: string;
}

export interface Link {
  /** The live connection when there is one at this moment. */
  current(): Connection | undefined;
  /** The live connection, or a new one; rejects with the reason there is none. */
  connected(): Promise<Connection>;
  /** After an operation failed: undefined when the token answers as it should, else what is wrong; then the connection was given up and a new one tried. */
  check(connection: Connection): Promise<VaultError | undefined>;
  close(): Promise<void>;
}

type State =
  | { readonly at: 'down'; readonly why: VaultError; readonly retryAtMs: number; readonly waitMs: number }
  | { readonly at: 'up'; readonly connection: Connection }
  | { readonly at: 'refused'; readonly why: VaultError };

export function createLink(module: Pkcs11Module, config: LinkConfig, clock: Clock, onEvent: (event: LinkEvent) => void): Link {
  let state: State = {
    at: 'down',
    why: new VaultError('hsm_unavailable', 'not connected yet'),
    retryAtMs: Number.NEGATIVE_INFINITY,
    waitMs: BACKOFF_MS.first,
  };
  let identity = config.identity;
  let logins = 0;
  let changing: Promise<unknown> = Promise.resolve();

  /** Changes of the connection happen one after the other. */
  function alone<T>(change: () => Promise<T>): Promise<T> {
    const run = changing.then(change);
    changing = run.catch(() => undefined);
    return run;
  }

  async function open(waitMs: number): Promise<Connection> {
    try {
      const connection = await openConnection(module, config, identity, {
        onLogin(outcome) {
          logins += 1;
          onEvent({ event: 'login', attempt: logins, outcome });
        },
        onDeath: () => onEvent({ event: 'stuck', detail: 'a thread of the keeper ended' }),
      });
      identity = connection.identity; // from here on, another token under the same label is not ours
      state = { at: 'up', connection };
      onEvent({ event: 'connected', identity, serial: connection.serial, detail: inWords(connection.can) });
      return connection;
    } catch (cause) {
      throw fail(cause, waitMs);
    }
  }

  function fail(cause: unknown, waitMs: number): VaultError {
    const error = cause instanceof VaultError ? cause : new VaultError('hsm_unavailable', 'connecting to the token', { cause });
    // Once it was good, a setting that went bad (a PIN file being replaced) may become good again; a refused PIN never does.
    const terminal = TERMINAL.has(error.code) && !(error.code === 'configuration_invalid' && logins > 0);
    const why = terminal || error.retryable ? error : new VaultError('hsm_unavailable', error.detail, { cause: error });
    state = terminal
      ? { at: 'refused', why }
      : { at: 'down', why, retryAtMs: clock.monotonicMs() + waitMs, waitMs: Math.min(waitMs * 2, BACKOFF_MS.most) };
    if (terminal) onEvent({ event: 'refused', code: why.code, detail: why.detail });
    return why;
  }

  async function connected(): Promise<Connection> {
    if (state.at === 'up') return state.connection;
    return alone(async () => {
      if (state.at === 'up') return state.connection;
      if (state.at === 'refused' || clock.monotonicMs() < state.retryAtMs) throw state.why;
      return open(state.waitMs);
    });
  }

  return {
    current: () => (state.at === 'up' ? state.connection : undefined),
    connected,
    async check(connection) {
      if (state.at === 'up' && state.connection !== connection)
        return new VaultError('hsm_unavailable', 'the token was reconnected meanwhile');
      return alone(async () => {
        if (state.at !== 'up') return state.why;
        if (state.connection !== connection) return new VaultError('hsm_unavailable', 'the token was reconnected meanwhile');
        const why = probe(module, connection);
        if (why === undefined) return undefined;
        onEvent({ event: 'lost', code: why.code, detail: why.detail });
        state = { at: 'down', why, retryAtMs: Number.NEGATIVE_INFINITY, waitMs: BACKOFF_MS.first };
        await end(connection);
        return reopen(why);
      });
    },
    close: () =>
      alone(async () => {
        const was = state;
        state = { at: 'refused', why: new VaultError('keeper_unavailable', 'the key provider is closed') };
        if (was.at === 'up') await end(was.connection);
      }),
  };

  async function end(connection: Connection): Promise<void> {
    if (!(await closeConnection(module, connection)))
      onEvent({ event: 'stuck', detail: 'a call into the PKCS#11 library does not return' });
  }

  /** A token that is back at once still lost this operation: the caller hears `hsm_unavailable` and may try again. */
  async function reopen(lost: VaultError): Promise<VaultError> {
    try {
      await open(BACKOFF_MS.first);
      return new VaultError('hsm_unavailable', 'the token was lost and is back', { cause: lost });
    } catch (error) {
      return error instanceof VaultError ? error : lost;
    }
  }
}
