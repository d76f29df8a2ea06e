/** Sends files to a version that is being uploaded: several at once, what is there already not again, what may pass tried again. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type Retries, retrying } from '../agent/retry.ts';
import { codeOf, VaultError } from '../domain/errors.ts';
import { type ObjectPath, parseDigest, parseObjectPath } from '../domain/ids.ts';
import { type Kit, namespacePath } from './kit.ts';
import type { Progress } from './progress.ts';
import { type SourceFile, steadyBytes } from './source-files.ts';

export interface UploadedObject {
  readonly path: ObjectPath;
  readonly size: number;
  readonly sha256: string;
}

export interface UploadTarget {
  readonly kit: Kit;
  readonly namespace: string;
  readonly versionId: string;
}

const objectAnswer = z.object({ path: z.string(), size: z.int().min(0), sha256: z.string() }).transform(({ path, size, sha256 }) => ({
  path: parseObjectPath(path),
  size,
  sha256: parseDigest(sha256),
}));
const uploading = z.object({ model: z.string(), class: z.string(), objects: z.array(objectAnswer) });

const versionPath = (target: UploadTarget) => `${namespacePath(target)}/versions/${encodeURIComponent(target.versionId)}`;

/** What the vault has of the version. `version_state_conflict` when it is not being uploaded any more. */
export async function readUploaded(target: UploadTarget): Promise<z.output<typeof uploading>> {
  return uploading.parse(await target.kit.call('GET', `${versionPath(target)}/objects`));
}

export interface UploadOptions {
  readonly streams: number;
  readonly progress: Progress;
  readonly retries: Retries;
  readonly signal: AbortSignal;
}

export interface Sent extends UploadedObject {
  /** Not sent: it was there, and its digest is that of the file here. */
  readonly resumed: boolean;
}

/** All of `files`, in their order. The first failure stops the others. Throws `digest_mismatch` for a file that is not what the vault has. */
export async function uploadAll(
  target: UploadTarget,
  files: readonly SourceFile[],
  there: readonly UploadedObject[],
  options: UploadOptions,
): Promise<Sent[]> {
  const failed = new AbortController();
  const stoppable = { ...options, signal: AbortSignal.any([options.signal, failed.signal]) };
  const known = new Map(there.map((object) => [object.path, object]));
  const sent: Sent[] = [];
  const left = files.entries();
  const worker = async () => {
    for (const [index, file] of left) {
      const object = known.get(file.path);
      sent[index] = object === undefined ? await upload(target, file, stoppable) : await compare(file, object, stoppable);
    }
  };
  await Promise.all(Array.from({ length: options.streams }, () => worker().catch((error) => failed.abort(error))));
  failed.signal.throwIfAborted(); // the first failure, not what it did to the others
  return sent;
}

/** An object that is there is never sent again, but must be what the file is now. */
async function compare(file: SourceFile, object: UploadedObject, { progress, signal }: UploadOptions): Promise<Sent> {
  const digest = createHash('sha256');
  for await (const chunk of steadyBytes(file)) {
    signal.throwIfAborted();
    digest.update(chunk);
  }
  if (object.size !== file.size || object.sha256 !== digest.digest('hex'))
    throw new VaultError('digest_mismatch', `${file.path} is not what was uploaded before; publish a new version`);
  progress.skip(file.size);
  return { ...object, resumed: true };
}

async function upload(target: UploadTarget, file: SourceFile, options: UploadOptions): Promise<Sent> {
  let again = false;
  return retrying(
    async () => {
      // The vault may have it all, and only its answer was lost.
      const object = again ? await readObject(target, file) : undefined;
      again = true;
      return object === undefined ? putOrCompare(target, file, options) : compare(file, object, options);
    },
    options.retries,
    options.signal,
  );
}

async function readObject(target: UploadTarget, { path }: SourceFile): Promise<UploadedObject | undefined> {
  return (await readUploaded(target)).objects.find((object) => object.path === path);
}

/** Of a run that was killed the vault may have had the last bytes already, and not have stored them yet when this one asked what is there. */
async function putOrCompare(target: UploadTarget, file: SourceFile, options: UploadOptions): Promise<Sent> {
  try {
    return await put(target, file, options);
  } catch (error) {
    const came = codeOf(error) === 'object_exists' ? await readObject(target, file) : undefined;
    if (came === undefined) throw error;
    return compare(file, came, options);
  }
}

/** Our own digest of what we sent is what the vault must have received. */
async function put(target: UploadTarget, file: SourceFile, { progress, retries, signal }: UploadOptions): Promise<Sent> {
  const digest = createHash('sha256');
  let size = 0;
  const body = (async function* () {
    for await (const chunk of steadyBytes(file)) {
      digest.update(chunk);
      size += chunk.length;
      yield chunk;
      retries.progressed();
      progress.add(chunk.length);
    }
  })();
  const path = `${versionPath(target)}/objects/${file.path.split('/').map(encodeURIComponent).join('/')}`;
  try {
    const headers = await target.kit.sessionHeaders();
    const answer = objectAnswer.safeParse(await target.kit.https.answer({ method: 'PUT', path, headers, body, signal }));
    const sha256 = digest.digest('hex');
    if (answer.data?.size !== size || answer.data.sha256 !== sha256)
      throw new VaultError('digest_mismatch', `the vault received something else as ${file.path}`);
    return { path: file.path, size, sha256, resumed: false };
  } catch (error) {
    progress.add(-size);
    throw error;
  }
}
