/** KeyProvider on the other side of the keeper's socket: what the vault process uses. */
import { connect, type Socket } from 'node:net';
import { DEFAULTS } from '../../domain/classes.ts';
import { isErrorCode, VaultError } from '../../domain/errors.ts';
import { SecretBytes } from '../../domain/secret.ts';
import { checkAad, checkMessage, checkRandomLength, checkRef, checkSecret } from '../bounds.ts';
import type { KeyProvider, KeyProviderHealth } from '../port.ts';
import { decodeWrappedKey, encodeWrappedKey } from '../wrapped-key.ts';
import { decodePayload, encodeFrame, FrameReader, FrameWriter, type Message, malformed, takeSecret } from './frames.ts';
import { bytes, integer, parseDestroyed, parseHealth, parseInfo, refMembers } from './protocol.ts';

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
  readonly timer: NodeJS.Timeout;
}

/** Connects on first use and again after a loss; an operation under way when the connection breaks is `keeper_unavailable`, never a hang. */
export function createKeeperClient(options: KeeperClientOptions): KeyProvider {
  const { socket: path, deadlineMs = DEFAULTS.keeperDeadlineMs, queue = DEFAULTS.keeperQueue } = options;
  const pending = new Map<number, Pending>();
  let live: Connection | undefined;
  let nextId = 1;
  let closed = false;

  function call<T>(members: Message, read: (message: Message) => T, secret?: SecretBytes): Promise<T> {
    if (closed) return Promise.reject(new VaultError('keeper_unavailable', 'the key provider is closed'));
    if (pending.size >= queue) return Promise.reject(new VaultError('keeper_queue_full'));
    const id = nextId++;
    const frame = secret === undefined ? encodeFrame({ ...members, id }) : secret.expose((plain) => encodeFrame({ ...members, id }, plain));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        pending.delete(id);
        reject(new VaultError('keeper_deadline'));
      }, deadlineMs);
      const { socket: on, writer } = connection();
      pending.set(id, { on, settle: (message) => resolve(read(message)), fail: reject, timer });
      writer.push(frame);
    });
  }

  function connection(): Connection {
    if (live !== undefined && !live.socket.destroyed) return live;
    const made = connect(path);
    const reader = new FrameReader();
    made.on('data', (chunk) => {
      try {
        for (const payload of reader.push(chunk)) take(payload);
      } catch {
        made.destroy(); // an answer we cannot read: the others on this connection would be guesses
      }
    });
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
    try {
      const message = decodePayload(payload);
      const id = integer(message, 'id');
      const waiting = pending.get(id);
      if (waiting === undefined) return; // it came after its deadline
      const error = errorOf(message);
      if (error === undefined) waiting.settle(message); // throws on a malformed answer, before the operation is forgotten
      pending.delete(id);
      clearTimeout(waiting.timer);
      if (error !== undefined) waiting.fail(error);
    } finally {
      payload.fill(0);
    }
  }

  function failAll(which: (waiting: Pending) => boolean): void {
    for (const [id, waiting] of [...pending]) {
      if (!which(waiting)) continue;
      pending.delete(id);
      clearTimeout(waiting.timer);
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
      return call(
        { verb: 'wrap', ...refMembers(kek), aad: new Uint8Array(aad) },
        (message) => decodeWrappedKey(bytes(message, 'wrapped')),
        secret,
      );
    },
    async unwrap(wrapped, aad) {
      checkAad(aad);
      return call(
        { verb: 'unwrap', wrapped: encodeWrappedKey(wrapped), aad: new Uint8Array(aad) },
        (message) => new SecretBytes(takeSecret(message)),
      );
    },
    async rewrap(wrapped, aad, to, toAad) {
      checkRef(to);
      checkAad(aad);
      checkAad(toAad);
      const asked = { verb: 'rewrap', wrapped: encodeWrappedKey(wrapped), aad: new Uint8Array(aad), toAad: new Uint8Array(toAad) };
      return call({ ...asked, ...refMembers(to) }, (message) => decodeWrappedKey(bytes(message, 'wrapped')));
    },
    async sign(ref, message) {
      checkRef(ref);
      checkMessage(message);
      return call({ verb: 'sign', ...refMembers(ref), message: new Uint8Array(message) }, (reply) => bytes(reply, 'signature'));
    },
    async random(length) {
      checkRandomLength(length);
      return call({ verb: 'random', length }, takeSecret);
    },
    health: () => call({ verb: 'health' }, parseHealth).catch(unhealthy),
    async close() {
      closed = true;
      live?.socket.destroy();
      failAll(() => true);
    },
  };
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
