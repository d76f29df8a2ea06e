/** A fetch may take longer than a release lives: when it has expired, the requester attests anew, and goes on with the same bytes. */
import { VaultError } from '../domain/errors.ts';
import type { ReleaseId } from '../domain/ids.ts';
import type { GrantedRelease } from './data-client.ts';

/** Releases in a row under which no byte came: something else than time is wrong. */
const MAX_BARREN = 3;

export interface LastingRelease {
  readonly current: GrantedRelease;
  /** Every release there was, the present one last. */
  readonly all: readonly GrantedRelease[];
  /** When `error` says that the release `under` is over, there is another one afterwards; throws everything else. */
  renewOr(error: unknown, under: ReleaseId): Promise<void>;
  /** A byte came under the present release. */
  bore(): void;
}

/** `attest` makes a new release of the same version: other bytes than at first are `digest_mismatch`, for files already here are of the first. */
export function lastingRelease(first: GrantedRelease, attest?: () => Promise<GrantedRelease>): LastingRelease {
  const all = [first];
  let barren = 0;
  let renewing: Promise<void> | undefined;
  const current = () => all.at(-1) ?? first;
  const renew = async (): Promise<void> => {
    if (attest === undefined || ++barren > MAX_BARREN) throw new VaultError('release_expired', 'and attesting anew did not help');
    const next = await attest();
    all.push(next); // also a wrong one: whoever ends releases must end it
    if (next.versionDigest !== first.versionDigest || listOf(next) !== listOf(first))
      throw new VaultError('digest_mismatch', 'the version is another one than when this fetch began');
  };
  return {
    get current() {
      return current();
    },
    all,
    async renewOr(error, under) {
      const over = error instanceof VaultError && (error.code === 'release_expired' || error.code === 'release_ended');
      if (!over || attest === undefined) throw error;
      if (current().releaseId !== under) return; // another stream was quicker
      renewing ??= renew().finally(() => {
        renewing = undefined;
      });
      await renewing;
    },
    bore: () => {
      barren = 0;
    },
  };
}

const listOf = ({ objects }: GrantedRelease) => JSON.stringify(objects.map(({ path, size, sha256 }) => [path, size, sha256]));
