/** The sizes KeyProvider promises (port.ts), checked by every provider before it touches a key, so all of them refuse alike. */
import { VaultError } from '../domain/errors.ts';
import { parseName } from '../domain/ids.ts';
import type { SecretBytes } from '../domain/secret.ts';
import type { KeyRef } from './port.ts';

export const SECRET_BYTES = { min: 16, max: 64 };
const RANDOM_BYTES = { min: 1, max: 1024 };
/** Nothing of ours signs nothing, and SoftHSM answers CKR_ARGUMENTS_BAD to an empty message. */
const MESSAGE_BYTES = { min: 1, max: 65_536 };
/** The longest AAD we make is under 500 bytes (wrapped-key.ts); tokens differ in what they take, and none refuses this. */
const AAD_BYTES = 4096;
const KEY_VERSION_MAX = 2 ** 31;

/** A checkpoint is three short lines and a signature. */
const HEAD_BYTES = 4096;
const LOG_NAME_BYTES = 255;

const refused = (why: string) => new VaultError('request_invalid', why);

export function checkRef(ref: KeyRef): void {
  parseName(ref.id, 'key id');
  if (!Number.isInteger(ref.version) || ref.version < 1 || ref.version > KEY_VERSION_MAX) throw refused('a key version counts from 1');
}

export function checkSecret(secret: SecretBytes): void {
  if (secret.length < SECRET_BYTES.min || secret.length > SECRET_BYTES.max) throw refused('a wrapped secret is 16 to 64 bytes');
}

export function checkAad(aad: Uint8Array): void {
  if (aad.length > AAD_BYTES) throw refused('the AAD is at most 4096 bytes');
}

export function checkMessage(message: Uint8Array): void {
  if (message.length < MESSAGE_BYTES.min || message.length > MESSAGE_BYTES.max) throw refused('a signed message is 1 byte to 64 KiB');
}

export function checkRandomLength(length: number): void {
  if (!Number.isInteger(length) || length < RANDOM_BYTES.min || length > RANDOM_BYTES.max) throw refused('1 to 1024 random bytes');
}

/** No control characters: it becomes a label. */
export function checkLogName(log: string): void {
  if (!/^\P{Cc}+$/u.test(log) || Buffer.byteLength(log) > LOG_NAME_BYTES) throw refused('a log is named by 1 to 255 bytes of text');
}

/** An empty one is what forgets. That it was signed is for whoever reads it. */
export function checkHead(checkpoint: Uint8Array): void {
  if (checkpoint.length === 0) return;
  if (checkpoint.length > HEAD_BYTES || checkpoint.includes(0) || statedSize(checkpoint) === undefined)
    throw refused('not a checkpoint of at most 4096 bytes');
}

/** Records that a checkpoint states, in its second line (C2SP tlog-checkpoint); undefined for what is no checkpoint. */
export function statedSize(checkpoint: Uint8Array): number | undefined {
  const size = /^[^\n]+\n(0|[1-9][0-9]{0,14})\n/.exec(Buffer.from(checkpoint).toString('utf8'))?.[1];
  return size === undefined ? undefined : Number(size);
}
