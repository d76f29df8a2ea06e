/** A file that comes to be there while it is sent: an earlier run was killed, and the vault had all of it. The vault is played. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createRetries } from '../../src/agent/retry.ts';
import type { Kit } from '../../src/cli/kit.ts';
import { startProgress } from '../../src/cli/progress.ts';
import { findSources } from '../../src/cli/source-files.ts';
import { uploadAll } from '../../src/cli/upload.ts';
import { codeOf, VaultError } from '../../src/domain/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'wv-upload-'));
beforeAll(() => writeFileSync(join(folder, 'weights.bin'), 'weights'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Sends the file to a vault that has stored `has` by the time it answers. */
async function sent(has: { readonly path: string; readonly bytes: string }) {
  const object = { path: has.path, size: has.bytes.length, sha256: createHash('sha256').update(has.bytes).digest('hex') };
  const kit = {
    sessionHeaders: async () => ({}),
    call: async () => ({ model: 'llama', class: 'internal', objects: [object] }),
    https: {
      answer: async ({ body }: { body: AsyncIterable<Uint8Array> }) => {
        for await (const _ of body);
        throw new VaultError('object_exists', object.path);
      },
    },
  } as unknown as Kit; // what an upload uses of it
  const { files } = await findSources(folder, false);
  using progress = startProgress({ progress: 'off' }, { label: 'llama', totalBytes: 7 });
  const options = { streams: 1, progress, retries: createRetries({ giveUpSeconds: 0 }), signal: new AbortController().signal };
  return uploadAll({ kit, namespace: 'prod', versionId: 'v' }, files, [], options);
}

test('with the same bytes it counts as sent before', async () => {
  expect(await sent({ path: 'weights.bin', bytes: 'weights' })).toMatchObject([{ path: 'weights.bin', size: 7, resumed: true }]);
});

test.each([
  ['with other bytes', { path: 'weights.bin', bytes: 'heights' }, 'digest_mismatch'],
  ['under a name that differs in case', { path: 'Weights.bin', bytes: 'weights' }, 'object_exists'],
])('%s it is refused', async (_what, has, code) => {
  expect(await sent(has).catch(codeOf)).toBe(code);
});
