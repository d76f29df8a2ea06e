/** `wv fetch`: attest, be granted a release, receive it, verify it. Run again, it goes on where it was. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { DataClient, GrantedRelease } from '../agent/data-client.ts';
import { fetchRelease } from '../agent/fetch.ts';
import { type LastingRelease, lastingRelease } from '../agent/lasting-release.ts';
import { createRetries, type Retries, retrying } from '../agent/retry.ts';
import { rememberCounter, seenCounter } from '../agent/seen-aliases.ts';
import { isId, type ReleaseId } from '../domain/ids.ts';
import { addCommand, streamsOption } from './command.ts';
import { watchInterruption } from './interruption.ts';
import { note, print } from './output.ts';
import { type ProgressOptions, progressOption, startProgress } from './progress.ts';
import { type Requester, withRequester } from './requester.ts';

const END_SECONDS = 3;
const RECEIPT_SECONDS = 30;

interface Options extends ProgressOptions {
  readonly requester: string;
  readonly model: string;
  readonly version: string;
  readonly out: string;
  readonly streams: number;
  readonly receipt?: string;
  readonly json?: boolean;
}

export function registerFetch(program: Command): void {
  const command = addCommand(program, 'fetch', 'Attest and receive a version, every digest verified', [
    'wv fetch --requester me --model llama-70b --version 01890000-0000-7000-8000-000000000000 --out ./llama-70b',
    'wv fetch --requester me --model llama-70b --version 01890000-0000-7000-8000-000000000000 --out ./llama-70b --streams 8 --progress plain',
    'wv fetch --requester me --model llama-70b --version prod --out ./llama-70b --receipt llama-70b.receipt --json',
  ])
    .requiredOption('--requester <folder>', "the requester's folder")
    .requiredOption('--model <name>', 'the model')
    .requiredOption('--version <id>', 'the version id, or an alias such as prod')
    .requiredOption('--out <folder>', 'where the files go; what is there already and right is not fetched again')
    .option('--receipt <file>', 'keep the proof that this release is in the access log; see `wv receipt verify`');
  progressOption(streamsOption(command)).action(fetchVersion);
}

async function fetchVersion(options: Options): Promise<void> {
  using interruption = watchInterruption();
  const { signal } = interruption;
  await withRequester(options.requester, async (requester) => {
    await requester.attester.prepare();
    // A first refusal is told at once. Later there is something to lose, so what may pass is waited for.
    const first = await attestFirst(requester, options);
    const retries = createRetries({
      onWait: (error, waitMs) => note(`${error.code}: ${error.detail}; again in ${(waitMs / 1000).toFixed(1)} s`),
    });
    const again = () => retrying(() => attested(requester, options.model, first.versionId), retries, signal);
    const release = lastingRelease(first, again);
    const { bytes, seconds } = await receive(requester.client, release, options, retries, signal);
    const { releaseId, recordId, versionId, versionDigest, objects } = release.current;
    if (options.receipt !== undefined) await keepReceipt(requester.client, release.current, options.receipt, signal);
    const resumedBytes = Math.max(0, totalBytes(objects) - bytes);
    const here = resumedBytes > 0 ? `, ${resumedBytes} were here already` : '';
    print(options, { releaseId, recordId, versionId, versionDigest, bytes, resumedBytes, seconds, objects }, [
      `${objects.length} files, ${bytes} bytes in ${seconds.toFixed(2)} s${here}, every digest verified. Release ${releaseId}, record ${recordId}.`,
    ]);
  });
}

/** An alias may only move on: what it named before must not come back as the current version. */
async function attestFirst(requester: Requester, { requester: folder, model, version }: Options): Promise<GrantedRelease> {
  const alias = { namespace: requester.settings.namespace, model, name: version };
  const seenFile = join(folder, 'aliases.json');
  const release = await attested(requester, model, version, isId(version) ? undefined : await seenCounter(seenFile, alias));
  try {
    if (release.alias !== undefined) await rememberCounter(seenFile, alias, release.alias.counter);
  } catch (error) {
    await endRelease(requester.client, release.releaseId);
    throw error;
  }
  return release;
}

async function attested({ client, attesters }: Requester, model: string, version: string, aliasCounter?: number): Promise<GrantedRelease> {
  const challenge = await client.challenge();
  return client.release(model, version, challenge.id, await client.attest(challenge, attesters), aliasCounter);
}

/** However it ends, no release stays open: what was sent is then on record at once, not at its expiry. */
async function receive(client: DataClient, release: LastingRelease, options: Options, retries: Retries, signal: AbortSignal) {
  const startedAt = performance.now();
  let bytes = 0;
  try {
    using progress = startProgress(options, { label: options.model, totalBytes: totalBytes(release.current.objects) });
    await fetchRelease(client, release, options.out, {
      ...{ streams: options.streams, retries, signal },
      onResumed: progress.skip,
      onBytes: (more) => {
        bytes += more;
        progress.add(more);
      },
    });
    return { bytes, seconds: (performance.now() - startedAt) / 1000 };
  } finally {
    for (const { releaseId } of release.all) await endRelease(client, releaseId);
  }
}

/** The vault signs a checkpoint several times a second, so the wait is short; the weights are here already, whatever becomes of it. */
async function keepReceipt(
  client: DataClient,
  { releaseId, receipt: given }: GrantedRelease,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const retries = createRetries({ firstMs: 200, mostMs: 1_000, giveUpSeconds: RECEIPT_SECONDS });
  const receipt = given ?? (await retrying(() => client.receipt(releaseId), retries, signal));
  await writeFile(file, receipt, { mode: 0o600 });
}

const totalBytes = (objects: GrantedRelease['objects']) => objects.reduce((sum, { size }) => sum + size, 0);

/** Reads that we broke off may still be open on the other side. A release that cannot be ended ends by itself, at its expiry. */
async function endRelease(client: DataClient, releaseId: ReleaseId): Promise<void> {
  const retries = createRetries({ firstMs: 200, mostMs: 500, giveUpSeconds: END_SECONDS });
  await retrying(() => client.end(releaseId), retries, new AbortController().signal).catch(() => undefined);
}
