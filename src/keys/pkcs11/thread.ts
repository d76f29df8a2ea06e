/** The other side of thread-lane.ts: one session, one operation at a time, until it is told to close. */
import { parentPort, workerData } from 'node:worker_threads';
import { codeOf, type ErrorCode, VaultError } from '../../domain/errors.ts';
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
    send({ result }, operation.verb === 'unwrap' ? [(result as Uint8Array).buffer as ArrayBuffer] : []); // unwrap answers bytes of its own
  } catch (error) {
    refuse(error);
  } finally {
    if (operation.verb === 'wrap') operation.secret.fill(0);
  }
}

function refuse(error: unknown): void {
  send({ error: codeOf(error), detail: error instanceof VaultError ? error.detail : '' });
}
