/** How a command that failed ends, and what it says. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { CommanderError } from 'commander';
import { RefusedError } from '../../src/agent/https-client.ts';
import { EXIT_CODES, exitOf } from '../../src/cli/exit-codes.ts';
import { reportFailure } from '../../src/cli/failure.ts';
import { ERROR_CODES, type ErrorCode, VaultError } from '../../src/domain/errors.ts';

const page = readFileSync(fileURLToPath(new URL('../../docs/cli.md', import.meta.url)), 'utf8');

function report(error: unknown, json = false): { exit: number; err: string } {
  let err = '';
  const exit = reportFailure(error, json, { write: (text) => void (err += text) });
  return { exit, err };
}

test('docs/cli.md and EXIT_CODES are equal', () => {
  const rows = [...page.matchAll(/^\| (\d+) \| `(\w+)` \| (.+) \|$/gm)].map(([, exit, name, meaning]) => [name, [Number(exit), meaning]]);
  expect(Object.fromEntries(rows)).toEqual(EXIT_CODES);
});

describe('the exit code', () => {
  test.each<[ErrorCode, number]>([
    ['usage', 2],
    ['policy_denied', 3],
    ['release_cut', 3],
    ['session_missing', 3],
    ['target_unwritable', 3],
    ['vault_unreachable', 4],
    ['hsm_unavailable', 4],
    ['login_locked', 4],
    ['release_busy', 4],
    ['digest_mismatch', 5],
    ['object_integrity', 5],
    ['document_invalid', 5],
    ['log_entry_mismatch', 5],
    ['note_signature_invalid', 5],
    ['interrupted', 130],
    ['internal', 1],
  ])('of %s is %i', (code, exit) => {
    expect(report(new VaultError(code)).exit).toBe(exit);
  });

  test('of every refusal of `wv sealed` is 3', () => {
    const sealed = Object.keys(ERROR_CODES).filter((code) => code.startsWith('sealed_'));
    expect(sealed.length).toBeGreaterThan(5);
    expect(sealed.filter((code) => report(new VaultError(code as ErrorCode)).exit !== 3)).toEqual([]);
  });

  test('of every code marked retry is 4, but for the interruption', () => {
    const retry = Object.entries(ERROR_CODES).filter(([code, [, when]]) => when === 'retry' && code !== 'interrupted');
    expect(retry.filter(([code]) => exitOf(new VaultError(code as ErrorCode)) !== 'unreachable')).toEqual([]);
  });

  test('of what nobody foresaw is 1', () => {
    for (const thrown of [new Error('x'), 'text', undefined, null, { code: 'usage' }]) expect(report(thrown).exit).toBe(1);
  });

  test('of commander is 2, and 0 for help', () => {
    expect(report(new CommanderError(1, 'commander.unknownOption', "error: unknown option '--x'"))).toEqual({ exit: 2, err: '' });
    expect(report(new CommanderError(0, 'commander.helpDisplayed', '(outputHelp)'), true)).toEqual({ exit: 0, err: '' });
  });
});

describe('what is said', () => {
  const refused = new RefusedError('session_expired', '', { recordId: 'r-1', requestId: 'q-1' });

  test('for a person: code, what happened, what to do, and where it is on record', () => {
    expect(report(refused).err.split('\n')).toEqual([
      'session_expired: The session has ended; log in again.',
      'what to do: run `wv login --kit <folder>` again',
      'on record as r-1',
      '',
    ]);
    expect(report(new RefusedError('internal', 'x', { requestId: 'q-2' })).err).toBe('internal: x\nrequest q-2\n');
    expect(report(new VaultError('policy_denied', 'not at night')).err).toBe('policy_denied: not at night\n');
  });

  test('for a program: one JSON document', () => {
    expect(JSON.parse(report(refused, true).err)).toEqual({
      error: {
        code: 'session_expired',
        detail: 'The session has ended; log in again.',
        next: 'run `wv login --kit <folder>` again',
        requestId: 'q-1',
        recordId: 'r-1',
      },
    });
    expect(JSON.parse(report(new CommanderError(1, 'commander.unknownOption', "error: unknown option '--x'"), true).err)).toEqual({
      error: { code: 'usage', detail: "unknown option '--x'" },
    });
  });

  test('keeps the cause to itself', () => {
    const error = new VaultError('internal', '', { cause: new Error('SELECT secret FROM rows') });
    expect(report(error).err + report(error, true).err).not.toContain('SELECT');
  });
});
