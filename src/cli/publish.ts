/** `wv publish`: sends a folder of files to the vault, which seals them as they arrive. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { Command } from 'commander';
import { readAll } from '../agent/https-client.ts';
import { VaultError } from '../domain/errors.ts';
import { parseObjectPath } from '../domain/ids.ts';
import { type Kit, kitOption, namespaceOption, withKit } from './kit.ts';
import { print, withJson } from './output.ts';

interface Options {
  readonly kit: string;
  readonly namespace: string;
  readonly model: string;
  readonly class: string;
  readonly json?: boolean;
}

export function registerPublish(program: Command): void {
  withJson(
    namespaceOption(
      kitOption(program.command('publish <folder>').description('Publish every file of a folder as a new version of a model')),
    )
      .requiredOption('--model <name>', 'the model; made if it does not exist')
      .requiredOption('--class <class>', 'public, internal, restricted or critical'),
  ).action((folder: string, options: Options) => withKit(options.kit, (kit) => publish(kit, folder, options)));
}

async function publish(kit: Kit, folder: string, options: Options): Promise<void> {
  const files = await filesOf(folder);
  if (files.length === 0) throw new VaultError('usage', `${folder} has no files`);
  const base = `/v1/namespaces/${encodeURIComponent(options.namespace)}`;
  await kit.call('POST', `${base}/models`, { name: options.model, class: options.class });
  const started = await kit.call('POST', `${base}/models/${encodeURIComponent(options.model)}/versions`);
  const version = String(started['versionId']);
  const objects = [];
  for (const file of files) objects.push(await upload(kit, `${base}/versions/${version}`, folder, file));
  const finished = await kit.call('POST', `${base}/versions/${version}/finish`, { class: options.class, objects });
  const bytes = objects.reduce((sum, object) => sum + object.size, 0);
  print(options, { ...finished, objects }, [
    `Version ${version} of ${options.model}: ${objects.length} files, ${bytes} bytes, sealed. Digest ${String(finished['versionDigest'])}.`,
    describeApproval(finished),
  ]);
}

/** Our own digest of what we sent is what the vault must have received. */
async function upload(kit: Kit, base: string, folder: string, file: string) {
  const path = parseObjectPath(relative(folder, file).split(sep).join('/').normalize('NFC'));
  const digest = createHash('sha256');
  let size = 0;
  const body = (async function* () {
    for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 })) {
      digest.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  })();
  const url = `${base}/objects/${path.split('/').map(encodeURIComponent).join('/')}`;
  await readAll(await kit.https.send({ method: 'PUT', path: url, headers: await kit.sessionHeaders(), body }));
  return { path, size, sha256: digest.digest('hex') };
}

/** Regular files only: a link could name something outside the folder. */
async function filesOf(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  } catch (cause) {
    throw new VaultError('usage', `${folder} cannot be read`, { cause });
  }
}

function describeApproval(finished: Record<string, unknown>): string {
  const approval = finished['approval'] as { state?: string; requestId?: string; operationDigest?: string } | undefined;
  if (approval?.state === 'executed') return 'Promoted: its class needs one person.';
  return `Quarantined until another administrator runs: wv approve ${approval?.requestId} ${approval?.operationDigest}`;
}
