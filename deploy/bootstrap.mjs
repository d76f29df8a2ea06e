// One door for every command: sees that the machine has what the command needs, then runs it under the project's own Node 24.
//
//   node deploy/bootstrap.mjs setup | test [jest arguments] | check | demo [arguments] | soak [arguments] | bench [arguments]
//
// Needs Node 20 and nothing else. Each step first looks whether there is work, so a second run costs a moment. Words about
// set-up go to standard error; standard output belongs to the command.
import { spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { constants as system, tmpdir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, 'node_modules');
const node24 = join(modules, 'node', 'bin', 'node');
const quiet = '--disable-warning=ExperimentalWarning';
const vmModules = '--experimental-vm-modules'; // jest runs our ES modules through it
const secondLookFiles = 3; // more failed test files than that are no chance
const jest = [quiet, vmModules, join(modules, 'jest', 'bin', 'jest.js')];

const commands = {
  setup: {
    steps: [systemPackages, tokenPackages, faultPackages, pythonPackages, benchClient, goTools, npmPackages, pinnedNode, nativeModules],
    run: async () => 0,
  },
  test: {
    steps: [
      systemPackages,
      tokenPackages,
      faultPackages,
      pythonPackages,
      ocsfSchema,
      benchClient,
      goTools,
      npmPackages,
      pinnedNode,
      nativeModules,
    ],
    run: runTests,
  },
  check: { steps: [npmPackages, pinnedNode], run: runChecks },
  demo: {
    steps: [systemPackages, pythonPackages, npmPackages, pinnedNode, nativeModules],
    run: (args) => runNode(['deploy/demo/main.ts', ...args]),
  },
  soak: {
    steps: [systemPackages, faultPackages, tokensOfTheSoak, goTools, npmPackages, pinnedNode, nativeModules],
    run: runSoak,
  },
  bench: { steps: [systemPackages, benchClient, npmPackages, pinnedNode, nativeModules], run: runBench },
};

/** A step that cannot go on: its message is all that is printed. */
class SetupError extends Error {}

process.exitCode = await main(process.argv[2], process.argv.slice(3));

async function main(name, args) {
  if (!Object.hasOwn(commands, name ?? '')) return usage();
  const command = commands[name];
  try {
    for (const step of command.steps) await step();
    usePinnedNode();
  } catch (error) {
    console.error(`set-up: ${error instanceof SetupError ? error.message : `failed: ${error?.message ?? error}`}`);
    if (name === 'test') console.log(closingLine());
    return 1;
  }
  return await command.run(args);
}

function usage() {
  console.error(`usage: node deploy/bootstrap.mjs ${Object.keys(commands).join(' | ')}`);
  return 2;
}

// --- a. system packages -----------------------------------------------------------------------------------------------------

/** What must be there, and the Debian packages (first known one wins) that bring it. */
function systemNeeds() {
  return [
    { there: () => hasCommand('softhsm2-util') && hasLibrary('softhsm/libsofthsm2.so', 'pkcs11/libsofthsm2.so'), packages: ['softhsm2'] },
    { there: () => hasCommand('swtpm'), packages: ['swtpm'] },
    { there: () => hasCommand('swtpm_setup') && hasCommand('swtpm_localca'), packages: ['swtpm-tools'] },
    { there: () => hasCommand('tpm2_quote'), packages: ['tpm2-tools'] },
    { there: () => hasLibrary('libtss2-tcti-swtpm.so.0'), packages: ['libtss2-tcti-swtpm0', 'libtss2-tcti-swtpm0t64'] },
    { there: () => hasCommand('openssl'), packages: ['openssl'] },
    { there: () => hasCommand('g++'), packages: ['g++'] },
    { there: () => hasCommand('make'), packages: ['make'] },
    { there: () => hasCommand('python3'), packages: ['python3'] },
  ];
}

function systemPackages() {
  return provide(systemNeeds);
}

/**
 * The tokens that the keys' contract suite runs on besides SoftHSM, and the syslog receiver that sinks are tried with. One that cannot be had leaves its
 * tests skipped, with the reason. Some of the packages start a service where there is systemd: there, they are for the machine's owner to install.
 */
async function tokenPackages() {
  const services = existsSync('/run/systemd/system');
  const daemon = (name, packages) => ({ there: () => services || isExecutable(join('/usr/sbin', name)), packages });
  try {
    await provide(() => [
      { there: () => hasLibrary('libsoftokn3.so', 'nss/libsoftokn3.so'), packages: ['libnss3'] },
      { there: () => hasCommand('certutil'), packages: ['libnss3-tools'] },
      { there: () => hasLibrary('pkcs11/libtpm2_pkcs11.so', 'libtpm2_pkcs11.so.1'), packages: ['libtpm2-pkcs11-1'] },
      { there: () => hasLibrary('libtss2-tcti-tabrmd.so.0'), packages: ['libtss2-tcti-tabrmd0'] },
      { there: () => hasCommand('dbus-daemon'), packages: ['dbus', 'dbus-daemon'] },
      daemon('tpm2-abrmd', ['tpm2-abrmd']),
      daemon('pkcsslotd', ['opencryptoki']),
      daemon('rsyslogd', ['rsyslog']),
      { there: () => services || hasLibrary('rsyslog/lmnsd_gtls.so'), packages: ['rsyslog-gnutls'] },
    ]);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`tests of some tokens and receivers will be skipped: ${error.message}`);
  }
}

/** `soak --only tokens` tries every token there is, and builds one from its Rust crate; cargo itself is for the machine's owner to bring. */
async function tokensOfTheSoak() {
  if (!process.argv.includes('tokens')) return;
  await tokenPackages();
  const llvm = () => readdirSync('/usr/lib').filter((name) => name.startsWith('llvm-'));
  const libclang = () => hasLibrary('libclang.so') || llvm().some((name) => existsSync(join('/usr/lib', name, 'lib', 'libclang.so')));
  await provide(() => [
    { there: () => existsSync('/usr/include/openssl/ssl.h'), packages: ['libssl-dev'] },
    { there: () => existsSync('/usr/include/sqlite3.h'), packages: ['libsqlite3-dev'] },
    { there: () => hasCommand('pkg-config'), packages: ['pkg-config'] },
    { there: libclang, packages: ['libclang-dev'] },
  ]);
}

/** What the fault tests fail system calls with. Without it, or where tracing is not allowed, they are skipped and say so. */
async function faultPackages() {
  try {
    await provide(() => [{ there: () => hasCommand('strace'), packages: ['strace'] }]);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`tests that inject faults will be skipped: ${error.message}`);
  }
}

/** The Python client of the demo and of the end-to-end tests lives in a virtual environment. */
function pythonPackages() {
  const canMakeVenv = () => spawnSync('python3', ['-c', 'import venv, ensurepip'], { stdio: 'ignore' }).status === 0;
  return provide(() => [
    { there: canMakeVenv, packages: ['python3-venv'] },
    { there: canMakeVenv, packages: ['python3-pip'] },
  ]);
}

/**
 * The published OCSF schema as JSON Schema, for the test of that export: ocsf-json-schema carries it (Apache-2.0). A machine that cannot have it
 * skips that part of the test, with the reason.
 */
async function ocsfSchema() {
  const folder = join(root, '.cache', 'ocsf');
  const schema = join(folder, '1.8.0.json');
  const maker = join(root, 'test', 'audit', 'ocsf-schema.py');
  if (existsSync(schema) && statSync(schema).mtimeMs > statSync(maker).mtimeMs) return;
  say('unpacking the OCSF schema');
  mkdirSync(folder, { recursive: true });
  const wanted = ['--no-deps', '--require-hashes', '-r', join(root, 'test', 'audit', 'ocsf-schema.txt')];
  const install = await capture([
    'python3',
    '-m',
    'pip',
    'install',
    '-q',
    '--disable-pip-version-check',
    '--upgrade',
    '--target',
    folder,
    ...wanted,
  ]);
  const made = install.code === 0 ? await capture(['python3', maker, folder, schema]) : install;
  if (made.code !== 0) say(`no OCSF schema: its test is skipped\n${tail(made.output)}`);
}

function benchClient() {
  return provide(() => [{ there: () => hasCommand('curl'), packages: ['curl'] }]);
}

/**
 * What the tests need and only Go has, built from sources that each folder's go.sum pins into .cache/NAME/NAME; anew when its folder changed.
 * Tests without their program are skipped and say so.
 */
function goPrograms() {
  return {
    'kms-emulator': join('deploy', 'kms-emulator'),
    'foreign-verifiers': join('test', 'audit', 'foreign-verifiers'),
    'tessera-fsck': join('test', 'audit', 'tessera-fsck'), // wants Go 1.25
    'workload-agent': join('test', 'attestation', 'workload-agent'),
  };
}

async function goTools() {
  const stale = Object.entries(goPrograms()).filter(([name, source]) => changedSince(join(root, source), goBinary(name)));
  if (stale.length === 0) return;
  await provide(() => [{ there: () => hasCommand('go'), packages: ['golang-go'] }]);
  for (const [name, source] of stale) await buildGo(name, join(root, source));
}

function goBinary(name) {
  return join(root, '.cache', name, name);
}

function changedSince(folder, file) {
  if (!existsSync(file)) return true;
  return readdirSync(folder).some((name) => statSync(join(folder, name)).mtimeMs > statSync(file).mtimeMs);
}

async function buildGo(name, source, program = '.') {
  say(`building ${name}`);
  const fresh = `${goBinary(name)}.${process.pid}`; // renamed at the end: another run may be starting the old one
  mkdirSync(dirname(fresh), { recursive: true });
  const { code, output } = await capture([
    'env',
    '-C',
    source,
    'GOTOOLCHAIN=local', // the Go that is here, or no program: none is downloaded for it
    'go',
    'build',
    '-mod=readonly',
    '-buildvcs=false',
    '-trimpath',
    '-o',
    fresh,
    program,
  ]);
  if (code === 0) renameSync(fresh, goBinary(name));
  else say(`no ${name}: the tests that need it are skipped\n${tail(output)}`);
}

/**
 * The servers that the benchmark compares with. Debian's packages of them are unpacked, not installed: installing nginx starts a web server.
 * One that cannot be had leaves its column empty and stops nothing.
 */
function fetchPeers() {
  const folder = join(root, '.cache', 'peers');
  const places = ['/usr/sbin', join(folder, 'usr', 'sbin'), join(folder, 'usr', 'bin')];
  const has = (command) => hasCommand(command) || places.some((place) => isExecutable(join(place, command)));
  // Which package holds the binary differs between releases.
  const peers = { nginx: ['nginx', 'nginx-light', 'nginx-core'], rclone: ['rclone'] };
  for (const [command, packages] of Object.entries(peers)) {
    if (has(command)) continue;
    say(`unpacking ${command} into .cache/peers, to compare with`);
    for (const name of packages) if (!has(command)) unpackPackage(name, folder);
    if (!has(command))
      say(`no ${command}: its column stays empty. To have it: sudo apt-get install -y --no-install-recommends ${packages[0]}`);
  }
}

/** Downloads the package as any user may, asking for newer lists once when that is allowed; silent when it cannot. */
function unpackPackage(name, folder) {
  const at = mkdtempSync(join(tmpdir(), 'wv-peer-'));
  mkdirSync(folder, { recursive: true });
  try {
    const download = () => spawnSync('apt-get', ['-q', 'download', name], { cwd: at, stdio: 'ignore' }).status === 0;
    const [sudo, ...rest] = [...(sudoPrefix() ?? ['false']), 'apt-get', '-q', 'update'];
    if (!download() && (spawnSync(sudo, rest, { stdio: 'ignore' }).status !== 0 || !download())) return;
    for (const file of readdirSync(at)) spawnSync('dpkg-deb', ['--extract', join(at, file), folder], { stdio: 'ignore' });
  } finally {
    rmSync(at, { recursive: true, force: true });
  }
}

async function provide(needs) {
  const missing = () => needs().filter((need) => !need.there());
  const wanted = missing();
  if (wanted.length === 0) return;
  const names = wanted.map((need) => need.packages[0]);
  if (!hasCommand('apt-get')) {
    throw new SetupError(
      `missing: ${names.join(' ')} (Debian package names). This is not Debian or Ubuntu: install their like, then run again.`,
    );
  }
  const sudo = sudoPrefix();
  if (sudo === undefined) {
    throw new SetupError(
      `missing system packages; run this, then try again:\nsudo apt-get update && sudo apt-get install -y --no-install-recommends ${knownNames(wanted).join(' ')}`,
    );
  }
  say(`installing system packages: ${names.join(' ')}`);
  await aptInstall(sudo, wanted);
  const still = missing().flatMap((need) => need.packages[0]);
  if (still.length > 0) throw new SetupError(`installed, but still not found: ${still.join(' ')}`);
}

async function aptInstall(sudo, wanted) {
  const apt = [...sudo, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', '-o', 'DPkg::Lock::Timeout=120'];
  const update = await capture([...apt, 'update']); // a dead third-party source fails this; the install below may work all the same
  const install = await capture([...apt, 'install', '-y', '--no-install-recommends', ...knownNames(wanted)]);
  if (install.code !== 0)
    throw new SetupError(`apt-get install failed\n${tail((update.code === 0 ? '' : update.output) + install.output)}`);
}

function sudoPrefix() {
  if (process.getuid?.() === 0) return [];
  return spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0 ? ['sudo', '-n'] : undefined;
}

/** Names differ between releases (Ubuntu 24.04 added t64 to some): the last one that apt can install here is the real one. */
function knownNames(wanted) {
  const known = (name) =>
    /Candidate: (?!\(none\))/.test(
      spawnSync('apt-cache', ['policy', name], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } }).stdout ?? '',
    );
  return wanted.map(({ packages }) => packages.findLast(known) ?? packages[0]);
}

function hasCommand(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/bin', '/usr/bin', '/bin'];
  return folders.some((folder) => folder !== '' && isExecutable(join(folder, name)));
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function hasLibrary(...names) {
  const folders = ['/usr/lib', '/usr/lib64', '/usr/local/lib', '/lib', ...tripletFolders()];
  return folders.some((folder) => names.some((name) => existsSync(join(folder, name))));
}

function tripletFolders() {
  return readdirSync('/usr/lib')
    .filter((name) => name.includes('-linux-gnu'))
    .map((name) => join('/usr/lib', name));
}

// --- b. npm packages --------------------------------------------------------------------------------------------------------

/**
 * Installed without any install script; the two packages in package.json's `allowScripts` run theirs below. npm 11 would do
 * the same by that list, npm 10 would run them all: this way both end alike.
 */
async function npmPackages() {
  if (installedIsLocked()) return;
  say('installing npm packages');
  await npm('npm ci failed', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']);
}

/** npm writes what it installed to node_modules/.package-lock.json: compare that with the lock, and the lock with package.json. */
function installedIsLocked() {
  const wanted = readJson(join(root, 'package-lock.json'))?.packages;
  const installed = readJson(join(modules, '.package-lock.json'))?.packages;
  const manifest = readJson(join(root, 'package.json'));
  if (!wanted || !installed || !manifest) return false;
  const same = (kind) => JSON.stringify(manifest[kind] ?? {}) === JSON.stringify(wanted['']?.[kind] ?? {});
  return (
    same('dependencies') &&
    same('devDependencies') &&
    Object.entries(wanted).every(([path, entry]) => isInstalled(path, entry, installed[path]))
  );
}

function isInstalled(path, wanted, installed) {
  if (path === '') return true;
  if (installed === undefined) return wanted.optional === true; // made for another platform
  return installed.version === wanted.version && installed.integrity === wanted.integrity && existsSync(join(root, path, 'package.json'));
}

// --- c. Node 24 -------------------------------------------------------------------------------------------------------------

/** The package `node` fetches the binary for this platform in its install script, and links it to bin/node. */
async function pinnedNode() {
  const wanted = `v${readJson(join(modules, 'node', 'package.json'))?.version}`;
  const actual = () => spawnSync(node24, ['-v'], { encoding: 'utf8' }).stdout?.trim();
  if (actual() === wanted) return;
  say(`fetching Node ${wanted}`);
  const output = await npm(`fetching Node ${wanted} failed`, ['rebuild', 'node', '--ignore-scripts=false', '--foreground-scripts']);
  if (actual() !== wanted) throw new SetupError(`Node ${wanted} is not in node_modules/node after fetching it\n${tail(output)}`);
}

// --- d. native modules ------------------------------------------------------------------------------------------------------

async function nativeModules() {
  if (loads('pkcs11js').code !== 0) {
    say('building pkcs11js');
    const output = await npm(
      'building pkcs11js failed',
      ['rebuild', 'pkcs11js', '--ignore-scripts=false', '--foreground-scripts'],
      buildEnvironment(),
    );
    const again = loads('pkcs11js');
    if (again.code !== 0) throw new SetupError(`pkcs11js was built but does not load\n${tail(output + again.output)}`);
  }
}

/** A load in Node 24 is the only proof: a file left from another Node or another machine may be there and not work. */
function loads(name) {
  const { status, stderr } = spawnSync(node24, ['-e', `require(${JSON.stringify(name)})`], { cwd: root, encoding: 'utf8' });
  return { code: status, output: stderr ?? '' };
}

/** node-gyp would download headers from nodejs.org; the binary's own npm package has them. It builds for the node first in PATH: ours. */
function buildEnvironment() {
  const places = [join(modules, 'node', 'node_modules'), modules];
  const folders = places.flatMap((place) =>
    existsSync(place)
      ? readdirSync(place)
          .filter((name) => /^node-/.test(name))
          .map((name) => join(place, name))
      : [],
  );
  const headers = folders.find((folder) => existsSync(join(folder, 'include', 'node', 'node_api.h')));
  return { ...pinnedEnvironment(), ...(headers === undefined ? {} : { npm_config_nodedir: headers }) };
}

// --- e. the commands --------------------------------------------------------------------------------------------------------

function usePinnedNode() {
  Object.assign(process.env, pinnedEnvironment());
}

function pinnedEnvironment() {
  return { ...process.env, PATH: [dirname(node24), join(modules, '.bin'), process.env.PATH ?? ''].join(delimiter) };
}

function runNode(args) {
  return run(node24, [quiet, ...args]);
}

/**
 * jest, then as the very last line of standard output what a CI reads: `12 passed, 0 failed` (and `, 1 skipped`). In a run of everything, a few
 * files that failed are run once more, alone, and the second outcome counts; the first is told all the same (docs/decisions/019).
 */
async function runTests(args) {
  const first = await jestCounts(args);
  const failed = first.counts?.failedFiles ?? [];
  if (args.length > 0 || failed.length === 0 || failed.length > secondLookFiles) return closed(first);

  const paths = failed.map(({ path }) => path);
  console.log(`\nrun again, alone: ${paths.join(' ')}`);
  const second = await jestCounts(['--runInBand', '--runTestsByPath', ...paths]);
  const stillFailing = second.counts?.failedFiles.map(({ path }) => path) ?? paths;
  for (const path of paths)
    console.log(`${path}: failed beside the others, ${stillFailing.includes(path) ? 'and alone' : 'PASSED ALONE: find out why'}`);
  return closed({ code: second.code, counts: second.counts && withSecondLook(first.counts, second.counts) });
}

/** jest's exit code, and its counts unless it died before it had any. */
async function jestCounts(args) {
  const folder = mkdtempSync(join(tmpdir(), 'wv-jest-'));
  process.env.WV_JEST_SUMMARY = join(folder, 'summary.json');
  try {
    return { code: await run(node24, [...jest, ...args]), counts: readJson(process.env.WV_JEST_SUMMARY) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The counts of the first run, with those of the files that failed in it replaced by what they did alone. */
function withSecondLook(first, second) {
  const without = (kind) => first[kind] - first.failedFiles.reduce((sum, file) => sum + file[kind], 0);
  return Object.fromEntries(['passed', 'failed', 'skipped'].map((kind) => [kind, without(kind) + second[kind]]));
}

function closed({ code, counts }) {
  console.log(closingLine(counts));
  const nothingRan = !counts || counts.passed + counts.failed === 0;
  return code === 0 && nothingRan ? 1 : code;
}

function closingLine({ passed = 0, failed = 0, skipped = 0 } = {}) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/** What one of the soaks needs is fetched only for a run of it. */
async function runSoak(args) {
  if (args.includes('object-lock')) await lockingServer();
  return await runNode(['test/soak/soak.ts', ...args]);
}

/** A server that speaks S3 with Object Lock, and the client that the operating page names. Without them that soak says so. */
async function lockingServer() {
  const source = join(root, 'test', 'soak', 's3-server');
  try {
    await provide(() => [{ there: () => hasCommand('aws'), packages: ['awscli'] }]);
    if (!changedSince(source, goBinary('s3-server'))) return;
    await provide(() => [{ there: () => hasCommand('go'), packages: ['golang-go'] }]);
    await buildGo('s3-server', source, 'github.com/versity/versitygw/cmd/versitygw');
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
  }
}

/** Peers are fetched only for a run that measures them. */
async function runBench(args) {
  if (!args.includes('--no-peers')) fetchPeers();
  return await runNode(['bench/main.ts', ...args]);
}

/** All of them, so that one look shows everything there is to mend. */
async function runChecks(args) {
  const bin = (name) => join(modules, '.bin', name);
  const types = await run(bin('tsc'), ['-p', root]);
  const style = await run(bin('biome'), ['check', ...args]);
  const tidy = await run(node24, [...jest, '--passWithNoTests', 'test/tidy']);
  return types || style || tidy;
}

// --- running others ---------------------------------------------------------------------------------------------------------

/** Runs with our own input and output, hands signals on, and resolves to the exit code as a shell would give it. */
function run(file, args) {
  return new Promise((done) => {
    const child = spawn(file, args, { cwd: root, stdio: 'inherit' });
    const handlers = forwardSignals(child);
    const finish = (code) => {
      for (const [signal, handler] of handlers) process.removeListener(signal, handler);
      done(code);
    };
    child.on('error', (error) => {
      console.error(`cannot run ${basename(file)}: ${error.message}`);
      finish(127);
    });
    child.on('close', (code, signal) => finish(code ?? 128 + (system.signals[signal] ?? 0)));
  });
}

/** Ctrl-C in a terminal reaches the child by itself (same process group): sending it again would look like pressing it twice. */
function forwardSignals(child) {
  const handler = (signal) => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  };
  const handlers = ['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => [signal, () => handler(signal)]);
  for (const [signal, forward] of handlers) process.on(signal, forward);
  return handlers;
}

/** The npm that started us, or the one in PATH. Returns its output, or throws with the end of it. */
async function npm(failure, args, env = process.env) {
  const own = process.env.npm_execpath ?? '';
  const starter = basename(own) === 'npm-cli.js' ? [process.execPath, own] : ['npm'];
  const { code, output } = await capture([...starter, ...args], env);
  if (code !== 0) throw new SetupError(`${failure}\n${tail(output)}`);
  return output;
}

function capture([file, ...args], env = process.env) {
  return new Promise((done) => {
    const child = spawn(file, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (piece) => (output += piece));
    child.stderr.on('data', (piece) => (output += piece));
    child.on('error', (error) => done({ code: 127, output: `cannot run ${file}: ${error.message}` }));
    child.on('close', (code) => done({ code: code ?? 1, output }));
  });
}

/** The end of an output; npm puts its reason first and pages of help after it, so there: what led to the reason, and the reason. */
function tail(output) {
  const lines = output.trimEnd().split('\n');
  const reason = lines.findIndex((line) => line.startsWith('npm error'));
  return (reason < 0 ? lines.slice(-15) : lines.slice(Math.max(0, reason - 8), reason + 12)).join('\n');
}

function say(words) {
  console.error(`set-up: ${words}`);
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
