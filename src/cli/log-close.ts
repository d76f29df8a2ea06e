/**
 * `wv log close`: a period of the log is over. Cuts an archive of everything up to its end, verifies it, and asks for somebody else to verify it too and say
 * so; run again after that, it adds the vault's statement and makes the archive read-only.
 */
import { chmod, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { type LogCheckpoint, openCheckpoint } from '../audit/checkpoint.ts';
import { type Closed, closedIn, openStatement, POLICY, policyText, STATEMENT, timeOf, withEarlier } from '../audit/closing.ts';
import { copyLog } from '../audit/export.ts';
import { makeReceipt } from '../audit/receipt.ts';
import { saidBy, textAt } from '../audit/said.ts';
import { type LogReport, type LogSource, verifyLog } from '../audit/verify.ts';
import { parseVkey } from '../audit/vkey.ts';
import { toHex, utf8 } from '../domain/bytes.ts';
import { codeOf, VaultError } from '../domain/errors.ts';
import { addCommand } from './command.ts';
import { type FolderWriter, intoFolder } from './folder-writer.ts';
import { type Kit, withKit } from './kit.ts';
import { copyIn, logThrough } from './log-source.ts';
import { mirrorFolder } from './mirror-folder.ts';
import { print } from './output.ts';
import { assertAskedWitnesses, type WitnessOptions, witnessOptions } from './witness-options.ts';

export interface AfterOptions {
  readonly after?: string;
  readonly afterVkey?: string;
}

interface CloseOptions extends WitnessOptions, AfterOptions {
  readonly kit: string;
  readonly vkey: string;
  readonly until: string;
  readonly from?: string;
  readonly json?: boolean;
}

export function registerLogClose(log: Command): void {
  const command = addCommand(
    log,
    'close <folder>',
    'Archive the log up to the end of a period; once another person verified it too, finish it',
    [
      'wv log close --kit kits/carol --vkey "$(cat log.vkey)" --until 2027-01-01T00:00:00Z archive-2026',
      'wv log close --kit kits/carol --vkey "$(cat log.vkey)" --until 2028-01-01T00:00:00Z --after archive-2026 archive-2027',
      'wv log close --kit kits/carol --vkey "$(cat log.vkey)" --until 2027-01-01T00:00:00Z --from /srv/mirror --json archive-2026',
    ],
  );
  afterOptions(witnessOptions(command))
    .requiredOption('--kit <folder>', "the administrator's kit, made by `wv init`")
    .requiredOption('--vkey <key>', "the log's verifier key, as `wv init` printed it")
    .requiredOption('--until <time>', 'the end of the period, not in it', endOf)
    .option('--from <folder>', 'a mirror: at its first checkpoint after the end, instead of the newest of the vault')
    .action((folder: string, options: CloseOptions) => withKit(options.kit, (kit) => close(kit, folder, options)));
}

export function afterOptions(command: Command): Command {
  return command
    .option('--after <folder>', 'the archive of the period before: this one must continue it')
    .option('--after-vkey <key>', 'the key of that one, where a recovery replaced it since');
}

/** The checkpoint of the archive before; undefined when none is named. */
export async function earlierOf({ after, afterVkey }: AfterOptions, vkey: string): Promise<LogCheckpoint | undefined> {
  return after === undefined ? undefined : openCheckpoint(await copyIn(after).checkpoint(), parseVkey(afterVkey ?? vkey));
}

function endOf(text: string): string {
  const time = Date.parse(/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$/.test(text) ? text : '');
  if (Number.isNaN(time)) throw new InvalidArgumentError('It is a time in UTC, like 2027-01-01T00:00:00Z.');
  return new Date(time).toISOString();
}

async function close(kit: Kit, folder: string, options: CloseOptions): Promise<void> {
  const report = (await isBegun(folder)) ? await verified(folder, options) : await cut(kit, folder, options);
  const checkpoint = openCheckpoint(await copyIn(folder).checkpoint(), parseVkey(options.vkey));
  const closed = await finish(kit, folder, checkpoint, options);
  if (closed !== undefined) return tellClosed(folder, closed, report, options);
  const { size, root } = checkpoint;
  const period = { until: options.until, size, root: toHex(root) };
  const asked = await inTime(() => kit.call('PUT', '/v1/log/closed', period));
  print(options, { ...asked, size: report.size, pruned: report.pruned }, [
    `${report.size} records in ${folder}, verified.${missing(report)}`,
    'Waits for another administrator, who verifies the archive and then says so:',
    `wv log verify --vkey ${options.vkey} ${folder}`,
    `wv approve --namespace system ${String(asked['requestId'])} ${String(asked['operationDigest'])}`,
  ]);
}

/** A mirror, or another copy, is not made an archive: it goes on growing. */
async function isBegun(folder: string): Promise<boolean> {
  const { tile } = copyIn(folder);
  const begun = (await tile('checkpoint')) !== undefined;
  if (begun && (await tile(POLICY)) === undefined)
    throw new VaultError('usage', `${folder} is another copy of the log: name a folder of its own`);
  return begun;
}

/** A folder of its own, with everything up to a checkpoint that covers the period, or nothing. */
async function cut(kit: Kit, folder: string, options: CloseOptions): Promise<LogReport> {
  const live = options.from === undefined ? await logThrough(kit, '/v1/log', whichCheckpoint(options)) : await cutOf(options.from, options);
  const note = options.from === undefined ? await covering(kit, live, options) : await live.checkpoint();
  assertAskedWitnesses(note, options);
  const earlier = options.after === undefined ? undefined : copyIn(options.after);
  return intoFolder(folder, async (writer: FolderWriter) => {
    const { witness = [], quorum = witness.length } = options;
    await writer.write(POLICY, utf8(policyText(parseVkey(options.vkey), witness, quorum)));
    await copyLog(withEarlier({ ...live, checkpoint: async () => note }, earlier), writer); // the checkpoint comes last
    return verified(folder, options);
  });
}

/** More than a checkpoint ever waits for. */
const STILL_TO_COME_MS = 60_000;

/** The newest checkpoint behind which there is a record of after the period: reading the checkpoint makes one. */
async function covering(kit: Kit, live: LogSource, { until, vkey }: CloseOptions): Promise<Uint8Array> {
  for (let tries = 1; ; tries++) {
    const note = await live.checkpoint();
    const { size } = openCheckpoint(note, parseVkey(vkey));
    const missingMs = Date.parse(until) - (await inTime(() => timeAt(size, kit)));
    if (missingMs <= 0) return note;
    if (missingMs > STILL_TO_COME_MS) throw new VaultError('request_invalid', `${until} is still to come`);
    if (tries === TRIES) throw new VaultError('log_incomplete', 'records of the period are not under a checkpoint yet');
    await sleep(WAIT_MS);
  }
}

/** When the record was made, in milliseconds; `log_incomplete` while it cannot be searched. */
async function timeAt(index: number, kit: Kit): Promise<number> {
  const [found] = page.parse(await kit.call('GET', `/v1/log/records?order=oldest&at=${index}`)).records;
  const time = Date.parse(textAt(found && saidBy(utf8(found.leaf)), 'time') ?? '');
  if (Number.isNaN(time)) throw new VaultError('log_incomplete', `record ${index} is not found yet`);
  return time;
}

const whichCheckpoint = ({ witness = [] }: WitnessOptions) => (witness.length === 0 ? 'checkpoint' : 'checkpoint/witnessed');

const CHECKPOINT = /^([1-9][0-9]*)-[0-9a-f]{16}$/;

/** A mirror, at the first of the checkpoints it kept after which a record is of a later time; else at its newest, and the vault says whether that will do. */
async function cutOf(mirror: string, { until, vkey }: CloseOptions): Promise<LogSource> {
  const copy = copyIn(mirror);
  const { size } = openCheckpoint(await copy.checkpoint(), parseVkey(vkey));
  const kept = (await readdir(join(mirror, 'checkpoints')).catch(() => []))
    .map((name) => ({ name, size: Number(CHECKPOINT.exec(name)?.[1] ?? size) }))
    .filter((one) => one.size < size)
    .sort((a, b) => a.size - b.size);
  const isAfter = async (at: number) => ((await timeOf(kept[at]?.size ?? 0, size, copy)) ?? 0) >= Date.parse(until);
  let [least, most] = [0, kept.length];
  while (least < most) {
    const middle = Math.floor((least + most) / 2);
    if (await isAfter(middle)) most = middle;
    else least = middle + 1;
  }
  const found = kept[least];
  return found === undefined ? copy : { ...copy, checkpoint: () => readFile(join(mirror, 'checkpoints', found.name)) };
}

async function verified(folder: string, options: CloseOptions): Promise<LogReport> {
  const previous = await earlierOf(options, options.vkey);
  const report = await verifyLog(copyIn(folder), options.vkey, { previous });
  const [worst] = report.problems;
  if (worst !== undefined) throw new VaultError(worst.code, worst.detail);
  return report;
}

/** Adds the statement, once two people closed the period with this archive; undefined before. */
async function finish(kit: Kit, folder: string, checkpoint: LogCheckpoint, { vkey }: CloseOptions): Promise<Closed | undefined> {
  const kept = await copyIn(folder).tile(STATEMENT);
  const statement = kept ?? (await inTime(() => statementOf(kit, checkpoint, vkey)));
  if (statement === undefined) return undefined;
  const closed = openStatement(statement, vkey, checkpoint);
  if (kept === undefined) await mirrorFolder(folder).add(STATEMENT, statement);
  await makeReadOnly(folder);
  return closed;
}

const retention = z.object({ closed: z.object({ root: z.string() }).optional() });
const page = z.object({ records: z.array(z.object({ index: z.int(), leaf: z.string() })) });

/** `log_incomplete` while the record waits for its index, or for a checkpoint. */
async function statementOf(kit: Kit, { size, root }: LogCheckpoint, vkey: string): Promise<Uint8Array | undefined> {
  const { records } = page.parse(await kit.call('GET', '/v1/log/records?type=log.closed&order=newest'));
  const found = records.find(({ leaf }) => closedIn(utf8(leaf))?.size === size);
  if (found === undefined) {
    const { closed } = retention.parse(await kit.call('GET', '/v1/log/retention'));
    if (closed?.root === toHex(root)) throw new VaultError('log_incomplete', 'the record that closes the period is not found yet');
    return undefined;
  }
  const log = await logThrough(kit, '/v1/log');
  return makeReceipt({ index: found.index, leaf: utf8(found.leaf) }, await log.checkpoint(), parseVkey(vkey), log.tile);
}

const TRIES = 20;
const WAIT_MS = 500;

/** The vault gives a record its index and its checkpoint within the second. */
async function inTime<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (codeOf(error) !== 'log_incomplete' || tries === TRIES) throw error;
      await sleep(WAIT_MS);
    }
  }
}

/** Against a slip of the hand. Against people there is storage that cannot be rewritten (docs/operating.md). */
async function makeReadOnly(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o500 : 0o400);
  }
  await chmod(folder, 0o500);
}

function tellClosed(folder: string, { until, index }: Closed, report: LogReport, options: CloseOptions): void {
  const { size, pruned } = report;
  print(options, { closed: true, until, size, statement: index, pruned }, [
    `Closed until ${until}: ${size} records in ${folder}, which is read-only now; record ${index} of the log says so.${missing(report)}`,
  ]);
}

function missing({ pruned }: LogReport): string {
  return pruned === 0 ? '' : ` ${pruned} of them were pruned before: an archive that has them can be named with --after.`;
}
