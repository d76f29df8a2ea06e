/** A data encryption key: HSM random XOR operating-system random, so neither source alone decides it (docs/formats/wrapped-key.md). */
import { randomFillSync } from 'node:crypto';
import { VaultError } from '../domain/errors.ts';
import { SecretBytes, secretRoom } from '../domain/secret.ts';
import type { KeyProvider } from './port.ts';

export const DEK_BYTES = 32;

/** One per version, never reused. The caller disposes it. */
export async function newDek(provider: Pick<KeyProvider, 'random'>): Promise<SecretBytes> {
  const fromHsm = await provider.random(DEK_BYTES);
  const dek = randomFillSync(secretRoom(DEK_BYTES));
  try {
    if (fromHsm.length !== DEK_BYTES) throw new VaultError('internal', 'the key provider gave another number of random bytes');
    for (const [at, byte] of fromHsm.entries()) dek[at] = (dek[at] ?? 0) ^ byte;
    return new SecretBytes(dek);
  } finally {
    fromHsm.fill(0);
  }
}
