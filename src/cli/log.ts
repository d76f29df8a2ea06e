/** `wv log`: take a copy of the access log and verify it without trusting whoever gave it. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { openCheckpoint } from '../audit/checkpoint.ts';
import { type Closed, openStatement, STATEMENT } from '../audit/closing.ts';
import { type FoundRecord, findRecord } from '../audit/find-record.ts';
import { LOG_FORMAT_NAMES, LOG_FORMATS } from '../audit/formats/format.ts';
import { makeProof, verifyProof } from '../audit/proof.ts';
import { parseLeaf } from '../audit/record.ts';
import { type LogProblem, type LogSource, verifyLog } from '../audit/verify.ts';
import { parseVkey } from '../audit/vkey.ts';
import { VaultError } from '../domain/errors.ts';
import { parseId, type RecordId } from '../domain/ids.ts';
import { addCommand, addGroup } from './command.ts';
import { readUserFile } from './files.ts';
import { type AfterOptions, afterOptions, earlierOf, registerLogClose } from './log-close.ts';
import { RECORD_FILES, registerLogExport } from './log-export.ts';
import { registerLogMirror } from './log-mirror.ts';
import { addLogCommand } from './log-options.ts';
import { registerLogRetention } from './log-retention.ts';
import { registerLogSearch } from './log-search.ts';
import { type ShowOptions, show } from './log-show.ts';
import { registerLogSinks } from './log-sinks.ts';
import { copyIn } from './log-source.ts';
import { print } from './output.ts';
import { assertAskedWitnesses, inWords, type WitnessOptions, witnessOptions } from './witness-options.ts';

export function registerLog(program: Command): void {
  const log = addGroup(program, 'log', 'The access log');
  registerLogExport(log);
  registerLogMirror(log);
  registerLogClose(log);
  registerLogRetention(log);
  registerLogSearch(log);
  registerLogSinks(log);
  addLogCommand(log, 'show <record>', 'One record in words; of a refusal, which claim failed, what was expected and what was seen', [
    'wv log show --kit kits/bob 01890000-0000-7000-8000-000000000000',
    'wv log show --kit kits/bob --namespace research --json 01890000-0000-7000-8000-000000000000',
  ]).action((record: string, options: ShowOptions) => show(record, options));
  const verifying = witnessOptions(
    addCommand(log, 'verify <folder>', 'Verify records, tree and signed checkpoint of a copy; names the record that was altered', [
      "wv log verify --vkey 'vault.example/log/2026+1c2d3e4f+BFk...' log-copy",
      'wv log verify --vkey "$(cat log.vkey)" --json log-copy',
      'wv log verify --vkey "$(cat log.vkey)" --witness "$(cat witness.vkey)" log-copy',
      'wv log verify --vkey "$(cat log.vkey)" --after archive-2026 archive-2027',
    ]),
  );
  afterOptions(verifying)
    .requiredOption('--vkey <key>', "the log's verifier key, as `wv init` printed it")
    .action((folder: string, options: VerifyOptions) => verify(folder, options));
  addCommand(log, 'prove <folder> <record>', 'Take one record and its proof (tlog-proof) out of a copy: <out>.leaf and <out>.tlog-proof', [
    'wv log prove --vkey "$(cat log.vkey)" --out record log-copy 01890000-0000-7000-8000-000000000000',
    'wv log prove --vkey "$(cat log.vkey)" --out record --json log-copy 01890000-0000-7000-8000-000000000000',
  ])
    .requiredOption('--vkey <key>', "the log's verifier key")
    .requiredOption('--out <path>', 'where to write, without the endings')
    .action((folder: string, record: string, options: { vkey: string; out: string; json?: boolean }) => prove(folder, record, options));
  addCommand(log, 'check <proof> <leaf>', 'Check that a record is in the log; needs nothing but the two files and the key', [
    'wv log check --vkey "$(cat log.vkey)" record.tlog-proof record.leaf',
    'wv log check --vkey "$(cat log.vkey)" --json record.tlog-proof record.leaf',
  ])
    .requiredOption('--vkey <key>', "the log's verifier key")
    .action((proof: string, leaf: string, options: { vkey: string; json?: boolean }) => check(proof, leaf, options));
}

async function prove(folder: string, record: string, options: { vkey: string; out: string; json?: boolean }): Promise<void> {
  const copy = copyIn(folder);
  const { index, leaf } = await findIn(folder, parseId<RecordId>(record, 'record'));
  const proof = await makeProof(index, await copy.checkpoint(), parseVkey(options.vkey), copy.tile);
  verifyProof(proof, options.vkey, leaf); // a proof that does not hold is not handed out
  await writeFile(`${options.out}.leaf`, leaf, { mode: 0o600 });
  await writeFile(`${options.out}.tlog-proof`, proof, { mode: 0o600 });
  print(options, { index }, [`Record ${index}: ${options.out}.leaf, ${options.out}.tlog-proof`]);
}

/** In the bundles, or in the lines that a copy of one namespace has instead. */
async function findIn(folder: string, recordId: RecordId): Promise<FoundRecord> {
  for (const format of LOG_FORMAT_NAMES) {
    const text = await readFile(join(folder, RECORD_FILES[format]), 'utf8').catch(() => '');
    const found = text.split('\n').map(LOG_FORMATS[format].read);
    const own = found.find((one) => one !== undefined && parseLeaf(one.leaf).recordId === recordId);
    if (own !== undefined) return own;
  }
  return findRecord(copyIn(folder), recordId);
}

async function check(proofFile: string, leafFile: string, options: { vkey: string; json?: boolean }): Promise<void> {
  const leaf = await readUserFile(leafFile);
  const { index, checkpoint } = verifyProof(await readUserFile(proofFile), options.vkey, leaf);
  const { origin, size } = checkpoint;
  print(options, { index, origin, size }, [`Record ${index} of ${origin}, under its signed checkpoint of ${size} records.`]);
}

interface VerifyOptions extends WitnessOptions, AfterOptions {
  readonly vkey: string;
  readonly json?: boolean;
}

async function verify(folder: string, options: VerifyOptions): Promise<void> {
  const copy = copyIn(folder);
  const previous = await earlierOf(options, options.vkey);
  const report = await verifyLog(copy, options.vkey, { previous });
  const seen = report.ok ? assertAskedWitnesses(await copy.checkpoint(), options) : [];
  const closed = report.ok ? await statementIn(copy, options.vkey) : undefined;
  const { ok, origin, size, problems, releases, pruned } = report;
  const follows = previous === undefined ? [] : [`It continues the ${previous.size} records of ${options.after}.`];
  const said = closed === undefined ? [] : [`Closed until ${closed.until}, as record ${closed.index} of the log says.`];
  const gone = pruned === 0 ? [] : [`${pruned} of them pruned by a recorded act: their hashes are here.`];
  const lines = ok
    ? [
        `${size} records, tree and checkpoint of ${origin} verified.`,
        ...gone,
        ...follows,
        ...said,
        ...inWords(seen),
        `Releases: ${JSON.stringify(releases)}`,
      ]
    : problems.map((one) => `${one.code}: ${named(one)}`);
  print(
    options,
    { ok, origin, size, root: Buffer.from(report.root).toString('base64'), problems, releases, pruned, ...(closed && { closed }) },
    lines,
  );
  const [worst] = problems;
  if (worst !== undefined) throw new VaultError(worst.code, named(worst));
}

/** Of an archive, what its period was; undefined of another copy. Throws when it carries the statement of another archive. */
async function statementIn(copy: LogSource, vkey: string): Promise<Closed | undefined> {
  const statement = await copy.tile(STATEMENT);
  return statement && openStatement(statement, vkey, openCheckpoint(await copy.checkpoint(), parseVkey(vkey)));
}

function named({ leafIndex, recordId, detail }: LogProblem): string {
  const record = leafIndex === undefined ? '' : `record ${leafIndex}${recordId === undefined ? '' : ` (${recordId})`}: `;
  return `${record}${detail}`;
}
