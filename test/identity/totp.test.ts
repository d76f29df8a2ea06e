import { describe, expect, test } from '@jest/globals';
import { SecretBytes } from '../../src/domain/secret.ts';
import { newTotpSeed, totpEnrolmentUri, totpTimeStep } from '../../src/identity/totp.ts';
import { withVectors } from '../shared-vectors.ts';

const seed = () => new SecretBytes(new Uint8Array(Buffer.from('12345678901234567890')));
const at = (seconds: number) => new Date(seconds * 1000);

interface Vectors {
  readonly totp: ReadonlyArray<{ algorithm: string; secret_hex: string; time: number; period: number; digits: number; otp: string }>;
  readonly hotp: ReadonlyArray<{ algorithm: string; secret_hex: string; counter: number; otp: string }>;
}

withVectors<Vectors>('RFC 6238 and RFC 4226 known answers', 'totp-rfc6238/totp.json', ({ totp, hotp }) => {
  const secret = (hex: string) => new SecretBytes(new Uint8Array(Buffer.from(hex, 'hex')));

  // Ours is SHA-1 with six digits: the last six of the eight the RFC prints (RFC 4226 section 5.3 reduces modulo a power of ten).
  test.each(totp.filter((one) => one.algorithm === 'SHA1' && one.period === 30))(
    'TOTP at $time',
    async ({ secret_hex, time, digits, otp }) => {
      expect(await totpTimeStep(secret(secret_hex), otp.slice(digits - 6), at(time))).toBe(Math.floor(time / 30));
    },
  );

  test.each(hotp.filter((one) => one.algorithm === 'SHA1'))(
    'HOTP counter $counter is the time step of that number',
    async ({ secret_hex, counter, otp }) => {
      expect(await totpTimeStep(secret(secret_hex), otp, at(counter * 30))).toBe(counter);
    },
  );
});

describe('a TOTP code', () => {
  const code = '287082'; // of time step 1

  test.each([
    ['one step before its own', 0, 1],
    ['in its own step', 30, 1],
    ['one step after its own', 60, 1],
    ['two steps after its own', 90, undefined],
  ])('%s', async (_when, seconds, step) => {
    expect(await totpTimeStep(seed(), code, at(seconds))).toBe(step);
  });

  test.each([
    ['with a space inside', '287 082'],
    ['with a space before', ' 287082'],
    ['in Arabic-Indic digits', '٢٨٧٠٨٢'],
    ['in full-width digits', '２８７０８２'],
    ['too short', '28708'],
    ['too long', '0287082'],
    ['empty', ''],
    ['with a sign', '+28708'],
    ['with a line feed', '287082\n'],
  ])('%s is no code, and no exception', async (_what, text) => {
    expect(await totpTimeStep(seed(), text, at(30))).toBeUndefined();
  });

  test('of another seed is refused', async () => {
    const other = new SecretBytes(new Uint8Array(20).fill(7));
    expect(await totpTimeStep(other, code, at(30))).toBeUndefined();
  });
});

test('the enrolment link carries the seed as an authenticator app reads it', () => {
  const uri = new URL(totpEnrolmentUri(seed(), 'Weight Vault', 'alice'));
  expect(uri.protocol).toBe('otpauth:');
  expect(uri.searchParams.get('secret')).toBe('GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ');
  expect(uri.searchParams.get('issuer')).toBe('Weight Vault');
});

describe('a new seed', () => {
  const zeros = { random: async (length: number) => new Uint8Array(length) };

  test('is 160 bits, another one each time, whatever the HSM gives', async () => {
    using first = await newTotpSeed(zeros);
    using second = await newTotpSeed(zeros);
    expect(first.length).toBe(20);
    expect(first.equals(second)).toBe(false);
  });

  test('takes its bytes from the HSM too, and wipes what the HSM gave', async () => {
    const given = new Uint8Array(20).fill(7);
    using _seed = await newTotpSeed({ random: async () => given });
    expect(given).toEqual(new Uint8Array(20));
  });

  test('is not made of fewer bytes than were asked for', async () => {
    await expect(newTotpSeed({ random: async () => new Uint8Array(8) })).rejects.toMatchObject({ code: 'internal' });
  });
});
