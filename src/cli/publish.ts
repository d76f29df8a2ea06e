/** `wv publish`: sends a folder of files to the vault, which seals them as they arrive. What broke off goes on with `--resume`. */
import type { Command } from 'commander';
import { z } from 'zod';
import { createRetries } from '../agent/retry.ts';
import { VaultError } from '../domain/errors.ts';
import { addAdminCommand, attributeOption, classOption, streamsOption } from './command.ts';
import { parseAttributes } from './files.ts';
import { watchInterruption } from './interruption.ts';
import { type AdminOptions, type Kit, namespacePath, withKit } from './kit.ts';
import { aligned, inUnits, note, print } from './output.ts';
import { type ProgressOptions, progressOption, startProgress } from './progress.ts';
import { findSources, type SourceFile } from './source-files.ts';
import { readUploaded, type Sent, type UploadedObject, type UploadTarget, uploadAll } from './upload.ts';

/** An upload may take longer than a session may idle; while it runs, somebody is at work. */
const KEEP_SESSION_MS = 300_000;

interface Options extends AdminOptions, ProgressOptions {
  readonly model: string;
  readonly class: string;
  readonly streams: number;
  readonly attribute?: readonly string[];
  readonly resume?: string;
  readonly followSymlinks?: boolean;
}

export function registerPublish(program: Command): void {
  const command = addAdminCommand(program, 'publish <folder>', 'Publish every file of a folder as a new version of a model', [
    'wv publish --kit kits/alice --model llama-70b --class restricted ./llama-70b',
    'wv publish --kit kits/alice --model llama-70b --class restricted --attribute stage=production --streams 8 ./llama-70b',
    'wv publish --kit kits/alice --model llama-70b --class restricted --resume 01890000-0000-7000-8000-000000000000 ./llama-70b',
  ])
    .requiredOption('--model <name>', 'the model; made if it does not exist')
    .addOption(classOption().makeOptionMandatory())
    .option('--resume <version>', 'go on with an upload that broke off; files the vault has are compared, not sent again')
    .option('--follow-symlinks', 'publish what symbolic links name, inside the folder or outside of it; without it a link is refused');
  progressOption(streamsOption(attributeOption(command))).action((folder: string, options: Options) =>
    withKit(options.kit, (kit) => publish(kit, folder, options)),
  );
}

async function publish(kit: Kit, folder: string, options: Options): Promise<void> {
  using interruption = watchInterruption();
  const attributes = parseAttributes(options.attribute);
  const { files, outside } = await findSources(folder, options.followSymlinks === true);
  for (const link of outside) note(`note: ${link} is outside of ${folder}`);
  const { target, there } = await openVersion(kit, files, options);
  note(`version ${target.versionId}: if this breaks off, run it again with --resume ${target.versionId}`);
  const sent = await send(target, files, there, options, interruption.signal);
  const objects = sent.map(({ path, size, sha256 }) => ({ path, size, sha256 }));
  const path = `${namespacePath(options)}/versions/${encodeURIComponent(target.versionId)}/finish`;
  const finished = await kit.call('POST', path, { class: options.class, objects, attributes });
  const bytes = objects.reduce((sum, { size }) => sum + size, 0);
  const resumedBytes = sent.reduce((sum, { size, resumed }) => sum + (resumed ? size : 0), 0);
  print(options, { ...finished, bytes, resumedBytes, objects }, [
    ...aligned(['file', 'size', 'SHA-256', ''], sent.map(row)),
    `Version ${target.versionId} of ${options.model}: ${objects.length} files, ${bytes} bytes, sealed. Digest ${String(finished['versionDigest'])}.`,
    describeApproval(finished),
  ]);
}

const row = ({ path, size, sha256, resumed }: Sent) => [path, inUnits(size), sha256, resumed ? 'was there' : ''];

interface OpenVersion {
  readonly target: UploadTarget;
  readonly there: readonly UploadedObject[];
}

const started = z.object({ versionId: z.string() });

async function openVersion(kit: Kit, files: readonly SourceFile[], options: Options): Promise<OpenVersion> {
  const { namespace, model } = options;
  if (options.resume !== undefined) return reopenVersion({ kit, namespace, versionId: options.resume }, files, options);
  await kit.call('POST', `${namespacePath(options)}/models`, { name: model, class: options.class });
  const answer = await kit.call('POST', `${namespacePath(options)}/models/${encodeURIComponent(model)}/versions`);
  return { target: { kit, namespace, versionId: started.parse(answer).versionId }, there: [] };
}

async function reopenVersion(target: UploadTarget, files: readonly SourceFile[], options: Options): Promise<OpenVersion> {
  const uploaded = await readUploaded(target);
  if (uploaded.model !== options.model) throw new VaultError('usage', `${target.versionId} is a version of ${uploaded.model}`);
  const here = new Set<string>(files.map(({ path }) => path));
  const gone = uploaded.objects.find(({ path }) => !here.has(path));
  if (gone !== undefined)
    throw new VaultError('digest_mismatch', `${gone.path} was uploaded before, and is not here now; publish a new version`);
  return { target, there: uploaded.objects };
}

async function send(
  target: UploadTarget,
  files: readonly SourceFile[],
  there: readonly UploadedObject[],
  options: Options,
  signal: AbortSignal,
): Promise<readonly Sent[]> {
  const totalBytes = files.reduce((sum, { size }) => sum + size, 0);
  const retries = createRetries({
    onWait: (error, waitMs) => note(`${error.code}: ${error.detail}; again in ${(waitMs / 1000).toFixed(1)} s`),
  });
  const keeping = setInterval(() => void readUploaded(target).catch(() => undefined), KEEP_SESSION_MS).unref();
  try {
    using progress = startProgress(options, { label: options.model, totalBytes });
    return await uploadAll(target, files, there, { streams: options.streams, progress, retries, signal });
  } finally {
    clearInterval(keeping);
  }
}

function describeApproval(finished: Record<string, unknown>): string {
  const approval = finished['approval'] as { state?: string; requestId?: string; operationDigest?: string } | undefined;
  if (approval?.state === 'executed') return 'Promoted: its class needs one person.';
  return `Quarantined until another administrator runs: wv approve ${approval?.requestId} ${approval?.operationDigest}`;
}
