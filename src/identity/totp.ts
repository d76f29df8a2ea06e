/** TOTP (RFC 6238): SHA-1, 6 digits, 30 s, because that is what authenticator apps speak. A bridge until WebAuthn is the default. */
import { randomFillSync } from 'node:crypto';
import { generateURI, ScureBase32Plugin, verify } from 'otplib';
import { DEFAULTS } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import { SecretBytes, secretCopy, secretRoom } from '../domain/secret.ts';

/** Bytes of a seed: RFC 4226 section 4 recommends 160 bits. */
const TOTP_SEED_BYTES = 20;

/** A new seed: HSM random XOR operating-system random, so neither source alone decides it. The caller disposes it. */
export async function newTotpSeed(hsm: { random(length: number): Promise<Uint8Array> }): Promise<SecretBytes> {
  const fromHsm = await hsm.random(TOTP_SEED_BYTES);
  const seed = randomFillSync(secretRoom(TOTP_SEED_BYTES));
  try {
    if (fromHsm.length !== TOTP_SEED_BYTES) throw new VaultError('internal', 'the key provider gave another number of random bytes');
    for (const [at, byte] of fromHsm.entries()) seed[at] = (seed[at] ?? 0) ^ byte;
    return new SecretBytes(seed);
  } finally {
    fromHsm.fill(0);
  }
}

/** What an authenticator app shows the codes under. */
export const TOTP_ISSUER = 'Weight Vault';

/** The enrolment link that an authenticator app reads. It holds the seed: shown once, never stored or logged. */
export function totpEnrolmentUri(seed: SecretBytes, issuer: string, label: string): string {
  const secret = seed.expose((bytes) => new ScureBase32Plugin().encode(bytes, { padding: false }));
  return generateURI({ issuer, label, secret });
}

/**
 * The time step whose code this is, at most one step from `now`, or undefined. The caller must then claim the step
 * (`IdentityStore.claimTimeStep`), or the same code would be good twice (RFC 6238 section 5.2).
 * Only six ASCII digits are a code: no spaces, no other script's digits.
 */
export async function totpTimeStep(seed: SecretBytes, code: string, now: Date): Promise<number | undefined> {
  if (!/^[0-9]{6}$/.test(code)) return undefined;
  const secret = seed.expose(secretCopy);
  try {
    const result = await verify({
      secret,
      token: code,
      epoch: Math.floor(now.getTime() / 1000),
      epochTolerance: DEFAULTS.totpWindowSteps * DEFAULTS.totpStepSeconds,
    });
    return result.valid ? Math.floor(now.getTime() / 1000 / DEFAULTS.totpStepSeconds) + result.delta : undefined;
  } finally {
    secret.fill(0);
  }
}
