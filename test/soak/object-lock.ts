/**
 * The immutable copy, for real: a mirror of a log on a server that speaks S3 with Object Lock (versitygw), by the very commands of docs/operating.md. Whoever has
 * the bucket's keys can add versions and hide files, and loses nothing: what was there can be had again, and verifies.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mirrorLog } from '../../src/audit/mirror.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { copyIn } from '../../src/cli/log-source.ts';
import { mirrorFolder } from '../../src/cli/mirror-folder.ts';
import { appendRecords, createLogKey, publishedFiles, sequencerOn, sourceOf } from '../audit/small-log.ts';

const SERVER = join(import.meta.dirname, '..', '..', '.cache', 's3-server', 's3-server');
const PAGE = join(import.meta.dirname, '..', '..', 'docs', 'operating.md');
const BUCKET = 'example-access-log';
const KEYS = { AWS_ACCESS_KEY_ID: 'soak', AWS_SECRET_ACCESS_KEY: 'soaksoaksoak', AWS_DEFAULT_REGION: 'us-east-1' };
/** Full tiles and partial ones. */
const [RECORDS, MORE] = [700, 300];

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

interface Version {
  readonly Key: string;
  readonly VersionId: string;
  readonly LastModified: string;
}

/** What did not hold. */
export async function lockCopies(): Promise<readonly string[]> {
  const missing = [existsSync(SERVER) ? undefined : 's3-server (Go 1.25)', hasAws() ? undefined : 'aws'].filter((one) => one !== undefined);
  if (missing.length > 0) return [`not found, so nothing was tried: ${missing.join(', ')}`];
  const folder = mkdtempSync(join(tmpdir(), 'wv-lock-'));
  const server = await startServer(folder);
  try {
    return await copyAndAttack(folder, server.aws);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

type Aws = (...args: readonly string[]) => Promise<Ran>;

async function copyAndAttack(folder: string, aws: Aws): Promise<readonly string[]> {
  const found: string[] = [];
  const must = (what: string, holds: boolean) => void (holds || found.push(what));
  const key = createLogKey();
  const { memory } = await publishedFiles(RECORDS, key);
  const mirror = join(folder, 'mirror');
  const follow = () => {
    const files = new Map(memory.state.tiles).set('checkpoint', memory.state.head?.checkpoint ?? new Uint8Array(0));
    return mirrorLog(sourceOf(files), mirrorFolder(mirror), key.vkey);
  };
  const commands = commandsOf(readFileSync(PAGE, 'utf8'), mirror);
  must('the page names four commands', commands.length === 4);
  const copying = commands.filter(([service]) => service === 's3');

  await follow();
  for (const command of commands) must(`aws ${command.join(' ')}`, (await aws(...command)).code === 0);
  const first = await versionsOf(aws);
  await appendRecords(memory, MORE);
  memory.now = new Date(memory.now.getTime() + 60_000); // the lease of the sequencer before is over
  await sequencerOn(memory, key).sequencer.tick();
  await follow();
  for (const command of copying) must(`again: aws ${command.join(' ')}`, (await aws(...command)).code === 0);
  const kept = await versionsOf(aws);
  must(
    'every version of the first copy is there',
    first.every((one) => kept.some((other) => other.VersionId === one.VersionId)),
  );
  const written = kept.filter(({ Key }) => Key !== 'checkpoint');
  must('but for the checkpoint a file has one version', written.length === new Set(written.map(({ Key }) => Key)).size);

  for (const { Key, VersionId } of kept) {
    const args = ['s3api', 'delete-object', '--bucket', BUCKET, '--key', Key, '--version-id', VersionId];
    const refused = Key.startsWith('tile/0/') ? [...args, '--bypass-governance-retention'] : args;
    must(`${Key} is not deleted`, (await aws(...refused)).err.includes('AccessDenied'));
  }
  must('the bucket is not deleted', (await aws('s3api', 'delete-bucket', '--bucket', BUCKET)).code !== 0);
  writeFileSync(join(folder, 'junk'), 'junk');
  await aws('s3', 'cp', join(folder, 'junk'), `s3://${BUCKET}/tile/entries/001`);
  await aws('s3', 'rm', `s3://${BUCKET}/tile/0/000`);

  const back = join(folder, 'back');
  await aws('s3', 'sync', `s3://${BUCKET}`, back);
  const attacked = await verifyLog(copyIn(back), key.vkey);
  const codes = attacked.problems.map(({ code }) => code);
  must(`the attack is found: ${codes.join(' ')}`, codes.includes('log_incomplete') && codes.includes('log_entry_mismatch'));
  for (const one of kept.filter(({ Key }) => ['tile/entries/001', 'tile/0/000'].includes(Key))) {
    await aws('s3api', 'get-object', '--bucket', BUCKET, '--key', one.Key, '--version-id', one.VersionId, join(back, one.Key));
  }
  const report = await verifyLog(copyIn(back), key.vkey);
  must(`the locked versions verify: ${JSON.stringify(report.problems)}`, report.ok && report.size === RECORDS + MORE);
  console.log(`${kept.length} locked versions, none deleted; ${report.size} records verified after an attack`);
  return found;
}

/** The lines of the page that begin with `aws`, as words. */
function commandsOf(page: string, mirror: string): ReadonlyArray<readonly string[]> {
  const lines = page.replaceAll('\\\n', ' ').split('\n');
  return lines
    .filter((line) => line.startsWith('aws '))
    .map((line) => (line.match(/'[^']*'|\S+/g) ?? []).slice(1).map((word) => word.replaceAll("'", '').replace('/srv/mirror', mirror)));
}

async function versionsOf(aws: Aws): Promise<readonly Version[]> {
  const { out } = await aws('s3api', 'list-object-versions', '--bucket', BUCKET, '--output', 'json');
  return (JSON.parse(out) as { Versions: Version[] }).Versions;
}

async function startServer(folder: string) {
  const [root, versions] = [join(folder, 'buckets'), join(folder, 'older')];
  for (const one of [root, versions]) mkdirSync(one);
  const port = await freePort();
  const account = ['--access', KEYS.AWS_ACCESS_KEY_ID, '--secret', KEYS.AWS_SECRET_ACCESS_KEY];
  const child = spawn(SERVER, ['--port', `127.0.0.1:${port}`, ...account, 'posix', '--versioning-dir', versions, root], {
    stdio: 'ignore',
  });
  const gone = new Promise<void>((done) => child.once('exit', () => done()));
  const env = { ...process.env, ...KEYS, AWS_EC2_METADATA_DISABLED: 'true', AWS_PAGER: '' };
  const aws: Aws = (...args) =>
    new Promise((done) => {
      execFile('aws', ['--endpoint-url', `http://127.0.0.1:${port}`, ...args], { env, maxBuffer: 1e8 }, (error, out, err) =>
        done({ code: error === null ? 0 : Number(error.code ?? 1), out, err }),
      );
    });
  for (let tries = 0; (await aws('s3api', 'list-buckets')).code !== 0; tries++) {
    if (tries === 30) throw new Error('the S3 server does not start: it wants a file system with extended attributes');
    await sleep(500);
  }
  const stop = () => {
    child.kill();
    return gone;
  };
  return { aws, stop };
}

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function hasAws(): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((place) => existsSync(join(place, 'aws')));
}
