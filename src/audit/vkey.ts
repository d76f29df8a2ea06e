/**
 * Verifier keys of signed notes (C2SP signed-note): `<name>+<key id>+<base64 of a type byte and the key>`. Ed25519 (type 0x01, the key as
 * its 32 bytes), and for HSMs without it ECDSA on P-256 (type 0x02, the key as DER SubjectPublicKeyInfo), as transparency-dev's verifiers take it.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { concat, equalBytes, fromBase64, sha256, toBase64, toHex } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { type SignatureAlgorithm, signatureAlgorithmOf, verifySignature as verifyWith } from '../domain/signature.ts';

/** The signature types made and believed here. Others in a note count as signatures of unknown keys. */
const TYPES: Readonly<Record<SignatureAlgorithm, number>> = { ed25519: 0x01, 'ecdsa-p256-sha256': 0x02 };
const ED25519_KEY_BYTES = 32;
/** 26 bytes of DER, 0x04, x, y (RFC 5480). */
const P256_SPKI_BYTES = 91;
const KEY_ID_BYTES = 4;
/** DER of an Ed25519 SubjectPublicKeyInfo up to its 32 key bytes (RFC 8410 section 4). */
const ED25519_SPKI_PREFIX = new Uint8Array(Buffer.from('302a300506032b6570032100', 'hex'));
const FORBIDDEN_IN_NAME = /[\p{White_Space}\p{Cc}+]/u;

export interface VerifierKey {
  readonly name: string;
  /** 4 bytes. Ed25519: SHA-256(name || 0x0A || 0x01 || key)[:4]. P-256: SHA-256(key)[:4]. */
  readonly keyId: Uint8Array;
  readonly algorithm: SignatureAlgorithm;
  /** As a verifier key spells it: Ed25519 raw, 32 bytes; P-256 as DER SubjectPublicKeyInfo with an uncompressed point, 91 bytes. */
  readonly publicKey: Uint8Array;
}

/** A key from its DER SubjectPublicKeyInfo, or from the raw 32 bytes of an Ed25519 one. Throws `note_malformed`. */
export function verifierKey(name: string, publicKey: Uint8Array): VerifierKey {
  if (!isKeyName(name)) throw new VaultError('note_malformed', 'a key name has no spaces and no "+"');
  const spki = publicKey.length === ED25519_KEY_BYTES ? concat(ED25519_SPKI_PREFIX, publicKey) : publicKey;
  const key = readSpki(spki);
  const algorithm = key === undefined ? undefined : signatureAlgorithmOf(key);
  switch (algorithm) {
    case 'ed25519': {
      const raw = spki.slice(ED25519_SPKI_PREFIX.length);
      return { name, algorithm, publicKey: raw, keyId: keyIdOf(Buffer.from(`${name}\n`), Uint8Array.of(TYPES[algorithm]), raw) };
    }
    case 'ecdsa-p256-sha256':
      return { name, algorithm, publicKey: spki, keyId: keyIdOf(spki) };
    case undefined:
      throw new VaultError('note_malformed', 'not a public key of Ed25519 or P-256');
  }
}

export function formatVkey(key: VerifierKey): string {
  return `${key.name}+${toHex(key.keyId)}+${toBase64(concat(Uint8Array.of(TYPES[key.algorithm]), key.publicKey))}`;
}

/** Strict: the key id must be the one that the name and key have, and everything must be spelled as `formatVkey` does. */
export function parseVkey(text: string): VerifierKey {
  // A name has no "+", base64 may.
  const [, name = '', encoded = ''] = /^([^+]*)\+[0-9a-f]{8}\+(.*)$/s.exec(text) ?? [];
  const key = verifierKey(name, tryBase64(encoded)?.slice(1) ?? new Uint8Array(0));
  if (formatVkey(key) !== text) throw new VaultError('note_malformed', 'the verifier key is not spelled as its type and key id are');
  return key;
}

export function verifySignature(key: VerifierKey, text: Uint8Array, signature: Uint8Array): boolean {
  return verifyWith(keyObject(key), text, signature);
}

export function isKeyName(name: string): boolean {
  return name !== '' && name.isWellFormed() && !FORBIDDEN_IN_NAME.test(name);
}

function keyIdOf(...parts: readonly Uint8Array[]): Uint8Array {
  return sha256(...parts).slice(0, KEY_ID_BYTES);
}

function keyObject({ algorithm, publicKey }: VerifierKey): KeyObject {
  const spki = algorithm === 'ed25519' ? concat(ED25519_SPKI_PREFIX, publicKey) : publicKey;
  return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
}

/** Undefined unless it is a key in its one encoding: bytes after it, or a compressed point, would give one key two ids. */
function readSpki(spki: Uint8Array): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
    const again = new Uint8Array(key.export({ format: 'der', type: 'spki' }));
    const uncompressed = key.asymmetricKeyType !== 'ec' || again.length === P256_SPKI_BYTES;
    return equalBytes(again, spki) && uncompressed ? key : undefined;
  } catch {
    return undefined; // not a key, or not on its curve
  }
}

/** undefined instead of an exception: each format has its own code for a bad spelling. */
export function tryBase64(text: string): Uint8Array | undefined {
  try {
    return fromBase64(text);
  } catch {
    return undefined; // not canonical base64
  }
}
