/** A requester's folder for tokens, as `wv attester init --kind jwt` makes it and `wv fetch` uses it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createProgram } from '../../src/cli/commands.ts';
import { withRequester, withTpmRequester } from '../../src/cli/requester.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';

let folder: string;
const at = (name: string) => join(folder, name);
const usage = (detail: string) => expect.objectContaining({ code: 'usage', detail: expect.stringContaining(detail) });
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'wv-requester-'));
  const { certificatePem } = await issueSelfSigned({ commonName: 'vault', days: 1, now: new Date(), hosts: ['127.0.0.1'] });
  writeFileSync(at('data.crt'), certificatePem);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function init(name: string, ...more: string[]): Promise<void> {
  const program = await createProgram();
  const common = ['--requester', at(name), '--url', 'https://127.0.0.1:1', '--vault-certificate', at('data.crt'), '--json'];
  await program.parseAsync(['attester', 'init', ...common, ...more], { from: 'user' });
}

describe('a requester that shows tokens', () => {
  test('from a file, whose path is kept whole; the folder holds no token and is nobody else’s', async () => {
    await init('file', '--kind', 'jwt', '--token-file', at('token'));
    expect(readdirSync(at('file')).sort()).toEqual(['requester.json', 'tls.crt', 'tls.key', 'vault.crt']);
    expect(JSON.parse(readFileSync(at('file/requester.json'), 'utf8'))).toEqual({
      url: 'https://127.0.0.1:1',
      namespace: 'default',
      kind: 'jwt',
      tokenFile: at('token'),
    });
    expect(statSync(at('file/tls.key')).mode & 0o077).toBe(0);
    writeFileSync(at('token'), 'aa.bb.cc');
    await withRequester(at('file'), async ({ attester, client }) => {
      await attester.prepare();
      const challenge = { id: 'c', nonce: new Uint8Array(32), vaultId: '019bc0de-0000-7000-8000-000000000001' as never };
      expect(await client.evidence(challenge, attester)).toEqual({ kind: 'jwt', body: { token: 'aa.bb.cc' } });
    });
  });

  test('from a program, split at spaces and nothing else', async () => {
    await init('program', '--kind', 'jwt', '--token-command', '/opt/get-token  --audience "weight vault" $HOME');
    const { tokenCommand } = JSON.parse(readFileSync(at('program/requester.json'), 'utf8'));
    expect(tokenCommand).toEqual(['/opt/get-token', '--audience', '"weight', 'vault"', '$HOME']);
  });

  test('has nothing to activate', async () => {
    await expect(withTpmRequester(at('file'), async () => 'used')).rejects.toEqual(usage('wv enrol token'));
  });

  test.each<[string, string[], string]>([
    ['neither file nor program', ['--kind', 'jwt'], '--token-file or --token-command'],
    ['both', ['--kind', 'jwt', '--token-file', 'a', '--token-command', 'b'], 'one of them'],
    ['a program of spaces', ['--kind', 'jwt', '--token-command', '   '], 'a program'],
    ['a TPM as well', ['--kind', 'jwt', '--token-file', 'a', '--tcti', 'device:/dev/tpmrm0'], '--tcti is for'],
    ['a TPM without its address', [], '--tcti'],
    ['a TPM and a token', ['--tcti', 'device:/dev/tpmrm0', '--token-file', 'a'], '--kind jwt'],
  ])('is not made with %s', async (_what, options, detail) => {
    await expect(init('wrong', ...options)).rejects.toEqual(usage(detail));
    expect(readdirSync(folder)).not.toContain('wrong');
  });

  test('with settings that nobody knows is refused', async () => {
    writeFileSync(at('file/requester.json'), JSON.stringify({ url: 'https://127.0.0.1:1', namespace: 'default', kind: 'jwt' }));
    await expect(withRequester(at('file'), async () => 'used')).rejects.toEqual(usage('requester.json'));
  });
});

async function add(name: string, ...more: string[]): Promise<void> {
  await (await createProgram()).parseAsync(['attester', 'add', '--requester', at(name), '--json', ...more], { from: 'user' });
}
const settingsOf = (name: string) => JSON.parse(readFileSync(at(`${name}/requester.json`), 'utf8'));

describe('a requester of another kind', () => {
  test.each<[string, string[], object]>([
    ['tdx', [], {}],
    ['sev-snp', ['--tsm', '/tmp/tsm'], { tsm: '/tmp/tsm' }],
    ['nitro', ['--command', '/opt/nsm  document'], { command: ['/opt/nsm', 'document'] }],
    ['spiffe', ['--token-file', '/run/svid.token'], { tokenFile: '/run/svid.token' }],
    ['spiffe', ['--svid', '/run/svid.pem', '--svid-key', '/run/svid_key.pem'], { svid: '/run/svid.pem', svidKey: '/run/svid_key.pem' }],
  ])('%s is made with %j', async (kind, options, settings) => {
    const name = `${kind}-${options.length}`;
    await init(name, '--kind', kind, ...options);
    expect(settingsOf(name)).toEqual({ url: 'https://127.0.0.1:1', namespace: 'default', kind, ...settings });
    expect(readdirSync(at(name)).includes('tls.key')).toBe(!('svid' in settings)); // an SVID is the TLS identity itself
  });

  test.each<[string, string[], string]>([
    ['an option of another kind', ['--kind', 'tdx', '--tcti', 'x'], '--tcti is for --kind tpm2'],
    ['a command for two kinds', ['--kind', 'tdx', '--command', 'x'], '--command is for --kind nitro or nvidia-gpu'],
    ['no command', ['--kind', 'nitro'], '--command is a program'],
    ['half an SVID', ['--kind', 'spiffe', '--svid', 'x'], '--svid and --svid-key'],
    ['an SVID and a token', ['--kind', 'spiffe', '--svid', 'x', '--svid-key', 'y', '--token-file', 'z'], '--svid and --svid-key'],
  ])('is not made with %s', async (_what, options, detail) => {
    await expect(init('wrong', ...options)).rejects.toEqual(usage(detail));
    expect(readdirSync(folder)).not.toContain('wrong');
  });

  test('shows what was added beside its own, each kind once', async () => {
    await init('guest', '--kind', 'tdx');
    await add('guest', '--kind', 'nvidia-gpu', '--command', 'nvattest collect-evidence --nonce {nonce}');
    await add('guest', '--kind', 'jwt', '--token-file', at('token'));
    expect(settingsOf('guest')['beside']).toEqual([
      { kind: 'nvidia-gpu', command: ['nvattest', 'collect-evidence', '--nonce', '{nonce}'] },
      { kind: 'jwt', tokenFile: at('token') },
    ]);
    await expect(add('guest', '--kind', 'nvidia-gpu', '--command', 'x')).rejects.toEqual(usage('nvidia-gpu already'));
    await expect(add('file', '--kind', 'jwt', '--token-file', 'x')).rejects.toEqual(usage('requester.json'));
    await withRequester(at('guest'), async ({ attesters }) => {
      expect([attesters.machine.kind, ...attesters.beside.map(({ kind }) => kind), ...attesters.devices.map(({ kind }) => kind)]).toEqual([
        'tdx',
        'jwt',
        'nvidia-gpu',
      ]);
    });
  });
});
