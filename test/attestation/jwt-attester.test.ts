/** The requester's side: a token from a file or a program, and nothing of it anywhere else. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createJwtAttester } from '../../src/attestation/jwt/attester.ts';
import { jwtNonce } from '../../src/domain/evidence.ts';
import { BINDING } from './token-issuer.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'wv-token-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const written = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const usage = expect.objectContaining({ code: 'usage' });
const node = (script: string, ...args: string[]) =>
  createJwtAttester({ command: [process.execPath, written(`${Buffer.from(script).toString('hex').slice(0, 60)}.mjs`, script), ...args] });

describe('from a file', () => {
  test('the token as it is now, without the line end', async () => {
    const file = written('token', 'aa.bb.cc\n');
    const attester = createJwtAttester({ file });
    expect(await attester.attest(BINDING)).toEqual({ token: 'aa.bb.cc' });
    written('token', 'dd.ee.ff');
    expect(await attester.attest(BINDING)).toEqual({ token: 'dd.ee.ff' });
  });

  test('that is missing, too large or no token is said with its name and without its content', async () => {
    const secret = 'not-a-token-but-secret';
    for (const file of [join(folder, 'none'), written('large', `a.b.${'c'.repeat(65_540)}`), written('text', secret), folder]) {
      const failed = createJwtAttester({ file }).attest(BINDING);
      await expect(failed).rejects.toEqual(usage);
      await expect(failed).rejects.not.toThrow(secret);
    }
  });
});

describe('from a program', () => {
  test('which gets the nonce in WV_NONCE and its arguments as they are: no shell looks at them', async () => {
    const attester = node(
      "console.log(['h', process.env.WV_NONCE, Buffer.from(process.argv.slice(2).join('|')).toString('hex')].join('.'))",
      '$HOME;',
      '*',
    );
    const args = Buffer.from('$HOME;|*').toString('hex');
    expect(await attester.attest(BINDING)).toEqual({ token: `h.${jwtNonce(BINDING)}.${args}` });
  });

  test('that fails, prints no token or too much, or is not there, is said without what it printed', async () => {
    const secret = 'printed-secret';
    for (const attester of [
      node(`console.log('a.b.c'); console.error('${secret}'); process.exit(3)`),
      node(`console.log('${secret}')`),
      node("console.log('a.b.' + 'c'.repeat(70_000))"),
      createJwtAttester({ command: [join(folder, 'no-such-program')] }),
    ]) {
      const failed = attester.attest(BINDING);
      await expect(failed).rejects.toEqual(usage);
      await expect(failed).rejects.not.toThrow(secret);
    }
  });
});
