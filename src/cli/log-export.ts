/** `wv log export` and `wv log verify-copy`: records leave the vault, and are compared with what its key signed. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { decodeEntries } from '../audit/bundle.ts';
import { parseCheckpoint } from '../audit/checkpoint.ts';
import { copyLog } from '../audit/export.ts';
import { copyOf } from '../audit/formats/copied-record.ts';
import { LOG_FORMAT_NAMES, LOG_FORMATS, type LogFormatName } from '../audit/formats/format.ts';
import { type CopyProblem, type CopyReport, verifyCopy } from '../audit/formats/verify-copy.ts';
import { parseNote } from '../audit/note.ts';
import { parseTilePath, TILE_WIDTH } from '../audit/tile-path.ts';
import type { LogSource } from '../audit/verify.ts';
import { utf8 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { addCommand } from './command.ts';
import { type FolderWriter, intoFolder } from './folder-writer.ts';
import { type Kit, withKit } from './kit.ts';
import { addLogCommand, type LogOptions, logPath } from './log-options.ts';
import { copyIn, logThrough } from './log-source.ts';
import { print } from './output.ts';

/** Where a copy has its records as lines, by format. */
export const RECORD_FILES: Readonly<Record<LogFormatName, string>> = {
  jsonl: 'records.jsonl',
  ocsf: 'records.ocsf.jsonl',
  rfc5424: 'records.syslog',
};

interface ExportOptions extends LogOptions {
  readonly format?: LogFormatName;
  readonly witnessed?: boolean;
}

export function registerLogExport(log: Command): void {
  addLogCommand(
    log,
    'export <folder>',
    'Copy checkpoint, tiles and entries (C2SP tlog-tiles) into a folder, and records as lines of a format',
    [
      'wv log export --kit kits/bob log-copy',
      'wv log export --kit kits/bob --format ocsf --json log-copy',
      'wv log export --kit kits/bob --witnessed log-copy',
      'wv log export --kit kits/bob --namespace research --format jsonl research-copy',
    ],
  )
    .option('--witnessed', 'at the newest checkpoint that a quorum of witnesses cosigned, a second or so behind')
    .addOption(
      new Option('--format <format>', 'also write the records as lines; with --namespace jsonl unless told').choices(LOG_FORMAT_NAMES),
    )
    .action((folder: string, options: ExportOptions) => withKit(options.kit, (kit) => exportTo(kit, folder, options)));
  addCommand(
    log,
    'verify-copy <file>',
    'Compare lines of records, from an export or a sink, with the signed tree; names each that differs',
    [
      'wv log verify-copy --vkey "$(cat log.vkey)" --tree log-copy log-copy/records.jsonl',
      'wv log verify-copy --vkey "$(cat log.vkey)" --tree log-copy --format rfc5424 --json /var/log/weight-vault.log',
    ],
  )
    .requiredOption('--vkey <key>', "the log's verifier key, as `wv init` printed it")
    .requiredOption('--tree <folder>', 'a copy of the log: its checkpoint and tiles of hashes; entries are not needed')
    .addOption(new Option('--format <format>', 'of the lines').choices(LOG_FORMAT_NAMES).default('jsonl'))
    .action((file: string, options: CopyOptions) => verifyFile(file, options));
}

/**
 * At one checkpoint, asked for once: what the log gains meanwhile is in no part of the copy. It is written last: tiles never change, so a copy that
 * has one is whole at that size.
 */
export async function exportTo(kit: Kit, folder: string, options: ExportOptions): Promise<void> {
  const { namespace, format = namespace === undefined ? undefined : 'jsonl' } = options;
  const growing = await logThrough(kit, logPath(options), options.witnessed === true ? 'checkpoint/witnessed' : 'checkpoint');
  const checkpoint = await growing.checkpoint();
  const source: LogSource = { ...growing, checkpoint: async () => checkpoint };
  const { origin, size: end } = parseCheckpoint(parseNote(checkpoint).text);
  const copied = await intoFolder(folder, async (writer) => {
    const whole = namespace === undefined;
    const records = whole ? 0 : await writeOwn(kit, writer, { ...options, format: format ?? 'jsonl', origin, end });
    const write = async (path: string, bytes: Uint8Array) => {
      await writer.write(path, bytes);
      if (format !== undefined && path.startsWith('tile/entries/'))
        await writer.append(RECORD_FILES[format], linesOf(path, bytes, format, origin));
    };
    const { size, tiles } = await copyLog(source, { write }, { entries: whole });
    return { size, tiles, records: whole ? size : records };
  });
  const lines = format === undefined ? '' : `, ${copied.records} of them as ${format} in ${RECORD_FILES[format]}`;
  print(options, copied, [`${copied.size} records in ${copied.tiles} files at ${folder}${lines}.`]);
}

function linesOf(path: string, bundle: Uint8Array, format: LogFormatName, origin: string): string {
  const { index, width } = parseTilePath(path);
  const { entries, wellFormed } = decodeEntries(bundle, width);
  if (!wellFormed) throw new VaultError('log_entry_mismatch', `${path} does not hold ${width} records`);
  return entries.map((leaf, at) => `${LOG_FORMATS[format].write(copyOf(origin, index * TILE_WIDTH + at, leaf))}\n`).join('');
}

const page = z.object({ records: z.array(z.object({ index: z.int(), leaf: z.string() })), next: z.int().optional() });

interface OwnOptions extends LogOptions {
  readonly format: LogFormatName;
  readonly origin: string;
  /** Records from here on are not under the checkpoint of the copy. */
  readonly end: number;
}

async function writeOwn(kit: Kit, writer: FolderWriter, options: OwnOptions): Promise<number> {
  const { format, origin, end } = options;
  let records = 0;
  for (let at: number | undefined = 0; at !== undefined && at < end; ) {
    const found: z.output<typeof page> = page.parse(await kit.call('GET', `${logPath(options)}/records?order=oldest&at=${at}`));
    const covered = found.records.filter(({ index }) => index < end);
    const lines = covered.map(({ index, leaf }) => `${LOG_FORMATS[format].write(copyOf(origin, index, utf8(leaf)))}\n`);
    await writer.append(RECORD_FILES[format], lines.join(''));
    records += lines.length;
    at = found.next;
  }
  return records;
}

interface CopyOptions {
  readonly vkey: string;
  readonly tree: string;
  readonly format: LogFormatName;
  readonly json?: boolean;
}

/** For a person; `--json` has all that were kept. */
const SHOWN_PROBLEMS = 20;

async function verifyFile(file: string, options: CopyOptions): Promise<void> {
  const report = await verifyCopy(linesIn(file), LOG_FORMATS[options.format], copyIn(options.tree), options.vkey);
  const more = report.problems.length - SHOWN_PROBLEMS;
  const lines = report.problems.slice(0, SHOWN_PROBLEMS).map(named);
  print(options, report, [...lines, ...(more > 0 ? [`and ${more} more`] : []), verdict(report)]);
  const [worst] = report.problems;
  if (worst !== undefined) throw new VaultError(worst.code, named(worst));
}

async function* linesIn(file: string): AsyncGenerator<string> {
  const stream = createReadStream(file, 'utf8');
  try {
    yield* createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
  } catch (cause) {
    throw new VaultError('usage', `${file} cannot be read`, { cause });
  }
}

function verdict({ origin, size, verified, repeated, absent }: CopyReport): string {
  return `${verified} records are those of ${origin} (${size} in its tree); ${repeated} lines repeat one, ${absent} between the first and the last are not here.`;
}

function named({ line, leafIndex, detail }: CopyProblem): string {
  return `line ${line}${leafIndex === undefined ? '' : `, record ${leafIndex}`}: ${detail}`;
}
