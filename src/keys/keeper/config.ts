/** What a keeper is started with: one JSON object, by standard input or from a file, never by argument or environment. */
import { isAbsolute } from 'node:path';
import { VaultError } from '../../domain/errors.ts';
import type { AwsKmsConfig } from '../aws-kms/provider.ts';
import { AWS_KMS_SETTINGS, parseAwsKmsSettings } from '../aws-kms/settings.ts';
import { PKCS11_SETTINGS, type Pkcs11Settings, parsePkcs11Settings } from '../pkcs11/settings.ts';

interface Served {
  /** The unix socket to listen on; its folder has mode 0700, or 0750 with `socketGroup`. */
  readonly socket: string;
  /** Group id that may open the socket too: the vault's, where vault and keeper are different users. */
  readonly socketGroup?: number;
  /** Answer `generate`. */
  readonly ceremony?: boolean;
  /** Socket of the keeper of the HSM that the vault moves away from (../moving-provider.ts). */
  readonly formerKeeper?: string;
}

/** All paths are absolute. */
export interface Pkcs11KeeperConfig extends Served, Pkcs11Settings {
  readonly provider?: 'pkcs11';
}

export interface AwsKmsKeeperConfig extends Served, AwsKmsConfig {
  readonly provider: 'aws-kms';
}

export type KeeperConfig = Pkcs11KeeperConfig | AwsKmsKeeperConfig;

const SERVED = ['provider', 'socket', 'socketGroup', 'ceremony', 'formerKeeper'];
const MEMBERS = {
  pkcs11: new Set([...SERVED, ...PKCS11_SETTINGS]),
  'aws-kms': new Set<string>([...SERVED, ...AWS_KMS_SETTINGS]),
};
/** sockaddr_un.sun_path of Linux, less its final zero; a longer one would be cut without a word. */
const SOCKET_PATH_BYTES = 107;

/** Highest group id of Linux, less the one that means "no change" to chown(2). */
const MOST_GID = 4_294_967_294;

/** Throws `configuration_invalid` and names the setting. */
export function parseKeeperConfig(json: string): KeeperConfig {
  return checked(parseObject(json));
}

/** `keeper.json` of a keeper that runs alone (docs/containers.md). Whether it is a ceremony is said at its start, never kept in a file. */
export function parseKeeperFile(json: string): { readonly config: KeeperConfig; readonly softhsmConf: string | undefined } {
  const { softhsmConf, ...value } = parseObject(json);
  if (softhsmConf !== undefined && (typeof softhsmConf !== 'string' || !isAbsolute(softhsmConf)))
    throw invalid('keeper setting softhsmConf is not an absolute path');
  if ('ceremony' in value) throw invalid('a ceremony is an option of `wv keeper`, not a setting');
  const config = checked(value);
  if (softhsmConf !== undefined && config.provider === 'aws-kms') throw invalid('unknown keeper setting "softhsmConf"');
  return { config, softhsmConf };
}

function checked(value: Record<string, unknown>): KeeperConfig {
  const { provider = 'pkcs11' } = value;
  if (provider !== 'pkcs11' && provider !== 'aws-kms') throw invalid('keeper setting provider is neither pkcs11 nor aws-kms');
  for (const name of Object.keys(value)) if (!MEMBERS[provider].has(name)) throw invalid(`unknown keeper setting ${JSON.stringify(name)}`);
  const served = servedOf(value);
  return provider === 'pkcs11' ? { ...served, ...parsePkcs11Settings(value) } : { ...served, provider, ...parseAwsKmsSettings(value) };
}

function servedOf(value: Record<string, unknown>): Served {
  const { socketGroup, ceremony } = value;
  const socket = socketOf(value, 'socket');
  const formerKeeper = value['formerKeeper'] === undefined ? undefined : socketOf(value, 'formerKeeper');
  if (formerKeeper === socket) throw invalid('keeper setting formerKeeper is its own socket');
  if (socketGroup !== undefined && !isGroupId(socketGroup)) throw invalid('keeper setting socketGroup is not the number of a group');
  if (ceremony !== undefined && typeof ceremony !== 'boolean') throw invalid('keeper setting ceremony is not a boolean');
  return {
    socket,
    ...(socketGroup !== undefined && { socketGroup }),
    ...(ceremony !== undefined && { ceremony }),
    ...(formerKeeper !== undefined && { formerKeeper }),
  };
}

function socketOf(value: Record<string, unknown>, name: string): string {
  const path = value[name];
  if (typeof path !== 'string' || !isAbsolute(path)) throw invalid(`keeper setting ${name} is not an absolute path`);
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES) throw invalid(`keeper setting ${name} is longer than 107 bytes`);
  return path;
}

/** 0 is root's group, which needs no permission. */
function isGroupId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < MOST_GID;
}

function parseObject(json: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new VaultError('configuration_invalid', 'the keeper configuration is not JSON', { cause });
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw invalid('the keeper configuration is not an object');
  return value as Record<string, unknown>;
}

const invalid = (why: string) => new VaultError('configuration_invalid', why);
