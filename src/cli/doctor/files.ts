/** Probes of what lies on the vault's disks: who may read it, what lies beside what, how much room is left. */
import { dirname } from 'node:path';
import type { Config } from '../../config/config.ts';
import { inUnits } from '../output.ts';
import type { Facts, PathFacts } from './facts.ts';
import { each, type Finding, finding } from './findings.ts';

const MIB = 1024 * 1024;
const SCARCE = { critical: 256 * MIB, warning: 2048 * MIB };

interface Kept {
  readonly name: string;
  readonly path: string;
  /** Bits nobody else may have. */
  readonly closed: number;
  /** Others could read keys or plaintext by it, not only metadata. */
  readonly secret: boolean;
  /** Who writes it is not the vault. */
  readonly foreign?: boolean;
}

const PRIVATE = 0o077;
const NOT_WRITABLE = 0o022;

function keptFiles(facts: Facts, config: Config, configFile: string): readonly Kept[] {
  const { keeper, database, blobs, logHead, dataPlane, adminPlane, alertSecrets, sinkSecrets } = config;
  const one = (name: string, path: string, closed: number, secret = false): Kept => ({ name, path, closed, secret });
  const socket = dirname(keeper.mode === 'external' ? keeper.socket : config.keeperSocket);
  return [
    one('vault.json', configFile, NOT_WRITABLE),
    one('the database', database, PRIVATE, true),
    one('the write-ahead log', `${database}-wal`, PRIVATE, true),
    one('the shared memory of the database', `${database}-shm`, PRIVATE),
    one('the folder of ciphertext', blobs, PRIVATE),
    ...(logHead === undefined ? [] : [one('the kept checkpoint', logHead, NOT_WRITABLE)]),
    one('the key of the data plane', dataPlane.privateKey, PRIVATE, true),
    one('the key of the admin plane', adminPlane.privateKey, PRIVATE, true),
    ...(alertSecrets === undefined ? [] : [one("the folder of alert receivers' secrets", alertSecrets, PRIVATE)]),
    ...(sinkSecrets === undefined ? [] : [one("the folder of sinks' secrets", sinkSecrets, PRIVATE)]),
    // Of an external keeper the vault's group may enter, and the folder is the keeper's.
    {
      name: 'the folder of the keeper socket',
      path: socket,
      closed: keeper.mode === 'external' ? 0o027 : PRIVATE,
      secret: true,
      foreign: keeper.mode === 'external',
    },
    ...filesOfKeys(facts, keeper, one),
  ];
}

/** What a child keeper reads; of an external one only the keeper's user knows. */
function filesOfKeys(facts: Facts, keeper: Config['keeper'], one: (name: string, path: string, closed: number, secret?: boolean) => Kept) {
  if (keeper.mode === 'external') return [];
  if ('kms' in keeper)
    return keeper.kms.credentialsFile === undefined ? [] : [one('the file of AWS credentials', keeper.kms.credentialsFile, PRIVATE, true)];
  return [
    ...(keeper.token.pinFile === undefined ? [] : [one('the PIN file', keeper.token.pinFile, PRIVATE, true)]),
    ...(keeper.token.softhsmConf === undefined ? [] : [one('the configuration of SoftHSM', keeper.token.softhsmConf, NOT_WRITABLE)]),
    ...tokenFolders(facts, keeper.token.softhsmConf).map((folder) => one('the token folder', folder, PRIVATE, true)),
  ];
}

/** Where the configuration of a SoftHSM says that its keys lie. */
function tokenFolders(facts: Facts, softhsmConf: string | undefined): readonly string[] {
  const text = softhsmConf === undefined ? undefined : readable(() => facts.text(softhsmConf));
  const folder = /^\s*directories\.tokendir\s*=\s*(\S.*?)\s*$/m.exec(text ?? '')?.[1];
  return folder === undefined ? [] : [folder];
}

export function fileModes(facts: Facts, config: Config, configFile: string): readonly Finding[] {
  const owner = facts.path(configFile)?.uid;
  const wrong = keptFiles(facts, config, configFile).flatMap((kept) => wrongWith(kept, facts, owner));
  return each('file_modes', wrong, 'each is for its one user');
}

function wrongWith({ name, path, closed, secret, foreign = false }: Kept, facts: Facts, owner: number | undefined): readonly Finding[] {
  const found = looked(() => facts.path(path));
  if (found === 'denied') return [finding('file_modes', 'unknown', `${name}: out of reach of this user`)];
  if (found === undefined) return []; // what must be there, another probe misses
  const open = found.mode & closed;
  if (open !== 0) {
    const who = (open & 0o007) !== 0 ? 'others' : 'its group';
    return [finding('file_modes', secret ? 'critical' : 'warning', `${name} is open to ${who}: mode ${found.mode.toString(8)}`)];
  }
  if (foreign || owner === undefined || found.uid === owner) return [];
  return [finding('file_modes', 'warning', `${name} belongs to user ${found.uid}, and vault.json to ${owner}`)];
}

/** One user, or one disk, that has keys and ciphertext has everything. */
export function keysApart(facts: Facts, config: Config): Finding {
  const data = looked(() => facts.path(config.database));
  if (data === undefined || data === 'denied') return finding('keys_apart', 'unknown', 'the database is out of reach');
  if (config.keeper.mode === 'external') {
    const door = looked(() => facts.path(dirname(config.keeper.mode === 'external' ? config.keeper.socket : '')));
    if (door === undefined || door === 'denied') return finding('keys_apart', 'unknown', 'the folder of the keeper socket is out of reach');
    if (door.uid === data.uid) return finding('keys_apart', 'warning', `the keeper runs as the user that owns the database, ${data.uid}`);
    return finding('keys_apart', 'ok', `the keeper is user ${door.uid}, the database is of ${data.uid}`);
  }
  if ('kms' in config.keeper) {
    if (config.keeper.kms.credentialsFile === undefined)
      return finding('keys_apart', 'ok', 'the keys are in AWS KMS, under a role of this machine');
    return finding('keys_apart', 'info', 'the keys are in AWS KMS; its credentials are a file of this machine');
  }
  const { pinFile, softhsmConf } = config.keeper.token;
  const beside = [pinFile, softhsmConf].flatMap((path) => (path === undefined ? [] : [looked(() => facts.path(path))]));
  const near = beside.filter((one): one is PathFacts => one !== undefined && one !== 'denied');
  if (near.length === 0) return finding('keys_apart', 'unknown', 'PIN and token are out of reach');
  const shared = [
    ...(near.some((one) => one.uid === data.uid) ? ['one user'] : []),
    ...(near.some((one) => one.device === data.device) ? ['one file system'] : []),
  ];
  if (shared.length === 0) return finding('keys_apart', 'ok', 'another user, another file system');
  const what = softhsmConf === undefined ? 'the PIN' : 'token and PIN';
  return finding('keys_apart', softhsmConf === undefined ? 'info' : 'warning', `${what} and the database have ${shared.join(' and ')}`);
}

export function softwareKeys(config: Config): Finding {
  if (config.keeper.mode === 'external')
    return finding('software_keys', 'unknown', 'what the external keeper uses cannot be seen from here');
  if ('kms' in config.keeper) return finding('software_keys', 'ok', 'AWS KMS');
  const { module, softhsmConf } = config.keeper.token;
  const soft = softhsmConf !== undefined || /softhsm/i.test(module);
  return soft ? finding('software_keys', 'warning', 'SoftHSM: the keys are files') : finding('software_keys', 'ok', 'not SoftHSM');
}

/** A setting that should stand nowhere: it makes the vault use keys that somebody may hold a copy of. */
export function extractableKeks(config: Config): Finding {
  if (config.keeper.mode === 'external')
    return finding('extractable_keks', 'unknown', 'what the external keeper allows is in its own configuration');
  if ('kms' in config.keeper) return finding('extractable_keks', 'ok', 'AWS KMS');
  if (config.keeper.token.dangerouslyAllowExtractableKek === true)
    return finding('extractable_keks', 'critical', 'dangerouslyAllowExtractableKek is set: keys that can leave the token are used');
  return finding('extractable_keks', 'ok', 'a key that can leave the token is refused');
}

export function logHeadApart(facts: Facts, { logHead, database }: Config): Finding {
  if (logHead === undefined)
    return finding('log_head_apart', 'warning', 'no checkpoint is kept apart: a database that was put back goes unnoticed');
  const [head, data] = [looked(() => facts.path(dirname(logHead))), looked(() => facts.path(database))];
  if (typeof head !== 'object' || typeof data !== 'object') return finding('log_head_apart', 'unknown', 'out of reach');
  if (head.device === data.device)
    return finding('log_head_apart', 'warning', 'on the file system of the database: one backup puts both back');
  return finding('log_head_apart', 'ok', 'on another file system');
}

export function diskSpace(facts: Facts, { database, blobs }: Config): readonly Finding[] {
  const wrong = [dirname(database), blobs].flatMap((path) => {
    const { free, all } = facts.space(path);
    const severity = free < SCARCE.critical ? 'critical' : free < SCARCE.warning || free < all / 20 ? 'warning' : 'ok';
    return severity === 'ok' ? [] : [finding('disk_space', severity, `${inUnits(free)} of ${inUnits(all)} free at ${path}`)];
  });
  return each('disk_space', wrong, 'enough');
}

function looked(look: () => PathFacts | undefined): PathFacts | undefined | 'denied' {
  try {
    return look();
  } catch {
    return 'denied';
  }
}

function readable(read: () => string | undefined): string | undefined {
  try {
    return read();
  } catch {
    return undefined; // another user's: that user's doctor sees it
  }
}
