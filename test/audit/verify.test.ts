import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { decodeEntries, encodeEntries } from '../../src/audit/bundle.ts';
import { copyLog } from '../../src/audit/export.ts';
import { findRecord } from '../../src/audit/find-record.ts';
import { leafHash } from '../../src/audit/merkle.ts';
import { parseVkey } from '../../src/audit/note.ts';
import { makeProof, parseProof, verifyProof } from '../../src/audit/proof.ts';
import { parseLeaf } from '../../src/audit/record.ts';
import { edgeTiles } from '../../src/audit/tile-path.ts';
import { type LogSource, verifyLog } from '../../src/audit/verify.ts';
import { concat } from '../../src/domain/bytes.ts';
import { codeOf, VaultError } from '../../src/domain/errors.ts';
import { newId, type RecordId, type ReleaseId } from '../../src/domain/ids.ts';
import { createMemoryLog } from '../doubles/memory-log-store.ts';
import { appendRecords, createLogKey, ORIGIN, publishedFiles, recordOf, sequencerOn, sourceOf } from './small-log.ts';

const key = createLogKey();

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const out = bytes.slice();
  out[bit >> 3] = (out[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return out;
}

/** Which record each byte of a bundle belongs to, its length prefix included. */
function ownersOf(bundle: Uint8Array, width: number): readonly number[] {
  return decodeEntries(bundle, width).entries.flatMap((entry, at) => new Array<number>(entry.length + 2).fill(at));
}

test('a log whose HSM signs with P-256 is published and verified in the same way, and by no key of another kind', async () => {
  const p256 = createLogKey('ecdsa-p256-sha256');
  const { files } = await publishedFiles(5, p256);
  expect(p256.vkey).toMatch(/\+Aj/); // note type 0x02
  expect(await verifyLog(sourceOf(files), p256.vkey)).toMatchObject({ ok: true, origin: ORIGIN, size: 5 });
  const other = createLogKey('ecdsa-p256-sha256');
  for (const vkey of [other.vkey, key.vkey])
    expect(await verifyLog(sourceOf(files), vkey)).toMatchObject({ ok: false, problems: [{ code: 'note_signature_invalid' }] });
});

test('the golden log verifies under its P-256 checkpoint too, and no altered bit of that is believed', async () => {
  const vectors = (name: string) => JSON.parse(readFileSync(new URL(`../vectors/audit/${name}`, import.meta.url), 'utf8'));
  const { vkey, checkpoint } = vectors('log-p256.json');
  const tiles = Object.entries<string>(vectors('log.json').tiles);
  const files = new Map<string, Uint8Array>(tiles.map(([path, base64]) => [path, new Uint8Array(Buffer.from(base64, 'base64'))]));
  const note = new Uint8Array(Buffer.from(checkpoint));
  expect(await verifyLog(sourceOf(files.set('checkpoint', note)), vkey)).toMatchObject({ ok: true, size: 8 });
  for (let bit = 0; bit < note.length * 8; bit++) {
    const report = await verifyLog(sourceOf(files.set('checkpoint', flipped(note, bit))), vkey);
    expect(report.problems).toEqual([expect.objectContaining({ code: expect.stringMatching(/^note_/) })]);
  }
});

describe('a log of 40 records', () => {
  // All 120,000 bits take minutes (WV_EVERY_BIT=1). Else: every bit of checkpoint, tile and one record, one bit in 38 bytes of the others; flipped-bits.test.ts has every bit.
  const everyBit = process.env['WV_EVERY_BIT'] === '1';
  test('verifies, and every flipped bit of checkpoint, tile and entries is found, with the record it hit', async () => {
    const { files, ids } = await publishedFiles(40, key);
    const clean = await verifyLog(sourceOf(files), key.vkey);
    expect(clean).toMatchObject({ ok: true, origin: ORIGIN, size: 40, problems: [], releases: { begin: 0, end: 0, unknown: 0, live: 0 } });
    expect([...files.keys()].sort()).toEqual(['checkpoint', 'tile/0/000.p/40', 'tile/entries/000.p/40']);

    const bundle = files.get('tile/entries/000.p/40') ?? new Uint8Array(0);
    const owners = ownersOf(bundle, 40);
    for (const [path, bytes] of files) {
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const whole = path !== 'tile/entries/000.p/40' || owners[bit >> 3] === 17;
        if (!everyBit && !whole && bit % 307 !== 0) continue; // 307: every position in a byte gets its turn
        const report = await verifyLog(sourceOf(new Map(files).set(path, flipped(bytes, bit))), key.vkey);
        expect(report.ok).toBe(false);
        expect(report.problems).toHaveLength(1);
        const [problem] = report.problems;
        if (path === 'checkpoint') expect(problem?.code).toMatch(/^note_/);
        else if (path === 'tile/0/000.p/40') expect(problem).toMatchObject({ code: 'log_tile_mismatch', leafIndex: 0 });
        else {
          const owner = owners[bit >> 3] ?? -1;
          expect(problem).toMatchObject({ code: 'log_entry_mismatch', leafIndex: owner });
          // Unless the flip hit the id or its name itself, or the length, the record is also named by its id.
          if (problem?.recordId !== undefined && problem.recordId !== ids[owner]) expect(idBytes(bundle, ids[owner])).toContain(bit >> 3);
        }
      }
    }
  });

  function idBytes(bundle: Uint8Array, id: RecordId | undefined): readonly number[] {
    const at = Buffer.from(bundle).indexOf(id ?? '');
    return Array.from({ length: 36 }, (_, offset) => at + offset);
  }
});

describe('a log of 66,000 records', () => {
  // Three levels of tiles: 257 full and one partial at level 0, one full and one partial at level 1, one at level 2.
  let log: Awaited<ReturnType<typeof publishedFiles>> | undefined;
  const files = async () => new Map((log ??= await publishedFiles(66_000, key)).files);
  const damaged = async (damage: (files: Map<string, Uint8Array>) => void) => {
    const copy = await files();
    damage(copy);
    return verifyLog(sourceOf(copy), key.vkey);
  };
  const flip = (path: string) => (copy: Map<string, Uint8Array>) => void copy.set(path, flipped(copy.get(path) ?? new Uint8Array(1), 4001));

  test('verifies', async () => {
    expect(await damaged(() => undefined)).toMatchObject({ ok: true, size: 66_000 });
  });

  test.each([
    ['tile/0/100', 'log_tile_mismatch', 25_600],
    ['tile/0/257.p/208', 'log_tile_mismatch', 65_792],
    ['tile/1/000', 'log_tile_mismatch', 0],
  ])('with a flipped bit in %s, says so', async (path, code, leafIndex) => {
    const { problems } = await damaged(flip(path));
    expect(problems).toEqual([expect.objectContaining({ code, leafIndex, detail: expect.stringContaining(path) })]);
  });

  test.each(['tile/1/001.p/1', 'tile/2/000.p/1'])('with a flipped bit in %s, says so', async (path) => {
    const { problems } = await damaged((copy) => copy.set(path, flipped(copy.get(path) ?? new Uint8Array(1), 77)));
    expect(problems).toEqual([expect.objectContaining({ code: 'log_tile_mismatch', detail: expect.stringContaining(path) })]);
  });

  test('names the record whose bytes were changed, in a full bundle and in the last', async () => {
    const { problems } = await damaged((copy) => {
      flip('tile/entries/100')(copy);
      flip('tile/entries/257.p/208')(copy);
    });
    expect(problems).toEqual([
      { code: 'log_entry_mismatch', leafIndex: 25_601, recordId: log?.ids[25_601], detail: expect.any(String) },
      { code: 'log_entry_mismatch', leafIndex: 65_793, recordId: log?.ids[65_793], detail: expect.any(String) },
    ]);
  });

  test('finds a record that was changed together with its tile', async () => {
    const { problems } = await damaged((copy) => {
      const entries = decodeEntries(copy.get('tile/entries/100') ?? new Uint8Array(0), 256).entries.map((entry, at) =>
        at === 3 ? flipped(entry, 0) : entry,
      );
      copy.set('tile/entries/100', encodeEntries(entries));
      copy.set('tile/0/100', concat(...entries.map(leafHash)));
    });
    expect(problems).toEqual([expect.objectContaining({ code: 'log_tile_mismatch', leafIndex: 25_600 })]);
  });

  test.each(['tile/entries/100', 'tile/0/100', 'tile/0/257.p/208', 'tile/1/000', 'tile/2/000.p/1', 'tile/entries/257.p/208'])(
    'misses %s',
    async (path) => {
      const { problems } = await damaged((copy) => copy.delete(path));
      expect(problems).toEqual([expect.objectContaining({ code: 'log_incomplete', detail: expect.stringContaining(path) })]);
    },
  );
});

describe('what is wrong beyond single bits', () => {
  test('a bundle that is cut or goes on is found', async () => {
    const { files } = await publishedFiles(5, key);
    const path = 'tile/entries/000.p/5';
    const bundle = files.get(path) ?? new Uint8Array(0);
    const cut = await verifyLog(sourceOf(new Map(files).set(path, encodeEntries(decodeEntries(bundle, 5).entries.slice(0, 4)))), key.vkey);
    expect(cut.problems).toMatchObject([{ code: 'log_incomplete', leafIndex: 4 }]);
    const longer = await verifyLog(sourceOf(new Map(files).set(path, concat(bundle, Uint8Array.of(0)))), key.vkey);
    expect(longer.problems).toMatchObject([{ code: 'log_entry_mismatch', leafIndex: 4 }]);
  });

  test('a checkpoint of another key, or of another log, is not believed', async () => {
    const { files } = await publishedFiles(2, createLogKey());
    expect(await verifyLog(sourceOf(files), key.vkey)).toMatchObject({
      ok: false,
      size: 0,
      problems: [{ code: 'note_signature_invalid' }],
    });
  });

  test('a signed size that nobody has the tiles for ends at once', async () => {
    const small = await publishedFiles(3, key);
    const { files } = await publishedFiles(66_000, key);
    const report = await verifyLog(sourceOf(small.files.set('checkpoint', files.get('checkpoint') ?? new Uint8Array(0))), key.vkey);
    expect(report.ok).toBe(false);
    expect(report.problems.map(({ code }) => code)).toContain('log_incomplete');
  });

  test('a log that was rolled back or forked since it was last seen is found', async () => {
    const memory = createMemoryLog();
    const { sequencer } = sequencerOn(memory, key);
    const heads: Array<{ size: number; root: Uint8Array }> = [];
    for (const count of [3, 300]) {
      await appendRecords(memory, count);
      await sequencer.tick();
      const { size, root } = await verifyLog(
        sourceOf(new Map(memory.state.tiles).set('checkpoint', memory.state.head?.checkpoint ?? new Uint8Array(0))),
        key.vkey,
      );
      heads.push({ size, root });
    }
    const { files } = await publishedFiles(303, key);
    const now = sourceOf(new Map(memory.state.tiles).set('checkpoint', memory.state.head?.checkpoint ?? new Uint8Array(0)));
    for (const previous of heads) {
      expect((await verifyLog(now, key.vkey, { previous })).ok).toBe(true);
      expect((await verifyLog(sourceOf(files), key.vkey, { previous })).problems).toMatchObject([{ code: 'log_root_mismatch' }]);
    }
    expect((await verifyLog(now, key.vkey, { previous: { size: 304, root: new Uint8Array(32) } })).ok).toBe(false);
  });

  test('releases are counted: begin = end + unknown + live', async () => {
    const memory = createMemoryLog();
    const release = { releaseId: newId<ReleaseId>(memory.now) };
    const begins = await appendRecords(memory, 5, recordOf('release.begin', { outcome: 'permit', release }));
    for (const begin of begins.slice(0, 2)) await appendRecords(memory, 1, recordOf('release.end', { release: { ...release, begin } }));
    for (const begin of begins.slice(2, 3)) await appendRecords(memory, 1, recordOf('release.unknown', { release: { ...release, begin } }));
    await sequencerOn(memory, key).sequencer.tick();
    const report = await verifyLog(
      sourceOf(new Map(memory.state.tiles).set('checkpoint', memory.state.head?.checkpoint ?? new Uint8Array(0))),
      key.vkey,
    );
    expect(report).toMatchObject({ ok: true, releases: { begin: 5, end: 2, unknown: 1, live: 2 } });
  });
});

/** What a store has published, as a source to copy from. */
function publishedBy(memory: ReturnType<typeof createMemoryLog>): LogSource {
  return {
    checkpoint: async () => {
      if (memory.state.head === undefined) throw new VaultError('log_incomplete');
      return memory.state.head.checkpoint;
    },
    tile: async (path) => memory.state.tiles.get(path),
  };
}

describe('an export', () => {
  test('is complete at one head while the log goes on growing, and ends with its checkpoint', async () => {
    const memory = createMemoryLog();
    const { sequencer } = sequencerOn(memory, key);
    await appendRecords(memory, 300);
    await sequencer.tick();
    const files = new Map<string, Uint8Array>();
    const { size, tiles } = await copyLog(publishedBy(memory), {
      async write(path, bytes) {
        files.set(path, bytes);
        await appendRecords(memory, 100);
        await sequencer.tick();
      },
    });
    expect([size, tiles, [...files.keys()].at(-1)]).toEqual([300, 5, 'checkpoint']);
    expect(await verifyLog(sourceOf(files), key.vkey)).toMatchObject({ ok: true, size: 300 });
    expect(memory.state.head?.size).toBe(900);
  });

  test('of a log without a checkpoint, or without one of its tiles, is refused', async () => {
    const memory = createMemoryLog();
    const nowhere = { write: async () => undefined };
    await expect(copyLog(publishedBy(memory), nowhere)).rejects.toMatchObject({ code: 'log_incomplete' });
    await appendRecords(memory, 3);
    await sequencerOn(memory, key).sequencer.tick();
    memory.state.tiles = new Map();
    await expect(copyLog(publishedBy(memory), nowhere)).rejects.toMatchObject({ code: 'log_incomplete' });
  });
});

describe('proofs', () => {
  test('a record is found by its id, wherever it lies', async () => {
    const { files } = await publishedFiles(300, key);
    const last = decodeEntries(files.get('tile/entries/001.p/44') ?? new Uint8Array(0), 44).entries[43] ?? new Uint8Array(0);
    const { recordId } = parseLeaf(last);
    expect((await findRecord(sourceOf(files), recordId as RecordId)).index).toBe(299);
    await expect(findRecord(sourceOf(files), newId<RecordId>(new Date()))).rejects.toMatchObject({ code: 'log_incomplete' });
  });

  test('of every record verify, for that record only', async () => {
    const { files } = await publishedFiles(300, key);
    const checkpoint = files.get('checkpoint') ?? new Uint8Array(0);
    const leaves = ['tile/entries/000', 'tile/entries/001.p/44'].flatMap(
      (path, at) => decodeEntries(files.get(path) ?? new Uint8Array(0), at === 0 ? 256 : 44).entries,
    );
    for (let index = 0; index < 300; index += 23) {
      const proof = await makeProof(index, checkpoint, parseVkey(key.vkey), async (path) => files.get(path));
      const leaf = leaves[index] ?? new Uint8Array(0);
      expect(verifyProof(proof, key.vkey, leaf)).toMatchObject({ index, checkpoint: { size: 300, origin: ORIGIN } });
      expect(() => verifyProof(proof, key.vkey, leaves[index + 1] ?? new Uint8Array(0))).toThrow('proof_invalid');
      expect(() => verifyProof(proof, createLogKey().vkey, leaf)).toThrow('note_signature_invalid');
    }
    await expect(makeProof(300, checkpoint, parseVkey(key.vkey), async (path) => files.get(path))).rejects.toMatchObject({
      code: 'log_incomplete',
    });
  });

  const golden = JSON.parse(readFileSync(new URL('../vectors/audit/log.json', import.meta.url), 'utf8')) as {
    vkey: string;
    checkpoint: string;
    tiles: Record<string, string>;
    proofOfLeaf1: string;
  };
  const bytes = (text: string) => new TextEncoder().encode(text);
  const goldenFiles = new Map(Object.entries(golden.tiles).map(([path, base64]) => [path, new Uint8Array(Buffer.from(base64, 'base64'))]));
  const leaf1 = decodeEntries(goldenFiles.get('tile/entries/000.p/8') ?? new Uint8Array(0), 8).entries[1] ?? new Uint8Array(0);

  test('the published log and proof verify for ever', async () => {
    goldenFiles.set('checkpoint', bytes(golden.checkpoint));
    expect(await verifyLog(sourceOf(goldenFiles), golden.vkey)).toMatchObject({
      ok: true,
      size: 8,
      releases: { begin: 1, end: 1, unknown: 0, live: 0 },
    });
    expect(verifyProof(bytes(golden.proofOfLeaf1), golden.vkey, leaf1).index).toBe(1);
    expect(parseLeaf(leaf1).type).toBe('release.begin');
  });

  test('no bit of a proof can flip unnoticed', () => {
    const proof = bytes(golden.proofOfLeaf1);
    for (let bit = 0; bit < proof.length * 8; bit++) {
      let code = 'accepted';
      try {
        verifyProof(flipped(proof, bit), golden.vkey, leaf1);
      } catch (error) {
        code = codeOf(error);
      }
      expect(code).toMatch(/^(?:proof|note)_/);
    }
  });

  test('may carry extra data, which proves nothing', () => {
    const extra = golden.proofOfLeaf1.replace('\nindex', '\nextra AAEC\nindex');
    expect(parseProof(bytes(extra)).extra).toEqual(Uint8Array.of(0, 1, 2));
    expect(verifyProof(bytes(extra), golden.vkey, leaf1).index).toBe(1);
  });

  test.each([
    ['another version', (text: string) => text.replace('@v1', '@v2')],
    ['a leading zero', (text: string) => text.replace('index 1', 'index 01')],
    ['no index', (text: string) => text.replace('index 1\n', '')],
    ['a hash too many', (text: string) => text.replace('index 1\n', `index 1\n${Buffer.alloc(32).toString('base64')}\n`)],
    ['a hash too few', (text: string) => text.replace(/index 1\n.*\n/, 'index 1\n')],
    ['carriage returns', (text: string) => text.replaceAll('\n', '\r\n')],
    ['extra data after the index', (text: string) => text.replace('index 1\n', 'index 1\nextra AAEC\n')],
    ['no checkpoint', (text: string) => text.slice(0, text.indexOf('\n\n') + 2)],
    ['nothing', () => ''],
  ])('with %s are refused', (_, damage) => {
    expect(() => verifyProof(bytes(damage(golden.proofOfLeaf1)), golden.vkey, leaf1)).toThrow(/proof_invalid|note_/);
  });

  test('need no more than the tiles on the right edge and beside the leaf', () => {
    expect(edgeTiles(66_000)).toHaveLength(3);
  });
});
