/** A data encryption key: HSM random XOR operating-system random, so neither source alone decides it (docs/formats/wrapped-key.md). */
import { randomFillSync } from 'node:crypto';
import { VaultError } from '../domain/errors.ts';
import { SecretBytes } from '../domain/secret.ts';
import type { KeyProvider } from './port.ts';

export const DEK_BYTES = 32;

/** One per version, never reused. The caller disposes it. */
export async function newDek(provider: Pick<KeyProvider, 'random'>): Promise<SecretBytes> {
  const fromHsm = await provider.random(DEK_BYTES);
  const fromSystem = randomFillSync(new Uint8Array(DEK_BYTES));
  try {
    if (fromHsm.length !== DEK_BYTES) throw new VaultError('internal', 'the key provider gave another number of random bytes');
    return new SecretBytes(fromSystem.map((byte, at) => byte ^ (fromHsm[at] ?? 0)));
  } finally {
    fromHsm.fill(0);
    fromSystem.fill(0);
  }
}
