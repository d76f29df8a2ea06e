/**
 * One call of the KMS API: bounded in number, tried again with growing, jittered pauses while its operation has time left.
 *
 * The SDK could repeat by itself, but answers `AbortError` when the time is over and no longer knows why it had to repeat; an administrator
 * must see "throttled" or "unreachable".
 */
import { setTimeout as pause } from 'node:timers/promises';
import { KMS } from '@aws-sdk/client-kms';
import { DEFAULTS } from '../../domain/classes.ts';
import { type ErrorCode, VaultError } from '../../domain/errors.ts';
import { readCredentials } from './credentials-file.ts';
import { nameOf, requestIdOf, vaultErrorOf } from './refusals.ts';

/** An operation of the port may take several calls; it answers before the keeper's client gives up on it. */
const OPERATION_MS = DEFAULTS.keeperDeadlineMs - 500;
const ATTEMPT_MS = 2_000;
const CONNECT_MS = 1_000;
const SOCKETS = 32;
const PAUSE_MS = { first: 100, most: 1_600 };

export interface AwsKmsConnection {
  readonly region: string;
  /** Absent: AWS's own for the region. */
  readonly endpoint?: string | undefined;
  /** Absent: the role of the machine or container (the SDK's default chain). */
  readonly credentialsFile?: string | undefined;
}

/** A call that failed, whether or not it is tried again. No secret, no key material, no AWS message. */
export interface KmsEvent {
  readonly event: 'kms';
  readonly code: ErrorCode;
  readonly detail: string;
}

/** Milliseconds of performance.now() at which an operation must have its answer. */
export type Deadline = number & { readonly __deadline: never };
export const newDeadline = (): Deadline => (performance.now() + OPERATION_MS) as Deadline; // the one place that makes one

export type KmsCall<T> = (kms: KMS, options: { readonly abortSignal: AbortSignal }) => Promise<T>;

export interface Calls {
  /** Rejects with a `VaultError`; `once` for what must not happen twice: it is repeated only when KMS says that it did nothing. */
  send<T>(operation: string, deadline: Deadline, call: KmsCall<T>, tries?: 'once'): Promise<T>;
  close(): void;
}

export function createCalls(connection: AwsKmsConnection, onEvent: (event: KmsEvent) => void): Calls {
  const { region, endpoint, credentialsFile } = connection;
  const agent = { maxSockets: SOCKETS, keepAlive: true };
  const kms = new KMS({
    region,
    ...(endpoint !== undefined && { endpoint }),
    ...(credentialsFile !== undefined && { credentials: () => readCredentials(credentialsFile) }),
    maxAttempts: 1,
    requestHandler: { connectionTimeout: CONNECT_MS, httpAgent: agent, httpsAgent: { ...agent, rejectUnauthorized: true } },
  });
  const closing = new AbortController();
  let underWay = 0;

  async function attempt<T>(operation: string, deadline: Deadline, call: KmsCall<T>): Promise<T> {
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) throw new VaultError('keeper_deadline', `${operation}: no time left`);
    const timer = AbortSignal.timeout(Math.ceil(Math.min(leftMs, ATTEMPT_MS)));
    try {
      return await call(kms, { abortSignal: AbortSignal.any([closing.signal, timer]) });
    } catch (cause) {
      if (closing.signal.aborted) throw closed();
      if (timer.aborted) throw new Silence('hsm_unavailable', `${operation}: KMS did not answer in time`, { cause });
      throw vaultErrorOf(cause, operation);
    }
  }

  async function send<T>(operation: string, deadline: Deadline, call: KmsCall<T>, tries?: 'once'): Promise<T> {
    let answered: VaultError | undefined;
    for (let failures = 0; ; failures += 1) {
      try {
        return await attempt(operation, deadline, call);
      } catch (thrown) {
        const latest = vaultErrorOf(thrown, operation);
        if (latest.code !== 'key_unknown') onEvent({ event: 'kms', code: latest.code, detail: describeFailure(operation, latest) });
        if (!(latest instanceof Silence)) answered = latest;
        const error = answered ?? latest; // a last try that ran out of time does not hide why it was the last
        const waitMs = pauseMs(failures);
        const happened = tries === 'once' && error.code !== 'kms_throttled';
        if (happened || !error.retryable || closing.signal.aborted || performance.now() + waitMs >= deadline) throw error;
        await pause(waitMs, undefined, { signal: closing.signal }).catch(() => {
          throw closed();
        });
      }
    }
  }

  return {
    async send(operation, deadline, call, tries) {
      if (closing.signal.aborted) throw closed();
      if (underWay >= DEFAULTS.keeperQueue) throw new VaultError('keeper_queue_full');
      underWay += 1;
      try {
        return await send(operation, deadline, call, tries);
      } finally {
        underWay -= 1;
      }
    },
    close() {
      closing.abort();
      kms.destroy();
    },
  };
}

/** Half of it fixed, half of it random, so that nodes that were refused together do not come back together. */
function pauseMs(failures: number): number {
  const whole = Math.min(PAUSE_MS.first * 2 ** failures, PAUSE_MS.most);
  return whole / 2 + (Math.random() * whole) / 2;
}

/** No answer within the time of a try. */
class Silence extends VaultError {}

function describeFailure(operation: string, { cause }: VaultError): string {
  const id = requestIdOf(cause);
  return `${operation} ${cause === undefined ? '' : nameOf(cause)}${id === undefined ? '' : ` ${id}`}`.trimEnd();
}

const closed = () => new VaultError('keeper_unavailable', 'the key provider is closed');
