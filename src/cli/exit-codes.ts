/** Exit codes of `wv`, in one table. docs/cli.md repeats it; a test keeps both equal. */
import { CommanderError } from 'commander';
import { type ErrorCode, VaultError } from '../domain/errors.ts';

export const EXIT_CODES = {
  done: [0, 'Done.'],
  unforeseen: [1, 'Something nobody foresaw; the text on standard error is for a bug report.'],
  usage: [2, 'Wrong usage: an unknown option, a missing file, a value of the wrong form.'],
  refused: [3, 'Refused, with the code on standard error. The same call is refused again.'],
  unreachable: [4, 'Not reachable, or busy: the same call can succeed later.'],
  unverified: [5, 'Verification failed: a digest, a signature or the access log is not what it should be.'],
  interrupted: [130, 'Ended by Ctrl-C or SIGTERM. What is resumable was kept.'],
} as const satisfies Record<string, readonly [exit: number, meaning: string]>;

export type Exit = keyof typeof EXIT_CODES;

/**
 * Codes that say: these bytes are not what somebody signed, announced or logged. Not `sealed_*`: `wv sealed` promises 3 for everything
 * that it refuses (docs/formats/sealed-object.md).
 */
const UNVERIFIED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...(['digest_mismatch', 'blob_digest_mismatch', 'object_integrity', 'manifest_mismatch', 'document_invalid', 'alias_stale'] as const),
  ...(['log_entry_mismatch', 'log_tile_mismatch', 'log_root_mismatch', 'log_incomplete'] as const),
  ...(['note_malformed', 'note_signature_invalid', 'proof_invalid', 'evidence_disagrees'] as const),
]);

/** How a command that threw `error` ends. Commander throws for `--help` too; that is done. */
export function exitOf(error: unknown): Exit {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 'done' : 'usage';
  if (!(error instanceof VaultError)) return 'unforeseen';
  if (error.code === 'usage') return 'usage';
  if (error.code === 'interrupted') return 'interrupted';
  if (error.code === 'internal') return 'unforeseen';
  if (UNVERIFIED.has(error.code)) return 'unverified';
  return error.retryable ? 'unreachable' : 'refused';
}
