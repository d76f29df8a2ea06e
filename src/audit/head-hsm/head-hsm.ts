/** HeadStore inside the HSM: whoever puts back database and head file together has not put back the token. */
import { toHex } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { openCheckpoint } from '../checkpoint.ts';
import type { HeadStore } from '../port.ts';
import type { VerifierKey } from '../vkey.ts';

/** As keys/port.ts has it. */
interface HeadObjects {
  read(log: string): Promise<readonly Uint8Array[]>;
  write(log: string, checkpoint: Uint8Array): Promise<void>;
}

/** By origin and key: a recovery, which signs with a new key, begins anew even in the token it had. */
export function hsmHeadName({ name, keyId }: VerifierKey): string {
  return `${name}+${toHex(keyId)}`;
}

/** `read` answers the largest that verifies: a crash between making one and destroying the one before leaves both. A provider that keeps no data keeps none. */
export function createHsmHead(objects: HeadObjects, key: VerifierKey): HeadStore {
  const log = hsmHeadName(key);
  return {
    async read() {
      const kept = await objects.read(log).catch((error) => {
        if (error instanceof VaultError && error.code === 'hsm_mechanism_missing') return [];
        throw error;
      });
      return largest(kept, key);
    },
    write: (checkpoint) => objects.write(log, checkpoint),
  };
}

/** Throws `note_malformed` or `note_signature_invalid` when there are some and none is of this log. */
function largest(kept: readonly Uint8Array[], key: VerifierKey): Uint8Array | undefined {
  let found: { readonly size: number; readonly note: Uint8Array } | undefined;
  let problem: unknown;
  for (const note of kept) {
    try {
      const { size } = openCheckpoint(note, key);
      if (found === undefined || size > found.size) found = { size, note };
    } catch (error) {
      problem = error;
    }
  }
  if (found === undefined && problem !== undefined) throw problem;
  return found?.note;
}
