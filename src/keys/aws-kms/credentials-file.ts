/**
 * Static or short-lived AWS credentials from a file only its owner can read, in the form that AWS calls `credential_process` output:
 *
 *   {"Version": 1, "AccessKeyId": "…", "SecretAccessKey": "…", "SessionToken": "…", "Expiration": "2026-12-01T00:00:00Z"}
 *
 * It is read for every request, so a file that was replaced counts at once. Better than a file is a role of the machine: then there is none.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { VaultError } from '../../domain/errors.ts';

const FILE_BYTES = 16_384;

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** Always now: the SDK keeps what has not expired, and would not look into the file again. */
  readonly expiration: Date;
}

/** Throws `configuration_invalid` for a file that is missing, not ours, open to others, or not of that form. */
export async function readCredentials(path: string): Promise<AwsCredentials> {
  let file: FileHandle | undefined;
  try {
    // A pipe in its place must not be waited for.
    file = await open(path, constants.O_RDONLY | constants.O_NOCTTY | constants.O_NONBLOCK).catch((cause) => {
      throw invalid('cannot be opened', cause);
    });
    const stat = await file.stat();
    if (!stat.isFile() || stat.size > FILE_BYTES) throw invalid('is not a small file');
    if ((stat.mode & 0o077) !== 0) throw invalid('is accessible to group or others: chmod 600');
    if (stat.uid !== 0 && stat.uid !== process.geteuid?.()) throw invalid('belongs to another user');
    return parse(await file.readFile('utf8'));
  } finally {
    await file?.close();
  }
}

function parse(text: string): AwsCredentials {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid('is not JSON'); // without the cause: it quotes the text
  }
  const { Version, AccessKeyId, SecretAccessKey, SessionToken } = (value ?? {}) as Record<string, unknown>; // every member is checked below
  if (Version !== 1) throw invalid('has no "Version": 1');
  if (!isText(AccessKeyId) || !isText(SecretAccessKey)) throw invalid('lacks AccessKeyId or SecretAccessKey');
  if (SessionToken !== undefined && !isText(SessionToken)) throw invalid('has a SessionToken that is not text');
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    ...(SessionToken !== undefined && { sessionToken: SessionToken }),
    expiration: new Date(),
  };
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

const invalid = (why: string, cause?: unknown) => new VaultError('configuration_invalid', `the AWS credentials file ${why}`, { cause });
