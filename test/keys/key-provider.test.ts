import { keyProviderContract } from '../contract/key-provider.ts';
import { createMemoryKeyProvider } from '../doubles/memory-key-provider.ts';
import { startTestKeeper } from './keeper-harness.ts';

keyProviderContract('in memory (the double)', async () => ({ provider: createMemoryKeyProvider() }));

keyProviderContract('PKCS#11 through the keeper, on SoftHSM', async () => {
  const { client, stop } = await startTestKeeper();
  return { provider: client, cleanUp: stop };
});
