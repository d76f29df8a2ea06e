/** The other side of thread-lane.ts: one session, one operation at a time, until it is told to close. */
import { parentPort, workerData } from 'node:worker_threads';
import { codeOf, type ErrorCode, VaultError } from '../../domain/errors.ts';
import { secretCopy } from '../../domain/secret.ts';
import { loadModule } from './module.ts';
import type { Operation, Result } from './operation.ts';
import { vaultErrorOf } from './result-codes.ts';
import { type SessionSettings, TokenSession } from './token-session.ts';

export interface ThreadStart {
  readonly module: string;
  readonly settings: SessionSettings;
}

export type ToThread = Operation | 'close';

export type FromThread = { readonly opened: true } | { readonly result: Result } | { readonly error: ErrorCode; readonly detail: string };

const port = parentPort;
if (port === null) throw new Error('thread.ts is a thread of the keeper');

const { module, settings } = workerData as ThreadStart; // from thread-lane.ts only
const send = (message: FromThread, moved: ArrayBuffer[] = []) => port.postMessage(message, moved);

try {
  // A Buffer becomes a Uint8Array on its way here.
  const session = new TokenSession(loadModule(module), { ...settings, slot: Buffer.from(settings.slot) });
  port.on('message', (message: ToThread) => {
    if (message !== 'close') return perform(session, message);
    session.close();
    port.close();
  });
  send({ opened: true });
} catch (cause) {
  refuse(vaultErrorOf(cause, 'opening a session'));
}

function perform(session: TokenSession, operation: Operation): void {
  try {
    const result = session.perform(operation);
    if (operation.verb === 'unwrap')
      sendSecret(result as Uint8Array); // what unwrap answers
    else send({ result });
  } catch (error) {
    refuse(error);
  } finally {
    if (operation.verb === 'wrap') operation.secret.fill(0);
  }
}

/** It moves, and its buffer with it: it leaves the one that it may share with others. */
function sendSecret(secret: Uint8Array): void {
  const result = secretCopy(secret);
  secret.fill(0);
  send({ result }, [result.buffer]);
}

function refuse(error: unknown): void {
  send({ error: codeOf(error), detail: error instanceof VaultError ? error.detail : '' });
}
