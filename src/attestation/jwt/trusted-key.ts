/**
 * Which key a token must be signed with when it is examined: one that was given beside it, or the leaf of a chain to a pinned root.
 * What the token itself brings (`jwk`, `jku`, `x5u`) is never believed and never followed.
 */
import type { KeyObject } from 'node:crypto';
import { sha256Hex } from '../../domain/bytes.ts';
import { fits, JWS_ALGORITHM_NAMES, type JwsAlgorithm, keyOf, type PublicJwk, readJwk } from '../../domain/jwk.ts';
import { LruMap } from '../../domain/lru-map.ts';
import type { ExaminationInputs } from '../examination.ts';
import { type JsonObject, parseStrictObject } from '../strict-json.ts';
import { pinnedCertificate, readTrust, type Trust, verifyX5c, type X5cProblem } from './x5c.ts';

export type KeySource = 'pinned key' | 'key set by kid' | 'x5c header to a pinned root' | 'none';
export type KeyProblem = 'no_trusted_key' | 'unknown_kid' | 'issuer_not_allowed' | X5cProblem;

export interface TrustedKey {
  readonly source: KeySource;
  readonly key?: KeyObject;
  /** The one algorithm that whoever published the key says it is for. */
  readonly keyAlg?: string;
  readonly problems: readonly KeyProblem[];
}

const MAX_KEYS_BYTES = 256 * 1024;
const MAX_KEYS = 100;

/** Issuers whose tokens are believed by the certificates in them, and the root that is theirs alone. */
const X5C_ISSUERS: Readonly<Record<string, string>> = {
  'https://confidentialcomputing.googleapis.com': 'gcp-confidential-space-root-ca',
};

/** `alg` is allowed, and undefined when the header names another. */
export function trustedKey(header: JsonObject, claims: JsonObject, alg: JwsAlgorithm | undefined, inputs: ExaminationInputs): TrustedKey {
  const { key, jwks, trust } = inputs.companions;
  if (key !== undefined) return pinnedKey(key);
  if (jwks !== undefined) return keyOfSet(jwks, header['kid'], alg);
  if (trust !== undefined) return keyUnder(trust, header, inputs.now);
  return keyOfIssuer(header, claims['iss'], inputs);
}

function pinnedKey(file: Uint8Array): TrustedKey {
  const [found] = keysOf(file, 'key', (json) => [json]);
  return found === undefined ? { source: 'none', problems: ['no_trusted_key'] } : believed('pinned key', found);
}

function believed(source: KeySource, { jwk, key }: ReadKey): TrustedKey {
  return { source, key, ...(jwk.alg !== undefined && { keyAlg: jwk.alg }), problems: [] };
}

/**
 * Exactly one key: of that `kid`, or the only one that fits where the token names none. The same key under another `kid` is not it; of several with one
 * `kid` it is the only one that fits.
 */
function keyOfSet(file: Uint8Array, kid: unknown, alg: JwsAlgorithm | undefined): TrustedKey {
  const keys = keysOf(file, 'set', ({ keys: listed }) => (Array.isArray(listed) ? (listed as unknown[]).slice(0, MAX_KEYS) : []));
  if (keys.length === 0) return { source: 'none', problems: ['no_trusted_key', 'unknown_kid'] };
  const named = keys.filter(({ jwk, key }, at) => (kid === undefined || jwk.kid === kid) && !isRepeated(keys.slice(0, at), jwk, key));
  const fitting = named.filter(({ jwk }) => alg !== undefined && fits(jwk, alg));
  const [found, ...more] = kid !== undefined && named.length === 1 ? named : fitting;
  const unknown = found === undefined || more.length > 0;
  return unknown ? { source: 'key set by kid', problems: ['unknown_kid'] } : believed('key set by kid', found);
}

/** Some services list a key twice. */
function isRepeated(before: readonly ReadKey[], jwk: PublicJwk, key: KeyObject): boolean {
  return before.some((one) => one.jwk.kid === jwk.kid && one.jwk.alg === jwk.alg && one.key.equals(key));
}

interface ReadKey {
  readonly jwk: PublicJwk;
  readonly key: KeyObject;
}

/** By the digest of their file: reading a key costs as much as verifying with it. */
const known = new LruMap<string, readonly ReadKey[]>(64);

/** The usable keys among what `list` finds in the file. */
function keysOf(file: Uint8Array, form: 'key' | 'set', list: (json: JsonObject) => readonly unknown[]): readonly ReadKey[] {
  if (file.length > MAX_KEYS_BYTES) return [];
  const digest = `${form} ${sha256Hex(file)}`;
  const before = known.get(digest);
  if (before !== undefined) return before;
  const json = parseStrictObject(file);
  const keys = (typeof json === 'string' ? [] : list(json)).flatMap((one): ReadKey[] => {
    const jwk = readJwk(one);
    const key = jwk && keyOf(jwk);
    return jwk === undefined || key === undefined ? [] : [{ jwk, key }];
  });
  known.set(digest, keys);
  return keys;
}

/** Somebody's own authorities: the header's `x5c`, or that of its `jwk`, which must be about the very same key. */
function keyUnder(trust: Uint8Array, header: JsonObject, now: Date): TrustedKey {
  const read = readTrust(trust) ?? { roots: [], helpers: [] };
  const jwk = header['jwk'];
  if (header['x5c'] !== undefined || typeof jwk !== 'object' || jwk === null) return keyByChain(header['x5c'], read, now);
  return keyOfJwk(jwk as JsonObject, read, now); // an object, just looked at
}

/** A JWK that brings its certificates (RFC 7517, 4.7). */
export function keyOfJwk(jwk: JsonObject, trust: Trust, now: Date): TrustedKey {
  const own = readJwk(jwk);
  const usable = own !== undefined && (own.alg === undefined || JWS_ALGORITHM_NAMES.some((alg) => own.alg === alg && fits(own, alg)));
  const key = usable ? keyOf(own) : undefined;
  const found = keyByChain(jwk['x5c'], trust, now);
  const same = key !== undefined && found.key?.equals(key) === true;
  return same ? found : { ...found, problems: [...found.problems, 'no_trusted_key'] };
}

function keyOfIssuer(header: JsonObject, issuer: unknown, { roots, now }: ExaminationInputs): TrustedKey {
  const known = typeof issuer === 'string' && Object.hasOwn(X5C_ISSUERS, issuer);
  if (header['x5c'] === undefined && !known) return { source: 'none', problems: ['no_trusted_key'] };
  const pinned = roots.filter(({ name }) => Object.values(X5C_ISSUERS).includes(name));
  const read = pinned.map(({ name, certificate }) => ({ name, certificate: pinnedCertificate(certificate) }));
  const trust = { roots: read.map(({ certificate }) => certificate), helpers: [] };
  const { root, ...found } = keyByChain(header['x5c'], trust, now);
  const name = read.find(({ certificate }) => certificate.fingerprint === root)?.name;
  const foreign = name !== undefined && (typeof issuer !== 'string' || X5C_ISSUERS[issuer] !== name);
  return foreign ? { ...found, problems: [...found.problems, 'issuer_not_allowed'] } : found;
}

function keyByChain(x5c: unknown, trust: Trust, now: Date): TrustedKey & { readonly root?: string } {
  const { problems, leaf, root } = verifyX5c(x5c, trust, now);
  return {
    source: 'x5c header to a pinned root',
    ...(leaf && { key: leaf.publicKey }),
    ...(root && { root: root.fingerprint }),
    problems,
  };
}
