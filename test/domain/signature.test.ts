/** Documents and checkpoints are believed because of these signatures: the verifier they rely on must refuse every bad one. */
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { signatureAlgorithmOf, verifySignature } from '../../src/domain/signature.ts';
import { withVectors } from '../shared-vectors.ts';

interface Group {
  readonly publicKeyDer: string;
  readonly tests: ReadonlyArray<{ tcId: number; comment: string; msg: string; sig: string; result: 'valid' | 'invalid' }>;
}

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

for (const file of ['ed25519', 'ecdsa_secp256r1_sha256']) {
  withVectors<{ testGroups: readonly Group[] }>(`Wycheproof ${file}`, `wycheproof/${file}_test.json`, ({ testGroups }) => {
    test('accepts exactly the valid signatures', () => {
      const wrong = testGroups.flatMap(({ publicKeyDer, tests }) => {
        const key = createPublicKey({ key: Buffer.from(publicKeyDer, 'hex'), format: 'der', type: 'spki' });
        const accepted = (one: Group['tests'][number]) => verifySignature(key, bytes(one.msg), bytes(one.sig));
        return tests.filter((one) => accepted(one) !== (one.result === 'valid')).map(({ tcId, comment }) => `${tcId} ${comment}`);
      });
      expect(wrong).toEqual([]);
      expect(testGroups.flatMap(({ tests }) => tests).length).toBeGreaterThan(100);
    });
  });
}

describe('a signature of a key of another kind', () => {
  const message = new Uint8Array([1, 2, 3]);

  test.each([
    ['P-384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
    ['secp256k1', generateKeyPairSync('ec', { namedCurve: 'secp256k1' })],
    ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ])('%s is not believed, however right it is', (_, { publicKey, privateKey }) => {
    expect(signatureAlgorithmOf(publicKey)).toBeUndefined();
    expect(verifySignature(publicKey, message, new Uint8Array(sign('sha256', message, privateKey)))).toBe(false);
  });

  test('Ed448 is not believed', () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed448');
    expect(verifySignature(publicKey, message, new Uint8Array(sign(null, message, privateKey)))).toBe(false);
  });
});
