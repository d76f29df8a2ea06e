/** TPM_ALG_ID and TPM_ECC_CURVE values we accept (TPM 2.0 Library part 2, 6.3 and 6.4). What is not here is refused. */
import { createHash } from 'node:crypto';
import { Malformed } from './reader.ts';

export const ALG_NULL = 0x0010;
export const ALG_RSA = 0x0001;
export const ALG_ECC = 0x0023;
export const ALG_AES = 0x0006;
export const ALG_CFB = 0x0043;

export type HashName = 'sha256' | 'sha384' | 'sha512';
/** What a signature can be made with. SHA-1 is read for people alone (examine.ts): old Windows keys sign so. */
export type SignedHash = HashName | 'sha1';
/** PCR banks that can be transported. A sha1 bank can be quoted, but no reference value may rest on it (reference-values.ts). */
export type BankName = 'sha1' | 'sha256' | 'sha384';
export type SchemeName = 'rsassa' | 'rsapss' | 'ecdsa';
export type CurveName = 'P-256' | 'P-384';

export interface SigningScheme {
  readonly name: SchemeName;
  readonly hash: SignedHash;
}

const HASHES = new Map<number, HashName>([
  [0x000b, 'sha256'],
  [0x000c, 'sha384'],
  [0x000d, 'sha512'],
]);
const SHA1 = 0x0004;
const BANKS = new Map<number, BankName>([
  [SHA1, 'sha1'],
  [0x000b, 'sha256'],
  [0x000c, 'sha384'],
]);
const SCHEMES = new Map<number, SchemeName>([
  [0x0014, 'rsassa'],
  [0x0016, 'rsapss'],
  [0x0018, 'ecdsa'],
]);
const CURVES = new Map<number, CurveName>([
  [0x0003, 'P-256'],
  [0x0004, 'P-384'],
]);

/** Digest sizes, bytes. */
export const HASH_BYTES: Readonly<Record<SignedHash, number>> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 };
export const BANK_BYTES: Readonly<Record<BankName, number>> = { sha1: 20, sha256: 32, sha384: 48 };
/** Coordinate sizes, bytes. */
export const CURVE_BYTES: Readonly<Record<CurveName, number>> = { 'P-256': 32, 'P-384': 48 };

/** SHA-1 is not a hash here: a signature or a name made with it proves nothing. */
export const hashName = (id: number): HashName => known(HASHES, id, 'hash algorithm');
export const shownHashName = (id: number): SignedHash => (id === SHA1 ? 'sha1' : hashName(id));
export const bankName = (id: number): BankName => known(BANKS, id, 'PCR bank');
export const schemeName = (id: number): SchemeName => known(SCHEMES, id, 'signature scheme');
export const curveName = (id: number): CurveName => known(CURVES, id, 'curve');

export function digest(hash: HashName, ...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHash(hash);
  for (const part of parts) state.update(part);
  return new Uint8Array(state.digest());
}

function known<T>(table: ReadonlyMap<number, T>, id: number, what: string): T {
  const name = table.get(id);
  if (name === undefined) throw new Malformed(`${what} 0x${id.toString(16).padStart(4, '0')} is not accepted`);
  return name;
}
