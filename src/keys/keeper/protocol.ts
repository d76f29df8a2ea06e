/** The keeper's language: eleven verbs, each with exactly its own members. docs/hsm.md lists them. */
import type { KeyId } from '../../domain/ids.ts';
import { type KekWrap, KMS_KEY_ARN, WRAP_ALGORITHMS, WRAP_TIERS } from '../../domain/kek-wrap.ts';
import { SecretBytes } from '../../domain/secret.ts';
import { SIGNATURE_ALGORITHMS } from '../../domain/signature.ts';
import type { FlatValue } from '../flat-cbor.ts';
import { type Destroyed, HEALTH_CODES, type KeyInfo, type KeyProviderHealth, type KeyPurpose, type KeyRef } from '../port.ts';
import { type Message, malformed, takeSecret } from './frames.ts';

export type KeeperRequest =
  | { readonly verb: 'generate'; readonly ref: KeyRef; readonly purpose: KeyPurpose }
  | { readonly verb: 'describe'; readonly ref: KeyRef }
  | { readonly verb: 'destroy'; readonly ref: KeyRef }
  | { readonly verb: 'wrap'; readonly ref: KeyRef; readonly aad: Uint8Array; readonly secret: SecretBytes }
  | { readonly verb: 'unwrap'; readonly wrapped: Uint8Array; readonly aad: Uint8Array }
  | { readonly verb: 'rewrap'; readonly wrapped: Uint8Array; readonly aad: Uint8Array; readonly ref: KeyRef; readonly toAad: Uint8Array }
  | { readonly verb: 'sign'; readonly ref: KeyRef; readonly message: Uint8Array }
  | { readonly verb: 'random'; readonly length: number }
  | { readonly verb: 'readHead'; readonly log: string }
  | { readonly verb: 'writeHead'; readonly log: string; readonly checkpoint: Uint8Array }
  | { readonly verb: 'health' };

const MEMBERS: Readonly<Record<KeeperRequest['verb'], readonly string[]>> = {
  generate: ['keyId', 'keyVersion', 'purpose'],
  describe: ['keyId', 'keyVersion'],
  destroy: ['keyId', 'keyVersion'],
  wrap: ['keyId', 'keyVersion', 'aad', 'secretBytes'],
  unwrap: ['wrapped', 'aad'],
  rewrap: ['wrapped', 'aad', 'keyId', 'keyVersion', 'toAad'],
  sign: ['keyId', 'keyVersion', 'message'],
  random: ['length'],
  readHead: ['log'],
  writeHead: ['log', 'checkpoint'],
  health: [],
};

/** Throws `request_invalid` for an unknown verb, a missing, extra or ill-typed member. Bytes are views of the payload. */
export function parseRequest(message: Message): { readonly id: number; readonly request: KeeperRequest } {
  const id = integer(message, 'id');
  const verb = message['verb'];
  if (typeof verb !== 'string' || !Object.hasOwn(MEMBERS, verb)) throw malformed('unknown verb');
  const known = verb as KeeperRequest['verb']; // just checked
  const members = Object.keys(message);
  const expected = MEMBERS[known];
  if (members.length !== expected.length + 2 || !expected.every((name) => Object.hasOwn(message, name)))
    throw malformed('missing or unknown member');
  return { id, request: parseVerb(known, message) };
}

function parseVerb(verb: KeeperRequest['verb'], message: Message): KeeperRequest {
  switch (verb) {
    case 'generate':
      return { verb, ref: refOf(message), purpose: purposeOf(message) };
    case 'describe':
    case 'destroy':
      return { verb, ref: refOf(message) };
    case 'wrap':
      return { verb, ref: refOf(message), aad: bytes(message, 'aad'), secret: new SecretBytes(takeSecret(message)) };
    case 'unwrap':
      return { verb, wrapped: bytes(message, 'wrapped'), aad: bytes(message, 'aad') };
    case 'rewrap':
      return { verb, wrapped: bytes(message, 'wrapped'), aad: bytes(message, 'aad'), ref: refOf(message), toAad: bytes(message, 'toAad') };
    case 'sign':
      return { verb, ref: refOf(message), message: bytes(message, 'message') };
    case 'random':
      return { verb, length: integer(message, 'length') };
    case 'readHead':
      return { verb, log: text(message, 'log') };
    case 'writeHead':
      return { verb, log: text(message, 'log'), checkpoint: bytes(message, 'checkpoint') };
    case 'health':
      return { verb };
  }
}

export function refMembers(ref: KeyRef): Message {
  return { keyId: ref.id, keyVersion: ref.version };
}

export function infoMembers(info: KeyInfo): Message {
  const { publicKey, algorithm, wrap } = info;
  return {
    ...refMembers(info.ref),
    purpose: info.purpose,
    extractable: info.extractable,
    ...(publicKey !== undefined && { publicKey: new Uint8Array(publicKey) }),
    ...(algorithm !== undefined && { algorithm }),
    ...(wrap !== undefined && wrapMembers(wrap)),
  };
}

export function parseInfo(message: Message): KeyInfo {
  const { extractable, publicKey, algorithm } = message;
  if (typeof extractable !== 'boolean') throw malformed('extractable is not a boolean');
  return {
    ref: refOf(message),
    purpose: purposeOf(message),
    extractable,
    ...(publicKey !== undefined && { publicKey: bytes(message, 'publicKey') }),
    ...(algorithm !== undefined && { algorithm: oneOf(SIGNATURE_ALGORITHMS, algorithm, 'algorithm') }),
    ...(message['tier'] !== undefined && { wrap: wrapOf(message) }),
  };
}

function wrapMembers({ tier, algorithm, provider, arn }: KekWrap): Message {
  return { tier, wrapAlgorithm: algorithm, provider, ...(arn !== undefined && { arn }) };
}

function wrapOf({ tier, wrapAlgorithm, provider, arn }: Message): KekWrap {
  if (typeof provider !== 'string' || !PROVIDER_NAME.test(provider)) throw malformed('unknown provider');
  if (arn !== undefined && (typeof arn !== 'string' || !KMS_KEY_ARN.test(arn))) throw malformed('arn is not that of a KMS key');
  return {
    tier: oneOf(WRAP_TIERS, tier, 'tier'),
    algorithm: oneOf(WRAP_ALGORITHMS, wrapAlgorithm, 'wrapAlgorithm'),
    provider,
    ...(arn !== undefined && { arn }),
  };
}

const PROVIDER_NAME = /^[a-z][a-z0-9-]{0,31}$/;

function oneOf<T extends FlatValue>(known: readonly T[], value: FlatValue | undefined, what: string): T {
  const found = known.find((one) => one === value);
  if (found === undefined) throw malformed(`unknown ${what}`);
  return found;
}

export function healthMembers(health: KeyProviderHealth): Message {
  const { ok, code, load } = health;
  return { ok, ...(code !== undefined && { code }), ...load };
}

export function destroyedMembers({ cancellableUntil }: Destroyed): Message {
  return cancellableUntil === undefined ? {} : { cancellableUntil: cancellableUntil.getTime() };
}

export function parseDestroyed(message: Message): Destroyed {
  return message['cancellableUntil'] === undefined ? {} : { cancellableUntil: new Date(integer(message, 'cancellableUntil')) };
}

export function parseHealth(message: Message): KeyProviderHealth {
  const { ok, code } = message;
  const load = message['sessions'] === undefined ? undefined : loadOf(message);
  if (ok === true && code === undefined) return { ok, ...(load !== undefined && { load }) };
  if (ok !== false || code === undefined) throw malformed('not a health answer');
  return { ok, code: oneOf(HEALTH_CODES, code, 'health code') };
}

function loadOf(message: Message): NonNullable<KeyProviderHealth['load']> {
  return { sessions: integer(message, 'sessions'), busy: integer(message, 'busy'), waiting: integer(message, 'waiting') };
}

/** Checkpoints are text, so a zero byte stands between them. */
export function headMembers(heads: readonly Uint8Array[]): Message {
  return { heads: new Uint8Array(Buffer.concat(heads.flatMap((head) => [head, SEPARATOR]))) };
}

export function parseHeads(message: Message): readonly Uint8Array[] {
  const heads: Uint8Array[] = [];
  let rest = bytes(message, 'heads');
  for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
    heads.push(rest.slice(0, end));
    rest = rest.subarray(end + 1);
  }
  if (rest.length > 0) throw malformed('heads do not end as they should');
  return heads;
}

const SEPARATOR = Uint8Array.of(0);

export function bytes(message: Message, name: string): Uint8Array {
  const value = message[name];
  if (!(value instanceof Uint8Array)) throw malformed(`${name} is not bytes`);
  return value;
}

function text(message: Message, name: string): string {
  const value = message[name];
  if (typeof value !== 'string') throw malformed(`${name} is not text`);
  return value;
}

export function integer(message: Message, name: string): number {
  const value = message[name];
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw malformed(`${name} is not an integer`);
  return value;
}

/** Whether the name is allowed is for the provider to say (bounds.ts), which answers instead of hanging up. */
function refOf(message: Message): KeyRef {
  const id = message['keyId'];
  if (typeof id !== 'string') throw malformed('keyId is not text');
  return { id: id as KeyId, version: integer(message, 'keyVersion') };
}

function purposeOf(message: Message): KeyPurpose {
  const purpose = message['purpose'];
  if (purpose !== 'kek' && purpose !== 'catalogue' && purpose !== 'log') throw malformed('unknown purpose');
  return purpose;
}
