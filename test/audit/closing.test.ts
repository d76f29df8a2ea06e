/** What stands beside the tiles of an archive: whose statement it is, and of which archive. */
import { expect, test } from '@jest/globals';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { openStatement, policyText, timeOf, withEarlier } from '../../src/audit/closing.ts';
import { makeReceipt } from '../../src/audit/receipt.ts';
import { parseVkey } from '../../src/audit/vkey.ts';
import { toHex } from '../../src/domain/bytes.ts';
import { codeOf, type ErrorCode } from '../../src/domain/errors.ts';
import type { Digest } from '../../src/domain/ids.ts';
import { appendRecords, createLogKey, publishedFiles, recordOf, sequencerOn, sourceOf } from './small-log.ts';

const key = createLogKey();
const until = new Date('2026-01-01T00:00:00.000Z');
const bytes = (found: Uint8Array | undefined) => found ?? new Uint8Array(0);

/** A log of 300 records, the record that closes it there, and that record's proof. */
async function closed(over: { readonly size?: number; readonly root?: string } = {}) {
  const { files, memory } = await publishedFiles(300, key);
  const archive = openCheckpoint(bytes(files.get('checkpoint')), parseVkey(key.vkey));
  const said = { until, size: over.size ?? archive.size, root: (over.root ?? toHex(archive.root)) as Digest };
  await appendRecords(memory, 1, recordOf('log.closed', { closed: said }));
  await appendRecords(memory, 1, recordOf('log.closed'));
  memory.now = new Date(memory.now.getTime() + 60_000); // the lease of the sequencer before is over
  expect(await sequencerOn(memory, key).sequencer.tick()).toBe('published');
  const later = sourceOf(new Map(memory.state.tiles).set('checkpoint', bytes(memory.state.head?.checkpoint)));
  const statementAt = async (index: number) => {
    const leaf = bytes((await memory.unitOfWork.run((tx) => memory.log.leaves(tx, index, index + 1)))[0]?.leaf);
    return makeReceipt({ index, leaf }, await later.checkpoint(), parseVkey(key.vkey), later.tile);
  };
  return { archive, files, later, statement: await statementAt(300), statementAt };
}

const refusal = (work: () => unknown): ErrorCode | 'accepted' => {
  try {
    work();
    return 'accepted';
  } catch (error) {
    return codeOf(error);
  }
};

test('the statement says until when, and is refused under another key, of another archive, and where it is of no period', async () => {
  const { archive, statement, statementAt } = await closed();
  expect(openStatement(statement, key.vkey, archive)).toEqual({ until: until.toISOString(), index: 300 });
  expect(refusal(() => openStatement(statement, createLogKey().vkey, archive))).toBe('note_signature_invalid');
  expect(refusal(() => openStatement(statement, key.vkey, { ...archive, size: 299 as never }))).toBe('proof_invalid');
  expect(refusal(() => openStatement(statement, key.vkey, { ...archive, root: new Uint8Array(32) }))).toBe('proof_invalid');
  for (const index of [0, 301]) {
    const other = await statementAt(index);
    expect([index, refusal(() => openStatement(other, key.vkey, archive))]).toEqual([index, 'proof_invalid']);
  }
  for (const over of [{ size: 299 }, { root: 'ab'.repeat(32) }]) {
    const other = await closed(over);
    expect(refusal(() => openStatement(other.statement, key.vkey, other.archive))).toBe('proof_invalid');
  }
});

test('no bit of the statement can change unnoticed', async () => {
  const { archive, statement } = await closed();
  for (let at = 0; at < statement.length; at += 7) {
    const altered = statement.slice();
    altered[at] = (altered[at] ?? 0) ^ (1 << (at % 8));
    expect([at, refusal(() => openStatement(altered, key.vkey, archive))]).toEqual([at, expect.stringMatching(/^(proof_invalid|note_)/)]);
  }
});

test('the time of a record is read where the copy has it; what an earlier archive has is taken from there', async () => {
  const { files, later } = await closed();
  expect(await timeOf(300, 302, later)).toBeGreaterThan(0);
  expect(await timeOf(302, 302, later)).toBeUndefined();
  const less = sourceOf(new Map(files));
  expect(await timeOf(300, 302, less)).toBeUndefined();
  const pruned = {
    checkpoint: later.checkpoint,
    tile: async (path: string) => (path === 'tile/entries/000' ? undefined : later.tile(path)),
  };
  expect(await withEarlier(pruned, undefined).tile('tile/entries/000')).toBeUndefined();
  expect(await withEarlier(pruned, less).tile('tile/entries/000')).toEqual(files.get('tile/entries/000'));
  expect(await withEarlier(pruned, less).tile('tile/0/001.p/46')).toEqual(await later.tile('tile/0/001.p/46'));
  expect(await withEarlier(pruned, less).checkpoint()).toEqual(await later.checkpoint());
});

test('the policy names the log, and the witnesses that were asked for', () => {
  const log = parseVkey(key.vkey);
  expect(policyText(log, [], 0)).toBe(`log ${key.vkey}\nquorum none\n`);
  expect(policyText(log, ['a+1+x', 'b+2+y'], 1)).toBe(
    `log ${key.vkey}\nwitness w1 a+1+x\nwitness w2 b+2+y\ngroup witnesses 1 w1 w2\nquorum witnesses\n`,
  );
});
