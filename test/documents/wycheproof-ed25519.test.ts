/** Documents and checkpoints are believed because of Ed25519 signatures: the verifier they rely on must refuse every bad one. */
import { createPublicKey, verify } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { withVectors } from '../shared-vectors.ts';

interface Group {
  readonly publicKeyDer: string;
  readonly tests: ReadonlyArray<{ tcId: number; comment: string; msg: string; sig: string; result: 'valid' | 'invalid' }>;
}

withVectors<{ testGroups: readonly Group[] }>('Wycheproof Ed25519', 'wycheproof/ed25519_test.json', ({ testGroups }) => {
  test('accepts exactly the valid signatures', () => {
    const wrong = testGroups.flatMap(({ publicKeyDer, tests }) => {
      const key = createPublicKey({ key: Buffer.from(publicKeyDer, 'hex'), format: 'der', type: 'spki' });
      const accepted = (one: Group['tests'][number]) => verify(null, Buffer.from(one.msg, 'hex'), key, Buffer.from(one.sig, 'hex'));
      return tests.filter((one) => accepted(one) !== (one.result === 'valid')).map(({ tcId, comment }) => `${tcId} ${comment}`);
    });
    expect(wrong).toEqual([]);
    expect(testGroups.flatMap(({ tests }) => tests).length).toBeGreaterThan(100);
  });
});
