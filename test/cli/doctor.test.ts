/** The Doctor: each probe on a machine that is bad and on one that is good, and the whole of it on a real vault. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { setupDevelopmentToken } from '../../softhsm/setup.ts';
import {
  type Collateral,
  policySet,
  publications,
  referenceUnmatched,
  referenceUnnamed,
  referenceValues,
  trustAnchors,
} from '../../src/cli/doctor/collateral.ts';
import { examine, keeperFinding } from '../../src/cli/doctor/examine.ts';
import { type Facts, machineFacts, type PathFacts } from '../../src/cli/doctor/facts.ts';
import { diskSpace, fileModes, keysApart, logHeadApart, softwareKeys } from '../../src/cli/doctor/files.ts';
import { FINDINGS, type Finding, SEVERITIES, worstOf } from '../../src/cli/doctor/findings.ts';
import { clockSync, coreDumps, kernelLockdown, nodeVersion, openFiles, ptrace, runAsRoot, swap } from '../../src/cli/doctor/host.ts';
import { type KeysRead, keyStates } from '../../src/cli/doctor/keys.ts';
import { approvers, dormant, type Person, roles, secondFactor, sharedWorkstation } from '../../src/cli/doctor/people.ts';
import { adminListener, tlsCertificates } from '../../src/cli/doctor/planes.ts';
import { runningProcesses } from '../../src/cli/doctor/processes.ts';
import { rollbackWindows } from '../../src/cli/doctor/rollback.ts';
import {
  checkpointAge,
  clockRegressed,
  databaseIntegrity,
  logRolledBack,
  logSinks,
  logVerifies,
  type StoredFacts,
} from '../../src/cli/doctor/stored.ts';
import { type Config, loadConfig, parseConfig } from '../../src/config/config.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';
import { initArgs, keeperPid, startServer, until, wv, wvJson } from '../e2e/real-vault.ts';
import { tableRows } from '../tidy/source.ts';

const NOW = new Date('2026-06-01T12:00:00Z');
const day = (days: number) => new Date(NOW.getTime() + days * 86_400_000);
const severities = (found: Finding | readonly Finding[]) => [found].flat().map(({ severity }) => severity);
const seen = (found: Finding | readonly Finding[]) =>
  [found]
    .flat()
    .map((one) => one.seen)
    .join('; ');

/** A machine of these files; every other is absent. */
function machine(texts: Readonly<Record<string, string>> = {}, more: Partial<Facts> = {}): Facts {
  return {
    now: NOW,
    uid: 1000,
    nodeVersion: '24.0.1',
    pinnedNode: '24.0.1',
    text: (path) => texts[path],
    path: () => undefined,
    names: () => [],
    link: () => undefined,
    space: () => ({ free: 500e9, all: 1000e9 }),
    output: async () => undefined,
    ...more,
  };
}

const file = {
  vaultId: '01890000-0000-7000-8000-000000000000',
  vaultDocument: 'a'.repeat(64),
  database: 'vault.db',
  blobs: 'blobs',
  logHead: '/other/log-head',
  keeperSocket: 'keeper/keeper.sock',
  dataPlane: { host: '127.0.0.1', port: 1, certificate: 'd.crt', privateKey: 'd.key' },
  adminPlane: { host: '127.0.0.1', port: 2, certificate: 'a.crt', privateKey: 'a.key' },
};
const token = { module: '/usr/lib/hsm.so', label: 'v', pinFile: '/token/pin' };
const configOf = (change: object = { token }): Config => parseConfig(JSON.stringify({ ...file, ...change }), '/v');
const child = configOf();
const soft = configOf({ token: { ...token, softhsmConf: '/token/softhsm2.conf' } });
const external = configOf({ keeper: { mode: 'external' }, keeperSocket: '/run/keeper/keeper.sock' });

const SINK = { name: 'siem', kind: 'syslog', next: 7, required: false, refusing: false } as const;

describe('the key rings', () => {
  const wrap = { tier: 1, algorithm: 'AES-256-GCM', provider: 'pkcs11' } as const;
  const ring = (kek: object, days = 365): KeysRead => ({
    rings: [
      {
        namespace: 'system' as never,
        counter: 1,
        cryptoperiodDays: days,
        destructionWaitDays: 14,
        consents: [],
        keks: [{ id: 'kek-default' as never, version: 2, state: 'active', activatedAt: day(-100).toISOString(), wrap, ...kek }],
      },
    ],
    suspended: [],
  });
  test.each<[name: string, read: KeysRead, severities: string[], says: RegExp]>([
    ['in order', ring({}), ['ok'], /1 in order/],
    ['due in ten days', ring({}, 110), ['warning'], /version 2 reaches the end of its cryptoperiod in 10 days/],
    ['past its cryptoperiod', ring({}, 90), ['warning'], /10 days past/],
    ['without an active version', ring({ state: 'compromised' }), ['critical'], /no version is active/],
    ['suspended', { ...ring({}), suspended: ['kek-default/2' as never] }, ['warning'], /version 2 is suspended/],
    ['made before rings said how a version wraps', ring({ wrap: undefined }), ['info'], /how version 2 wraps is not recorded/],
    ['to be destroyed', ring({ destroyAfter: '2026-07-01T00:00:00.000Z' }), ['info'], /not before 2026-07-01/],
  ])('%s', (_, read, expected, says) => {
    const found = keyStates(read, NOW);
    expect(severities(found)).toEqual(expected);
    expect(seen(found)).toMatch(says);
  });
});

describe('the machine', () => {
  const limits = (name: string, soft: string) => ({
    '/proc/self/limits': `Limit   Soft Limit\n${name.padEnd(26)}${soft.padEnd(21)}unlimited            files\n`,
  });
  const cores = (pattern: string, limit: string) =>
    coreDumps(machine({ ...limits('Max core file size', limit), '/proc/sys/kernel/core_pattern': `${pattern}\n` }), []);
  const swaps = (...lines: string[]) => ({ '/proc/swaps': ['Filename Type Size Used Priority', ...lines, ''].join('\n') });

  test.each<[name: string, found: () => Finding | readonly Finding[], severity: string]>([
    ['root', () => runAsRoot(machine({}, { uid: 0 })), 'warning'],
    ['a user', () => runAsRoot(machine()), 'ok'],
    ['another Node', () => nodeVersion(machine({}, { nodeVersion: '24.0.2' })), 'warning'],
    ['the pinned Node', () => nodeVersion(machine()), 'ok'],
    ['core files', () => cores('core', 'unlimited'), 'warning'],
    ['no core files', () => cores('core', '0'), 'ok'],
    ['cores into a program, which no limit stops', () => cores('|/usr/lib/systemd/systemd-coredump %P', '0'), 'warning'],
    ['cores into nothing', () => cores('|/bin/false', 'unlimited'), 'ok'],
    ['cores that cannot be looked at', () => coreDumps(machine(), []), 'unknown'],
    ['plain swap', () => swap(machine(swaps('/dev/sda2 partition 1 0 -2')), []), 'warning'],
    [
      'swap on LVM that is not encrypted',
      () => swap(machine({ ...swaps('/dev/dm-1 partition 1 0 -2'), '/sys/block/dm-1/dm/uuid': 'LVM-x' }), []),
      'warning',
    ],
    [
      'encrypted swap',
      () => swap(machine({ ...swaps('/dev/dm-1 partition 1 0 -2'), '/sys/block/dm-1/dm/uuid': 'CRYPT-PLAIN-swap' }), []),
      'ok',
    ],
    ['zram', () => swap(machine(swaps('/dev/zram0 partition 1 0 100')), []), 'ok'],
    ['a swap file beside zram', () => swap(machine(swaps('/dev/zram0 partition 1 0 100', '/swapfile file 1 0 -2')), []), 'warning'],
    ['no swap', () => swap(machine(swaps()), []), 'ok'],
    ['swap that cannot be looked at', () => swap(machine(), []), 'unknown'],
    ['no Yama', () => ptrace(machine(), []), 'warning'],
    ['ptrace for all', () => ptrace(machine({ '/proc/sys/kernel/yama/ptrace_scope': '0\n' }), []), 'warning'],
    ['ptrace of children', () => ptrace(machine({ '/proc/sys/kernel/yama/ptrace_scope': '1\n' }), []), 'info'],
    ['ptrace for none', () => ptrace(machine({ '/proc/sys/kernel/yama/ptrace_scope': '3\n' }), []), 'ok'],
    ['lockdown', () => kernelLockdown(machine({ '/sys/kernel/security/lockdown': 'none [integrity] confidentiality' })), 'ok'],
    ['no lockdown', () => kernelLockdown(machine({ '/sys/kernel/security/lockdown': '[none] integrity confidentiality' })), 'info'],
    ['lockdown that cannot be looked at', () => kernelLockdown(machine()), 'info'],
    ['few files', () => openFiles(machine(limits('Max open files', '1024')), []), 'warning'],
    ['many files', () => openFiles(machine(limits('Max open files', '65536')), []), 'ok'],
    ['any number of files', () => openFiles(machine(limits('Max open files', 'unlimited')), []), 'ok'],
    ['files that cannot be looked at', () => openFiles(machine(), []), 'unknown'],
  ])('%s', (_, found, severity) => expect(severities(found())).toEqual([severity]));

  describe('the vault and keeper that run', () => {
    const core = (soft: string) => `Limit   Soft Limit\n${'Max core file size'.padEnd(26)}${soft.padEnd(21)}unlimited            bytes\n`;
    const proc = (change: Record<string, string> = {}): Facts => {
      const texts: Record<string, string> = {
        '/proc/net/unix': [
          'Num       RefCount Protocol Flags    Type St Inode Path',
          '0: 00000002 00000000 00010000 0001 01 900 /v/keeper/keeper.sock',
          '0: 00000003 00000000 00000000 0001 03 901 /v/keeper/keeper.sock', // a connection
          '0: 00000002 00000000 00010000 0001 01 902 /v/other.sock',
        ].join('\n'),
        '/proc/net/tcp':
          '  sl  local_address rem_address   st ...\n   0: 0100007F:0001 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 800 1\n',
        '/proc/20/status': 'PPid:\t10\nTracerPid:\t0\nVmSwap:\t0 kB\n',
        '/proc/10/status': 'PPid:\t1\nTracerPid:\t0\n',
        '/proc/sys/kernel/core_pattern': 'core\n',
        '/proc/sys/kernel/yama/ptrace_scope': '2\n',
        '/proc/10/limits': core('0'),
        '/proc/20/limits': core('0'),
        '/proc/self/limits': core('unlimited'),
        ...change,
      };
      const links: Record<string, string> = {
        '/proc/20/fd/5': 'socket:[900]',
        '/proc/10/fd/7': 'socket:[800]',
        '/proc/30/fd/1': 'socket:[902]',
      };
      const folders: Record<string, string[]> = {
        '/proc': ['10', '20', '30', 'sys'],
        '/proc/10/fd': ['7'],
        '/proc/20/fd': ['5'],
        '/proc/30/fd': ['1'],
      };
      return machine(texts, { names: (folder) => folders[folder] ?? [], link: (path) => links[path] });
    };
    const both = [
      { what: 'vault', pid: 10 },
      { what: 'keeper', pid: 20 },
    ] as const;

    test('are found by the sockets they listen on: a child by its keeper, beside an external keeper by its port', () => {
      expect(runningProcesses(proc(), child)).toEqual(both);
      const elsewhere = proc({ '/proc/net/unix': '\n0: 00000002 00000000 00010000 0001 01 900 /run/keeper/keeper.sock' });
      expect(runningProcesses(elsewhere, external)).toEqual(both);
      expect(runningProcesses(machine(), child)).toEqual([]);
    });

    test('their own limit of core dumps counts, not that of the shell', () => {
      expect(severities(coreDumps(proc(), both))).toEqual(['ok']);
      expect(severities(coreDumps(proc(), []))).toEqual(['warning']);
      const found = coreDumps(proc({ '/proc/20/limits': core('unlimited'), '/proc/10/limits': '' }), both);
      expect([severities(found), seen(found)]).toEqual([
        ['unknown', 'warning'],
        expect.stringContaining('keeper (process 20): a crash may write'),
      ]);
    });

    test('memory of theirs in a swap that is not encrypted, and a debugger, are critical', () => {
      const swapped = { '/proc/swaps': 'Filename\n/dev/sda2 partition 1 0 -2\n', '/proc/20/status': 'VmSwap:\t    120 kB\n' };
      const found = swap(proc(swapped), both);
      expect([severities(found), seen(found)]).toEqual([['warning', 'critical'], expect.stringContaining('keeper (process 20): 120 KiB')]);
      expect(severities(swap(proc({ ...swapped, '/proc/swaps': 'Filename\n' }), both))).toEqual(['ok']);
      expect(severities(ptrace(proc(), both))).toEqual(['ok']);
      const traced = ptrace(proc({ '/proc/10/status': 'TracerPid:\t77\n' }), both);
      expect([severities(traced), seen(traced)]).toEqual([['ok', 'critical'], expect.stringContaining('process 77 is attached')]);
    });
  });

  test.each<[name: string, says: Record<string, string>, severity: string]>([
    ['synchronized', { timedatectl: 'yes\n' }, 'ok'],
    ['not synchronized', { timedatectl: 'no\n' }, 'warning'],
    ['chrony is well', { chronyc: 'Stratum : 3\nLeap status     : Normal\n' }, 'ok'],
    ['chrony is not', { chronyc: 'Leap status     : Not synchronised\n' }, 'warning'],
    ['nobody knows', {}, 'unknown'],
  ])('clock: %s', async (_, says, severity) => {
    expect((await clockSync(machine({}, { output: async (program) => says[program] }))).severity).toBe(severity);
  });
});

describe('files', () => {
  const good: Record<string, PathFacts> = {};
  const put = (path: string, mode: number, kind: PathFacts['kind'] = 'file', uid = 1000, device = 1) =>
    (good[path] = { kind, mode, uid, gid: uid, device });
  for (const path of [
    '/v/vault.json',
    '/v/vault.db',
    '/v/vault.db-wal',
    '/v/d.key',
    '/v/a.key',
    '/token/pin',
    '/token/softhsm2.conf',
    '/other/log-head',
  ])
    put(path, 0o600);
  for (const path of ['/v/blobs', '/v/keeper', '/other']) put(path, 0o700, 'folder');
  put('/run/keeper', 0o750, 'folder', 1002);
  const on = (change: Record<string, Partial<PathFacts> | undefined> = {}): Facts =>
    machine({}, { path: (path) => (path in change ? change[path] && { ...(good[path] as PathFacts), ...change[path] } : good[path]) });
  const denied = (wanted: string) =>
    machine(
      {},
      {
        path: (path) => {
          if (path === wanted) throw Object.assign(new Error('EACCES'), { code: 'EACCES' });
          return good[path];
        },
      },
    );
  const modes = (facts: Facts, config = soft) => fileModes(facts, config, '/v/vault.json');

  test('modes: all good, for a child keeper as for an external one', () => {
    expect(severities(modes(on()))).toEqual(['ok']);
    expect(severities(modes(on(), external))).toEqual(['ok']);
  });

  test.each([
    ['/v/vault.db', 0o640, 'critical', 'its group'],
    ['/v/vault.db-wal', 0o604, 'critical', 'others'],
    ['/v/d.key', 0o644, 'critical', 'others'],
    ['/v/a.key', 0o640, 'critical', 'its group'],
    ['/token/pin', 0o640, 'critical', 'its group'],
    ['/v/keeper', 0o750, 'critical', 'its group'],
    ['/v/blobs', 0o755, 'warning', 'others'],
    ['/v/vault.json', 0o666, 'warning', 'others'],
    ['/other/log-head', 0o622, 'warning', 'others'],
    ['/token/softhsm2.conf', 0o620, 'warning', 'its group'],
  ])('modes: %s %o is %s', (path, mode, severity, who) => {
    const found = modes(on({ [path]: { mode } }));
    expect([severities(found), seen(found)]).toEqual([[severity], expect.stringContaining(`open to ${who}`)]);
  });

  test.each(['alertSecrets', 'sinkSecrets'] as const)('modes: the folder of %s is for one user', (setting) => {
    const seenAs = (mode: number) =>
      modes(on({ '/v/secrets': { kind: 'folder', mode, uid: 1000, gid: 1000 } }), { ...soft, [setting]: '/v/secrets' });
    expect(severities(seenAs(0o700))).toEqual(['ok']);
    expect([severities(seenAs(0o755)), seen(seenAs(0o755))]).toEqual([['warning'], expect.stringContaining('open to others')]);
  });

  test('modes: the socket of an external keeper is for its group, and no more', () => {
    expect(severities(modes(on({ '/run/keeper': { mode: 0o770 } }), external))).toEqual(['critical']);
    expect(severities(modes(on({ '/run/keeper': { mode: 0o755 } }), external))).toEqual(['critical']);
  });

  test('modes: the token folder that the configuration of SoftHSM names', () => {
    const conf = { '/token/softhsm2.conf': 'directories.tokendir = /token/keys\nobjectstore.backend = file\n' };
    const of = (mode: number) => {
      const path = (wanted: string) =>
        wanted === '/token/keys' ? { kind: 'folder' as const, mode, uid: 1000, gid: 1000, device: 1 } : good[wanted];
      return fileModes(machine(conf, { path }), soft, '/v/vault.json');
    };
    expect(severities(of(0o700))).toEqual(['ok']);
    expect(seen(of(0o750))).toBe('the token folder is open to its group: mode 750');
    expect(severities(of(0o750))).toEqual(['critical']);
  });

  test('modes: another owner, and what this user cannot see', () => {
    expect(seen(modes(on({ '/v/vault.db': { uid: 7 } })))).toContain('belongs to user 7');
    expect(severities(modes(denied('/token/pin')))).toEqual(['unknown']);
  });

  test('keys apart', () => {
    expect(severities(keysApart(on(), soft))).toEqual(['warning']);
    expect(seen(keysApart(on(), soft))).toContain('one user and one file system');
    const elsewhere = { '/token/pin': { uid: 2, device: 9 }, '/token/softhsm2.conf': { uid: 2, device: 9 } };
    expect(severities(keysApart(on(elsewhere), soft))).toEqual(['ok']);
    expect(severities(keysApart(on({ ...elsewhere, '/token/pin': { uid: 2 } }), soft))).toEqual(['warning']);
    expect(severities(keysApart(on(), child))).toEqual(['info']); // an HSM, whose PIN lies beside the data
    expect(severities(keysApart(on(), external))).toEqual(['ok']);
    expect(severities(keysApart(on({ '/run/keeper': { uid: 1000 } }), external))).toEqual(['warning']);
    expect(severities(keysApart(denied('/run/keeper'), external))).toEqual(['unknown']);
    expect(severities(keysApart(on({ '/v/vault.db': undefined }), soft))).toEqual(['unknown']);
    expect(severities(keysApart(on({ '/token/pin': undefined, '/token/softhsm2.conf': undefined }), soft))).toEqual(['unknown']);
  });

  test('keys in AWS KMS: no software, not beside the data, and the file of its credentials is for one user', () => {
    const role = configOf({ kms: { region: 'eu-central-1', aliasPrefix: 'v' } });
    const byFile = configOf({ kms: { region: 'eu-central-1', aliasPrefix: 'v', credentialsFile: '/token/pin' } });
    expect(severities(softwareKeys(role))).toEqual(['ok']);
    expect([severities(keysApart(on(), role)), severities(keysApart(on(), byFile))]).toEqual([['ok'], ['info']]);
    expect(severities(modes(on(), byFile))).toEqual(['ok']);
    expect(severities(modes(on({ '/token/pin': { mode: 0o640 } }), byFile))).toEqual(['critical']);
    expect(seen(modes(on({ '/token/pin': { mode: 0o640 } }), byFile))).toContain('the file of AWS credentials is open to its group');
    expect(severities(modes(on({ '/token/pin': { mode: 0o640 } }), role))).toEqual(['ok']);
  });

  test('software keys', () => {
    expect(severities(softwareKeys(soft))).toEqual(['warning']);
    expect(severities(softwareKeys(configOf({ token: { ...token, module: '/usr/lib/softhsm/libsofthsm2.so' } })))).toEqual(['warning']);
    expect(severities(softwareKeys(child))).toEqual(['ok']);
    expect(severities(softwareKeys(external))).toEqual(['unknown']);
  });

  test('the kept checkpoint', () => {
    expect(severities(logHeadApart(on(), child))).toEqual(['warning']);
    expect(severities(logHeadApart(on({ '/other': { device: 5 } }), child))).toEqual(['ok']);
    expect(severities(logHeadApart(on(), configOf({ token, logHead: undefined })))).toEqual(['warning']);
    expect(severities(logHeadApart(on({ '/other': undefined }), child))).toEqual(['unknown']);
  });

  test('disk space', () => {
    const with_ = (free: number) => severities(diskSpace(machine({}, { space: () => ({ free, all: 1000e9 }) }), child));
    expect([with_(500e9), with_(20e9), with_(1e9), with_(1e8)]).toEqual([
      ['ok'],
      ['warning', 'warning'],
      ['warning', 'warning'],
      ['critical', 'critical'],
    ]);
  });
});

describe('planes', () => {
  let pem: string;
  beforeAll(async () => {
    pem = (await issueSelfSigned({ commonName: 'x', days: 100, now: NOW, hosts: ['127.0.0.1'] })).certificatePem;
  });
  const at = (now: Date, data = pem) => tlsCertificates(machine({ '/v/d.crt': data, '/v/a.crt': pem }, { now }), child);

  test('certificates', () => {
    expect(severities(at(NOW))).toEqual(['ok']);
    expect(severities(at(day(80)))).toEqual(['warning', 'warning']);
    expect(severities(at(day(101)))).toEqual(['critical', 'critical']);
    expect(severities(at(day(-1)))).toEqual(['critical', 'critical']);
    expect(seen(at(NOW, 'nothing'))).toContain('data plane: this is no certificate');
    expect(severities(tlsCertificates(machine(), child))).toEqual(['critical', 'critical']);
  });

  test('a short RSA key', () => {
    const made = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', '/dev/null', '-subj', '/CN=weak', '-days', '365'];
    const weak = at(new Date(), execFileSync('openssl', made, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
    expect(seen(weak)).toContain('a weak or unusual key, rsa 2048');
  });

  test('the address of the admin plane', () => {
    const host = (name: string) => adminListener(configOf({ token, adminPlane: { ...file.adminPlane, host: name } }));
    expect(['127.0.0.1', '127.9.9.9', '::1', 'localhost'].map((name) => host(name).severity)).toEqual(['ok', 'ok', 'ok', 'ok']);
    expect(['0.0.0.0', '::', '10.1.1.1', '127.evil.example'].map((name) => host(name).severity)).toEqual(Array(4).fill('warning'));
    expect(host('0.0.0.0').seen).toContain('every network');
  });
});

test.each([
  ['answers', { ok: true }, 'child', true, 'ok'],
  ['is absent with its vault', { ok: false, code: 'keeper_unavailable' }, 'child', false, 'unknown'],
  ['is absent while its vault serves', { ok: false, code: 'keeper_unavailable' }, 'child', true, 'warning'],
  ['is external and absent', { ok: false, code: 'keeper_unavailable' }, 'external', false, 'critical'],
  ['was refused', { ok: false, code: 'pin_incorrect' }, 'child', true, 'critical'],
  ['has no token', { ok: false, code: 'hsm_token_missing' }, 'external', true, 'critical'],
] as const)('a keeper that %s', (_, health, mode, serving, severity) =>
  expect(keeperFinding(health, mode, serving).severity).toBe(severity),
);

describe('database and access log', () => {
  const fine: StoredFacts = {
    ...{ integrity: ['ok'], newestRecord: day(-1), records: 10, checkpointSize: 10, oldestUncovered: undefined },
    ...{ serving: true, logProblem: undefined, kept: 10 },
  };
  const waiting = { ...fine, records: 12, oldestUncovered: new Date(NOW.getTime() - 300_000) };

  test.each<[name: string, found: () => Finding, severity: string]>([
    ['sound', () => databaseIntegrity(fine), 'ok'],
    ['damaged', () => databaseIntegrity({ ...fine, integrity: ['row 1 missing from index', 'x'] }), 'critical'],
    ['nothing said', () => databaseIntegrity({ ...fine, integrity: [] }), 'critical'],
    ['clock', () => clockRegressed(fine, NOW), 'ok'],
    ['clock a second behind', () => clockRegressed({ ...fine, newestRecord: new Date(NOW.getTime() + 1000) }, NOW), 'ok'],
    ['clock a day behind', () => clockRegressed(fine, day(-2)), 'critical'],
    ['no record', () => clockRegressed({ ...fine, newestRecord: undefined }, NOW), 'ok'],
    ['log', () => logVerifies(fine), 'ok'],
    ['log with a problem', () => logVerifies({ ...fine, logProblem: { code: 'log_root_mismatch', detail: 'x' } }), 'critical'],
    ['log never signed', () => logVerifies({ ...fine, checkpointSize: 0 }), 'info'],
    ['kept checkpoint', () => logRolledBack(fine), 'ok'],
    ['kept checkpoint is ahead', () => logRolledBack({ ...fine, kept: 11 }), 'critical'],
    ['a kept checkpoint that is not one', () => logRolledBack({ ...fine, kept: { code: 'note_signature_invalid' } }), 'critical'],
    ['none kept', () => logRolledBack({ ...fine, kept: undefined }), 'info'],
    ['windows: the file alone', () => rollbackWindows(child, 'none', fine), 'info'],
    ['windows: nothing at all', () => rollbackWindows(configOf({ token, logHead: undefined }), 'off', fine), 'warning'],
    ['windows: the HSM', () => rollbackWindows(child, 10, fine), 'ok'],
    ['windows: the HSM knows more than a stopped vault', () => rollbackWindows(child, 11, { ...fine, serving: false }), 'critical'],
    ['windows: the HSM was asked later than the database of a vault that serves', () => rollbackWindows(child, 11, fine), 'ok'],
    ['all covered', () => checkpointAge(fine, NOW), 'ok'],
    ['waiting for minutes while serving', () => checkpointAge(waiting, NOW), 'critical'],
    ['waiting for a moment', () => checkpointAge({ ...waiting, oldestUncovered: NOW }, NOW), 'ok'],
    ['no sinks', () => logSinks([]), 'info'],
    ['sinks that are well', () => logSinks([{ ...SINK, behind: 3, lagSeconds: 1, lagging: false }]), 'ok'],
    ['a sink that lags', () => logSinks([{ ...SINK, behind: 300, lagSeconds: 90, lagging: true }]), 'warning'],
    [
      'a required sink that lags',
      () => logSinks([{ ...SINK, behind: 300, lagSeconds: 90, lagging: true, required: true, refusing: true }]),
      'critical',
    ],
    ['sinks whose document cannot be read', () => logSinks(undefined), 'unknown'],
    ['waiting while stopped', () => checkpointAge({ ...waiting, serving: false }, NOW), 'info'],
  ])('%s', (_, found, severity) => expect(found().severity).toBe(severity));
});

test('rollback windows are said in words: the file, the HSM or why not, the witnesses', () => {
  const kms = configOf({ kms: { region: 'eu-central-1', aliasPrefix: 'v' } });
  const facts = { serving: true, checkpointSize: 10 } as StoredFacts;
  expect(rollbackWindows(child, 10, facts).seen).toMatch(
    /whoever puts it back together with the database; .*HSM \(10 records\): the last second/,
  );
  expect(rollbackWindows(kms, 'none', facts).seen).toContain('the HSM: not available, AWS KMS keeps no data');
  expect(rollbackWindows(child, 'none', facts).seen).toContain('the HSM: keeps no checkpoint');
  expect(rollbackWindows(child, 'off', facts).seen).toContain('logHeadInHsm');
  expect(rollbackWindows(child, { code: 'keeper_unavailable' }, facts).seen).toContain('keeper_unavailable');
});

describe('people', () => {
  const person = (name: string, change: Partial<Person> = {}): Person => ({
    ...{
      name,
      roles: ['approver'],
      authenticator: { id: name, kind: 'totp' },
      workstations: [name],
      since: day(-200),
      lastSeen: day(-1),
      ...change,
    },
  });
  const [alice, bob] = [person('alice'), person('bob')];

  test('the second factor', () => {
    expect(severities(secondFactor([alice, bob]))).toEqual(['warning']);
    expect(severities(secondFactor([person('carol', { authenticator: { id: 'x', kind: 'webauthn' } })]))).toEqual(['ok']);
  });

  test('two approvers who can show a code', () => {
    expect(severities(approvers([alice, bob]))).toEqual(['ok']);
    expect(severities(approvers([alice, person('bob', { authenticator: undefined })]))).toEqual(['critical']);
    expect(severities(approvers([alice, person('bob', { roles: ['publisher'] })]))).toEqual(['critical']);
  });

  test('many roles', () => {
    expect(severities(roles([alice, bob]))).toEqual(['ok']);
    expect(seen(roles([alice, person('bob', { roles: ['a', 'b', 'c', 'd'] })]))).toBe('bob has 4 roles: a, b, c, d');
  });

  test('what two people share', () => {
    expect(severities(sharedWorkstation([alice, bob]))).toEqual(['ok']);
    expect(seen(sharedWorkstation([alice, person('bob', { workstations: ['x', 'alice'] })]))).toBe('alice and bob share a workstation');
    expect(seen(sharedWorkstation([alice, bob, person('carol', { authenticator: { id: 'bob', kind: 'totp' } })]))).toBe(
      'bob and carol share an authenticator',
    );
    expect(severities(sharedWorkstation([person('a', { authenticator: undefined }), person('b', { authenticator: undefined })]))).toEqual([
      'ok',
    ]);
  });

  test('who has not been here', () => {
    expect(severities(dormant([alice, person('new', { since: day(-1), lastSeen: undefined })], NOW))).toEqual(['ok']);
    expect(seen(dormant([alice, person('bob', { lastSeen: day(-91) })], NOW))).toBe('bob: nothing for 91 days');
    expect(seen(dormant([person('bob', { lastSeen: undefined })], NOW))).toBe('bob: nothing for 200 days');
  });
});

describe('what releases are decided by', () => {
  let anchor: string;
  beforeAll(async () => {
    const { certificatePem } = await issueSelfSigned({ commonName: 'root', days: 365, now: NOW });
    anchor = certificatePem.replaceAll(/-----[^-]+-----|\s/g, '');
  });
  const pcrs = { sha256: { '7': ['a'.repeat(64)] } };
  const value = (id: string, expires?: string) => ({ id, kind: 'tpm2' as const, pcrs, ...(expires && { expires }) });
  const space = (change: Partial<Collateral> = {}): Collateral => ({
    ...{ namespace: 'default', policies: { a: 'permit (…) when { context.evidence.matched.contains("image-1") };' } },
    ...{ referenceValues: [value('image-1')], trustAnchors: [{ kind: 'tpm2', name: 'root', certificate: anchor }], ...change },
  });

  test('policies', () => {
    expect(severities(policySet([space()]))).toEqual(['ok']);
    expect(severities(policySet([space({ policies: undefined })]))).toEqual(['warning']);
    expect(severities(policySet([space(), space({ namespace: 'prod', policies: {} })]))).toEqual(['warning']);
    expect(severities(policySet([]))).toEqual(['ok']);
  });

  test('reference values', () => {
    const with_ = (expires?: string) => referenceValues([space({ referenceValues: [value('image-1', expires)] })], NOW);
    expect(severities(with_())).toEqual(['ok']);
    expect(severities(with_(day(31).toISOString()))).toEqual(['ok']);
    expect(seen(with_(day(29).toISOString()))).toBe('default: image-1: expires in 29 days');
    expect(seen(with_(day(-1).toISOString()))).toContain('image-1: expired');
    expect(severities(referenceValues([space({ referenceValues: undefined })], NOW))).toEqual(['warning']);
  });

  test('reference values that no policy names', () => {
    expect(severities(referenceUnnamed([space()]))).toEqual(['ok']);
    const other = [space({ referenceValues: [value('image-1'), value('image-10')] })];
    expect(seen(referenceUnnamed(other))).toBe('default: no policy names image-10');
    expect(severities(referenceUnnamed([space({ policies: undefined })]))).toEqual(['warning']);
  });

  test('reference values that matched nothing', () => {
    const since = day(-31);
    const unmatched = (change: Partial<Collateral>) => referenceUnmatched([space({ referenceValuesSince: since, ...change })], NOW);
    expect(severities(unmatched({ lastMatched: new Map([['image-1', day(-29)]]) }))).toEqual(['ok']);
    expect(seen(unmatched({ lastMatched: new Map([['image-1', day(-31)]]) }))).toBe('default: image-1 matched nothing for 30 days');
    expect(severities(unmatched({ lastMatched: new Map([['image-10', NOW]]) }))).toEqual(['warning']);
    expect(severities(unmatched({ referenceValuesSince: day(-29) }))).toEqual(['ok']);
    const many = Array.from({ length: 12 }, (_, at) => value(`image-${at}`));
    expect(seen(unmatched({ referenceValues: many }))).toContain('image-9 and 2 more matched nothing');
  });

  test('what makers publish', () => {
    const list = (expiresAt?: Date) => publications([{ type: 'amd-crl', key: 'Milan', ...(expiresAt && { expiresAt }) }], NOW);
    expect(severities(list())).toEqual(['ok']);
    expect(severities(list(day(8)))).toEqual(['ok']);
    expect(seen(list(day(6)))).toBe('amd-crl Milan: expires in 6 days');
    expect(seen(list(day(-1)))).toContain('amd-crl Milan: expired');
    expect(severities(publications([], NOW))).toEqual(['ok']);
  });

  test('trust anchors', () => {
    expect(severities(trustAnchors([space()], NOW))).toEqual(['ok']);
    expect(seen(trustAnchors([space()], day(300)))).toBe('default: root: expires in 65 days');
    expect(seen(trustAnchors([space()], day(366)))).toContain('root: expired');
    expect(severities(trustAnchors([space({ trustAnchors: undefined })], NOW))).toEqual(['warning']);
    expect(seen(trustAnchors([space({ trustAnchors: [{ kind: 'tpm2', name: 'root', certificate: 'AAAA' }] })], NOW))).toContain(
      'cannot be read',
    );
  });
});

describe('docs/doctor.md', () => {
  test('lists every finding as the code does', () => {
    const page = tableRows('docs/doctor.md').filter(([id = '']) => !SEVERITIES.some((one) => one === id));
    expect(page).toEqual(Object.entries(FINDINGS).map(([id, [looksAt, toDo]]) => [id, looksAt, toDo]));
  });

  test('explains every severity', () => {
    const rows = tableRows('docs/doctor.md').map(([id]) => id);
    for (const severity of SEVERITIES) expect(rows).toContain(severity);
  });
});

test('the worst decides', () => {
  const of = (...all: Finding['severity'][]) => worstOf(all.map((severity) => ({ id: 'swap', severity, seen: '' })));
  expect([of(), of('ok', 'info'), of('warning', 'unknown'), of('ok', 'critical', 'warning')]).toEqual([
    'ok',
    'info',
    'warning',
    'critical',
  ]);
});

describe('a real vault', () => {
  const root = mkdtempSync(join(tmpdir(), 'wv-doctor-'));
  const at = (...parts: string[]) => join(root, ...parts);
  const config = at('vault', 'vault.json');
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  beforeAll(async () => {
    writeFileSync(at('token.json'), JSON.stringify(await setupDevelopmentToken({ folder: at('token'), label: 'doctor' })));
    await wvJson(...initArgs(at));
  });

  const look = async (facts: Facts = machineFacts(new Date())) => {
    const findings = await examine(config, facts);
    return { findings, of: (id: string) => severities(findings.filter((one) => one.id === id)) };
  };

  test('stopped: every probe says something, nothing is critical, and the files are as they were', async () => {
    const { findings, of } = await look();
    expect(new Set(findings.map(({ id }) => id))).toEqual(new Set(Object.keys(FINDINGS)));
    expect(findings.filter(({ severity }) => severity === 'critical')).toEqual([]);
    expect([of('configuration'), of('file_modes'), of('database_schema'), of('database_integrity'), of('approvers')]).toEqual(
      Array(5).fill(['ok']),
    );
    expect([of('keeper'), of('keys_apart'), of('software_keys'), of('second_factor')]).toEqual([
      ['unknown'],
      ['warning'],
      ['warning'],
      ['warning'],
    ]);
    expect(seen(findings.filter(({ id }) => id === 'roles'))).toMatch(/alice has \d roles/);
  });

  test('serving: the keeper answers and the log verifies', async () => {
    const server = await startServer(at('vault'));
    try {
      const asked = async () => {
        const { of } = await look();
        return [of('keeper'), of('log_verifies'), of('log_rolled_back'), of('checkpoint_age')].flat();
      };
      await until(async () => (await asked()).every((one) => one === 'ok')); // it signs its first checkpoint now
      expect(await asked()).toEqual(Array(4).fill('ok'));
      expect(runningProcesses(machineFacts(NOW), loadConfig(config))).toEqual([
        { what: 'vault', pid: server.pid },
        { what: 'keeper', pid: keeperPid(server) },
      ]);
    } finally {
      await server.stop();
    }
  });

  test('serving with addresses of publications: the plane of people reads them at once, and serves whatever they answer', async () => {
    const asked: string[] = [];
    const mirror = createServer(({ url = '' }, response) => {
      asked.push(url);
      response.writeHead(404).end();
    });
    await new Promise<void>((listening) => mirror.listen(0, '127.0.0.1', listening));
    const url = `http://127.0.0.1:${(mirror.address() as AddressInfo).port}/l1-root.crl`;
    const before = readFileSync(config, 'utf8');
    const collateral = { everyHours: 12, sources: [{ of: 'file', name: 'l1-root', url }] };
    writeFileSync(config, JSON.stringify({ ...JSON.parse(before), collateral }));
    try {
      const server = await startServer(at('vault'), 'admin');
      const told = () => server.log.some((line) => line.includes('a publication was not read again') && line.includes('HTTP status 404'));
      await until(async () => told());
      expect([asked, told(), await server.stop()]).toEqual([['/l1-root.crl'], true, 0]);
    } finally {
      writeFileSync(config, before);
      mirror.close();
    }
  });

  test('as a command: a table and 0, or JSON; 3 as soon as something is critical', async () => {
    const plain = await wv('doctor', '--config', config);
    expect([plain.exit, plain.err]).toEqual([0, '']);
    expect(plain.out).toMatch(/^warning {2}software_keys: SoftHSM/m);
    expect(plain.out).toMatch(/^0 critical, \d+ warnings/m);
    chmodSync(at('vault', 'tls', 'admin.key'), 0o644);
    const { exit, out } = await wv('doctor', '--config', config, '--json');
    chmodSync(at('vault', 'tls', 'admin.key'), 0o600);
    expect(exit).toBe(3);
    const { worst, findings } = JSON.parse(out);
    expect(worst).toBe('critical');
    expect(findings).toContainEqual({
      ...{ id: 'file_modes', severity: 'critical', seen: 'the key of the admin plane is open to others: mode 644' },
      toDo: FINDINGS.file_modes[1],
    });
  });

  test('--ready says 4 when nobody serves, and 2 for ports that cannot be known', async () => {
    expect((await wv('doctor', '--config', config, '--ready')).exit).toBe(2);
    const fixed = JSON.parse(readFileSync(config, 'utf8'));
    writeFileSync(
      at('vault', 'fixed.json'),
      JSON.stringify({ ...fixed, dataPlane: { ...fixed.dataPlane, port: 1 }, adminPlane: { ...fixed.adminPlane, port: 2 } }),
    );
    const { exit, err } = await wv('doctor', '--config', at('vault', 'fixed.json'), '--ready');
    expect([exit, err]).toEqual([4, expect.stringContaining('data plane down, admin plane down')]);
  });

  test('pieces that are missing, damaged or of another vault are findings, never a crash', async () => {
    const without = async (path: string, work: () => Promise<void>) => {
      renameSync(at('vault', path), at('vault', `${path}.away`));
      await work();
      rmSync(at('vault', path), { force: true });
      renameSync(at('vault', `${path}.away`), at('vault', path));
    };
    await without('vault.db', async () => {
      const { of } = await look();
      expect([of('database_schema'), of('log_verifies'), of('approvers'), of('keys_apart')]).toEqual([
        ['critical'],
        ['unknown'],
        ['unknown'],
        ['unknown'],
      ]);
      writeFileSync(at('vault', 'vault.db'), 'this is not a database'.repeat(100), { mode: 0o600 });
      expect((await look()).of('database_schema')).toEqual(['critical']);
    });
    await without('tls/data.crt', async () => expect((await look()).of('tls_certificate')).toEqual(['critical']));
    await without('vault.json', async () => {
      const { findings, of } = await look();
      expect([of('configuration'), of('swap').length, findings.length]).toEqual([['critical'], 1, 9]);
      writeFileSync(config, '{"vaultId": 7}');
      expect((await look()).of('configuration')).toEqual(['critical']);
    });
    const other = JSON.parse(readFileSync(config, 'utf8'));
    await without('vault.json', async () => {
      writeFileSync(config, JSON.stringify({ ...other, vaultDocument: 'b'.repeat(64) }));
      const { of } = await look();
      expect([of('log_verifies'), of('approvers'), of('policy_set'), of('database_integrity')]).toEqual([
        ['critical'],
        ['unknown'],
        ['unknown'],
        ['ok'],
      ]);
    });
    const throwing = {
      ...machineFacts(new Date()),
      text: () => {
        throw Object.assign(new Error('no'), { code: 'EPERM' });
      },
    };
    const { findings, of } = await look(throwing);
    expect([of('swap'), of('core_dumps'), of('tls_certificate')]).toEqual([['unknown'], ['unknown'], ['unknown']]);
    expect(seen(findings.filter(({ id }) => id === 'swap'))).toBe('EPERM');
  });

  test('a kept checkpoint of another log is found', async () => {
    const head = at('vault', 'log-head');
    const note = readFileSync(head, 'utf8');
    writeFileSync(head, note.replace(/\n\d+\n/, '\n99\n'));
    const { of } = await look();
    writeFileSync(head, note);
    expect([of('log_rolled_back'), of('log_verifies'), of('database_schema')]).toEqual([['critical'], ['ok'], ['ok']]);
  });

  test('a record altered in the database is found', async () => {
    const { default: Database } = await import('better-sqlite3');
    const db = new Database(at('vault', 'vault.db'));
    const bundles = db.prepare("SELECT path, bytes FROM log_tiles WHERE path LIKE 'tile/entries/%'").all() as Array<{
      path: string;
      bytes: Buffer;
    }>;
    for (const { path, bytes } of bundles) {
      bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 1;
      db.prepare('UPDATE log_tiles SET bytes = ? WHERE path = ?').run(bytes, path);
    }
    db.close();
    const { of } = await look();
    expect(of('log_verifies')).toEqual(['critical']);
  });
});
