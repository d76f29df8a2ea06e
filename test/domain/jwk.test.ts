import { describe, expect, test } from '@jest/globals';
import { fits, JWS_ALGORITHM_NAMES, readJwk } from '../../src/domain/jwk.ts';
import { KEY, makeKey } from '../attestation/token-issuer.ts';

describe('a key of a stranger’s set', () => {
  test('is read without its certificates, and never with its private part', () => {
    expect(readJwk({ ...KEY.jwk, x5c: ['AAAA'], x5t: 'x', use: 'sig', ext: true })).toEqual({ ...KEY.jwk, use: 'sig' });
    expect(readJwk(KEY.privateKey.export({ format: 'jwk' }))).not.toHaveProperty('d');
  });

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['text', 'key'],
    ['a secret', { kty: 'oct', k: 'AAAA' }],
    ['kty from a prototype', Object.create(KEY.jwk)],
    ['for encryption', { ...KEY.jwk, use: 'enc' }],
    ['not for verifying', { ...KEY.jwk, key_ops: ['sign'] }],
    ['with a number in it', { ...KEY.jwk, kid: 7 }],
    ['off its curve', { ...KEY.jwk, y: KEY.jwk.x }],
    ['on another curve', { ...KEY.jwk, crv: 'P-384' }],
    ['on a curve that is not offered', { ...KEY.jwk, crv: 'secp256k1' }],
    ['X25519', { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) }],
    ['without coordinates', { kty: 'EC', crv: 'P-256' }],
    ['a huge member', { ...KEY.jwk, x: 'A'.repeat(4096) }],
    ['RSA of 1024 bits', makeKey('short', 'RS256', 1024).jwk],
    ['RSA with an even exponent', { ...makeKey('r', 'RS256').jwk, e: 'Ag' }],
  ])('%s is none', (_what, value) => expect(readJwk(value)).toBeUndefined());
});

describe('an algorithm', () => {
  test('is never none and never an HMAC', () => {
    expect(JWS_ALGORITHM_NAMES.filter((alg) => !/^(?:[RPE]S(?:256|384|512)|EdDSA|Ed25519)$/.test(alg))).toEqual([]);
  });
  test('fits keys of its own type and curve, and none that says it is for another', () => {
    expect(JWS_ALGORITHM_NAMES.filter((alg) => fits(KEY.jwk, alg))).toEqual(['ES256']);
    expect(JWS_ALGORITHM_NAMES.filter((alg) => fits(makeKey('r', 'RS256').jwk, alg))).toEqual([
      'RS256',
      'RS384',
      'RS512',
      'PS256',
      'PS384',
      'PS512',
    ]);
    expect(fits({ ...KEY.jwk, alg: 'ES384' }, 'ES256')).toBe(false);
  });
});
