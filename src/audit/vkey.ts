/** Verifier keys of signed notes (C2SP signed-note "Verifier keys"), Ed25519 only: `<name>+<key id>+<base64 of 0x01 and the key>`. */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { concat, equalBytes, fromBase64, sha256, toBase64, toHex } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';

/** The one signature type made and believed here. Others in a note count as signatures of unknown keys. */
const ED25519 = 0x01;
const KEY_BYTES = 32;
const KEY_ID_BYTES = 4;
/** DER of an Ed25519 SubjectPublicKeyInfo up to its 32 key bytes (RFC 8410 section 4). */
const SPKI_PREFIX = new Uint8Array(Buffer.from('302a300506032b6570032100', 'hex'));
const FORBIDDEN_IN_NAME = /[\p{White_Space}\p{Cc}+]/u;

export interface VerifierKey {
  readonly name: string;
  /** 4 bytes: SHA-256(name || 0x0A || 0x01 || key)[:4]. */
  readonly keyId: Uint8Array;
  /** Raw, 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** A key from its raw 32 bytes or its DER SubjectPublicKeyInfo. Throws `note_malformed`. */
export function verifierKey(name: string, publicKey: Uint8Array): VerifierKey {
  const raw = rawKey(publicKey);
  if (!isKeyName(name)) throw new VaultError('note_malformed', 'a key name has no spaces and no "+"');
  return { name, publicKey: raw, keyId: sha256(Buffer.from(`${name}\n`), Uint8Array.of(ED25519), raw).slice(0, KEY_ID_BYTES) };
}

export function formatVkey(key: VerifierKey): string {
  return `${key.name}+${toHex(key.keyId)}+${toBase64(concat(Uint8Array.of(ED25519), key.publicKey))}`;
}

/** Strict: the key id must be the one that the name and key have, and everything must be spelled as `formatVkey` does. */
export function parseVkey(text: string): VerifierKey {
  // A name has no "+", base64 may.
  const [, name = '', encoded = ''] = /^([^+]*)\+[0-9a-f]{8}\+(.*)$/s.exec(text) ?? [];
  const key = verifierKey(name, decodeKey(encoded));
  if (formatVkey(key) !== text) throw new VaultError('note_malformed', 'the verifier key does not have the key id it states');
  return key;
}

export function verifySignature(key: VerifierKey, text: Uint8Array, signature: Uint8Array): boolean {
  return signature.length === 64 && verify(null, text, keyObject(key), signature);
}

export function isKeyName(name: string): boolean {
  return name !== '' && name.isWellFormed() && !FORBIDDEN_IN_NAME.test(name);
}

function keyObject(key: VerifierKey): KeyObject {
  return createPublicKey({ key: Buffer.from(concat(SPKI_PREFIX, key.publicKey)), format: 'der', type: 'spki' });
}

function rawKey(publicKey: Uint8Array): Uint8Array {
  if (publicKey.length === KEY_BYTES) return publicKey;
  const isSpki = publicKey.length === SPKI_PREFIX.length + KEY_BYTES && equalBytes(publicKey.subarray(0, SPKI_PREFIX.length), SPKI_PREFIX);
  if (!isSpki) throw new VaultError('note_malformed', 'not an Ed25519 public key');
  return publicKey.slice(SPKI_PREFIX.length);
}

function decodeKey(encoded: string): Uint8Array {
  const bytes = tryBase64(encoded);
  if (bytes?.length !== 1 + KEY_BYTES || bytes[0] !== ED25519) throw new VaultError('note_malformed', 'not an Ed25519 verifier key');
  return bytes.slice(1);
}

/** undefined instead of an exception: each format has its own code for a bad spelling. */
export function tryBase64(text: string): Uint8Array | undefined {
  try {
    return fromBase64(text);
  } catch {
    return undefined; // not canonical base64
  }
}
