/** Makers of one key on one token at once. What one of them does: pkcs11.test.ts. */
import { describe, expect, test } from '@jest/globals';
import { type ErrorCode, VaultError } from '../../src/domain/errors.ts';
import { untilAlone } from '../../src/keys/pkcs11/raced.ts';

const noPause = () => -0.5;

describe('a key that was made twice at once', () => {
  test('is tried again until it is there, and what else is wrong is said at once', async () => {
    let tried = 0;
    const answering = (code?: ErrorCode) => async () => {
      tried++;
      if (code !== undefined) throw new VaultError(code);
      if (tried < 4) throw new VaultError('key_raced');
      return 'made';
    };
    expect(await untilAlone(answering(), noPause)).toBe('made');
    expect(tried).toBe(4);
    await expect(untilAlone(answering('key_exists'), noPause)).rejects.toMatchObject({ code: 'key_exists' });
    expect(tried).toBe(5);
  });

  test('is given up in the end, and may be asked for again', async () => {
    const error = await untilAlone(() => Promise.reject(new VaultError('key_raced')), noPause).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'key_raced', retryable: true });
  });
});
