/** `wv backup`, `wv restore`: on the vault's host. The HSM's keys are not in a backup; back the HSM up by its own means, elsewhere. */
import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import type { HeadObjects } from '../keys/port.ts';
import { addCommand } from './command.ts';
import { inUnits, note, print } from './output.ts';
import { type ProgressOptions, progressOption, startProgress } from './progress.ts';

interface BackupOptions extends ProgressOptions {
  readonly config: string;
  readonly json?: boolean;
}

export function registerBackup(program: Command): void {
  progressOption(
    addCommand(
      program,
      'backup <folder>',
      'Copy database and ciphertext into a folder, while the vault serves; a second time only what is new',
      ['wv backup --config vault.json /mnt/backup/vault', 'wv backup --config vault.json --progress plain --json /mnt/backup/vault'],
    ).requiredOption('--config <file>', 'vault.json of the vault'),
  ).action(backup);
}

export function registerRestore(program: Command): void {
  progressOption(
    addCommand(program, 'restore <folder>', 'Verify a backup down to every record and every blob, then put it where vault.json says', [
      'wv restore --config vault.json /mnt/backup/vault',
      'wv restore --config vault.json --accept-lost-records /mnt/backup/vault',
    ])
      .requiredOption('--config <file>', 'vault.json of the vault; the database it names must not exist')
      .option('--accept-lost-records', 'restore although records that were signed are not in this backup; the access log will say so'),
  ).action(restore);
}

async function backup(folder: string, options: BackupOptions): Promise<void> {
  const { loadConfig } = await import('../config/config.ts');
  const { backUp } = await import('../compose-backup.ts');
  const config = loadConfig(options.config);
  const { copied, ...facts } = await shown('backup', options, (onBytes) => backUp(config, folder, onBytes));
  print(options, { ...facts, copied }, [
    `${facts.records} records, ${facts.blobs.count} blobs of ${inUnits(facts.blobs.bytes)}, ${copied} of them new, in ${folder}.`,
    'The keys are in the HSM and not in this backup: without them it opens nothing.',
  ]);
}

async function restore(folder: string, options: BackupOptions & { acceptLostRecords?: boolean }): Promise<void> {
  const { loadConfig } = await import('../config/config.ts');
  const compose = await import('../compose-backup.ts');
  const config = loadConfig(options.config);
  const acceptLostRecords = options.acceptLostRecords === true;
  const { facts, blobs, lostRecords } = await withHeads(config, (heads) =>
    shown('restore', options, (onBytes) => compose.restore(config, folder, { acceptLostRecords, heads, onBytes })),
  );
  note(`What was blocked, suspended or decided after ${facts.createdAt} is not in this backup: do it again before you serve.`);
  print(options, { records: facts.records, createdAt: facts.createdAt, blobs: blobs.blobs, bytes: blobs.bytes, lostRecords }, [
    `${facts.records} records and ${blobs.blobs} blobs of ${inUnits(blobs.bytes)} verified and restored, as of ${facts.createdAt}.`,
    ...(lostRecords > 0 ? [`${lostRecords} signed records are lost; the access log says so.`] : []),
  ]);
}

/** What the HSM remembers of the log. A restore works without it too: the next start compares. */
async function withHeads<T>(config: Config, work: (heads: HeadObjects | undefined) => Promise<T>): Promise<T> {
  if (config.logHeadInHsm === false) return work(undefined);
  const { startKeys } = await import('../compose.ts');
  const { createLogger } = await import('../telemetry/logger.ts');
  const started = await startKeys(config, createLogger('error'), true).catch(() => undefined);
  try {
    const answers = (await started?.keys.health())?.ok === true;
    if (!answers) note('The HSM does not answer: what it remembers of the access log is compared when the vault starts.');
    return await work(answers ? started?.keys.heads : undefined);
  } finally {
    await started?.stop();
  }
}

async function shown<T>(label: string, options: ProgressOptions, work: (onBytes: (bytes: number) => void) => Promise<T>): Promise<T> {
  using progress = startProgress(options, { label, totalBytes: 0 });
  return await work((bytes) => progress.add(bytes));
}
