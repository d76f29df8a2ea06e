import { createKeySets } from '../../src/attestation/jwt/key-sets.ts';
import { createJwtVerifier } from '../../src/attestation/jwt/verifier.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { contextWith, ISSUER, tokenOf } from '../../test/attestation/token-issuer.ts';
import type { KindBench } from './kind.ts';

const unreachable = () => Promise.reject(new Error('a key set was asked for'));

export const jwt: KindBench = {
  name: 'jwt: ES256',
  atLeast: 1000,
  prepare: async () => ({
    kind: 'jwt',
    verifier: createJwtVerifier(createKeySets({ fetch: unreachable, clock: systemClock })),
    body: { token: await tokenOf() },
    context: contextWith(),
    referenceValue: (n) => ({ id: `value-${n}`, kind: 'jwt', issuer: ISSUER, claims: { image: [n === 0 ? 'sha256:aa' : `sha256:${n}`] } }),
  }),
};
