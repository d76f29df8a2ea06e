/** KeyProvider on the other side of the keeper's socket: what the vault process uses. */
import { connect, type Socket } from 'node:net';
import { DEFAULTS } from '../../domain/classes.ts';
import { isErrorCode, VaultError } from '../../domain/errors.ts';
import { SecretBytes, secretCopy, secretRoom } from '../../domain/secret.ts';
import { checkAad, checkHead, checkLogName, checkMessage, checkRandomLength, checkRef, checkSecret } from '../bounds.ts';
import { decodeFlatMap } from '../flat-cbor.ts';
import type { KeyProvider, KeyProviderHealth } from '../port.ts';
import { decodeWrappedKey, encodeWrappedKey, type WrappedKey } from '../wrapped-key.ts';
import { FrameReader, FrameWriter, type Message, malformed, secretIn } from './frames.ts';
import { bytes, integer, parseDestroyed, parseHeads, parseHealth, parseInfo, refMembers } from './protocol.ts';

export interface KeeperClientOptions {
  readonly socket: string;
  /** Per operation, from the call to the answer. */
  readonly deadlineMs?: number | undefined;
  /** Operations that may wait for their answer at once; one more is `keeper_queue_full`. */
  readonly queue?: number;
}

interface Connection {
  readonly socket: Socket;
  readonly writer: FrameWriter;
}

interface Pending {
  /** The connection the question went out on; its answer can come on no other. */
  readonly on: Socket;
  settle(message: Message): void;
  fail(error: VaultError): void;
  /** Of performance.now(). */
  readonly untilMs: number;
}

const READ_BYTES = 65_536;

/** Connects on first use and again after a loss; an operation under way when the connection breaks is `keeper_unavailable`, never a hang. */
export function createKeeperClient(options: KeeperClientOptions): KeyProvider {
  const { socket: path, deadlineMs = DEFAULTS.keeperDeadlineMs, queue = DEFAULTS.keeperQueue } = options;
  const pending = new Map<number, Pending>();
  let live: Connection | undefined;
  let nextId = 1;
  let closed = false;
  let deadline: NodeJS.Timeout | undefined;

  function call<T>(members: Message, read: (message: Message) => T, secret?: SecretBytes): Promise<T> {
    if (closed) return Promise.reject(new VaultError('keeper_unavailable', 'the key provider is closed'));
    if (pending.size >= queue) return Promise.reject(new VaultError('keeper_queue_full'));
    const id = nextId++;
    const { socket: on, writer } = connection();
    writer.push({ id, ...members }, secret);
    return new Promise((resolve, reject) => {
      pending.set(id, { on, settle: (answer) => resolve(read(answer)), fail: reject, untilMs: performance.now() + deadlineMs });
      deadline ??= setTimeout(refuseLate, deadlineMs);
    });
  }

  /** One timer for all: whoever asked first waits the longest. */
  function refuseLate(): void {
    deadline = undefined;
    const now = performance.now();
    for (const [id, { untilMs, fail }] of pending) {
      if (untilMs > now) {
        deadline = setTimeout(refuseLate, Math.ceil(untilMs - now));
        return;
      }
      pending.delete(id);
      fail(new VaultError('keeper_deadline'));
    }
  }

  function connection(): Connection {
    if (live !== undefined && !live.socket.destroyed) return live;
    const reader = new FrameReader(take);
    const onread = {
      buffer: secretRoom(READ_BYTES), // read into directly: node's own buffers are copied and given back unwiped
      callback: (length: number, buffer: Uint8Array) => {
        try {
          reader.push(secretCopy(buffer.subarray(0, length)));
        } catch {
          made.destroy(); // an answer we cannot read: the others on this connection would be guesses
        }
        buffer.fill(0, 0, length);
        return true;
      },
    };
    const made = connect({ path, onread });
    made.on('error', () => made.destroy());
    made.on('close', () => {
      reader.wipe();
      if (live?.socket === made) live = undefined;
      failAll((waiting) => waiting.on === made);
    });
    live = { socket: made, writer: new FrameWriter(made) };
    return live;
  }

  function take(payload: Uint8Array): void {
    const message = decodeFlatMap(payload);
    const id = integer(message, 'id');
    const waiting = pending.get(id);
    if (waiting === undefined) return void payload.fill(0); // it came after its deadline
    const error = errorOf(message);
    if (error === undefined) waiting.settle(message); // throws on a malformed answer, before the operation is forgotten
    forget(id);
    if (error !== undefined) waiting.fail(error);
  }

  /** The timer keeps a process alive that has nothing else to do: only while somebody waits. */
  function forget(id: number): void {
    pending.delete(id);
    if (pending.size > 0) return;
    clearTimeout(deadline);
    deadline = undefined;
  }

  function failAll(which: (waiting: Pending) => boolean): void {
    for (const [id, waiting] of [...pending]) {
      if (!which(waiting)) continue;
      forget(id);
      waiting.fail(new VaultError('keeper_unavailable'));
    }
  }

  return {
    async generate(ref, purpose) {
      checkRef(ref);
      return call({ verb: 'generate', ...refMembers(ref), purpose }, parseInfo);
    },
    async describe(ref) {
      checkRef(ref);
      return call({ verb: 'describe', ...refMembers(ref) }, parseInfo);
    },
    async destroy(ref) {
      checkRef(ref);
      return call({ verb: 'destroy', ...refMembers(ref) }, parseDestroyed);
    },
    async wrap(kek, secret, aad) {
      checkRef(kek);
      checkSecret(secret);
      checkAad(aad);
      return call({ aad, verb: 'wrap', ...refMembers(kek) }, (message) => decodeWrappedKey(bytes(message, 'wrapped')), secret);
    },
    async unwrap(wrapped, aad) {
      checkAad(aad);
      return call({ aad, verb: 'unwrap', wrapped: blobMember(wrapped) }, (message) => new SecretBytes(secretIn(message)));
    },
    async rewrap(wrapped, aad, to, toAad) {
      checkRef(to);
      checkAad(aad);
      checkAad(toAad);
      const asked = { aad, verb: 'rewrap', keyId: to.id, toAad, wrapped: blobMember(wrapped), keyVersion: to.version };
      return call(asked, (message) => decodeWrappedKey(bytes(message, 'wrapped')));
    },
    async sign(ref, message) {
      checkRef(ref);
      checkMessage(message);
      return call({ verb: 'sign', ...refMembers(ref), message }, (reply) => bytes(reply, 'signature'));
    },
    async random(length) {
      checkRandomLength(length);
      return call({ verb: 'random', length }, secretIn);
    },
    heads: {
      async read(log) {
        checkLogName(log);
        return call({ verb: 'readHead', log }, parseHeads);
      },
      async write(log, checkpoint) {
        checkLogName(log);
        checkHead(checkpoint);
        return call({ verb: 'writeHead', log, checkpoint }, () => undefined);
      },
    },
    health: () => call({ verb: 'health' }, parseHealth).catch(unhealthy),
    async close() {
      closed = true;
      live?.socket.destroy();
      failAll(() => true);
    },
  };
}

const BLOB = new Uint8Array(8_192);

/** Good until the next: `call` copies it into the frame before it returns. Memory of its own costs more than the encoding. */
function blobMember(wrapped: WrappedKey): Uint8Array {
  return encodeWrappedKey(wrapped, (size) => (size > BLOB.length ? new Uint8Array(size) : BLOB.subarray(0, size)));
}

function errorOf(message: Message): VaultError | undefined {
  const { error, detail } = message;
  if (error === undefined) return undefined;
  if (typeof error !== 'string' || !isErrorCode(error) || typeof detail !== 'string') throw malformed('not an error answer');
  return new VaultError(error, detail);
}

function unhealthy(error: unknown): KeyProviderHealth {
  const deadline = error instanceof VaultError && error.code === 'keeper_deadline';
  return { ok: false, code: deadline ? 'keeper_deadline' : 'keeper_unavailable' };
}
