/** Attester of kind `jwt`: runs beside the model server and shows a token, from a file that somebody keeps fresh or from a program. */
import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { utf8 } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { jwtNonce, jwtNonceHex } from '../../domain/evidence.ts';
import type { Attester } from '../port.ts';
import { type DetachedEat, readDetached } from './detached-eat.ts';
import { type JwtBody, MAX_TOKEN_CHARS } from './evidence.ts';

export type TokenSource =
  /** Read again at each use: a projected Kubernetes token is replaced in place. */
  | { readonly file: string }
  /** Program and arguments, started without a shell, with the nonce in WV_NONCE, and in hexadecimal in WV_NONCE_HEX. It prints the token. */
  | { readonly command: readonly [string, ...string[]] };

const COMMAND_MS = 30_000;

export interface JwtAttester extends Attester {
  readonly kind: 'jwt';
  attest(binding: Uint8Array): Promise<JwtBody>;
}

export function createJwtAttester(source: TokenSource): JwtAttester {
  return {
    kind: 'jwt',
    async attest(binding): Promise<JwtBody> {
      const text = 'file' in source ? await readToken(source.file) : await runCommand(source.command, binding);
      const token = text.trim();
      const detached = readDetached(utf8(token));
      if (detached !== undefined) return bundleOf(detached);
      if (token.length > MAX_TOKEN_CHARS || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token))
        throw new VaultError('usage', `${nameOf(source)}: not a token`);
      return { token };
    },
  };
}

/** As NRAS answers: a token, and those it has digests of. */
function bundleOf({ overall, parts }: DetachedEat): JwtBody {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
  return { token: text(overall), parts: Object.fromEntries([...parts].map(([name, part]) => [name, text(part)])) };
}

async function readToken(file: string): Promise<string> {
  try {
    if ((await stat(file)).size > MAX_TOKEN_CHARS + 2) throw new Error('too large');
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new VaultError('usage', `the token file ${file} cannot be read, or is too large`, { cause });
  }
}

/** What it printed. What it complains about is its own: it may hold the token. */
function runCommand([program, ...args]: readonly [string, ...string[]], binding: Uint8Array): Promise<string> {
  const nonces = { WV_NONCE: jwtNonce(binding), WV_NONCE_HEX: jwtNonceHex(binding) };
  const options = { env: { ...process.env, ...nonces }, timeout: COMMAND_MS, maxBuffer: MAX_TOKEN_CHARS + 2, shell: false };
  return new Promise((resolve, reject) => {
    execFile(program, args, options, (error, stdout) => {
      if (error === null) return resolve(stdout);
      const how =
        typeof error.code === 'number'
          ? `ended with ${error.code}`
          : error.killed
            ? 'took too long or printed too much'
            : 'cannot be started';
      reject(new VaultError('usage', `the token command ${program} ${how}`, { cause: error }));
    });
  });
}

function nameOf(source: TokenSource): string {
  return 'file' in source ? source.file : source.command[0];
}
