import { randomBytes } from 'node:crypto';
import { DEFAULTS } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import { type ChallengeId, newId } from '../domain/ids.ts';
import { spkiDigestOf } from '../identity/certificates.ts';
import type { ChallengeRow } from '../releases/port.ts';
import { assertRoomForStrangers } from './last-room.ts';
import type { Vault } from './vault.ts';

/** Issues a challenge to one TLS key: 32 random bytes, good for 60 s of the database's time, once. */
export async function issueChallenge(spki: Uint8Array, vault: Pick<Vault, 'stores' | 'logRoom'>): Promise<ChallengeRow> {
  assertRoomForStrangers(vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const challenge: ChallengeRow = {
      challengeId: newId<ChallengeId>(tx.now),
      nonce: new Uint8Array(randomBytes(32)),
      spkiDigest: spkiDigestOf(spki),
      expiresAt: addSeconds(tx.now, DEFAULTS.challengeSeconds),
    };
    await vault.stores.releases.insertChallenge(tx, challenge);
    return challenge;
  });
}
