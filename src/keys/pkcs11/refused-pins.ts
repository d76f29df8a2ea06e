/**
 * Which PIN a token refused, kept beside the keeper's socket: whoever starts the keeper again and again must not lock the token, one C_Login a
 * start. What is kept is neither the PIN nor made from it, but which state of which file it stood in: writing that file anew lets it be tried.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256Hex, utf8 } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';

export interface RefusedPins {
  /** Throws `pin_incorrect` when this token refused what the PIN's file held in this state. */
  assertUntried(token: string, fileState: string): void;
  refused(token: string, fileState: string): void;
  accepted(token: string): void;
}

/** In a folder that is the keeper's own. What cannot be read or written there is not remembered. */
export function refusedPinsIn(folder: string): RefusedPins {
  const fileOf = (token: string) => join(folder, `refused-pin-${sha256Hex(utf8(token)).slice(0, 16)}`);
  return {
    assertUntried(token, fileState) {
      if (quietly(() => readFileSync(fileOf(token), 'utf8')) === fileState)
        throw new VaultError('pin_incorrect', 'the token has refused this very PIN file, so nothing was tried: write it anew');
    },
    refused: (token, fileState) => void quietly(() => writeFileSync(fileOf(token), fileState, { mode: 0o600 })),
    accepted: (token) => void quietly(() => rmSync(fileOf(token), { force: true })),
  };
}

function quietly<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
