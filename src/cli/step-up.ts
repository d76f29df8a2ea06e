/** Some acts take a fresh code: the vault answers `step_up_required` and which operation the code must be for. */

import type { HttpsRequest } from '../agent/https-client.ts';
import { codeOf, VaultError } from '../domain/errors.ts';
import { type CodeOptions, readCode } from './code.ts';
import type { AdminOptions, Kit } from './kit.ts';
import { note } from './output.ts';

/**
 * As `kit.call`; when the vault wants a code, reads one (code.ts), shows it, and calls once more. With `digest` the code is given for that
 * operation and no other, whatever the vault names.
 */
export async function callSteppedUp(
  kit: Kit,
  method: HttpsRequest['method'],
  path: string,
  body: unknown,
  options: AdminOptions & CodeOptions,
  digest?: string,
): Promise<Record<string, unknown>> {
  try {
    return await kit.call(method, path, body);
  } catch (error) {
    if (codeOf(error) !== 'step_up_required') throw error;
    const operationDigest = digest ?? namedIn(error);
    const wanted = operationDigest === undefined ? 'This takes a fresh code.' : `This takes a code for operation ${operationDigest} alone.`;
    const asksProgram = options.json === true && !process.stdin.isTTY; // which reads standard error as JSON: there the error says it
    if (!asksProgram) note(wanted);
    const code = await readCode(options).catch((error: unknown) => {
      throw asksProgram && error instanceof VaultError ? new VaultError(error.code, `${wanted} ${error.detail}`, { cause: error }) : error;
    });
    await kit.call('POST', '/v1/session/step-up', { code, ...(operationDigest !== undefined && { operationDigest }) });
    return kit.call(method, path, body);
  }
}

/** The detail of `step_up_required` is `operation` and a digest, or nothing. */
function namedIn(error: unknown): string | undefined {
  return error instanceof VaultError ? /^operation ([0-9a-f]{64})$/.exec(error.detail)?.[1] : undefined;
}
