/**
 * The keeper's door: a unix socket of mode 0600 in a folder of mode 0700, or 0660 in 0750 for one named group. Who may open the
 * socket may use the keys, so the folder is the access control. A peer that does not speak the language is hung up on, not answered.
 */
import { chmodSync, chownSync, lstatSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { codeOf, VaultError } from '../../domain/errors.ts';
import { SecretBytes } from '../../domain/secret.ts';
import { decodeFlatMap } from '../flat-cbor.ts';
import type { HeadObjects, KeyProvider } from '../port.ts';
import { decodeWrappedKey, encodeWrappedKey } from '../wrapped-key.ts';
import { FrameReader, FrameWriter, type Message } from './frames.ts';
import { destroyedMembers, headMembers, healthMembers, infoMembers, type KeeperRequest, parseRequest } from './protocol.ts';

export interface KeeperServerConfig {
  readonly provider: KeyProvider;
  readonly socket: string;
  /** Group id that may open the socket too. Absent: the keeper's own user alone. */
  readonly socketGroup?: number;
  /**
   * Only then are keys made and destroyed, except for KEKs: a rotation, or a namespace's own KEK, is made while the vault serves. One that
   * cannot leave the HSM harms nobody; signing keys are what a vault is made with.
   */
  readonly ceremony: boolean;
}

/** A vault has one, its health checks one each for a moment. One more is hung up on: a peer must not eat the keeper's memory. */
const CONNECTIONS = 64;
/** At least; else half of what waits. Of 16 callers half ask while the others are answered; 16 and 4 at a time were slower. */
const AT_A_TIME = 8;
/** Questions of one peer that wait to be looked at; then nothing more is read from it. A vault asks 256 at most. */
const INBOX = 512;

type Asked = ReturnType<typeof parseRequest>;

interface Answer {
  readonly members: Message;
  /** Wiped once it is on its way. */
  readonly secret?: SecretBytes;
}

/** Resolves once peers can connect. Throws `configuration_invalid` when the folder is open to others or another keeper answers there. */
export async function startKeeperServer(config: KeeperServerConfig): Promise<{ close(): Promise<void> }> {
  const { socketGroup } = config;
  prepareFolder(dirname(config.socket), socketGroup);
  await removeStale(config.socket);
  const peers = new Set<Socket>();
  const server = createServer((peer) => {
    peers.add(peer);
    peer.once('close', () => peers.delete(peer));
    serve(peer, config);
  });
  server.maxConnections = CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(new VaultError('configuration_invalid', 'the keeper socket cannot be opened', { cause })));
    server.listen(config.socket, resolve);
  });
  if (socketGroup !== undefined) giveToGroup(config.socket, socketGroup);
  chmodSync(config.socket, socketGroup === undefined ? 0o600 : 0o660); // the folder already keeps others out; the mode says so once more
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const peer of peers) peer.destroy();
      }),
  };
}

function serve(peer: Socket, config: KeeperServerConfig): void {
  const writer = new FrameWriter(peer, () => peer.pause()); // a peer that does not read its answers asks no more questions
  const inbox: Asked[] = [];
  const reader = new FrameReader((payload) => inbox.push(parseRequest(decodeFlatMap(payload))));
  peer.on('data', (chunk) => {
    try {
      const idle = inbox.length === 0;
      reader.push(chunk);
      if (inbox.length > INBOX) peer.pause();
      if (idle) takeSome();
    } catch {
      peer.destroy(); // malformed or unknown: nothing after it can be trusted to mean what it says
      forget();
    }
  });
  peer.on('drain', readOn);
  peer.on('error', () => peer.destroy());
  peer.on('close', () => {
    reader.wipe();
    forget();
  });

  /** The first answers are on their way while the next requests are worked on: peer and keeper are two processes. */
  function takeSome(): void {
    const some = inbox.splice(0, Math.max(AT_A_TIME, inbox.length >> 1));
    for (const { id, request } of some) void answer(request, config).then((result) => send(id, result));
    if (peer.destroyed) forget();
    if (inbox.length > 0) setImmediate(takeSome);
    else readOn();
  }

  function readOn(): void {
    if (inbox.length === 0 && !peer.writableNeedDrain) peer.resume();
  }

  /** What nobody waits for is not done. */
  function forget(): void {
    for (const { request } of inbox.splice(0)) if (request.verb === 'wrap') request.secret.dispose();
  }

  function send(id: number, { members, secret }: Answer): void {
    if (!peer.destroyed) writer.push({ id, ...members }, secret);
    secret?.dispose();
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
      if (!ceremony && request.purpose !== 'kek') throw new VaultError('action_denied', NOT_A_CEREMONY);
      return { members: infoMembers(await provider.generate(request.ref, request.purpose)) };
    case 'describe':
      return { members: infoMembers(await provider.describe(request.ref)) };
    case 'destroy':
      if (!ceremony) throw new VaultError('action_denied', NOT_A_CEREMONY);
      return { members: destroyedMembers(await provider.destroy(request.ref)) };
    case 'wrap': {
      using secret = request.secret;
      return { members: { wrapped: encodeWrappedKey(await provider.wrap(request.ref, secret, request.aad)) } };
    }
    case 'unwrap':
      return { members: {}, secret: await provider.unwrap(decodeWrappedKey(request.wrapped), request.aad) };
    case 'rewrap': {
      const { wrapped, aad, ref, toAad } = request;
      return { members: { wrapped: encodeWrappedKey(await provider.rewrap(decodeWrappedKey(wrapped), aad, ref, toAad)) } };
    }
    case 'sign':
      return { members: { signature: await provider.sign(request.ref, request.message) } };
    case 'random':
      return { members: {}, secret: new SecretBytes(await provider.random(request.length)) };
    case 'readHead':
      return { members: headMembers(await headsOf(provider).read(request.log)) };
    case 'writeHead':
      if (!ceremony && request.checkpoint.length === 0) throw new VaultError('action_denied', NOT_A_CEREMONY);
      await headsOf(provider).write(request.log, request.checkpoint);
      return { members: {} };
    case 'health':
      return { members: healthMembers(await provider.health()) };
  }
}

function headsOf({ heads }: KeyProvider): HeadObjects {
  if (heads === undefined) throw new VaultError('hsm_mechanism_missing', 'this provider keeps no data beside its keys');
  return heads;
}

const NOT_A_CEREMONY = 'this keeper was not started for a ceremony';

function prepareFolder(folder: string, group: number | undefined): void {
  const made = mkdirSync(folder, { recursive: true, mode: group === undefined ? 0o700 : 0o750 });
  if (made !== undefined && group !== undefined) giveToGroup(folder, group);
  const stat = statSync(folder);
  const wrong =
    stat.uid !== process.geteuid?.()
      ? 'belongs to another user'
      : (stat.mode & 0o077) === 0
        ? undefined
        : group === undefined
          ? 'is open to group or others: chmod 700'
          : (stat.mode & 0o027) !== 0
            ? 'is writable for its group or open to others: chmod 750'
            : stat.gid !== group
              ? 'belongs to another group than socketGroup'
              : undefined;
  if (wrong !== undefined) throw new VaultError('configuration_invalid', `the folder of the keeper socket ${wrong}`);
}

/** Allowed to whoever is a member of the group. */
function giveToGroup(path: string, group: number): void {
  try {
    chownSync(path, process.geteuid?.() ?? -1, group);
  } catch (cause) {
    throw new VaultError('configuration_invalid', 'the keeper is no member of socketGroup', { cause });
  }
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
