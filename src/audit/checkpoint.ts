/** LogCheckpoint (C2SP tlog-checkpoint): origin, tree size and root as the text of a signed note. */
import { toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import type { TreeSize } from '../domain/ids.ts';
import { HASH_BYTES } from './merkle.ts';
import { openNote, type SignText, signNote } from './note.ts';
import { tryBase64, type VerifierKey } from './vkey.ts';

export interface LogCheckpoint {
  /** Names the log; also the name of its key. */
  readonly origin: string;
  readonly size: TreeSize;
  readonly root: Uint8Array;
  /** Opaque lines after the root. We write none, because nobody can audit them. */
  readonly extensions: readonly string[];
}

const SIZE = /^(?:0|[1-9][0-9]{0,15})$/;

export function formatCheckpoint({ origin, size, root }: Pick<LogCheckpoint, 'origin' | 'size' | 'root'>): string {
  return `${origin}\n${size}\n${toBase64(root)}\n`;
}

/** Throws `note_malformed` for anything but one exact spelling. */
export function parseCheckpoint(text: string): LogCheckpoint {
  const [origin = '', size = '', encoded = '', ...extensions] = text.slice(0, -1).split('\n');
  const root = tryBase64(encoded);
  if (!text.endsWith('\n') || origin === '' || extensions.includes(''))
    throw new VaultError('note_malformed', 'not the text of a checkpoint');
  if (!SIZE.test(size) || !Number.isSafeInteger(Number(size)))
    throw new VaultError('note_malformed', 'the tree size is not a plain decimal');
  if (root?.length !== HASH_BYTES) throw new VaultError('note_malformed', 'the root is not a SHA-256 hash in base64');
  return { origin, size: Number(size) as TreeSize, root, extensions }; // the size was just checked
}

/** The checkpoint of the log that `key` names, when that key signed it. Throws `note_malformed` or `note_signature_invalid`. */
export function openCheckpoint(note: Uint8Array, key: VerifierKey): LogCheckpoint {
  const checkpoint = parseCheckpoint(openNote(note, [key]).text);
  if (checkpoint.origin !== key.name) throw new VaultError('note_signature_invalid', 'the checkpoint is of another log');
  return checkpoint;
}

export function signCheckpoint(size: TreeSize, root: Uint8Array, key: VerifierKey, sign: SignText): Promise<Uint8Array> {
  return signNote(formatCheckpoint({ origin: key.name, size, root }), key, sign);
}
