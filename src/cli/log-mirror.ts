/** `wv log mirror`: the reviewer's own copy, which follows the log and believes it only as far as it continues what is there. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { openCheckpoint } from '../audit/checkpoint.ts';
import { copyOf } from '../audit/formats/copied-record.ts';
import { LOG_FORMATS } from '../audit/formats/format.ts';
import { leafHash } from '../audit/merkle.ts';
import { type Mirrored, type MirrorStore, mirrorLog } from '../audit/mirror.ts';
import { subtreeReader } from '../audit/tiles.ts';
import { parseVkey } from '../audit/vkey.ts';
import { equalBytes, utf8 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { addCommand } from './command.ts';
import { type Kit, withKit } from './kit.ts';
import { logPath } from './log-options.ts';
import { copyIn, logThrough } from './log-source.ts';
import { mirrorFolder } from './mirror-folder.ts';
import { print } from './output.ts';

interface MirrorOptions {
  readonly vkey: string;
  readonly afterVkey?: string;
  readonly kit?: string;
  readonly from?: string;
  readonly namespace?: string;
  readonly witnessed?: boolean;
  readonly json?: boolean;
}

export function registerLogMirror(log: Command): void {
  addCommand(log, 'mirror <folder>', 'Copy what is new of the log into a folder that only grows; refuses a log that does not continue it', [
    'wv log mirror --kit kits/carol --vkey "$(cat log.vkey)" /mnt/worm/access-log',
    'wv log mirror --kit kits/carol --vkey "$(cat log.vkey)" --witnessed --json mirror',
    'wv log mirror --kit kits/dora --vkey "$(cat log.vkey)" --namespace research mirror',
    'wv log mirror --from log-copy --vkey "$(cat log.vkey)" mirror',
  ])
    .requiredOption('--vkey <key>', "the log's verifier key, as `wv init` printed it")
    .option('--after-vkey <key>', 'the key of the log before, where a recovery or a rotation replaced it since the last run')
    .option('--kit <folder>', "the administrator's kit: the log of the running vault")
    .option('--from <folder>', 'a copy or another mirror, instead of a vault')
    .option('--namespace <name>', 'for a reviewer of one namespace: the hashes, and its records as lines')
    .option('--witnessed', 'at the newest checkpoint that a quorum of witnesses cosigned, a second or so behind')
    .action((folder: string, options: MirrorOptions) => mirror(folder, options));
}

async function mirror(folder: string, options: MirrorOptions): Promise<void> {
  const { kit: kitFolder, from, namespace, vkey, afterVkey: before } = options;
  if ((kitFolder === undefined) === (from === undefined)) throw new VaultError('usage', 'name the log: --kit or --from');
  if (from !== undefined && (namespace !== undefined || options.witnessed === true)) {
    throw new VaultError('usage', '--namespace and --witnessed are of a vault: with --kit');
  }
  const store = mirrorFolder(folder);
  await assertSameKind(folder, store, namespace);
  if (kitFolder === undefined) return tell(folder, options, await mirrorLog(copyIn(from ?? ''), store, vkey, { before }));
  await withKit(kitFolder, async (kit) => {
    const source = await logThrough(kit, logPath(options), options.witnessed === true ? 'checkpoint/witnessed' : 'checkpoint');
    const mirrored = await mirrorLog(source, store, vkey, { entries: namespace === undefined, before });
    tell(folder, options, mirrored, namespace === undefined ? undefined : await mirrorOwn(kit, folder, store, options));
  });
}

/** One with the records of all and one with those of a namespace do not mix. */
async function assertSameKind(folder: string, store: MirrorStore, namespace: string | undefined): Promise<void> {
  const begun = await store.has('checkpoint');
  const whole = await store.has('tile/entries');
  if (begun && whole === (namespace !== undefined)) {
    throw new VaultError('usage', `${folder} is a mirror of ${whole ? 'the whole log' : 'one namespace'}: take another folder`);
  }
}

const page = z.object({ records: z.array(z.object({ index: z.int(), leaf: z.string() })), next: z.int().optional() });
const LINES = /^([0-9]+)-([0-9]+)\.jsonl$/;

/** The namespace's records since the last call, each proven by the hashes that are kept; one file for each call. How many. */
async function mirrorOwn(kit: Kit, folder: string, store: MirrorStore, options: MirrorOptions): Promise<number> {
  const { size, origin } = openCheckpoint((await store.read('checkpoint')) ?? new Uint8Array(0), parseVkey(options.vkey));
  const leafAt = subtreeReader(size, store.read);
  const files = await readdir(join(folder, 'records')).catch(() => []);
  const first = Math.max(0, ...files.map((file) => Number(LINES.exec(file)?.[2] ?? 0)));
  const lines: string[] = [];
  for (let at: number | undefined = first; at !== undefined && at < size; ) {
    const found: z.output<typeof page> = page.parse(await kit.call('GET', `${logPath(options)}/records?order=oldest&at=${at}`));
    for (const { index, leaf } of found.records.filter((one) => one.index < size)) {
      if (!equalBytes(leafHash(utf8(leaf)), await leafAt({ level: 0, index })))
        throw new VaultError('log_entry_mismatch', `record ${index} is not the one in the tree`);
      lines.push(`${LOG_FORMATS.jsonl.write(copyOf(origin, index, utf8(leaf)))}\n`);
    }
    at = found.next;
  }
  if (first < size) await store.add(`records/${first}-${size}.jsonl`, utf8(lines.join('')));
  return lines.length;
}

function tell(folder: string, options: MirrorOptions, { size, previous, added }: Mirrored, records?: number): void {
  const own = records === undefined ? '' : `, ${records} new ones of ${options.namespace} as lines`;
  const said = { size, previous, added, ...(records !== undefined && { records }) };
  print(options, said, [`${size} records in ${folder}, ${size - previous} of them new in ${added} files${own}.`]);
}
