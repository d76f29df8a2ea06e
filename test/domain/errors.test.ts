import { inspect } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { codeOf, ERROR_CODES, type ErrorCode, isErrorCode, VaultError } from '../../src/domain/errors.ts';

const rows = Object.entries(ERROR_CODES);

describe('the table of error codes', () => {
  test.each(rows)('%s has a status, a retry word and one sentence', (code, [status, retry, title]) => {
    expect(code).toMatch(/^[a-z][a-z_]*$/);
    expect(status >= 400 && status <= 503).toBe(true);
    expect(['retry', 'final']).toContain(retry);
    expect(title).toMatch(/^[A-Z].*\.$/);
  });

  test('asks for a retry only where waiting can help: 503, 429, 408, and a release that is still being read', () => {
    for (const [code, [status, retry]] of rows)
      if (retry === 'retry')
        expect({ code, status: [503, 429, 408].includes(status) || code === 'release_busy' }).toEqual({ code, status: true });
  });
});

describe('VaultError', () => {
  test('answers with the row of its code', () => {
    const error = new VaultError('log_unavailable', 'no disk');
    expect([error.status, error.retryable, error.message]).toEqual([503, true, 'log_unavailable: no disk']);
  });

  test('keeps the cause to itself', () => {
    const error = new VaultError('internal', '', { cause: new Error('SELECT secret FROM rows') });
    expect(JSON.stringify(error)).not.toContain('SELECT');
    expect(error.message).toBe('internal');
    expect(inspect(error)).toContain('SELECT'); // the operational log may have it
  });

  test('whatever was thrown has a code, and what nobody foresaw is `internal`', () => {
    const thrown: unknown[] = [new Error('x'), 'text', undefined, null, { code: 'login_refused' }];
    expect(thrown.map(codeOf)).toEqual(thrown.map(() => 'internal'));
    expect(codeOf(new VaultError('login_refused'))).toBe('login_refused');
  });

  test('a name that every object has is no code', () => {
    expect(['constructor', 'toString', '__proto__', ''].filter(isErrorCode)).toEqual([]);
    expect(isErrorCode('internal' satisfies ErrorCode)).toBe(true);
  });
});
