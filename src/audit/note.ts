/** Signed notes (C2SP signed-note): text, a blank line, signature lines. Parsed strictly, so that no bit can change unnoticed. */
import { concat, equalBytes, toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { isKeyName, tryBase64, type VerifierKey, verifySignature } from './vkey.ts';

export { formatVkey, parseVkey, type VerifierKey, verifierKey } from './vkey.ts';

/** The specification asks for at least 16 signatures; a post-quantum one is nearly 5 kB. */
const MAX_SIGNATURES = 100;
const MAX_NOTE_BYTES = 1_000_000;
const KEY_ID_BYTES = 4;

export interface NoteSignature {
  readonly name: string;
  readonly keyId: Uint8Array;
  readonly signature: Uint8Array;
}

/** A note as it is spelled; nothing in it is believed yet. */
export interface ParsedNote {
  /** With its final newline, without the blank line. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** Signs in an HSM, over exactly these bytes: Ed25519, or ECDSA on P-256 in DER (domain/signature.ts). */
export type SignText = (text: Uint8Array) => Promise<Uint8Array>;

/**
 * The text of a note that at least one of `keys` signed. Signatures of other keys are ignored; one bad signature of a
 * known key refuses the note. Throws `note_malformed` or `note_signature_invalid`.
 */
export function openNote(
  bytes: Uint8Array,
  keys: readonly VerifierKey[],
): { readonly text: string; readonly signedBy: readonly VerifierKey[] } {
  const { text, signatures } = parseNote(bytes);
  const message = new TextEncoder().encode(text);
  const signedBy: VerifierKey[] = [];
  for (const { name, keyId, signature } of signatures) {
    const key = keys.find((known) => known.name === name && equalBytes(known.keyId, keyId));
    if (key === undefined) continue;
    if (!verifySignature(key, message, signature))
      throw new VaultError('note_signature_invalid', `the signature of ${name} does not verify`);
    signedBy.push(key);
  }
  if (signedBy.length === 0) throw new VaultError('note_signature_invalid', 'no expected key signed it');
  return { text, signedBy };
}

/** `text` ends in a newline. The signature is checked before the note is given out: an HSM that answers wrongly is not believed either. */
export async function signNote(text: string, key: VerifierKey, sign: SignText): Promise<Uint8Array> {
  const message = new TextEncoder().encode(text);
  const signature = await sign(message);
  if (!verifySignature(key, message, signature))
    throw new VaultError('note_signature_invalid', 'the signer returned a signature that does not verify');
  const note = new TextEncoder().encode(`${text}\n— ${key.name} ${toBase64(concat(key.keyId, signature))}\n`);
  if (parseNote(note).text !== text) throw new VaultError('note_malformed', 'the text cannot stand in a note');
  return note;
}

export function parseNote(bytes: Uint8Array): ParsedNote {
  const note = decode(bytes);
  // "The text is separated from the signatures by the last empty line in the note."
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n')) throw malformed('no signatures after a blank line');
  const lines = note.slice(split + 2, -1).split('\n');
  if (lines.length > MAX_SIGNATURES) throw malformed(`more than ${MAX_SIGNATURES} signatures`);
  return { text: note.slice(0, split + 1), signatures: lines.map(parseSignature) };
}

function decode(bytes: Uint8Array): string {
  if (bytes.length > MAX_NOTE_BYTES) throw malformed(`longer than ${MAX_NOTE_BYTES} bytes`);
  let note: string;
  try {
    note = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes); // ignoreBOM keeps a BOM as the text it is
  } catch (cause) {
    throw new VaultError('note_malformed', 'not UTF-8', { cause });
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
  if (/[\u0000-\u0009\u000b-\u001f]/.test(note)) throw malformed('a control character');
  return note;
}

function parseSignature(line: string): NoteSignature {
  const [dash, name = '', encoded = '', ...rest] = line.split(' ');
  const bytes = tryBase64(encoded);
  if (dash !== '—' || rest.length > 0 || !isKeyName(name) || bytes === undefined || bytes.length <= KEY_ID_BYTES) {
    throw malformed('a signature line has another form');
  }
  return { name, keyId: bytes.slice(0, KEY_ID_BYTES), signature: bytes.slice(KEY_ID_BYTES) };
}

function malformed(why: string): VaultError {
  return new VaultError('note_malformed', why);
}
