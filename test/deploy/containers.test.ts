/** Dockerfile, .dockerignore and the compose files, as far as they can be judged without a container engine. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { DCLinter } from 'dclint';
import { KEEPER_UID, prepareImage, SOCKET_GID, VAULT_UID } from '../../deploy/container/prepare-image.ts';
import { createProgram } from '../../src/cli/commands.ts';
import { filesOf, ROOT, textOf } from '../tidy/source.ts';
import { isSent, readDockerfile, stageOf } from './image.ts';

const packages = JSON.parse(textOf('package.json')) as { version: string; dependencies: Record<string, string> };
const folder = mkdtempSync(join(tmpdir(), 'wv-containers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The package's own types do not resolve here; this is what of it is used. */
const Linter = DCLinter as unknown as {
  new (
    config: object,
  ): { lintFiles(paths: string[], deep: boolean): Array<{ filePath: string; messages: Array<{ rule: string; line: number }> }> };
  validateFile(path: string): { readonly context: { readonly content: unknown } | null; readonly messages: readonly unknown[] };
};

type Service = Readonly<Record<string, unknown>>;
interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

/** With the parser the linter stands on, and its merge keys resolved. */
async function compose(file = 'docker-compose.yml'): Promise<Compose> {
  const { context, messages } = Linter.validateFile(join(ROOT, file));
  expect(messages).toEqual([]);
  return context?.content as Compose;
}

describe('the compose files', () => {
  test('are valid by the schema of the specification, and the linter has nothing to say', () => {
    const linter = new Linter({ rules: {}, quiet: false, debug: false, exclude: [] });
    const files = ['docker-compose.yml', 'deploy/compose/published.yml'].map((file) => join(ROOT, file));
    const found = linter
      .lintFiles(files, false)
      .flatMap(({ filePath, messages }) => messages.map(({ rule, line }) => `${filePath}:${line} ${rule}`));
    expect(found).toEqual([]);
  });

  test('a file that is not valid is noticed', () => {
    const bad = join(folder, 'bad.yml');
    writeFileSync(bad, 'services:\n  vault:\n    image: weight-vault\n    privilegded: true\n');
    expect(Linter.validateFile(bad).messages).toEqual([expect.objectContaining({ rule: 'invalid-schema' })]);
  });

  test('every service: no root, no capability, no new privileges, read-only, bounded, no core dump', async () => {
    const { services } = await compose();
    expect(Object.keys(services).sort()).toEqual(['first-start', 'keeper', 'settle', 'vault']);
    for (const [name, service] of Object.entries(services)) {
      const uid = ['keeper', 'first-start'].includes(name) ? KEEPER_UID : VAULT_UID;
      expect([name, service]).toEqual([
        name,
        expect.objectContaining({
          user: `${uid}:${uid}`,
          group_add: [String(SOCKET_GID)],
          read_only: true,
          init: true,
          cap_drop: ['ALL'],
          security_opt: ['no-new-privileges:true'],
          tmpfs: [expect.stringMatching(/^\/tmp:rw,noexec,nosuid,nodev,size=\d+m/)],
          ulimits: expect.objectContaining({ core: 0 }),
          logging: { driver: 'json-file', options: { 'max-size': '10m', 'max-file': '5' } },
          pids_limit: expect.any(Number),
        }),
      ]);
      expect(service['memswap_limit']).toBe(service['mem_limit']); // so that nothing of it is ever swapped
      for (const never of [
        'privileged',
        'cap_add',
        'devices',
        'pid',
        'ipc',
        'env_file',
        'environment',
        'ports',
        'userns_mode',
        'extra_hosts',
      ])
        expect([name, never, service[never]]).toEqual([name, never, undefined]);
      expect(service['image']).toMatch(new RegExp(`^weight-vault(?:-keeper)?:${packages.version.replaceAll('.', '\\.')}$`));
    }
  });

  test('vault and keeper share the socket and nothing else; the vault cannot write even there', async () => {
    const { services, volumes } = await compose();
    const of = (name: string) => services[name]?.['volumes'] as string[];
    expect(of('keeper')).toEqual(['keys:/keys', 'socket:/run/keeper']);
    expect(of('vault')).toEqual(['vault:/vault', 'head:/head', 'socket:/run/keeper:ro']);
    expect(of('first-start')).toEqual(['keys:/keys', 'handover:/handover']);
    expect(of('settle')).toEqual(['handover:/handover', 'vault:/vault', 'head:/head']);
    expect(Object.keys(volumes).sort()).toEqual(['handover', 'head', 'keys', 'socket', 'vault']);
    expect([...of('vault'), ...of('settle')].some((one) => one.startsWith('keys'))).toBe(false);
  });

  test('nothing has a way out: the vault is on two internal networks, apart; the others on none', async () => {
    const { services, networks } = await compose();
    expect(Object.entries(networks).map(([name, { internal }]) => [name, internal])).toEqual([
      ['data', true],
      ['admin', true],
    ]);
    const addresses = (services['vault']?.['networks'] ?? {}) as Record<string, { ipv4_address: string }>;
    expect(Object.keys(addresses).sort()).toEqual(['admin', 'data']);
    for (const name of ['keeper', 'first-start', 'settle']) expect(services[name]?.['network_mode']).toBe('none');
    // Each plane listens on the address of its own network, and so is not on the other.
    const settle = (services['settle']?.['entrypoint'] ?? []) as string[];
    expect(settle[settle.indexOf('--data-host') + 1]).toBe(addresses['data']?.ipv4_address);
    expect(settle[settle.indexOf('--admin-host') + 1]).toBe(addresses['admin']?.ipv4_address);
  });

  test('the vault waits for a keeper that is well, and the commands are ones that `wv` has', async () => {
    const { services } = await compose();
    expect(services['vault']?.['depends_on']).toEqual({ keeper: { condition: 'service_healthy' } });
    expect(services['first-start']?.['profiles']).toEqual(['init']);
    expect(services['settle']?.['profiles']).toEqual(['init']);
    for (const name of ['keeper', 'vault']) {
      const check = checkOf(services[name]);
      expect(check[0]).toBe('CMD'); // no shell
      await accepted(check.slice(check.indexOf('/app/src/cli/main.ts') + 1));
      await accepted(services[name]?.['command'] as string[]);
    }
  });

  test('publishing gives up internality for the data network alone, and the address must be said', async () => {
    const { services, networks } = await compose('deploy/compose/published.yml');
    expect(Object.keys(services)).toEqual(['vault']);
    expect(services['vault']).toEqual({
      ports: [expect.objectContaining({ target: 8443, host_ip: expect.stringContaining('${WV_DATA_ADDRESS:?') })],
    });
    expect(Object.keys(networks)).toEqual(['data']);
    expect(networks['data']).toMatchObject({ driver_opts: { 'com.docker.network.bridge.enable_ip_masquerade': 'false' } });
  });
});

function checkOf(service: Service | undefined): readonly string[] {
  return (service?.['healthcheck'] as { test: string[] } | undefined)?.test ?? [];
}

/** As commander parses it; the action itself is not run. */
async function accepted(words: readonly string[]): Promise<void> {
  const program = await createProgram(words[0]);
  let ran = 0;
  for (const command of program.commands) command.action(() => void ran++);
  await program.parseAsync([...words], { from: 'user' });
  expect(ran).toBe(1);
}

describe('the Dockerfile', () => {
  const stages = readDockerfile();
  const all = stages.flatMap(({ instructions }) => instructions);

  test('every base is a stage before it, or the pinned Node by its full version', () => {
    const pinned = `node:${packages.dependencies['node']}-bookworm-slim`;
    for (const [at, { from }] of stages.entries()) expect([pinned, ...stages.slice(0, at).map((one) => one.name)]).toContain(from);
    expect(stages.map(({ name }) => name)).toEqual(['packages', 'packages-vault', 'packages-keeper', 'vault', 'keeper']);
  });

  test.each([
    ['vault', VAULT_UID],
    ['keeper', KEEPER_UID],
  ])('%s: ends as a numeric user that is not root, without a shell in anything it starts', (name, uid) => {
    const { instructions } = stageOf(name);
    const last = instructions.findLastIndex((one) => one.name === 'USER');
    expect(instructions[last]?.args).toEqual([`${uid}:${uid}`]);
    expect(instructions.slice(last).filter((one) => ['RUN', 'COPY', 'ADD'].includes(one.name))).toEqual([]);
    for (const kind of ['ENTRYPOINT', 'CMD', 'HEALTHCHECK']) {
      const one = instructions.find((instruction) => instruction.name === kind);
      expect([kind, one?.text]).toEqual([kind, expect.stringMatching(/^(?:CMD )?\[".*"\]$/)]);
    }
    expect(instructions.find((one) => one.name === 'RUN' && one.text.includes('prepare-image.ts'))?.args).toEqual([
      'node',
      'deploy/container/prepare-image.ts',
      name,
    ]);
  });

  test('entry point and health check are those of the compose file', async () => {
    const { services } = await compose();
    for (const name of ['vault', 'keeper']) {
      const one = (kind: string) => stageOf(name).instructions.find((instruction) => instruction.name === kind)?.args;
      expect(one('CMD')).toEqual(services[name]?.['command']);
      expect(['CMD', ...(one('HEALTHCHECK') ?? [])]).toEqual(checkOf(services[name]));
      const flags = ['--disable-warning=ExperimentalWarning', '--disable-sigusr1']; // no signal opens a debugger
      expect(one('ENTRYPOINT')).toEqual(['node', ...flags, '/app/src/cli/main.ts']);
    }
  });

  test('adds nothing from anywhere, and takes no secret: no ADD, no ARG, and of ENV only NODE_ENV', () => {
    expect(all.filter(({ name }) => name === 'ADD' || name === 'ARG')).toEqual([]);
    expect([...new Set(all.filter(({ name }) => name === 'ENV').map(({ text }) => text))]).toEqual(['NODE_ENV=production']);
    expect(all.filter(({ text }) => /https?:|curl|wget|--mount=type=secret|chmod 777/.test(text))).toEqual([]);
  });

  test('installs exactly what the lockfile says, without running install scripts; Debian packages without their recommendations', () => {
    const npm = all.filter(({ name, text }) => name === 'RUN' && /\bnpm (?:ci|install|i)\b/.test(text));
    expect(npm.map(({ text }) => text)).toEqual(['npm ci --omit=dev --ignore-scripts --no-audit --no-fund']);
    const apt = all.filter(({ text }) => text.includes('apt-get install'));
    expect(apt).toHaveLength(2);
    for (const { text } of apt) expect(text).toMatch(/--no-install-recommends.*rm -rf \/var\/lib\/apt\/lists/);
  });

  test('SoftHSM and pkcs11js are in the keeper alone; neither image has a compiler', () => {
    const said = (name: string) =>
      stageOf(name)
        .instructions.map(({ text }) => text)
        .join('\n');
    expect(said('keeper')).toContain('softhsm2');
    expect(said('vault')).not.toMatch(/softhsm|apt-get/);
    expect(said('packages-vault')).toContain('node_modules/pkcs11js');
    expect(`${said('vault')}${said('keeper')}`).not.toContain('g++');
  });

  test('copies only what exists and what .dockerignore lets through', () => {
    const copied = all
      .filter(({ name, flags }) => name === 'COPY' && !flags.some((flag) => flag.startsWith('--from')))
      .flatMap(({ args }) => args.slice(0, -1));
    expect(copied.length).toBeGreaterThan(8);
    expect(copied.filter((path) => !existsSync(join(ROOT, path)) || !isSent(path))).toEqual([]);
    expect(copied.filter((path) => path === '.' || path.startsWith('test'))).toEqual([]);
  });
});

describe('.dockerignore', () => {
  test('sends nothing but the source', () => {
    const sent = filesOf('').filter(isSent);
    expect(sent).toEqual(
      expect.arrayContaining(['src/main.ts', 'policies/restricted.cedar', 'softhsm/setup.ts', 'deploy/container/settle.ts']),
    );
    const tops = new Set(
      sent.map((path) =>
        path
          .split('/')
          .slice(0, path.startsWith('deploy/') ? 2 : 1)
          .join('/'),
      ),
    );
    expect([...tops].sort()).toEqual(
      ['LICENSE', 'deploy/container', 'package-lock.json', 'package.json', 'policies', 'softhsm', 'src'].sort(),
    );
  });

  test.each([
    'vault/vault.json',
    'token.json',
    'softhsm/token/vault.pin',
    'src/tls/admin.key',
    'policies/vault.db',
    '.git/config',
    'node_modules/x/index.js',
    '.env',
  ])('keeps %s out', (path) => expect(isSent(path)).toBe(false));
});

const asRoot = process.geteuid?.() === 0 ? test : test.skip;
asRoot('an image is left with the folders of its user, without shell, package manager and setuid bits (needs root)', () => {
  const at = (path: string) => join(folder, 'root', path);
  for (const path of ['usr/bin', 'usr/local/bin', 'bin', 'usr/local/lib/node_modules/npm']) mkdirSync(at(path), { recursive: true });
  for (const path of ['usr/bin/bash', 'bin/sh', 'usr/local/bin/npm', 'usr/bin/su', 'usr/local/bin/node'])
    writeFileSync(at(path), '', { mode: 0o755 });
  chmodSync(at('usr/bin/su'), 0o4755);
  prepareImage('keeper', at(''));
  for (const path of ['usr/bin/bash', 'bin/sh', 'usr/local/bin/npm', 'usr/local/lib/node_modules'])
    expect([path, existsSync(at(path))]).toEqual([path, false]);
  expect(statSync(at('usr/bin/su')).mode & 0o7777).toBe(0o755);
  expect(existsSync(at('usr/local/bin/node'))).toBe(true);
  const folders = ['keys', 'run/keeper', 'handover'].map((path) => statSync(at(path)));
  expect(folders.map(({ uid, gid, mode }) => [uid, gid, mode & 0o7777])).toEqual([
    [KEEPER_UID, KEEPER_UID, 0o700],
    [KEEPER_UID, SOCKET_GID, 0o750],
    [KEEPER_UID, SOCKET_GID, 0o2770],
  ]);
  expect(existsSync(at('vault'))).toBe(false);
  expect(readFileSync(at('usr/local/bin/node'), 'utf8')).toBe('');
});
