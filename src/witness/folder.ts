/** The folder of one witness: its key, the keys of the logs it watches, and what it has cosigned. Nothing of a vault is in it. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseCheckpoint } from '../audit/checkpoint.ts';
import { assertWitnessed, formatWitnessVkey, type WitnessKey, witnessKey } from '../audit/cosignature.ts';
import { formatVkey, parseNote, parseVkey, type VerifierKey } from '../audit/note.ts';
import { VaultError } from '../domain/errors.ts';
import type { WitnessIdentity } from './answer.ts';
import { type Heads, makeHeads, openHeads } from './heads.ts';

const HEADS = 'heads.db';
const NEWEST = 'heads.newest';
const KEY = 'witness.pem';
const NAME = 'witness.name';
const LOGS = 'logs.vkeys';

/** Makes the folder and a new key in it. Returns the vkey that the logs pin. Throws `usage` when there is one already. */
export function makeWitness(folder: string, name: string): string {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const key = witnessKey(name, new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  try {
    writeFileSync(join(folder, KEY), privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600, flag: 'wx', flush: true });
  } catch (cause) {
    throw new VaultError('usage', `${folder} holds a witness already, or cannot be written`, { cause });
  }
  writeFileSync(join(folder, NAME), `${name}\n`, { mode: 0o600, flush: true });
  writeFileSync(join(folder, LOGS), '', { mode: 0o600, flush: true });
  makeHeads(join(folder, HEADS), join(folder, NEWEST));
  return formatWitnessVkey(key);
}

/** From now on the witness cosigns that log. Throws `note_malformed` for what is no verifier key. */
export function watchLog(folder: string, vkey: string): VerifierKey {
  const key = parseVkey(vkey);
  const known = watchedLogs(folder).map(formatVkey);
  if (!known.includes(vkey)) writeFileSync(join(folder, LOGS), [...known, vkey, ''].join('\n'), { mode: 0o600, flush: true });
  return key;
}

export function watchedLogs(folder: string): readonly VerifierKey[] {
  return text(folder, LOGS).split('\n').filter(Boolean).map(parseVkey);
}

/** Whoever reads the key can cosign anything, so it is for one user. */
export function witnessIdentity(folder: string): WitnessIdentity {
  const name = text(folder, NAME).trim();
  const pem = text(folder, KEY);
  if ((statSync(join(folder, KEY)).mode & 0o077) !== 0)
    throw new VaultError('configuration_invalid', `${KEY} is open to others: chmod 600`);
  const privateKey = createPrivateKey(pem);
  const key = witnessKey(name, new Uint8Array(createPublicKey(privateKey).export({ format: 'der', type: 'spki' })));
  return { key, sign: async (message) => new Uint8Array(sign(null, message, privateKey)) };
}

/** Throws `witness_memory_invalid` when it does not hold what this key cosigned. */
export function witnessedHeads(folder: string, key: WitnessKey): Heads {
  return openHeads(join(folder, HEADS), join(folder, NEWEST), (checkpoint) => {
    assertWitnessed(checkpoint, { witnesses: [key], quorum: 1 });
    return parseCheckpoint(parseNote(checkpoint).text);
  });
}

function text(folder: string, file: string): string {
  try {
    return readFileSync(join(folder, file), 'utf8');
  } catch (cause) {
    throw new VaultError('usage', `${folder} is no witness: run \`wv witness init\` first`, { cause });
  }
}
