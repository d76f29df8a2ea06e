/** `wv attester capture` on a machine that is in order: an enclave with GPUs, whose helpers answer whatever challenge they are given. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createProgram } from '../../src/cli/commands.ts';
import { referenceValueList } from '../../src/documents/reference-values.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';

const maker = (name: string) => JSON.stringify(new URL(`../attestation/${name}.ts`, import.meta.url).href);
const NITRO = `import { bstr, makeDocument, map, membersOf, startEnclave } from ${maker('nitro-enclave')};
const enclave = await startEnclave();
const bound = { user_data: bstr(Buffer.from(process.env.WV_USER_DATA, 'hex')), nonce: bstr(Buffer.from(process.env.WV_NONCE, 'hex')) };
process.stdout.write(await makeDocument(enclave, { payload: map(...membersOf(enclave, bound)) }));`;
const GPUS = `import { buildDevice, makeReport, pemOf } from ${maker('nvidia-device')};
const device = await buildDevice();
const evidence = Buffer.from(await makeReport(device, { nonce: Buffer.from(process.env.WV_NONCE, 'hex') })).toString('base64');
const certificate = Buffer.from(pemOf(...device.chain)).toString('base64');
console.log(JSON.stringify([{ evidence, certificate }, { evidence, certificate }]));`;

let folder: string;
const at = (name: string) => join(folder, name);
const wv = async (...args: string[]) => (await createProgram()).parseAsync(args, { from: 'user' });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'wv-capture-'));
  const { certificatePem } = await issueSelfSigned({ commonName: 'vault', days: 1, now: new Date(), hosts: ['127.0.0.1'] });
  writeFileSync(at('data.crt'), certificatePem);
  writeFileSync(at('nitro.mjs'), NITRO);
  writeFileSync(at('gpus.mjs'), GPUS);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const init = (name: string, ...more: string[]) =>
  wv('attester', 'init', '--requester', at(name), '--url', 'https://127.0.0.1:1', '--vault-certificate', at('data.crt'), '--json', ...more);

test('the machine and its devices become values that can be proposed as they are', async () => {
  await init('enclave', '--kind', 'nitro', '--command', `${process.execPath} ${at('nitro.mjs')}`);
  await wv(
    'attester',
    'add',
    '--requester',
    at('enclave'),
    '--kind',
    'nvidia-gpu',
    '--command',
    `${process.execPath} ${at('gpus.mjs')}`,
    '--json',
  );
  await wv('attester', 'capture', '--requester', at('enclave'), '--id', 'golden', '--json', at('golden.json'));
  const { values } = JSON.parse(readFileSync(at('golden.json'), 'utf8'));
  expect(referenceValueList.parse(values)).toEqual([
    { id: 'golden', kind: 'nitro', claims: { pcr0: ['01'.repeat(48)], pcr1: [expect.any(String)], pcr2: [expect.any(String)] } },
    { id: 'golden.nvidia-gpu', kind: 'nvidia-gpu', claims: { driverVersion: ['590.12'], vbiosVersion: [expect.any(String)] } },
  ]);
});

test('a machine that shows a token alone measures nothing that could be captured', async () => {
  await init('token', '--kind', 'jwt', '--token-file', at('token'));
  const capturing = wv('attester', 'capture', '--requester', at('token'), '--id', 'golden', '--json', at('none.json'));
  await expect(capturing).rejects.toMatchObject({ code: 'usage' });
});
