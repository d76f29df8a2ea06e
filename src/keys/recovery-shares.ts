/**
 * The recovery key on paper: its seed in shares (Shamir, over GF(2^8)), each a few printed lines with a checksum. Any `needed` of them give it
 * back, fewer say nothing about it. A result is believed only when the public key it leads to has the id that the shares name.
 */
import { combine, split } from 'shamir-secret-sharing';
import { lp, sha256 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { SecretBytes, secretCopy } from '../domain/secret.ts';
import { RECOVERY_SEED_BYTES, recoveryKeyOf } from './recovery-wrap.ts';

export const SHARES = { least: 2, most: 16 } as const;
const TITLE = 'weight-vault recovery share v1';
/** RFC 4648 section 6. */
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const GROUP = 4;
const CHECK_BYTES = 5;
/** A byte for each byte of the seed, and the share's own coordinate. */
const SHARE_BYTES = RECOVERY_SEED_BYTES + 1;
const MOST_CHARS = 1_000;

export interface RecoveryShare {
  readonly keyId: string;
  /** Counts from 1. */
  readonly number: number;
  readonly of: number;
  readonly needed: number;
  readonly bytes: Uint8Array;
}

/** The printed text of each share. Throws `usage` for numbers that make no sense. */
export async function splitSeed(seed: SecretBytes, keyId: string, { of, needed }: { readonly of: number; readonly needed: number }) {
  if (!isCount(of) || !isCount(needed) || needed > of) {
    throw new VaultError('usage', `${SHARES.least} to ${SHARES.most} shares, of which at least ${SHARES.least} and at most all are needed`);
  }
  const copy = seed.expose(secretCopy);
  try {
    const shares = await split(copy, of, needed);
    return shares.map((bytes, at) => formatShare({ keyId, number: at + 1, of, needed, bytes }));
  } finally {
    copy.fill(0);
  }
}

/**
 * The seed. `recovery_shares_too_few` when fewer different ones than are needed were given; `recovery_share_invalid` when they do not belong
 * together, or lead to another key than they name: then one of them is wrong, and nothing says which.
 */
export async function combineShares(shares: readonly RecoveryShare[]): Promise<SecretBytes> {
  const [first] = shares;
  if (first === undefined) throw new VaultError('recovery_shares_too_few', 'there is none');
  const same = shares.every(({ keyId, of, needed }) => keyId === first.keyId && of === first.of && needed === first.needed);
  if (!same) throw new VaultError('recovery_share_invalid', 'the shares are of different recovery keys');
  const distinct = new Map(shares.map((share) => [share.bytes.at(-1), share]));
  if (distinct.size < first.needed)
    throw new VaultError('recovery_shares_too_few', `${distinct.size} of the ${first.needed} that are needed`);
  const seed = new SecretBytes(await combine([...distinct.values()].map(({ bytes }) => Uint8Array.from(bytes))));
  if ((await recoveryKeyOf(seed)).keyId === first.keyId) return seed;
  seed.dispose();
  throw new VaultError('recovery_share_invalid', 'the shares do not lead to the key they name: one of them is wrong');
}

export function formatShare(share: RecoveryShare): string {
  const { keyId, number, of, needed, bytes } = share;
  const groups = grouped(base32(bytes));
  const lines = [groups.slice(0, 7), groups.slice(7)].map((line) => line.join(' '));
  return [TITLE, `recovery key ${keyId}`, `share ${number} of ${of}, ${needed} needed`, ...lines, `check ${checkOf(share)}`, ''].join('\n');
}

/** What somebody typed in from paper: spacing, case, and 0 1 8 for O I B do not matter. Throws `recovery_share_invalid`. */
export function parseShare(text: string): RecoveryShare {
  const bad = (why: string) => new VaultError('recovery_share_invalid', why);
  if (text.length > MOST_CHARS) throw bad('a share is a few lines');
  const [title, key, which, ...rest] = text
    .split('\n')
    .map((line) => line.trim().replaceAll(/\s+/g, ' '))
    .filter((line) => line !== '');
  if (title?.toLowerCase() !== TITLE) throw bad(`the first line is not "${TITLE}"`);
  const keyId = /^recovery key ([0-9a-f]{16})$/i.exec(key ?? '')?.[1]?.toLowerCase();
  const counts = /^share (\d{1,2}) of (\d{1,2}), (\d{1,2}) needed$/i.exec(which ?? '');
  const check = /^check (\S+)$/i.exec(rest.at(-1) ?? '')?.[1];
  if (keyId === undefined || counts === null || check === undefined) throw bad('a line is missing, or is not as it was printed');
  const [number, of, needed] = counts.slice(1).map(Number) as [number, number, number]; // three groups of digits
  const bytes = fromBase32(rest.slice(0, -1).join(''));
  if (bytes?.length !== SHARE_BYTES || !isCount(of) || !isCount(needed) || number < 1 || number > of || needed > of) {
    throw bad('a line is missing, or is not as it was printed');
  }
  const share = { keyId, number, of, needed, bytes };
  if (checkOf(share) !== normal(check)) throw bad(`share ${number}: the check does not fit, so something was mistyped`);
  return share;
}

const isCount = (count: number) => Number.isInteger(count) && count >= SHARES.least && count <= SHARES.most;

/** The first 40 bits of SHA-256(LP(title, key id, number, of, needed, share)): against typing errors, not against people. */
function checkOf({ keyId, number, of, needed, bytes }: RecoveryShare): string {
  return base32(sha256(lp(TITLE, keyId, String(number), String(of), String(needed), bytes)).subarray(0, CHECK_BYTES));
}

function base32(bytes: Uint8Array): string {
  let [text, bits, value] = ['', 0, 0];
  for (const byte of bytes) {
    value = (value << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET[(value >>> (bits - 5)) & 31];
    value &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + ALPHABET[(value << (5 - bits)) & 31];
}

function fromBase32(text: string): Uint8Array | undefined {
  const bytes: number[] = [];
  let [bits, value] = [0, 0];
  for (const char of normal(text)) {
    const digit = ALPHABET.indexOf(char);
    if (digit < 0) return undefined;
    value = (value << 5) | digit;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push(value >>> bits);
    value &= (1 << bits) - 1;
  }
  return value === 0 ? Uint8Array.from(bytes) : undefined; // the bits that are left over are zero
}

const normal = (text: string) => text.toUpperCase().replaceAll(/[\s-]/g, '').replaceAll('0', 'O').replaceAll('1', 'I').replaceAll('8', 'B');
const grouped = (text: string) => text.match(new RegExp(`.{1,${GROUP}}`, 'g')) ?? [];
