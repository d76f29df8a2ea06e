/** Patience: what is tried again, for how long, and with which pauses. */
import { describe, expect, test } from '@jest/globals';
import { createRetries, retrying } from '../../src/agent/retry.ts';
import { codeOf, type ErrorCode, VaultError } from '../../src/domain/errors.ts';
import { quickest } from '../harness/standstill.ts';

const never = new AbortController().signal;
const failure = (work: Promise<unknown>) => work.then(() => undefined, codeOf);

/** Fails with these codes, in order, then succeeds. */
function failing(...codes: ErrorCode[]): () => Promise<number> {
  let calls = 0;
  return async () => {
    const code = codes[calls++];
    if (code !== undefined) throw new VaultError(code);
    return calls;
  };
}

describe('retrying', () => {
  test('tries again what may pass, until it succeeds', async () => {
    const retries = createRetries({ firstMs: 1, mostMs: 5 });
    expect(await retrying(failing('vault_unreachable', 'hsm_unavailable', 'store_unavailable'), retries, never)).toBe(4);
  });

  test.each<ErrorCode>(['release_cut', 'subject_blocked', 'policy_denied', 'digest_mismatch', 'internal', 'interrupted'])(
    'never %s',
    async (code) => {
      expect(await failure(retrying(failing(code), createRetries({ firstMs: 1 }), never))).toBe(code);
    },
  );

  test('waits longer each time, up to the most, and never twice alike', async () => {
    const waits: number[] = [];
    const retries = createRetries({ firstMs: 4, mostMs: 16, onWait: (_error, waitMs) => waits.push(waitMs) });
    await retrying(failing(...Array.from({ length: 12 }, () => 'vault_unreachable' as const)), retries, never);
    expect(waits.map((wait, attempt) => wait >= 0 && wait <= Math.min(16, 4 * 2 ** attempt))).toEqual(waits.map(() => true));
    expect(new Set(waits).size).toBeGreaterThan(8);
  });

  test('gives up when nothing has moved for too long, and not while something moves', async () => {
    const always = () => Promise.reject(new VaultError('vault_unreachable'));
    const givenUp = async () =>
      expect(await failure(retrying(always, createRetries({ firstMs: 10, mostMs: 20, giveUpSeconds: 0.3 }), never))).toBe(
        'vault_unreachable',
      );
    expect(await quickest(3_000, givenUp)).toBeLessThan(3_000);
    const retries = createRetries({ firstMs: 10, mostMs: 20, giveUpSeconds: 0.3 });
    let calls = 0;
    const moving = async () => {
      retries.progressed();
      if (++calls < 60) throw new VaultError('vault_unreachable');
      return calls;
    };
    expect(await retrying(moving, retries, never)).toBe(60);
  });

  test('stops waiting at once when told to', async () => {
    const abort = new AbortController();
    const retries = createRetries({
      firstMs: 2_000_000_000, // of which it waits a random part
      mostMs: 2_000_000_000,
      giveUpSeconds: 4_000_000,
      onWait: () => setTimeout(() => abort.abort(new VaultError('interrupted')), 20),
    });
    expect(await failure(retrying(failing('vault_unreachable'), retries, abort.signal))).toBe('interrupted');
    expect(await failure(retrying(failing(), retries, abort.signal))).toBe('interrupted');
  });
});
