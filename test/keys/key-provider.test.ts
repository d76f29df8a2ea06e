/** The double under the contract it stands in for, in every tier. Real providers: tokens.test.ts, aws-kms.test.ts. */
import { keyProviderContract } from '../contract/key-provider.ts';
import { createMemoryKeyProvider } from '../doubles/memory-key-provider.ts';

keyProviderContract('in memory (the double)', async () => ({ provider: createMemoryKeyProvider() }));

keyProviderContract(
  'in memory, with key wrap and P-256',
  async () => ({ provider: createMemoryKeyProvider({ tier: 2, algorithm: 'ecdsa-p256-sha256' }) }),
  { tier: 2, algorithm: 'ecdsa-p256-sha256' },
);

keyProviderContract('in memory, with RSA-OAEP', async () => ({ provider: createMemoryKeyProvider({ tier: 3 }), runs: 20 }), { tier: 3 });
