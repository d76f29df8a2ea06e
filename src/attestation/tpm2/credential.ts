/**
 * TPM2_MakeCredential without a TPM (TPM 2.0 Library part 1, 24 and annexes B.10 and C.6; part 3, 12.6).
 * What it makes can be opened only by the TPM that holds the endorsement key, and only if the key of that name is loaded in it.
 */
import { constants, createCipheriv, createECDH, createHmac, publicEncrypt, randomBytes } from 'node:crypto';
import { concat, utf8 } from '../../domain/bytes.ts';
import { CURVE_BYTES, type CurveName, digest, HASH_BYTES, type HashName } from './algorithms.ts';
import { leftPad, type PublicArea } from './public-area.ts';
import { sized, u32 } from './reader.ts';

export interface Credential {
  /** TPM2B_ID_OBJECT. */
  readonly idObject: Uint8Array;
  /** TPM2B_ENCRYPTED_SECRET. */
  readonly encryptedSecret: Uint8Array;
}

/** The part of an endorsement key's public area this needs. */
export type EndorsementKey = Required<Pick<PublicArea, 'key' | 'nameAlg' | 'aesBits'>> & Pick<PublicArea, 'curve'>;

/** Where fresh randomness comes from. Known-answer tests put their own here. */
export interface CredentialRandomness {
  /** Seed of an RSA credential, bytes. */
  seed(length: number): Uint8Array;
  /** Seed of the OAEP mask. */
  oaep(length: number): Uint8Array;
  /** Ephemeral ECDH private key; undefined lets OpenSSL make one. */
  ephemeral?: Uint8Array;
}

const systemRandomness: CredentialRandomness = { seed: (length) => randomBytes(length), oaep: (length) => randomBytes(length) };
/** With its terminating zero. */
const IDENTITY = utf8('IDENTITY\0');

/** `secret` is at most one digest of the endorsement key's name algorithm long; `name` is the attestation key's name. */
export function makeCredential(ek: EndorsementKey, name: Uint8Array, secret: Uint8Array, randomness = systemRandomness): Credential {
  if (secret.length > HASH_BYTES[ek.nameAlg]) throw new RangeError('the secret is longer than the name algorithm allows');
  const { seed, encryptedSecret } = ek.curve === undefined ? shareSeedByRsa(ek, randomness) : shareSeedByEcdh(ek, ek.curve, randomness);
  try {
    return { idObject: protectIdentity(ek, name, secret, seed), encryptedSecret };
  } finally {
    seed.fill(0);
  }
}

/** Encrypt then MAC (part 1, 24.4 and 24.5). The name is in both keys' derivation or MAC, so the credential fits one attestation key. */
function protectIdentity(ek: EndorsementKey, name: Uint8Array, secret: Uint8Array, seed: Uint8Array): Uint8Array {
  const none = new Uint8Array(0);
  const key = kdfa(ek.nameAlg, seed, 'STORAGE', name, none, ek.aesBits);
  const cipher = createCipheriv(ek.aesBits === 128 ? 'aes-128-cfb' : 'aes-256-cfb', key, new Uint8Array(16));
  const encrypted = concat(cipher.update(sized(secret)), cipher.final());
  const macKey = kdfa(ek.nameAlg, seed, 'INTEGRITY', none, none, HASH_BYTES[ek.nameAlg] * 8);
  const mac = createHmac(ek.nameAlg, macKey).update(encrypted).update(name).digest();
  return sized(concat(sized(mac), encrypted));
}

/** Annex B.10.4: a random seed under OAEP, whose hash is the key's name algorithm. */
function shareSeedByRsa(ek: EndorsementKey, randomness: CredentialRandomness): { seed: Uint8Array; encryptedSecret: Uint8Array } {
  const seed = randomness.seed(HASH_BYTES[ek.nameAlg]);
  const bytes = (ek.key.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
  const block = oaepEncode(ek.nameAlg, seed, bytes, randomness.oaep(HASH_BYTES[ek.nameAlg]));
  return { seed, encryptedSecret: sized(publicEncrypt({ key: ek.key, padding: constants.RSA_NO_PADDING }, block)) };
}

/** EME-OAEP (RFC 8017, 7.1.1) with label IDENTITY. Node's own takes no seed, and then no published answer could be checked. */
function oaepEncode(hash: HashName, message: Uint8Array, length: number, seed: Uint8Array): Uint8Array {
  const dbLength = length - HASH_BYTES[hash] - 1;
  const db = new Uint8Array(dbLength);
  db.set(digest(hash, IDENTITY));
  db[dbLength - message.length - 1] = 1;
  db.set(message, dbLength - message.length);
  const maskedDb = xor(db, mgf1(hash, seed, dbLength));
  const maskedSeed = xor(seed, mgf1(hash, maskedDb, seed.length));
  return concat(Uint8Array.of(0), maskedSeed, maskedDb);
}

/** Annex C.6.4: one-pass ECDH with an ephemeral key, then KDFe over both x coordinates. */
function shareSeedByEcdh(
  ek: EndorsementKey,
  curve: CurveName,
  randomness: CredentialRandomness,
): { seed: Uint8Array; encryptedSecret: Uint8Array } {
  const width = CURVE_BYTES[curve];
  const jwk = ek.key.export({ format: 'jwk' });
  const x = Buffer.from(jwk.x ?? '', 'base64url');
  const y = Buffer.from(jwk.y ?? '', 'base64url');
  const ecdh = createECDH(curve === 'P-256' ? 'prime256v1' : 'secp384r1');
  if (randomness.ephemeral === undefined) ecdh.generateKeys();
  else ecdh.setPrivateKey(randomness.ephemeral);
  const point = ecdh.getPublicKey(); // 0x04 || x || y
  const ephemeralX = point.subarray(1, 1 + width);
  const shared = leftPad(ecdh.computeSecret(concat(Uint8Array.of(4), x, y)), width);
  const seed = kdfe(ek.nameAlg, shared, ephemeralX, x);
  shared.fill(0);
  return { seed, encryptedSecret: sized(concat(sized(ephemeralX), sized(point.subarray(1 + width)))) };
}

/** KDFa (part 1, 11.4.10.2): SP 800-108 counter mode over HMAC. */
function kdfa(hash: HashName, key: Uint8Array, label: string, contextU: Uint8Array, contextV: Uint8Array, bits: number): Uint8Array {
  return expand(bits, (counter) =>
    createHmac(hash, key)
      .update(concat(u32(counter), utf8(`${label}\0`), contextU, contextV, u32(bits)))
      .digest(),
  );
}

/** KDFe (part 1, 11.4.10.3): SP 800-56A concatenation over one digest's worth of bits. */
function kdfe(hash: HashName, z: Uint8Array, partyU: Uint8Array, partyV: Uint8Array): Uint8Array {
  return expand(HASH_BYTES[hash] * 8, (counter) => digest(hash, u32(counter), z, IDENTITY, partyU, partyV));
}

/** MGF1 (RFC 8017, B.2.1). Its counter starts at 0. */
function mgf1(hash: HashName, seed: Uint8Array, length: number): Uint8Array {
  return expand(length * 8, (counter) => digest(hash, seed, u32(counter - 1)));
}

function expand(bits: number, block: (counter: number) => Uint8Array): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let have = 0; have < bits / 8; have += blocks.at(-1)?.length ?? 0) blocks.push(block(blocks.length + 1));
  return concat(...blocks).slice(0, bits / 8);
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, at) => byte ^ (b[at] ?? 0));
}
