/** `wv attester`: what a model server's machine does to be enrolled. It never talks to the admin plane: files go by hand. */
import { X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { type CaptureOptions, capture } from './attester-capture.ts';
import { type AttesterOptions, BESIDE_KINDS, besideSettings, MACHINE_KINDS, machineSettings } from './attester-options.ts';
import { addCommand, addGroup, collect } from './command.ts';
import { readUserFile, readUserJson } from './files.ts';
import { print } from './output.ts';
import { addBeside, createRequester, withTpmRequester } from './requester.ts';

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
    'wv attester init --requester me --url https://vault.example:8443 --vault-certificate data.crt --kind tdx',
  ])
    .requiredOption('--url <url>', 'the data plane, e.g. https://vault.example:8443')
    .requiredOption('--vault-certificate <file>', "PEM of the data plane's certificate")
    .addOption(new Option('--kind <kind>', 'what says which machine it is').choices(MACHINE_KINDS).default('tpm2'))
    .option('--tcti <tcti>', 'tpm2: how to reach the TPM, e.g. device:/dev/tpmrm0')
    .option('--token-file <file>', 'jwt, spiffe: where the token is; read again at each use')
    .option('--token-command <program and arguments>', 'jwt: prints a token for the nonce in WV_NONCE; split at spaces, no shell')
    .option('--tsm <folder>', 'sev-snp, tdx: where configfs-tsm is, if not where Linux has it')
    .option('--command <program and arguments>', 'nitro: prints the document for WV_USER_DATA and WV_NONCE; split at spaces, no shell')
    .option('--svid <file>', 'spiffe: PEM of the X.509-SVID, as spiffe-helper writes it; it is the TLS identity too')
    .option('--svid-key <file>', 'spiffe: PEM of its key')
    .option('--workload-api <socket>', 'spiffe: instead of files, the agent of this machine, e.g. unix:///run/spire/agent.sock')
    .option('--audience <name>', 'spiffe, with --workload-api: show a JWT-SVID for it, not the X.509-SVID')
    .option('--namespace <name>', 'the namespace', 'default')
    .option('--ak <algorithm>', 'tpm2: ecc or rsa; ecc if not said')
    .option('--pcrs <list>', 'tpm2: PCRs to quote, sha256 bank; 0 to 7 if not said')
    .action(init);
  command(attester, 'add', 'Let it show another piece of evidence beside its own: its GPUs, or a token', [
    'wv attester add --requester me --kind nvidia-gpu --command "nvattest collect-evidence --nonce {nonce}"',
    'wv attester add --requester me --kind jwt --token-file /run/secrets/token --json',
  ])
    .addOption(new Option('--kind <kind>', 'what it shows').choices(BESIDE_KINDS).makeOptionMandatory())
    .option('--command <program and arguments>', 'nvidia-gpu: prints the evidence of all devices for {nonce}; split at spaces, no shell')
    .option('--token-file <file>', 'jwt: where the token is; read again at each use')
    .option('--token-command <program and arguments>', 'jwt: prints a token for the nonce in WV_NONCE; split at spaces, no shell')
    .action(add);
  command(attester, 'request <out>', 'Make the attestation key and write the enrolment request', [
    'wv attester request --requester me request.json',
    'wv attester request --requester me --intermediate manufacturer-ca.pem request.json',
  ])
    .option('--intermediate <file>', 'PEM of a certificate between the EK certificate and its root; as often as wanted', collect)
    .action((out: string, options: Common & { intermediate?: string[] }) => request(out, options));
  command(attester, 'activate <credential> <out>', 'Let the TPM open the credential and write its answer', [
    'wv attester activate --requester me credential.json answer.json',
    'wv attester activate --requester me --json credential.json answer.json',
  ]).action(activate);
  command(attester, 'capture <out>', 'Write the state of this machine and its devices, as it is now, as reference values', [
    'wv attester capture --requester me --id gpu-image-12 golden.json',
    'wv attester capture --requester me --id gpu-image-12 --json golden.json',
  ])
    .requiredOption('--id <name>', 'id of the reference value')
    .action((out: string, options: CaptureOptions) => capture(out, options));
}

function command(parent: Command, usage: string, description: string, examples: readonly [string, string, ...string[]]): Command {
  return addCommand(parent, usage, description, examples).requiredOption('--requester <folder>', "the requester's folder");
}

interface InitOptions extends Common, AttesterOptions {
  readonly url: string;
  readonly vaultCertificate: string;
  readonly namespace: string;
}

async function init({ requester, url, namespace, vaultCertificate, ...options }: InitOptions): Promise<void> {
  const settings = { url, namespace, ...machineSettings(options) };
  await createRequester(requester, settings, await readUserFile(vaultCertificate));
  print(options, { requester }, [`${requester} is made.`]);
}

async function add({ requester, ...options }: Common & AttesterOptions): Promise<void> {
  await addBeside(requester, besideSettings(options));
  print(options, { requester, beside: options.kind }, [`${requester} shows ${options.kind} evidence too.`]);
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

function derOf(pem: string): Uint8Array {
  try {
    return new Uint8Array(new X509Certificate(pem).raw);
  } catch (cause) {
    throw new VaultError('usage', 'an intermediate is not a PEM certificate', { cause });
  }
}
