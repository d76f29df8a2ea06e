/** `wv log`: take a copy of the access log and verify it without trusting whoever gave it. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { readAll } from '../agent/https-client.ts';
import { copyLog } from '../audit/export.ts';
import { type LogProblem, verifyLog } from '../audit/verify.ts';
import { VaultError } from '../domain/errors.ts';
import { kitOption, withKit } from './kit.ts';
import { print, withJson } from './output.ts';

export function registerLog(program: Command): void {
  const log = program.command('log').description('The access log');
  withJson(
    kitOption(log.command('export <folder>').description('Copy checkpoint, tiles and entries (C2SP tlog-tiles) into a folder')),
  ).action((folder: string, options: { kit: string; json?: boolean }) => exportTo(folder, options));
  withJson(
    log
      .command('verify <folder>')
      .description('Verify records, tree and signed checkpoint of a copy; names the record that was altered')
      .requiredOption('--vkey <key>', "the log's verifier key, as `wv init` printed it"),
  ).action((folder: string, options: { vkey: string; json?: boolean }) => verify(folder, options));
}

/** The checkpoint is fetched first and written last: tiles never change, so a copy that has a checkpoint is whole at that size. */
async function exportTo(folder: string, options: { kit: string; json?: boolean }): Promise<void> {
  await withKit(options.kit, async (kit) => {
    const headers = await kit.sessionHeaders();
    const get = async (path: string) =>
      new Uint8Array(await readAll(await kit.https.send({ method: 'GET', path: `/v1/log/${path}`, headers })));
    const write = async (path: string, bytes: Uint8Array) => {
      const file = join(folder, path);
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      await writeFile(file, bytes, { mode: 0o600 });
    };
    const { size, tiles } = await copyLog({ checkpoint: () => get('checkpoint'), tile: get }, { write });
    print(options, { size, tiles }, [`${size} records in ${tiles} files at ${folder}.`]);
  });
}

async function verify(folder: string, options: { vkey: string; json?: boolean }): Promise<void> {
  const read = async (path: string): Promise<Uint8Array | undefined> => {
    try {
      return await readFile(join(folder, path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new VaultError('log_incomplete', `${path} cannot be read`, { cause: error });
    }
  };
  const report = await verifyLog({ checkpoint: async () => (await read('checkpoint')) ?? new Uint8Array(0), tile: read }, options.vkey);
  const { ok, origin, size, problems, releases } = report;
  const lines = ok
    ? [`${size} records, tree and checkpoint of ${origin} verified.`, `Releases: ${JSON.stringify(releases)}`]
    : problems.map((one) => `${one.code}: ${named(one)}`);
  print(options, { ok, origin, size, root: Buffer.from(report.root).toString('base64'), problems, releases }, lines);
  const [worst] = problems;
  if (worst !== undefined) throw new VaultError(worst.code, named(worst));
}

function named({ leafIndex, recordId, detail }: LogProblem): string {
  const record = leafIndex === undefined ? '' : `record ${leafIndex}${recordId === undefined ? '' : ` (${recordId})`}: `;
  return `${record}${detail}`;
}
