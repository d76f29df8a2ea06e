/** `wv attester`: what a model server's machine does to be enrolled. It never talks to the admin plane: files go by hand. */
import { X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import { toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { readUserFile, readUserJson } from './files.ts';
import { print, withJson } from './output.ts';
import { createRequester, withRequester } from './requester.ts';

interface Common {
  readonly requester: string;
  readonly json?: boolean;
}

export function registerAttester(program: Command): void {
  const attester = program.command('attester').description("This machine's TPM as an attester");
  command(attester, 'init', 'Make the requester folder with a new TLS key')
    .requiredOption('--url <url>', 'the data plane, e.g. https://vault.example:8443')
    .requiredOption('--vault-certificate <file>', "PEM of the data plane's certificate")
    .requiredOption('--tcti <tcti>', 'how to reach the TPM, e.g. device:/dev/tpmrm0')
    .option('--namespace <name>', 'the namespace', 'default')
    .option('--ak <algorithm>', 'ecc or rsa', 'ecc')
    .option('--pcrs <list>', 'PCRs to quote, sha256 bank', '0,1,2,3,4,5,6,7')
    .action(init);
  command(attester, 'request <out>', 'Make the attestation key and write the enrolment request')
    .option('--intermediate <file...>', 'PEM certificates between the EK certificate and its root')
    .action((out: string, options: Common & { intermediate?: string[] }) => request(out, options));
  command(attester, 'activate <credential> <out>', 'Let the TPM open the credential and write its answer').action(activate);
  command(attester, 'capture <out>', 'Write the present PCR values as reference values')
    .requiredOption('--id <name>', 'id of the reference value')
    .action(capture);
}

function command(parent: Command, usage: string, description: string): Command {
  return withJson(parent.command(usage).description(description).requiredOption('--requester <folder>', "the requester's folder"));
}

async function init(
  options: Common & { url: string; vaultCertificate: string; tcti: string; namespace: string; ak: string; pcrs: string },
): Promise<void> {
  const { url, namespace, tcti, ak, pcrs } = options;
  if (ak !== 'ecc' && ak !== 'rsa') throw new VaultError('usage', '--ak is ecc or rsa');
  if (!/^\d{1,2}(,\d{1,2})*$/.test(pcrs)) throw new VaultError('usage', '--pcrs is a list of numbers');
  const settings = { url, namespace, tcti, akAlgorithm: ak, pcrs: pcrs.split(',').map(Number) } as const;
  await createRequester(options.requester, { ...settings, pcrs: [...settings.pcrs] }, await readUserFile(options.vaultCertificate));
  print(options, { requester: options.requester }, [`${options.requester} is made.`]);
}

async function request(out: string, options: Common & { intermediate?: string[] }): Promise<void> {
  const intermediates = await Promise.all((options.intermediate ?? []).map(async (file) => (await readUserFile(file)).toString('utf8')));
  await withRequester(options.requester, async ({ attester }) => {
    await attester.prepare();
    const body = await attester.enrolmentRequest(intermediates.map(derOf));
    await writeFile(out, `${JSON.stringify(body)}\n`, { mode: 0o600 });
    print(options, { out }, [`${out}: bring it to an administrator.`]);
  });
}

const credentialFile = z.looseObject({ requestId: z.string(), credential: z.strictObject({ idObject: z.string(), secret: z.string() }) });

async function activate(credential: string, out: string, options: Common): Promise<void> {
  const { requestId, credential: sealed } = await readUserJson(credential, credentialFile);
  await withRequester(options.requester, async ({ attester }) => {
    using secret = await attester.activate(sealed);
    const answer = secret.expose((bytes) => JSON.stringify({ requestId, secret: toBase64(bytes) }));
    await writeFile(out, `${answer}\n`, { mode: 0o600 });
    print(options, { out }, [`${out}: bring it back to the administrator.`]);
  });
}

async function capture(out: string, options: Common & { id: string }): Promise<void> {
  await withRequester(options.requester, async ({ attester }) => {
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
