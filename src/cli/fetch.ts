/** `wv fetch`: attest, be granted a release, receive it, verify it. */
import type { Command } from 'commander';
import { fetchRelease } from '../agent/fetch.ts';
import { VaultError } from '../domain/errors.ts';
import { print, withJson } from './output.ts';
import { withRequester } from './requester.ts';

interface Options {
  readonly requester: string;
  readonly model: string;
  readonly version: string;
  readonly out: string;
  readonly json?: boolean;
}

export function registerFetch(program: Command): void {
  withJson(
    program
      .command('fetch')
      .description('Attest with this machine’s TPM and receive a version, every digest verified')
      .requiredOption('--requester <folder>', "the requester's folder")
      .requiredOption('--model <name>', 'the model')
      .requiredOption('--version <id>', 'the version id')
      .requiredOption('--out <folder>', 'where the files go'),
  ).action(fetchVersion);
}

async function fetchVersion(options: Options): Promise<void> {
  await withRequester(options.requester, async ({ client, attester }) => {
    await attester.prepare();
    const challenge = await client.challenge();
    const release = await client.release(options.model, options.version, challenge.id, [await client.evidence(challenge, attester)]);
    let bytes = 0;
    const startedAt = performance.now();
    const count = (more: number) => {
      bytes += more;
    };
    try {
      await fetchRelease(client, release, options.out, count, interrupted());
    } finally {
      await client.end(release.releaseId).catch(() => undefined); // it ends by itself at its expiry
    }
    const seconds = (performance.now() - startedAt) / 1000;
    const { releaseId, recordId, versionDigest, objects } = release;
    print(options, { releaseId, recordId, versionDigest, bytes, seconds, objects }, [
      `${objects.length} files, ${bytes} bytes in ${seconds.toFixed(2)} s, every digest verified. Release ${releaseId}, record ${recordId}.`,
    ]);
  });
}

/** Aborts on Ctrl-C and SIGTERM, so that no partial file stays. */
function interrupted(): AbortSignal {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => abort.abort(new VaultError('vault_unreachable', `ended by ${signal}`)));
  return abort.signal;
}
