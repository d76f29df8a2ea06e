/** `wv log export` of a log that grows under it. The vault is played by a log in memory. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, test } from '@jest/globals';
import { LOG_FORMATS } from '../../src/audit/formats/format.ts';
import { verifyCopy } from '../../src/audit/formats/verify-copy.ts';
import type { Kit } from '../../src/cli/kit.ts';
import { exportTo } from '../../src/cli/log-export.ts';
import { copyIn } from '../../src/cli/log-source.ts';
import { appendRecords, createLogKey, publishedFiles } from '../audit/small-log.ts';

test('of one namespace has no record that its checkpoint does not cover, though the search knows more of them', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wv-export-'));
  const key = createLogKey();
  const { memory } = await publishedFiles(3, key);
  const said = async (path: string): Promise<Uint8Array> => {
    if (path.endsWith('/checkpoint')) return memory.state.head?.checkpoint ?? new Uint8Array(0);
    return memory.state.tiles.get(path.slice(path.indexOf('/log/') + '/log/'.length)) ?? new Uint8Array(0);
  };
  const kit = {
    sessionHeaders: async () => ({}),
    https: { send: async ({ path }: { path: string }) => Readable.from([Buffer.from(await said(path))]) },
    async call() {
      await appendRecords(memory, 1); // no checkpoint covers it yet
      const all = [...memory.state.leaves, ...memory.state.outbox];
      return { records: all.map(({ leaf }, index) => ({ index, leaf: Buffer.from(leaf).toString() })) };
    },
  } as unknown as Kit; // what the command uses of it
  try {
    await exportTo(kit, join(folder, 'copy'), { kit: '', namespace: 'research', json: true });
    const lines = readFileSync(join(folder, 'copy', 'records.jsonl'), 'utf8')
      .trimEnd()
      .split('\n');
    const report = await verifyCopy(Readable.from(lines), LOG_FORMATS.jsonl, copyIn(join(folder, 'copy')), key.vkey);
    expect(report).toMatchObject({ ok: true, size: 3, verified: 3, problems: [] });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
