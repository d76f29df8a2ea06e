/**
 * `wv admin`: who administers the vault. Every change waits for a second administrator, and is never approved by the person it is about.
 */
import { X509Certificate } from 'node:crypto';
import type { Command } from 'commander';
import { toString as qrCode } from 'qrcode';
import { z } from 'zod';
import { VaultError } from '../domain/errors.ts';
import { parseName } from '../domain/ids.ts';
import { spkiDigestOf } from '../identity/certificates.ts';
import { type CodeOptions, codeOptions, readCode } from './code.ts';
import { addAdminCommand, addCommand, addGroup, collect } from './command.ts';
import { confirm, confirmOption } from './confirm.ts';
import { readUserFile } from './files.ts';
import { type AdminOptions, type Kit, withKit } from './kit.ts';
import { issueWorkstation, writeKit } from './new-kit.ts';
import { aligned, note, print } from './output.ts';
import { callSteppedUp } from './step-up.ts';

interface PersonOptions extends AdminOptions, CodeOptions {
  readonly role?: readonly string[];
  readonly workstationCert?: readonly string[];
}

const ADMINISTRATORS = '/v1/administrators';

export function registerAdmin(program: Command): void {
  const admin = addGroup(program, 'admin', 'Who administers the vault');
  addAdminCommand(admin, 'list', 'Show everyone who was ever let in', [
    'wv admin list --kit kits/alice',
    'wv admin list --kit kits/alice --json',
  ]).action((options: AdminOptions) => withKit(options.kit, (kit) => list(kit, options)));
  registerRequests(admin);
  registerOwn(admin);
}

function registerRequests(admin: Command): void {
  person(
    addAdminCommand(admin, 'add', 'Ask for a person to be let in; once approved they run `wv admin claim`', [
      'wv admin add --kit kits/alice --name dave --workstation-cert dave/workstation.crt --role publisher',
      'wv admin add --kit kits/alice --name dave --workstation-cert dave.crt --role approver --role responder --json',
    ]).requiredOption('--name <name>', 'their name: it stays taken for ever'),
  ).action((options: PersonOptions & { readonly name: string }) => withKit(options.kit, (kit) => add(kit, options)));
  person(
    addAdminCommand(admin, 'change <name>', 'Ask for other roles or workstations of a person; what is not named stays', [
      'wv admin change --kit kits/alice dave --role publisher --role reviewer',
      'wv admin change --kit kits/alice --workstation-cert new.crt --json dave',
    ]),
  ).action((name: string, options: PersonOptions) => withKit(options.kit, (kit) => change(kit, name, options)));
  confirmOption(
    codeOptions(
      addAdminCommand(admin, 'remove <name>', 'Ask for a person to be removed, for good', [
        'wv admin remove --kit kits/alice dave',
        'wv admin remove --kit kits/alice --yes --json dave',
      ]),
    ),
  ).action(async (name: string, options: AdminOptions & CodeOptions & { readonly yes?: boolean }) => {
    await confirm(options, `Removing ${name}`, name);
    await withKit(options.kit, (kit) => ask(kit, 'POST', `${pathOf(name)}/remove`, undefined, options));
  });
  confirmOption(
    codeOptions(
      addAdminCommand(
        admin,
        'erase <name>',
        'Ask for what tells who a removed person was to be erased, for good; records and proofs stay',
        ['wv admin erase --kit kits/alice dave', 'wv admin erase --kit kits/alice --yes --json dave'],
      ),
    ),
  ).action(async (name: string, options: AdminOptions & CodeOptions & { readonly yes?: boolean }) => {
    await confirm(options, `Erasing who ${name} was`, name);
    await withKit(options.kit, (kit) => ask(kit, 'POST', `${pathOf(name)}/erase`, undefined, options));
  });
  codeOptions(
    addAdminCommand(admin, 'reset-authenticator <name>', 'Ask for a lost authenticator to be taken away; then they run `wv admin claim`', [
      'wv admin reset-authenticator --kit kits/alice dave',
      'wv admin reset-authenticator --kit kits/alice --json dave',
    ]),
  ).action((name: string, options: AdminOptions & CodeOptions) =>
    withKit(options.kit, (kit) => ask(kit, 'POST', `${pathOf(name)}/reset-authenticator`, undefined, options)),
  );
}

/** What a person does for themself, on their own workstation. */
function registerOwn(admin: Command): void {
  addCommand(admin, 'kit', 'Make the kit of a new workstation; `workstation.crt` in it is what `wv admin add` wants', [
    'wv admin kit --out dave --name dave --url https://vault.example:8444 --vault-certificate vault.crt',
    'wv admin kit --out kits/dave --name dave --url https://127.0.0.1:8444 --vault-certificate vault/tls/admin.crt --json',
  ])
    .requiredOption('--out <folder>', 'the folder to make')
    .requiredOption('--name <name>', 'the name of the administrator')
    .requiredOption('--url <url>', 'the admin plane, https://host:port')
    .requiredOption('--vault-certificate <file>', 'PEM of the admin plane; nothing else will be trusted')
    .action(makeKit);
  codeOptions(
    addAdminCommand(admin, 'claim', 'Set up your authenticator: shows its QR code once, and asks for the first code', [
      'wv admin claim --kit kits/dave',
      'wv admin claim --kit kits/dave --json',
    ]),
  ).action((options: AdminOptions & CodeOptions) => withKit(options.kit, (kit) => claim(kit, options)));
  codeOptions(
    addAdminCommand(admin, 'confirm', 'Give the first code of the authenticator that `wv admin claim` showed', [
      'wv admin confirm --kit kits/dave',
      'wv admin confirm --kit kits/dave --code-stdin --json < code',
    ]),
  ).action((options: AdminOptions & CodeOptions) => withKit(options.kit, (kit) => confirmFirst(kit, options)));
}

function person(command: Command): Command {
  return codeOptions(command)
    .option('--role <role>', 'what they may do; as often as wanted', collect)
    .option('--workstation-cert <file>', 'certificate (PEM) of a workstation of theirs; as often as wanted', collect);
}

const listed = z.object({
  administrators: z.array(
    z.looseObject({
      name: z.string(),
      state: z.string(),
      roles: z.array(z.string()),
      authenticator: z.object({ kind: z.string() }).optional(),
      workstations: z.number(),
    }),
  ),
});

async function list(kit: Kit, options: AdminOptions): Promise<void> {
  const { administrators } = listed.parse(await kit.call('GET', ADMINISTRATORS));
  const rows = administrators.map(({ name, state, authenticator, workstations, roles }) => [
    name,
    state,
    authenticator?.kind ?? (state === 'active' ? 'not set up' : '-'),
    String(workstations),
    roles.join(', '),
  ]);
  print(options, { administrators }, aligned(['NAME', 'STATE', 'AUTHENTICATOR', 'WORKSTATIONS', 'ROLES'], rows));
}

async function add(kit: Kit, options: PersonOptions & { readonly name: string }): Promise<void> {
  const { name, role: roles = [] } = options;
  const workstations = await digestsOf(options.workstationCert);
  if (workstations === undefined) throw new VaultError('usage', 'give the certificate of their workstation: --workstation-cert');
  await ask(kit, 'POST', ADMINISTRATORS, { name, roles, workstations }, options);
}

async function change(kit: Kit, name: string, options: PersonOptions): Promise<void> {
  const workstations = await digestsOf(options.workstationCert);
  const { role: roles } = options;
  if (roles === undefined && workstations === undefined) throw new VaultError('usage', 'name what changes: --role or --workstation-cert');
  await ask(kit, 'PUT', pathOf(name), { ...(roles && { roles }), ...(workstations && { workstations }) }, options);
}

async function ask(kit: Kit, method: 'POST' | 'PUT', path: string, body: unknown, options: AdminOptions & CodeOptions): Promise<void> {
  const answer = await callSteppedUp(kit, method, path, body, options);
  print(options, answer, [
    `Request ${String(answer['requestId'])}, digest ${String(answer['operationDigest'])}, ${String(answer['state'])}.`,
    'Another administrator, and not the one it is about, approves it: `wv approve --namespace system`.',
  ]);
}

const pathOf = (name: string) => `${ADMINISTRATORS}/${encodeURIComponent(name)}`;

/** The vault knows a workstation by the digest of its key alone. */
async function digestsOf(files: readonly string[] | undefined): Promise<string[] | undefined> {
  return files && Promise.all(files.map(digestOf));
}

async function digestOf(file: string): Promise<string> {
  const pem = await readUserFile(file);
  try {
    return spkiDigestOf(new Uint8Array(new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' })));
  } catch (cause) {
    throw new VaultError('usage', `${file} is not a certificate`, { cause });
  }
}

interface KitOptions {
  readonly out: string;
  readonly name: string;
  readonly url: string;
  readonly vaultCertificate: string;
  readonly json?: boolean;
}

async function makeKit({ out, name: text, url, vaultCertificate: file, json = false }: KitOptions): Promise<void> {
  const name = parseName(text, 'name');
  if (!URL.canParse(url) || !url.startsWith('https://')) throw new VaultError('usage', '--url is https://host:port');
  await digestOf(file); // a certificate
  const vaultCertificate = (await readUserFile(file)).toString('utf8');
  const issued = await issueWorkstation(name);
  await writeKit(out, { name, url, vaultCertificate }, issued).catch((cause) => {
    throw new VaultError('usage', `${out} cannot be made: it must not exist yet`, { cause });
  });
  const workstation = issued.spkiDigest;
  print({ json }, { kit: out, administrator: name, workstation }, [
    `${out} is the kit of ${name}. The key in it never leaves this machine.`,
    `Give ${out}/workstation.crt to an administrator, for \`wv admin add\`. Workstation ${workstation}`,
  ]);
}

const begun = z.object({ uri: z.string(), confirmBefore: z.string() });

/** At a terminal the first code follows at once; a program reads `uri`, and gives the code with `wv admin confirm`. */
async function claim(kit: Kit, options: AdminOptions & CodeOptions): Promise<void> {
  const { administrator } = kit;
  const { uri, confirmBefore } = begun.parse(await kit.https.json('POST', '/v1/authenticator', { administrator }));
  if (options.json === true || process.stdin.isTTY !== true) {
    print(options, { administrator, uri, confirmBefore }, [uri, `Then, before ${confirmBefore}: wv admin confirm --kit ${options.kit}`]);
    return;
  }
  note(`${administrator}: scan this now, it is not shown again.\n${await qrCode(uri, { type: 'utf8', errorCorrectionLevel: 'L' })}`);
  await confirmFirst(kit, options);
}

async function confirmFirst(kit: Kit, options: AdminOptions & CodeOptions): Promise<void> {
  const { administrator } = kit;
  const code = await readCode(options);
  await kit.https.json('POST', '/v1/authenticator/confirm', { administrator, code });
  print(options, { administrator }, [`${administrator} has an authenticator. Log in with its next code: wv login --kit ${options.kit}`]);
}
