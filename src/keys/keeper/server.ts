/**
 * The keeper's door: a unix socket of mode 0600 in a folder of mode 0700. Who may open the socket may use the keys, so the
 * folder is the access control. A peer that does not speak the language is hung up on, not answered.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { codeOf, VaultError } from '../../domain/errors.ts';
import type { KeyProvider } from '../port.ts';
import { decodeWrappedKey, encodeWrappedKey } from '../wrapped-key.ts';
import { decodePayload, encodeFrame, FrameReader, type Message } from './frames.ts';
import { healthMembers, infoMembers, type KeeperRequest, parseRequest } from './protocol.ts';

export interface KeeperServerConfig {
  readonly provider: KeyProvider;
  readonly socket: string;
  /** Only then is `generate` answered: keys are made in ceremonies. */
  readonly ceremony: boolean;
}

interface Answer {
  readonly members: Message;
  readonly secret?: Uint8Array;
}

/** Resolves once peers can connect. Throws `configuration_invalid` when the folder is open to others or another keeper answers there. */
export async function startKeeperServer(config: KeeperServerConfig): Promise<{ close(): Promise<void> }> {
  prepareFolder(dirname(config.socket));
  await removeStale(config.socket);
  const peers = new Set<Socket>();
  const server = createServer((peer) => {
    peers.add(peer);
    peer.once('close', () => peers.delete(peer));
    serve(peer, config);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(new VaultError('configuration_invalid', 'the keeper socket cannot be opened', { cause })));
    server.listen(config.socket, resolve);
  });
  chmodSync(config.socket, 0o600); // the folder already keeps others out; the mode says so once more
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const peer of peers) peer.destroy();
      }),
  };
}

function serve(peer: Socket, config: KeeperServerConfig): void {
  const reader = new FrameReader();
  peer.on('data', (chunk) => {
    try {
      for (const payload of reader.push(chunk)) take(payload);
    } catch {
      peer.destroy(); // malformed or unknown: nothing after it can be trusted to mean what it says
    }
  });
  peer.on('drain', () => peer.resume());
  peer.on('error', () => peer.destroy());
  peer.on('close', () => reader.wipe());

  function take(payload: Uint8Array): void {
    try {
      const { id, request } = parseRequest(decodePayload(payload));
      void answer(request, config).then((result) => send(id, result));
    } finally {
      payload.fill(0);
    }
  }

  function send(id: number, { members, secret }: Answer): void {
    const frame = encodeFrame({ ...members, id }, secret);
    secret?.fill(0);
    if (peer.destroyed) return void frame.fill(0);
    const fits = peer.write(frame, () => frame.fill(0));
    if (!fits) peer.pause(); // a peer that does not read its answers asks no more questions
  }
}

/** Never rejects: an error is its code and detail, which carry no secret. */
async function answer(request: KeeperRequest, config: KeeperServerConfig): Promise<Answer> {
  try {
    return await perform(request, config);
  } catch (error) {
    return { members: { error: codeOf(error), detail: error instanceof VaultError ? error.detail : '' } };
  }
}

async function perform(request: KeeperRequest, { provider, ceremony }: KeeperServerConfig): Promise<Answer> {
  switch (request.verb) {
    case 'generate':
      if (!ceremony) throw new VaultError('action_denied', 'this keeper was not started for a ceremony');
      return { members: infoMembers(await provider.generate(request.ref, request.purpose)) };
    case 'describe':
      return { members: infoMembers(await provider.describe(request.ref)) };
    case 'wrap': {
      using secret = request.secret;
      return { members: { wrapped: encodeWrappedKey(await provider.wrap(request.ref, secret, request.aad)) } };
    }
    case 'unwrap': {
      using opened = await provider.unwrap(decodeWrappedKey(request.wrapped), request.aad);
      return { members: {}, secret: opened.expose((bytes) => new Uint8Array(bytes)) };
    }
    case 'sign':
      return { members: { signature: await provider.sign(request.ref, request.message) } };
    case 'random':
      return { members: {}, secret: await provider.random(request.length) };
    case 'health':
      return { members: healthMembers(await provider.health()) };
  }
}

function prepareFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stat = statSync(folder);
  if ((stat.mode & 0o077) !== 0)
    throw new VaultError('configuration_invalid', 'the folder of the keeper socket is open to group or others: chmod 700');
  if (stat.uid !== process.geteuid?.())
    throw new VaultError('configuration_invalid', 'the folder of the keeper socket belongs to another user');
}

/** A killed keeper leaves its socket behind. It is removed only if nobody answers on it. */
async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new VaultError('configuration_invalid', 'something that is not a socket is in the place of the keeper socket');
  if (await answers(path)) throw new VaultError('configuration_invalid', 'another keeper answers on this socket');
  rmSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => resolve(true));
    probe.once('error', () => resolve(false));
    probe.once('connect', () => probe.destroy());
  });
}
