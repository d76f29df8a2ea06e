/**
 * The last room of the access log is for whoever the vault knows: stops, ends of releases, what administrators and attested requesters do. Every
 * refusal is a record, so strangers could use it up, and then nobody could be blocked. With the reserve used up too they are answered
 * `log_space_low`, as whoever cannot be recorded.
 */
import { type ErrorCode, VaultError } from '../domain/errors.ts';
import type { Vault } from './vault.ts';

/** Refusals of a release, by somebody who does not hold its key. */
const OF_STRANGERS: readonly ErrorCode[] = ['release_unknown', 'release_key_mismatch'];

export function isOfStranger(reason: ErrorCode): boolean {
  return OF_STRANGERS.includes(reason);
}

/** Throws `log_space_low` when what strangers do can no longer be written. */
export function assertRoomForStrangers({ logRoom }: Pick<Vault, 'logRoom'>): void {
  if (logRoom() === 'gone') throw new VaultError('log_space_low');
}
