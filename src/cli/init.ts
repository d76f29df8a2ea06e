/** `wv init`: the ceremony. Run once, by the people who will administer the vault, in one room. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { toString as qrCode } from 'qrcode';
import { z } from 'zod';
import { formatVkey, verifierKey } from '../audit/vkey.ts';
import { startCeremony } from '../compose.ts';
import { type ConfigFile, keeperOf, tokenSettings } from '../config/config.ts';
import { systemClock } from '../domain/clock.ts';
import { VaultError } from '../domain/errors.ts';
import { parseName } from '../domain/ids.ts';
import { type IssuedCertificate, issueSelfSigned } from '../identity/certificates.ts';
import { splitPolicies } from '../policy/policy-set.ts';
import { createLogger } from '../telemetry/logger.ts';
import { readRuleFiles, SHIPPED_RULES } from './alert-rules.ts';
import { addCommand, collect } from './command.ts';
import { readUserJson } from './files.ts';
import { issueWorkstation, writeKit } from './new-kit.ts';
import { note, print } from './output.ts';

const CERTIFICATE_DAYS = 365;

interface Options {
  readonly folder: string;
  readonly token?: string;
  readonly kms?: string;
  readonly origin: string;
  readonly administrator: readonly string[];
  readonly host: string;
  readonly dataPort: string;
  readonly adminPort: string;
  readonly json?: boolean;
}

export function registerInit(program: Command): void {
  addCommand(program, 'init', 'Make the keys in the HSM and enrol the first administrators. Once; then it is closed for good', [
    'wv init --folder vault --token token.json --origin vault.example/log/2026 --administrator alice:publisher,approver --administrator bob:approver',
    'wv init --folder vault --token token.json --origin vault.example/log/2026 --administrator alice:publisher --administrator bob:approver --host 10.0.0.5 --json',
    'wv init --folder vault --kms kms.json --origin vault.example/log/2026 --administrator alice:publisher,approver --administrator bob:approver',
  ])
    .requiredOption('--folder <folder>', 'where the vault lives: vault.json, database, ciphertext, TLS keys')
    .option(
      '--token <file>',
      'JSON naming the HSM token: {module, label, serial, pinFile, ...} (docs/configuration.md); softhsm/setup.ts prints one',
    )
    .option('--kms <file>', 'instead of a token, JSON naming AWS KMS: {region, aliasPrefix, credentialsFile, endpoint, deletionDays}')
    .requiredOption('--origin <name>', 'name of the access log, e.g. vault.example/log/2026')
    .requiredOption('--administrator <name:roles>', 'name:role,role; give it at least twice', collect)
    .option('--host <address>', 'address both planes listen on', '127.0.0.1')
    .option('--data-port <port>', 'port of the data plane', '8443')
    .option('--admin-port <port>', 'port of the admin plane', '8444')
    .action(init);
}

/** As softhsm/setup.ts prints it: there SOFTHSM2_CONF is `conf`. */
export const tokenFile = tokenSettings.omit({ softhsmConf: true }).extend({ conf: z.string().optional() });

const kmsFile = z.strictObject({
  region: z.string(),
  aliasPrefix: z.string(),
  credentialsFile: z.string().optional(),
  endpoint: z.string().optional(),
  deletionDays: z.number().optional(),
});

/** As vault.json has it: paths from its folder. */
async function keysOf({ token, kms }: Options, folder: string): Promise<Pick<ConfigFile, 'token' | 'kms'>> {
  const inside = (path: string) => relative(folder, resolve(path));
  if (token !== undefined && kms === undefined) {
    const { pinFile, conf, ...others } = await readUserJson(token, tokenFile);
    return { token: { ...others, ...(pinFile && { pinFile: inside(pinFile) }), ...(conf && { softhsmConf: inside(conf) }) } };
  }
  if (kms === undefined || token !== undefined) throw new VaultError('usage', 'one of --token and --kms');
  const { credentialsFile, ...settings } = await readUserJson(kms, kmsFile);
  return { kms: { ...settings, ...(credentialsFile && { credentialsFile: inside(credentialsFile) }) } };
}

async function init(options: Options): Promise<void> {
  const folder = resolve(options.folder);
  const configFile = join(folder, 'vault.json');
  if (existsSync(configFile)) throw new VaultError('already_initialized', 'there is a vault.json in that folder');
  const people = options.administrator.map(parseAdministrator);
  if (!people.some(({ roles }) => roles.includes('registrar')))
    note('Nobody is a registrar: administrators could never be added or removed.');
  if (people.filter(({ roles }) => roles.includes('approver')).length < 2)
    note('With one approver, nobody can approve what that person asks for.');
  const keys = await keysOf(options, folder);
  for (const name of ['', 'tls', 'keeper', 'blobs', 'kits']) await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
  const base = await baseConfig(options, folder, keys);
  const kits = await Promise.all(people.map(async ({ name }) => ({ name, certificate: await issueWorkstation(name) })));

  const result = await runCeremony(options, folder, base, people, kits);
  await writeKits(options, folder, kits);
  // Written last: a vault.json stands for a ceremony that was finished.
  const config: ConfigFile = { vaultId: result.vaultId, vaultDocument: result.vaultDocument, ...base };
  await writeFile(`${configFile}.new`, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
  await rename(`${configFile}.new`, configFile);
  const vkey = formatVkey(verifierKey(options.origin, result.logPublicKey));
  await show(options, folder, { ...result, vkey });
}

async function runCeremony(
  options: Options,
  folder: string,
  base: Omit<ConfigFile, 'vaultId' | 'vaultDocument'>,
  people: ReturnType<typeof parseAdministrator>[],
  kits: ReadonlyArray<{ name: string; certificate: IssuedCertificate }>,
) {
  const at = (path: string) => resolve(folder, path);
  const policies = splitPolicies(await readFile(new URL('../../policies/administrators.cedar', import.meta.url), 'utf8'));
  const administrators = people.map((person, index) => {
    const kit = kits[index];
    if (kit === undefined) throw new VaultError('internal', 'a kit is missing');
    return { ...person, workstation: kit.certificate.spkiDigest };
  });
  return startCeremony(
    {
      keeper: keeperOf(base, at),
      keeperSocket: at(base.keeperSocket),
      database: at(base.database),
      logHead: base.logHead && at(base.logHead),
    },
    { origin: options.origin, administrators, policies, alertRules: await readRuleFiles(SHIPPED_RULES), now: systemClock.now() },
    createLogger('error'),
  );
}

function parseAdministrator(text: string): { readonly name: string; readonly roles: readonly string[] } {
  const [name = '', roles = '', ...rest] = text.split(':');
  if (rest.length > 0 || roles === '') throw new VaultError('usage', '--administrator is name:role,role');
  return { name: parseName(name, 'administrator'), roles: roles.split(',').map((role) => parseName(role, 'role')) };
}

async function baseConfig(
  options: Options,
  folder: string,
  keys: Pick<ConfigFile, 'token' | 'kms'>,
): Promise<Omit<ConfigFile, 'vaultId' | 'vaultDocument'>> {
  for (const plane of ['data', 'admin']) {
    const hosts = [...new Set([options.host, '127.0.0.1', 'localhost'])];
    const issued = await issueSelfSigned({
      commonName: `weight-vault ${plane} plane`,
      days: CERTIFICATE_DAYS,
      now: systemClock.now(),
      hosts,
    });
    await writeFile(join(folder, 'tls', `${plane}.crt`), issued.certificatePem, { mode: 0o644 });
    await writeFile(join(folder, 'tls', `${plane}.key`), issued.privateKeyPem, { mode: 0o600 });
  }
  const listener = (plane: string, port: string) => ({
    host: options.host,
    port: portNumber(port),
    certificate: `tls/${plane}.crt`,
    privateKey: `tls/${plane}.key`,
  });
  return {
    database: 'vault.db',
    blobs: 'blobs',
    ...keys,
    keeperSocket: 'keeper/keeper.sock',
    logHead: 'log-head',
    dataPlane: listener('data', options.dataPort),
    adminPlane: listener('admin', options.adminPort),
  };
}

function portNumber(text: string): number {
  if (!/^[0-9]{1,5}$/.test(text) || Number(text) > 65_535) throw new VaultError('usage', `${text} is not a port`);
  return Number(text);
}

/** A kit is what an administrator carries to their workstation; in earnest they bring their own certificate and leave only its key's digest. */
async function writeKits(
  options: Options,
  folder: string,
  kits: ReadonlyArray<{ name: string; certificate: IssuedCertificate }>,
): Promise<void> {
  const vaultCertificate = await readFile(join(folder, 'tls', 'admin.crt'), 'utf8');
  const url = `https://${options.host}:${options.adminPort}`;
  for (const { name, certificate } of kits) {
    const kit = join(folder, 'kits', name);
    await rm(kit, { recursive: true, force: true }); // of a ceremony that failed
    await writeKit(kit, { name, url, vaultCertificate }, certificate);
  }
}

async function show(
  options: Options,
  folder: string,
  result: { vaultId: string; vkey: string; enrolments: ReadonlyArray<{ administrator: string; uri: string }> },
): Promise<void> {
  const { vaultId, vkey, enrolments } = result;
  const codes: string[] = [];
  for (const { administrator, uri } of enrolments) {
    codes.push('', `${administrator}: scan this now, it is not shown again. Kit: ${join(folder, 'kits', administrator)}`);
    codes.push(await qrCode(uri, { type: 'utf8', errorCorrectionLevel: 'L' }));
  }
  print(options, { vaultId, vkey, enrolments }, [
    `Vault ${vaultId} is initialized. This ceremony cannot be repeated.`,
    `Access log key, to verify with: ${vkey}`,
    ...codes,
  ]);
}
