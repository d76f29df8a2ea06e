/** `wv log`: take a copy of the access log and verify it without trusting whoever gave it. */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { copyLog } from '../audit/export.ts';
import { findRecord } from '../audit/find-record.ts';
import { makeProof, verifyProof } from '../audit/proof.ts';
import { type LogProblem, type LogSource, verifyLog } from '../audit/verify.ts';
import { parseVkey } from '../audit/vkey.ts';
import { VaultError } from '../domain/errors.ts';
import { parseId, type RecordId } from '../domain/ids.ts';
import { addCommand, addGroup } from './command.ts';
import { readUserFile } from './files.ts';
import { addLogCommand } from './log-options.ts';
import { registerLogSearch } from './log-search.ts';
import { type ShowOptions, show } from './log-show.ts';
import { copyIn, logOf } from './log-source.ts';
import { print } from './output.ts';
import { assertAskedWitnesses, inWords, type WitnessOptions, witnessOptions } from './witness-options.ts';

export function registerLog(program: Command): void {
  const log = addGroup(program, 'log', 'The access log');
  addCommand(log, 'export <folder>', 'Copy checkpoint, tiles and entries (C2SP tlog-tiles) into a folder', [
    'wv log export --kit kits/bob log-copy',
    'wv log export --kit kits/bob --json log-copy',
    'wv log export --kit kits/bob --witnessed log-copy',
  ])
    .requiredOption('--kit <folder>', "the administrator's kit, made by `wv init`")
    .option('--witnessed', 'at the newest checkpoint that a quorum of witnesses cosigned, a second or so behind')
    .action((folder: string, options: ExportOptions) => exportTo(folder, options));
  registerLogSearch(log);
  addLogCommand(log, 'show <record>', 'One record in words; of a refusal, which claim failed, what was expected and what was seen', [
    'wv log show --kit kits/bob 01890000-0000-7000-8000-000000000000',
    'wv log show --kit kits/bob --namespace research --json 01890000-0000-7000-8000-000000000000',
  ]).action((record: string, options: ShowOptions) => show(record, options));
  witnessOptions(
    addCommand(log, 'verify <folder>', 'Verify records, tree and signed checkpoint of a copy; names the record that was altered', [
      "wv log verify --vkey 'vault.example/log/2026+1c2d3e4f+BFk...' log-copy",
      'wv log verify --vkey "$(cat log.vkey)" --json log-copy',
      'wv log verify --vkey "$(cat log.vkey)" --witness "$(cat witness.vkey)" log-copy',
    ]),
  )
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

interface ExportOptions {
  readonly kit: string;
  readonly json?: boolean;
  readonly witnessed?: boolean;
}

/** The checkpoint is fetched first and written last: tiles never change, so a copy that has a checkpoint is whole at that size. */
async function exportTo(folder: string, options: ExportOptions): Promise<void> {
  if ((await readdir(folder).catch(() => [])).length > 0) throw new VaultError('usage', `${folder} is not empty`);
  const copy = async (source: LogSource) => {
    const write = async (path: string, bytes: Uint8Array) => {
      const file = join(folder, path);
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      await writeFile(file, bytes, { mode: 0o600 });
    };
    const { size, tiles } = await copyLog(source, { write });
    print(options, { size, tiles }, [`${size} records in ${tiles} files at ${folder}.`]);
  };
  await logOf(options.kit, copy, options.witnessed === true ? 'checkpoint/witnessed' : 'checkpoint');
}

async function prove(folder: string, record: string, options: { vkey: string; out: string; json?: boolean }): Promise<void> {
  const copy = copyIn(folder);
  const { index, leaf } = await findRecord(copy, parseId<RecordId>(record, 'record'));
  const proof = await makeProof(index, await copy.checkpoint(), parseVkey(options.vkey), copy.tile);
  verifyProof(proof, options.vkey, leaf); // a proof that does not hold is not handed out
  await writeFile(`${options.out}.leaf`, leaf, { mode: 0o600 });
  await writeFile(`${options.out}.tlog-proof`, proof, { mode: 0o600 });
  print(options, { index }, [`Record ${index}: ${options.out}.leaf, ${options.out}.tlog-proof`]);
}

async function check(proofFile: string, leafFile: string, options: { vkey: string; json?: boolean }): Promise<void> {
  const leaf = await readUserFile(leafFile);
  const { index, checkpoint } = verifyProof(await readUserFile(proofFile), options.vkey, leaf);
  const { origin, size } = checkpoint;
  print(options, { index, origin, size }, [`Record ${index} of ${origin}, under its signed checkpoint of ${size} records.`]);
}

interface VerifyOptions extends WitnessOptions {
  readonly vkey: string;
  readonly json?: boolean;
}

async function verify(folder: string, options: VerifyOptions): Promise<void> {
  const copy = copyIn(folder);
  const report = await verifyLog(copy, options.vkey);
  const seen = report.ok ? assertAskedWitnesses(await copy.checkpoint(), options) : [];
  const { ok, origin, size, problems, releases } = report;
  const lines = ok
    ? [`${size} records, tree and checkpoint of ${origin} verified.`, ...inWords(seen), `Releases: ${JSON.stringify(releases)}`]
    : problems.map((one) => `${one.code}: ${named(one)}`);
  print(options, { ok, origin, size, root: Buffer.from(report.root).toString('base64'), problems, releases }, lines);
  const [worst] = problems;
  if (worst !== undefined) throw new VaultError(worst.code, named(worst));
}

function named({ leafIndex, recordId, detail }: LogProblem): string {
  const record = leafIndex === undefined ? '' : `record ${leafIndex}${recordId === undefined ? '' : ` (${recordId})`}: `;
  return `${record}${detail}`;
}
