/** `wv evidence collateral`: what makers of hardware publish, brought from a folder into the vault, which asks no maker by itself. */
import { readdir, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { toBase64 } from '../domain/bytes.ts';
import { codeOf, VaultError } from '../domain/errors.ts';
import { addCommand, addGroup } from './command.ts';
import { readUserFile } from './files.ts';
import { type Kit, withKit } from './kit.ts';
import { aligned, print } from './output.ts';

interface Options {
  readonly kit: string;
  readonly json?: boolean;
}

/** A request has room for that much as base64. The largest RIM is 400 KiB. */
const MAX_FILE_BYTES = 1_500_000;

export function registerCollateral(evidence: Command): void {
  const collateral = addGroup(
    evidence,
    'collateral',
    'Revocation lists, TCB information and signed measurements of the makers of hardware',
  );
  addCommand(collateral, 'import <folder>', 'Bring in every file of a folder; what no maker signed is left out and named', [
    'wv evidence collateral import --kit kits/alice downloads',
    'wv evidence collateral import --kit kits/alice --json downloads',
  ])
    .requiredOption('--kit <folder>', "the administrator's kit, made by `wv init`")
    .action((folder: string, options: Options) => withKit(options.kit, (kit) => importFolder(kit, folder, options)));
  addCommand(collateral, 'list', 'The newest of everything that is kept, with the dates its maker gave it', [
    'wv evidence collateral list --kit kits/alice',
    'wv evidence collateral list --kit kits/alice --json',
  ])
    .requiredOption('--kit <folder>', "the administrator's kit, made by `wv init`")
    .action((options: Options) => withKit(options.kit, (kit) => list(kit, options)));
}

const kept = z.object({ type: z.string(), key: z.string(), issuedAt: z.string(), expiresAt: z.string().optional() });
type Kept = z.output<typeof kept>;

async function importFolder(kit: Kit, folder: string, options: Options): Promise<void> {
  const files: Array<{ file: string; state: string } & Partial<Kept>> = [];
  for (const file of await filesOf(folder)) files.push({ file, ...(await importFile(kit, join(folder, file))) });
  const rows = files.map(({ file, state, type = '', key = '', expiresAt = '' }) => [file, state, type, key, expiresAt]);
  print(options, { files }, aligned(['file', 'state', 'type', 'key', 'good until'], rows));
  if (!files.some(({ state }) => state !== 'unknown')) throw new VaultError('collateral_unknown', `nothing in ${folder} is a maker's`);
}

async function importFile(kit: Kit, path: string): Promise<{ state: string } & Partial<Kept>> {
  if ((await stat(path)).size > MAX_FILE_BYTES) return { state: 'unknown' };
  try {
    const answer = await kit.call('POST', '/v1/collateral', {
      name: basename(path, extname(path)),
      bytes: toBase64(await readUserFile(path)),
    });
    return { state: String(answer['state']), ...kept.parse(answer) };
  } catch (error) {
    if (codeOf(error) === 'collateral_unknown' || codeOf(error) === 'request_invalid') return { state: 'unknown' };
    throw error;
  }
}

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause) => {
    throw new VaultError('usage', `${folder} cannot be read`, { cause });
  });
  const files = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  if (files.length === 0) throw new VaultError('usage', `${folder} has no files`);
  return files.sort();
}

async function list(kit: Kit, options: Options): Promise<void> {
  const answer = await kit.call('GET', '/v1/collateral');
  const rows = z.array(kept).parse(answer['collateral']);
  const shown = rows.map(({ type, key, issuedAt, expiresAt = '' }) => [type, key, issuedAt, expiresAt]);
  print(options, answer, rows.length > 0 ? aligned(['type', 'key', 'issued', 'good until'], shown) : ['Nothing was imported yet.']);
}
