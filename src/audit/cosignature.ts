/**
 * Cosignatures of witnesses (C2SP tlog-cosignature), Ed25519, type 0x04: "at that time, this was the largest checkpoint of the log that I have
 * seen, and it continues every one I saw before". The ML-DSA-44 form, 0x06, counts as a signature of an unknown key.
 */
import { concat, equalBytes, sha256, toBase64, toHex } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { parseNote, type SignText } from './note.ts';
import { tryBase64, type VerifierKey, verifierKey, verifySignature } from './vkey.ts';

const TYPE = Uint8Array.of(0x04);
const ED25519_KEY_BYTES = 32;
const TIMESTAMP_BYTES = 8;
const SIGNATURE_BYTES = 64;
const MAX_TIMESTAMP = 2n ** 63n - 1n;

declare const witnessBrand: unique symbol;
/** As a verifier key of the log is, with the key id of a cosignature: SHA-256(name || 0x0A || 0x04 || key)[:4]. */
export type WitnessKey = VerifierKey & { readonly [witnessBrand]: true };

export interface Cosignature {
  readonly witness: WitnessKey;
  /** When the witness gave it, by its own clock: seconds since 1970. */
  readonly timeSeconds: number;
  /** The signature line with its newline. */
  readonly line: string;
}

/** Who watches this log, and how many of them must have seen a checkpoint before it counts as witnessed. */
export interface WitnessPolicy {
  readonly witnesses: readonly WitnessKey[];
  readonly quorum: number;
}

/** From a raw or DER Ed25519 public key. Throws `note_malformed`. */
export function witnessKey(name: string, publicKey: Uint8Array): WitnessKey {
  const key = verifierKey(name, publicKey);
  if (key.algorithm !== 'ed25519') throw new VaultError('note_malformed', 'the key of a witness is Ed25519');
  const keyId = sha256(Buffer.from(`${name}\n`), TYPE, key.publicKey).slice(0, key.keyId.length);
  return { ...key, keyId } as WitnessKey; // the id is the one of a cosignature
}

export function formatWitnessVkey(key: WitnessKey): string {
  return `${key.name}+${toHex(key.keyId)}+${toBase64(concat(TYPE, key.publicKey))}`;
}

/** Strict, as `parseVkey`: a log's key, or an id that is not the key's, is `note_malformed`. */
export function parseWitnessVkey(text: string): WitnessKey {
  const [, name = '', encoded = ''] = /^([^+]*)\+[0-9a-f]{8}\+(.*)$/s.exec(text) ?? [];
  const raw = tryBase64(encoded)?.slice(1);
  if (raw?.length !== ED25519_KEY_BYTES) throw new VaultError('note_malformed', 'not the verifier key of a witness (type 0x04)');
  const key = witnessKey(name, raw);
  if (formatWitnessVkey(key) !== text) throw new VaultError('note_malformed', 'the verifier key is not spelled as its type and key id are');
  return key;
}

/** The line that says so. `text` is that of the checkpoint's note. */
export async function cosign(text: string, key: WitnessKey, timeSeconds: number, sign: SignText): Promise<string> {
  const time = BigInt(timeSeconds);
  const signature = await sign(message(text, time));
  return `— ${key.name} ${toBase64(concat(key.keyId, timestampBytes(time), signature))}\n`;
}

/**
 * What witnesses of the list say under this note, the first line of each. Lines of others are ignored; one bad line of a known witness refuses
 * the note: `note_signature_invalid`.
 */
export function cosignaturesOf(note: Uint8Array, witnesses: readonly WitnessKey[]): readonly Cosignature[] {
  const { text, signatures } = parseNote(note);
  const found = new Map<WitnessKey, Cosignature>();
  for (const { name, keyId, signature } of signatures) {
    const witness = witnesses.find((known) => known.name === name && equalBytes(known.keyId, keyId));
    if (witness === undefined) continue;
    const timeSeconds = verifiedTime(text, witness, signature);
    if (timeSeconds === undefined) throw new VaultError('note_signature_invalid', `the cosignature of ${name} does not verify`);
    const line = `— ${name} ${toBase64(concat(keyId, signature))}\n`;
    if (!found.has(witness)) found.set(witness, { witness, timeSeconds, line });
  }
  return [...found.values()];
}

/** Throws `note_signature_invalid` unless as many witnesses as the policy wants cosigned it. */
export function assertWitnessed(note: Uint8Array, { witnesses, quorum }: WitnessPolicy): readonly Cosignature[] {
  const found = cosignaturesOf(note, witnesses);
  if (found.length < quorum) throw new VaultError('note_signature_invalid', `${found.length} of ${quorum} witnesses cosigned it`);
  return found;
}

/** The note with these lines after its own. */
export function withLines(note: Uint8Array, lines: readonly string[]): Uint8Array {
  return concat(note, new TextEncoder().encode(lines.join('')));
}

/** Undefined unless it is the witness's signature over this text at the time that it states. */
function verifiedTime(text: string, witness: WitnessKey, bytes: Uint8Array): number | undefined {
  if (bytes.length !== TIMESTAMP_BYTES + SIGNATURE_BYTES) return undefined;
  const time = Buffer.from(bytes.buffer, bytes.byteOffset, TIMESTAMP_BYTES).readBigUInt64BE();
  if (time === 0n || time > MAX_TIMESTAMP) return undefined;
  return verifySignature(witness, message(text, time), bytes.slice(TIMESTAMP_BYTES)) ? Number(time) : undefined;
}

function message(text: string, time: bigint): Uint8Array {
  return new TextEncoder().encode(`cosignature/v1\ntime ${time}\n${text}`);
}

function timestampBytes(time: bigint): Uint8Array {
  const out = Buffer.alloc(TIMESTAMP_BYTES);
  out.writeBigUInt64BE(time);
  return new Uint8Array(out);
}
