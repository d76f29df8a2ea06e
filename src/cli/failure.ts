/** How a command that failed says so: the code, what happened, and what to do next where that is plain. */
import { CommanderError } from 'commander';
import { RefusedError } from '../agent/https-client.ts';
import { codeOf, type ErrorCode, VaultError } from '../domain/errors.ts';
import { EXIT_CODES, exitOf } from './exit-codes.ts';

/** Only where one step is the obvious one. */
const NEXT_STEPS: Partial<Record<ErrorCode, string>> = {
  session_missing: 'run `wv login --kit <folder>`',
  session_expired: 'run `wv login --kit <folder>` again',
  login_refused: 'wait for the next six digits, and check that this kit is yours',
  login_locked: 'wait ten minutes, then log in again',
  claim_refused: 'ask another administrator for `wv admin reset-authenticator`, and call a responder if you did not begin it yourself',
  not_initialized: 'run `wv init`, or name vault.json with --config, or its folder with --folder',
  vault_unreachable: 'check that `wv serve` runs and that the url in kit.json or requester.json is right',
  model_unknown: 'see `wv models list`',
  version_unknown: 'see `wv models versions <model>`',
  version_quarantined: 'another administrator approves it: `wv requests`, then `wv approve`',
  document_stale: 'run the command again: it reads the newest document first',
  attester_key_unknown: 'enrol this machine: `wv attester request`, then `wv enrol begin` and `wv enrol confirm`',
  pin_incorrect: 'write the right PIN into the PIN file, then start again',
  already_initialized: 'nothing that is there is overwritten: give another folder, or move the database away',
  log_head_missing: 'bring the file back that logHead in vault.json names: without it nobody can tell whether the database was put back',
  log_rolled_back: 'keep the checkpoint as it is, bring the newest copy of the database back or restore it (docs/operating.md, Restore)',
  witness_memory_invalid: 'keep the folder for whoever looks into it, and begin a new witness with a new name (docs/witness.md)',
  log_conflict: 'keep the checkpoint as it is and find out who else signed for this vault (docs/operating.md, Restore)',
};

export interface Stderr {
  write(text: string): unknown;
}

/** The exit code of anything a command threw. Prints it, unless commander already has; with `json` as one JSON document on standard error. */
export function reportFailure(error: unknown, json: boolean, stderr: Stderr = process.stderr): number {
  const [exit] = EXIT_CODES[exitOf(error)];
  if (exit === 0) return exit;
  if (json) stderr.write(`${JSON.stringify({ error: describe(error) })}\n`);
  else if (!(error instanceof CommanderError)) stderr.write(`${inWords(error)}\n`);
  return exit;
}

function describe(error: unknown): object {
  if (error instanceof CommanderError) return { code: 'usage', detail: error.message.replace(/^error: /, '') };
  const { requestId, recordId } = error instanceof RefusedError ? error : {};
  const next = NEXT_STEPS[codeOf(error)];
  return {
    code: codeOf(error),
    detail: detailOf(error),
    ...(next && { next }),
    ...(requestId && { requestId }),
    ...(recordId && { recordId }),
  };
}

function inWords(error: unknown): string {
  const lines = [`${codeOf(error)}: ${detailOf(error)}`];
  const next = NEXT_STEPS[codeOf(error)];
  if (next !== undefined) lines.push(`what to do: ${next}`);
  if (error instanceof RefusedError && error.recordId !== undefined) lines.push(`on record as ${error.recordId}`);
  // Only where somebody will have to look into the operational log: elsewhere the code says it all.
  if (error instanceof RefusedError && error.status >= 500 && error.requestId !== undefined) lines.push(`request ${error.requestId}`);
  return lines.join('\n');
}

function detailOf(error: unknown): string {
  if (error instanceof VaultError) return error.detail === '' ? error.title : error.detail;
  return error instanceof Error ? error.message : String(error);
}
