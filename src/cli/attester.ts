/** `wv attester`: what a model server's machine does to be enrolled. It never talks to the admin plane: files go by hand. */
import { X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { addCommand, addGroup } from './command.ts';
import { readUserFile, readUserJson } from './files.ts';
import { print } from './output.ts';
import { createRequester, type RequesterSettings, withTpmRequester } from './requester.ts';

interface Common {
  readonly requester: string;
  readonly json?: boolean;
}

export function registerAttester(program: Command): void {
  const attester = addGroup(program, 'attester', 'What this machine attests with');
  command(attester, 'init', 'Make the requester folder with a new TLS key', [
    'wv attester init --requester me --url https://vault.example:8443 --vault-certificate data.crt --tcti device:/dev/tpmrm0',
    'wv attester init --requester me --url https://vault.example:8443 --vault-certificate data.crt --tcti device:/dev/tpmrm0 --ak rsa --pcrs 0,1,2,3,7',
    'wv attester init --requester me --url https://vault.example:8443 --vault-certificate data.crt --kind jwt --token-command "get-token --audience vault"',
  ])
    .requiredOption('--url <url>', 'the data plane, e.g. https://vault.example:8443')
    .requiredOption('--vault-certificate <file>', "PEM of the data plane's certificate")
    .addOption(
      new Option('--kind <kind>', 'what it attests with: its TPM, or tokens of an issuer').choices(['tpm2', 'jwt']).default('tpm2'),
    )
    .option('--tcti <tcti>', 'tpm2: how to reach the TPM, e.g. device:/dev/tpmrm0')
    .option('--token-file <file>', 'jwt: where the token is; read again at each use')
    .option('--token-command <program and arguments>', 'jwt: prints a token for the nonce in WV_NONCE; split at spaces, no shell')
    .option('--namespace <name>', 'the namespace', 'default')
    .option('--ak <algorithm>', 'ecc or rsa', 'ecc')
    .option('--pcrs <list>', 'PCRs to quote, sha256 bank', '0,1,2,3,4,5,6,7')
    .action(init);
  command(attester, 'request <out>', 'Make the attestation key and write the enrolment request', [
    'wv attester request --requester me request.json',
    'wv attester request --requester me --intermediate manufacturer-ca.pem --json request.json',
  ])
    .option('--intermediate <file...>', 'PEM certificates between the EK certificate and its root')
    .action((out: string, options: Common & { intermediate?: string[] }) => request(out, options));
  command(attester, 'activate <credential> <out>', 'Let the TPM open the credential and write its answer', [
    'wv attester activate --requester me credential.json answer.json',
    'wv attester activate --requester me --json credential.json answer.json',
  ]).action(activate);
  command(attester, 'capture <out>', 'Write the present PCR values as reference values', [
    'wv attester capture --requester me --id gpu-image-12 golden.json',
    'wv attester capture --requester me --id gpu-image-12 --json golden.json',
  ])
    .requiredOption('--id <name>', 'id of the reference value')
    .action(capture);
}

function command(parent: Command, usage: string, description: string, examples: readonly [string, string, ...string[]]): Command {
  return addCommand(parent, usage, description, examples).requiredOption('--requester <folder>', "the requester's folder");
}

interface InitOptions extends Common {
  readonly url: string;
  readonly vaultCertificate: string;
  readonly namespace: string;
  readonly kind: 'tpm2' | 'jwt';
  readonly tcti?: string;
  readonly ak: string;
  readonly pcrs: string;
  readonly tokenFile?: string;
  readonly tokenCommand?: string;
}

async function init(options: InitOptions): Promise<void> {
  const settings = options.kind === 'jwt' ? tokenSettings(options) : tpmSettings(options);
  await createRequester(options.requester, settings, await readUserFile(options.vaultCertificate));
  print(options, { requester: options.requester }, [`${options.requester} is made.`]);
}

function tpmSettings({ url, namespace, tcti, ak, pcrs, tokenFile, tokenCommand }: InitOptions): RequesterSettings {
  if (tcti === undefined) throw new VaultError('usage', '--tcti says how to reach the TPM');
  if (tokenFile !== undefined || tokenCommand !== undefined) throw new VaultError('usage', 'a token is for --kind jwt');
  if (ak !== 'ecc' && ak !== 'rsa') throw new VaultError('usage', '--ak is ecc or rsa');
  if (!/^\d{1,2}(,\d{1,2})*$/.test(pcrs)) throw new VaultError('usage', '--pcrs is a list of numbers');
  return { url, namespace, kind: 'tpm2', tcti, akAlgorithm: ak, pcrs: pcrs.split(',').map(Number) };
}

function tokenSettings({ url, namespace, tcti, tokenFile, tokenCommand }: InitOptions): RequesterSettings {
  if (tcti !== undefined) throw new VaultError('usage', '--tcti is for --kind tpm2');
  if ((tokenFile === undefined) === (tokenCommand === undefined))
    throw new VaultError('usage', 'name --token-file or --token-command, one of them');
  if (tokenFile !== undefined) return { url, namespace, kind: 'jwt', tokenFile: resolve(tokenFile) };
  const [program, ...args] = (tokenCommand ?? '').split(' ').filter((part) => part !== '');
  if (program === undefined) throw new VaultError('usage', '--token-command is a program and its arguments');
  return { url, namespace, kind: 'jwt', tokenCommand: [program, ...args] };
}

async function request(out: string, options: Common & { intermediate?: string[] }): Promise<void> {
  const intermediates = await Promise.all((options.intermediate ?? []).map(async (file) => (await readUserFile(file)).toString('utf8')));
  await withTpmRequester(options.requester, async ({ attester }) => {
    await attester.prepare();
    const body = await attester.enrolmentRequest(intermediates.map(derOf));
    await writeFile(out, `${JSON.stringify(body)}\n`, { mode: 0o600 });
    print(options, { out }, [`${out}: bring it to an administrator.`]);
  });
}

const credentialFile = z.looseObject({ requestId: z.string(), credential: z.strictObject({ idObject: z.string(), secret: z.string() }) });

async function activate(credential: string, out: string, options: Common): Promise<void> {
  const { requestId, credential: sealed } = await readUserJson(credential, credentialFile);
  await withTpmRequester(options.requester, async ({ attester }) => {
    using secret = await attester.activate(sealed);
    const answer = secret.expose((bytes) => JSON.stringify({ requestId, secret: toBase64(bytes) }));
    await writeFile(out, `${answer}\n`, { mode: 0o600 });
    print(options, { out }, [`${out}: bring it back to the administrator.`]);
  });
}

async function capture(out: string, options: Common & { id: string }): Promise<void> {
  await withTpmRequester(options.requester, async ({ attester }) => {
    const banks = await attester.readPcrs();
    const pcrs = Object.fromEntries(
      Object.entries(banks).map(([bank, values]) => [
        bank,
        Object.fromEntries(Object.entries(values).map(([index, value]) => [index, [value]])),
      ]),
    );
    await writeFile(out, `${JSON.stringify({ values: [{ id: options.id, kind: 'tpm2', pcrs }] }, null, 2)}\n`, { mode: 0o600 });
    print(options, { out }, [`${out}: the state of this machine, now.`]);
  });
}

function derOf(pem: string): Uint8Array {
  try {
    return new Uint8Array(new X509Certificate(pem).raw);
  } catch (cause) {
    throw new VaultError('usage', 'an intermediate is not a PEM certificate', { cause });
  }
}
