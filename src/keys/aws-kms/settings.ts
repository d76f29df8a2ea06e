/** The settings of AWS KMS in a keeper's configuration. */
import { isAbsolute } from 'node:path';
import { VaultError } from '../../domain/errors.ts';
import { KMS_KEY_ARN } from '../../domain/kek-wrap.ts';
import type { AwsKmsConfig } from './provider.ts';

export const AWS_KMS_SETTINGS = ['region', 'endpoint', 'aliasPrefix', 'credentialsFile', 'deletionDays', 'keyArns'] as const;

const REGION = /^[a-z]{2,4}(?:-[a-z0-9]+){2,3}$/;
/** What CreateAlias takes, less what would make the alias of a version too long. `alias/aws/` is AWS's own. */
const ALIAS_PREFIX = /^(?!aws(?:\/|$))[A-Za-z0-9_-]+(?:\/[A-Za-z0-9_-]+)*$/;
const ALIAS_PREFIX_CHARACTERS = 64;
/** API reference of ScheduleKeyDeletion. */
/** As `wv keys ls` has them: a key id and its version. */
const KEY_VERSION = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?\/[1-9]\d{0,9}$/;
const DELETION_DAYS = { least: 7, most: 30 };

/** Throws `configuration_invalid` and names the setting. */
export function parseAwsKmsSettings(value: Record<string, unknown>): AwsKmsConfig {
  const { region, endpoint, aliasPrefix, credentialsFile, deletionDays, keyArns } = value;
  if (typeof region !== 'string' || !REGION.test(region)) throw invalid('region is not the name of an AWS region');
  if (typeof aliasPrefix !== 'string' || aliasPrefix.length > ALIAS_PREFIX_CHARACTERS || !ALIAS_PREFIX.test(aliasPrefix))
    throw invalid('aliasPrefix is not 1 to 64 of A-Z a-z 0-9 _ - in parts between slashes, and not aws');
  if (endpoint !== undefined && !isEndpoint(endpoint)) throw invalid('endpoint is not an https address (plain http only on loopback)');
  if (credentialsFile !== undefined && (typeof credentialsFile !== 'string' || !isAbsolute(credentialsFile)))
    throw invalid('credentialsFile is not an absolute path');
  if (deletionDays !== undefined && !isDays(deletionDays)) throw invalid('deletionDays is not 7 to 30');
  if (keyArns !== undefined && !areKeyArns(keyArns)) throw invalid('keyArns is not an object of ARNs of KMS keys by KEY-ID/VERSION');
  return {
    region,
    aliasPrefix,
    ...(deletionDays !== undefined && { deletionDays }),
    ...(keyArns !== undefined && { keyArns }),
    ...(endpoint !== undefined && { endpoint }),
    ...(credentialsFile !== undefined && { credentialsFile }),
  };
}

function isDays(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= DELETION_DAYS.least && value <= DELETION_DAYS.most;
}

function areKeyArns(value: unknown): value is Record<string, string> {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return false;
  return Object.entries(value).every(([name, arn]) => KEY_VERSION.test(name) && typeof arn === 'string' && KMS_KEY_ARN.test(arn));
}

function isEndpoint(value: unknown): value is string {
  if (typeof value !== 'string' || !URL.canParse(value)) return false;
  const { protocol, hostname, username, pathname, search } = new URL(value);
  if (username !== '' || pathname !== '/' || search !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(hostname));
}

const invalid = (why: string) => new VaultError('configuration_invalid', `keeper setting ${why}`);
