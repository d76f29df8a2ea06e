/**
 * The vault's configuration: one file, `vault.json`, parsed once into one frozen value. An unknown or contradictory setting stops the
 * start and is named. Every setting is read at start only: a change needs a restart, and its digest stands in every access record.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { sha256Hex } from '../domain/bytes.ts';
import { CLASS_NAMES, CLASSES, type ClassName, RECORD_LEVELS, type RecordLevel } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import { type Digest, parseDigest, parseId, type VaultId } from '../domain/ids.ts';
import { canonicalJson } from '../domain/json.ts';
import { SIGNATURE_ALGORITHMS } from '../domain/signature.ts';
import { sites } from './sites.ts';

const listener = z.strictObject({
  host: z.string().min(1),
  /** 0: the system chooses a free port and `serve` prints it. */
  port: z.int().min(0).max(65_535),
  certificate: z.string().min(1),
  privateKey: z.string().min(1),
});

/** Plain HTTP, so it never leaves the machine. A name could resolve to anything: an address it is. */
const metricsListener = z.strictObject({
  host: z.string().refine((host) => isIP(host) !== 0 && (host.startsWith('127.') || host === '::1'), 'must be a loopback address'),
  port: z.int().min(0).max(65_534),
});

/** What each means, and which go together, the keeper checks (keys/pkcs11/settings.ts). */
export const tokenSettings = z.strictObject({
  module: z.string().min(1),
  label: z.string().min(1).max(32).optional(),
  serial: z.string().optional(),
  /** RFC 7512, instead of label and serial. */
  uri: z.string().optional(),
  pinFile: z.string().min(1).optional(),
  pinDescriptor: z.int().optional(),
  pinVariable: z.string().optional(),
  libraryParameters: z.string().optional(),
  /** SOFTHSM2_CONF for the keeper, when the module is SoftHSM. */
  softhsmConf: z.string().optional(),
  sessions: z.int().optional(),
  calls: z.enum(['inline', 'threads']).optional(),
  queue: z.int().optional(),
  deadlineMs: z.int().optional(),
  wrapTier: z.literal([1, 2, 3]).optional(),
  signature: z.enum(SIGNATURE_ALGORITHMS).optional(),
  dangerouslyAllowExtractableKek: z.boolean().optional(),
});

/** AWS KMS in place of a token; the keeper checks the values (keys/aws-kms/settings.ts). */
const kms = z.strictObject({
  region: z.string().min(1),
  aliasPrefix: z.string().min(1),
  endpoint: z.string().min(1).optional(),
  /** Absent: the role of the machine or container. */
  credentialsFile: z.string().min(1).optional(),
  deletionDays: z.int().optional(),
  keyArns: z.record(z.string(), z.string()).optional(),
});

/** C2SP tlog-witness. `vkey` pins the key, so that the address need not be trusted. */
const witness = z.strictObject({ url: z.url({ protocol: /^https?$/ }), vkey: z.string().min(1) });
const witnesses = z.strictObject({ quorum: z.int().min(1), list: z.array(witness).min(1).max(16) });

/** https, or http on this machine, without a slash at the end where it is the base of several addresses. */
const address = z.url({ protocol: /^https?$/ }).refine((url) => !url.endsWith('/'), 'must not end in a slash');
const publicationSource = z.discriminatedUnion('of', [
  z.strictObject({
    of: z.literal('tdx'),
    fmspc: z.string().regex(/^[0-9a-f]{12}$/),
    authority: z.enum(['platform', 'processor']),
    pcs: address,
    rootCrl: address,
  }),
  z.strictObject({ of: z.literal('sev-snp'), product: z.enum(['Milan', 'Genoa', 'Turin']), kds: address }),
  z.strictObject({ of: z.literal('nvidia-rim'), id: z.string().regex(/^NV_[A-Z0-9_.]{1,128}$/), rims: address }),
  z.strictObject({ of: z.literal('file'), name: z.string().min(1).max(256), url: address }),
]);
const collateral = z.strictObject({
  everyHours: z.int().min(1).max(168),
  /** PEM: the only authorities to believe of these addresses; the system's when absent. */
  authorities: z.string().min(1).optional(),
  sources: z.array(publicationSource).min(1).max(64),
});

/** Paths are relative to the file's folder. Secrets are never in here: only the paths of their files. */
const fileSchema = z.strictObject({
  vaultId: z.string(),
  /** Digest of the signed `vault` document made by the ceremony. */
  vaultDocument: z.string(),
  database: z.string().min(1),
  blobs: z.string().min(1),
  /** `external`: another process, of another user, answers on `keeperSocket`; the vault starts none and knows neither token nor PIN. */
  keeper: z.strictObject({ mode: z.enum(['child', 'external']) }).optional(),
  /** Socket of the keeper that still holds the older keys, while a vault moves from one HSM to another. */
  formerKeeper: z.string().min(1).optional(),
  /** What a child keeper is started with: one of the two. */
  token: tokenSettings.optional(),
  kms: kms.optional(),
  keeperSocket: z.string().min(1),
  /** Folder below which file sinks of the access log write, each into a folder of its name; absent: such a sink only lags. */
  sinkFiles: z.string().min(1).optional(),
  /** Folder with `<sink>.secret`, and `<sink>.crt` and `<sink>.key` where a receiver asks who sends. */
  sinkSecrets: z.string().min(1).optional(),
  /** Where the last signed checkpoint is kept, apart from the database: on another disk it notices a database that was put back. */
  logHead: z.string().min(1).optional(),
  /** Keep it in the HSM too, where the HSM can. On when absent. */
  logHeadInHsm: z.boolean().optional(),
  /** Who cosigns the checkpoints of the access log, in another administrative domain, and how many of them make one witnessed. */
  witnesses: witnesses.optional(),
  /** Where a release waits for more of its record than its class demands. */
  recordLevels: z.partialRecord(z.enum(CLASS_NAMES), z.enum(RECORD_LEVELS)).optional(),
  /** Folder of the secrets of alert targets: `<name>.secret`. */
  alertSecrets: z.string().min(1).optional(),
  /** Which networks are where: what alert rules mean by a site and by a country. */
  sites: sites.optional(),
  /** A file that whoever sets the clock keeps while it is synchronized, such as /run/systemd/timesync/synchronized. */
  timeSynchronized: z.string().min(1).optional(),
  dataPlane: listener,
  adminPlane: listener,
  /** Where what makers of hardware publish is read again from, apart from requests. Off when absent: somebody brings it in by hand. */
  collateral: collateral.optional(),
  /** Off when absent. */
  metricsPlane: metricsListener.optional(),
});

export type Listener = Readonly<z.output<typeof listener>>;

export interface Config {
  readonly vaultId: VaultId;
  readonly vaultDocument: Digest;
  readonly database: string;
  readonly blobs: string;
  readonly keeper: Keeper;
  /** Where a child keeper is to listen; each process of a vault has its own. */
  readonly keeperSocket: string;
  readonly logHead?: string | undefined;
  /** Absent: yes, where the HSM can. */
  readonly logHeadInHsm?: boolean | undefined;
  readonly sinkFiles?: string | undefined;
  readonly sinkSecrets?: string | undefined;
  readonly witnesses?: Readonly<z.output<typeof witnesses>> | undefined;
  readonly recordLevels?: Readonly<Partial<Record<ClassName, RecordLevel>>> | undefined;
  readonly alertSecrets?: string | undefined;
  readonly sites?: Readonly<z.output<typeof sites>> | undefined;
  readonly timeSynchronized?: string | undefined;
  readonly collateral?: Readonly<z.output<typeof collateral>> | undefined;
  readonly dataPlane: Listener;
  readonly adminPlane: Listener;
  readonly metricsPlane?: Readonly<z.output<typeof metricsListener>> | undefined;
  /** SHA-256 of the canonical settings: what every record says was in force. */
  readonly digest: Digest;
}

/** Who holds the keys: a child process of the vault, or one that runs by itself and that several vault processes may share. */
export type Keeper =
  | { readonly mode: 'child'; readonly token: Token; readonly formerKeeper?: string }
  | { readonly mode: 'child'; readonly kms: Kms; readonly formerKeeper?: string }
  | { readonly mode: 'external'; readonly socket: string };

export type Token = Readonly<z.output<typeof tokenSettings>>;
export type Kms = Readonly<z.output<typeof kms>>;

/** As `wv init` writes it. */
export type ConfigFile = z.input<typeof fileSchema>;

/** Reads and checks `vault.json`. Throws `not_initialized` when there is none, `configuration_invalid` naming the setting otherwise. */
export function loadConfig(file: string): Config {
  return parseConfig(readConfigFile(file), dirname(resolve(file)));
}

function readConfigFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw new VaultError('not_initialized', 'there is no vault.json here');
    throw new VaultError('configuration_invalid', 'vault.json cannot be read', { cause });
  }
}

export function parseConfig(text: string, folder: string): Config {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new VaultError('configuration_invalid', 'vault.json is not JSON', { cause });
  }
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success) throw new VaultError('configuration_invalid', z.prettifyError(parsed.error).replaceAll('\n', ' '));
  const file = parsed.data;
  const { dataPlane, adminPlane } = file;
  if (dataPlane.port !== 0 && dataPlane.port === adminPlane.port && dataPlane.host === adminPlane.host) {
    throw new VaultError('configuration_invalid', 'adminPlane.port: the two planes share no port');
  }
  if (file.witnesses !== undefined && file.witnesses.quorum > file.witnesses.list.length) {
    throw new VaultError('configuration_invalid', 'witnesses.quorum: more than there are witnesses');
  }
  for (const [name, level] of Object.entries(file.recordLevels ?? {}) as Array<[ClassName, RecordLevel]>) {
    if (RECORD_LEVELS.indexOf(level) < RECORD_LEVELS.indexOf(CLASSES[name].record))
      throw new VaultError('configuration_invalid', `recordLevels.${name}: less than the class demands`);
    if (level === 'witnessed' && file.witnesses === undefined)
      throw new VaultError('configuration_invalid', `recordLevels.${name}: there are no witnesses`);
  }
  const path = (value: string) => (isAbsolute(value) ? value : resolve(folder, value));
  const at = (plane: Listener): Listener => ({ ...plane, certificate: path(plane.certificate), privateKey: path(plane.privateKey) });
  return Object.freeze({
    vaultId: parseId<VaultId>(file.vaultId, 'vaultId'),
    vaultDocument: parseDigest(file.vaultDocument, 'vaultDocument'),
    database: path(file.database),
    blobs: path(file.blobs),
    keeper: keeperOf(file, path),
    keeperSocket: path(file.keeperSocket),
    ...(file.logHead !== undefined && { logHead: path(file.logHead) }),
    ...(file.logHeadInHsm !== undefined && { logHeadInHsm: file.logHeadInHsm }),
    ...(file.sinkFiles !== undefined && { sinkFiles: path(file.sinkFiles) }),
    ...(file.sinkSecrets !== undefined && { sinkSecrets: path(file.sinkSecrets) }),
    ...(file.witnesses && { witnesses: file.witnesses }),
    ...(file.recordLevels && { recordLevels: file.recordLevels }),
    ...(file.alertSecrets !== undefined && { alertSecrets: path(file.alertSecrets) }),
    ...(file.sites && { sites: file.sites }),
    ...(file.timeSynchronized !== undefined && { timeSynchronized: path(file.timeSynchronized) }),
    ...(file.collateral && { collateral: collateralOf(file.collateral, path) }),
    dataPlane: at(dataPlane),
    adminPlane: at(adminPlane),
    ...(file.metricsPlane && { metricsPlane: file.metricsPlane }),
    digest: sha256Hex(canonicalJson(file)) as Digest, // a SHA-256 in hex
  });
}

function collateralOf(settings: z.output<typeof collateral>, path: (value: string) => string) {
  const { authorities, ...rest } = settings;
  return { ...rest, ...(authorities !== undefined && { authorities: path(authorities) }) };
}

/** Throws `configuration_invalid` for settings that say nothing, or two things, about where the keys are. */
export function keeperOf(
  file: Pick<ConfigFile, 'keeper' | 'token' | 'kms' | 'keeperSocket' | 'formerKeeper'>,
  path: (value: string) => string,
): Keeper {
  const { keeper, token, kms, keeperSocket } = file;
  const former = file.formerKeeper === undefined ? {} : { formerKeeper: path(file.formerKeeper) };
  const invalid = (why: string) => new VaultError('configuration_invalid', why);
  if (keeper?.mode === 'external') {
    if (token !== undefined) throw invalid('token: an external keeper has its own, in keeper.json');
    if (kms !== undefined) throw invalid('kms: an external keeper has its own, in keeper.json');
    if ('formerKeeper' in former) throw invalid('formerKeeper: an external keeper has its own, in keeper.json');
    return { mode: 'external', socket: path(keeperSocket) };
  }
  if (token !== undefined && kms !== undefined) throw invalid('kms: a vault has its keys in a token or in AWS KMS, not in both');
  if (kms !== undefined) {
    const { credentialsFile } = kms;
    return { mode: 'child', kms: { ...kms, ...(credentialsFile !== undefined && { credentialsFile: path(credentialsFile) }) }, ...former };
  }
  if (token === undefined) throw invalid('token: a child keeper needs one, or kms');
  const { pinFile, softhsmConf } = token;
  return {
    mode: 'child',
    token: {
      ...token,
      ...(pinFile !== undefined && { pinFile: path(pinFile) }),
      ...(softhsmConf !== undefined && { softhsmConf: path(softhsmConf) }),
    },
    ...former,
  };
}
