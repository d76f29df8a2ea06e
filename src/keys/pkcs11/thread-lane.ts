/**
 * A session on a thread of its own. For an HSM across a network a call takes milliseconds, and pkcs11js makes most of them (every `...Init`,
 * find, attribute) wait on the thread they are called from; on threads they wait beside each other. All threads share the one library, its
 * initialization and its login.
 */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { VaultError } from '../../domain/errors.ts';
import { secretCopy } from '../../domain/secret.ts';
import type { Operation, Result } from './operation.ts';
import type { Lane } from './session-pool.ts';
import type { FromThread, ThreadStart, ToThread } from './thread.ts';

const THREAD = fileURLToPath(new URL('./thread.ts', import.meta.url));
/** A thread runs little: the module is native. */
const HEAP_MIB = 32;

/** Resolves when the session is open; rejects with what the token said. `onDeath` hears of a thread that ended by itself. */
export async function openThreadLane(start: ThreadStart, onDeath: () => void): Promise<Lane> {
  const worker = new Worker(THREAD, { workerData: start, resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB } });
  let answer: PromiseWithResolvers<Result> | undefined;
  let ended = false;
  const opened = Promise.withResolvers<void>();
  worker.on('message', (message: FromThread) => {
    if ('opened' in message) return opened.resolve();
    const waiting = answer;
    answer = undefined;
    if ('result' in message) waiting?.resolve(message.result);
    else (waiting ?? opened).reject(new VaultError(message.error, message.detail));
  });
  worker.on('error', die);
  worker.on('exit', die);

  function die(): void {
    const lost = new VaultError('hsm_unavailable', 'a thread of the keeper ended');
    opened.reject(lost);
    answer?.reject(lost);
    if (!ended) onDeath();
    ended = true;
  }

  try {
    await opened.promise;
  } catch (error) {
    ended = true;
    void worker.terminate();
    throw error;
  }
  worker.unref();
  return {
    perform(operation) {
      const sent: ToThread = copied(operation);
      answer = Promise.withResolvers<Result>();
      worker.ref();
      worker.postMessage(sent, secretsOf(sent));
      return answer.promise.finally(() => worker.unref());
    },
    close() {
      ended = true;
      worker.postMessage('close' satisfies ToThread);
    },
  };
}

/** The secret moves to the thread instead of being copied on the way; what moves is a copy of ours, which the thread wipes. */
function copied(operation: Operation): Operation {
  return operation.verb === 'wrap' ? { ...operation, secret: secretCopy(operation.secret) } : operation;
}

function secretsOf(sent: ToThread): ArrayBuffer[] {
  return sent !== 'close' && sent.verb === 'wrap' ? [sent.secret.buffer as ArrayBuffer] : []; // of our own copy, never shared
}
