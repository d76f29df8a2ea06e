/** Records in every format they can leave the log in: back again byte by byte, comparable with the tree, and harmless whatever a name says. */

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { copyOf } from '../../src/audit/formats/copied-record.ts';
import { LOG_FORMAT_NAMES, LOG_FORMATS } from '../../src/audit/formats/format.ts';
import { OCSF_CLASSES, OCSF_KINDS } from '../../src/audit/formats/ocsf-classes.ts';
import { verifyCopy } from '../../src/audit/formats/verify-copy.ts';
import { buildLeaf, loggable, RECORD_TYPES, type RecordDraft } from '../../src/audit/record.ts';
import { toHex, utf8 } from '../../src/domain/bytes.ts';
import { codeOf } from '../../src/domain/errors.ts';
import { type Digest, type Incarnation, newId, type VaultId } from '../../src/domain/ids.ts';
import { canonicalJson } from '../../src/domain/json.ts';
import { createLogKey, DIGEST, ORIGIN, publishedFiles, recordOf, sourceOf } from './small-log.ts';

const vectors = ['leaves.json', 'leaves-v2.json'].flatMap((name) => {
  const file = JSON.parse(readFileSync(new URL(`../vectors/audit/${name}`, import.meta.url), 'utf8')) as {
    leaves: { leaf: string; leafHash: string }[];
  };
  return file.leaves.map(({ leaf, leafHash }) => ({ leaf: utf8(leaf), leafHash }));
});

/** What somebody might call a machine, and what a forged leaf might hold. */
const NASTY = 'a\nb\r\n<script>alert(1)</script>&"\'];\u001b[31m\u009b2J\u202e\u200b\u2028\u0000\\ “]" 🎭';
const withNames = buildLeaf(
  {
    ...recordOf('release.denied', { outcome: 'deny', detail: loggable(NASTY, 512) }),
    object: { requested: { model: loggable(NASTY, 256), version: loggable(NASTY, 64) } },
  },
  { vaultId: newId<VaultId>(new Date()), node: newId<Incarnation>(new Date()), configDigest: DIGEST, now: new Date() },
).leaf;
const forged = canonicalJson({
  type: NASTY,
  namespace: NASTY,
  vaultId: NASTY,
  node: NASTY,
  time: NASTY,
  detail: NASTY,
  actor: { kind: NASTY },
});
const broken = [utf8('{"a": 1}'), utf8(`{"type":"${NASTY}`), new Uint8Array([0, 255, 10, 13]), new Uint8Array(0), utf8('null')];

describe.each(LOG_FORMAT_NAMES)('%s', (name) => {
  const format = LOG_FORMATS[name];

  it('brings every leaf back byte by byte, with its place in the tree', () => {
    for (const [at, leaf] of [...vectors.map((one) => one.leaf), withNames, forged, ...broken].entries()) {
      const record = copyOf('vault.example/a"]\\b', at, leaf);
      const back = format.read(format.write(record));
      expect({ ...back, leaf: toHex(back?.leaf ?? new Uint8Array(1)) }).toEqual({ ...record, leaf: toHex(leaf) });
    }
    for (const { leaf, leafHash } of vectors) expect(format.read(format.write(copyOf(ORIGIN, 0, leaf)))?.leafHash).toBe(leafHash);
  });

  it('is one line in which nothing acts on a terminal, hides from a reader or is HTML', () => {
    for (const leaf of [withNames, forged, ...broken]) {
      const line = format.write(copyOf(ORIGIN, 7, leaf));
      expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      expect(name === 'rfc5424' ? line.replace(/^<\d+>/, '') : line).not.toMatch(/[<>&]/);
    }
  });

  it('reads nothing else', () => {
    const line = format.write(copyOf(ORIGIN, 7, withNames));
    const others = [
      '',
      'x',
      '{}',
      '[]',
      'null',
      '{"log":1}',
      '{"log":{"origin":"a","index":-1,"leafHash":"b"}}',
      '<13>1 - - - - - -',
      line.slice(1),
    ];
    expect(others.map((other) => format.read(other)).filter((read) => read !== undefined)).toEqual([]);
  });

  it('is compared with the tree: what was changed, invented or is of another log is named', async () => {
    const key = createLogKey();
    const { files, memory } = await publishedFiles(600, key);
    const lines = memory.state.leaves.map(({ index, leaf }) => format.write(copyOf(ORIGIN, index, leaf)));
    const tree = sourceOf(new Map([...files].filter(([path]) => !path.startsWith('tile/entries/'))));
    const verify = (copy: readonly string[], source = tree) => verifyCopy(each(copy), format, source, key.vkey);
    expect(await verify(lines)).toMatchObject({ ok: true, size: 600, verified: 600, repeated: 0, absent: 0, origin: ORIGIN });
    const own = [lines[3], lines[300], lines[300], lines[599]] as string[];
    expect(await verify(own)).toMatchObject({ ok: true, verified: 3, repeated: 1, absent: 594 });

    const changed = (lines[5] ?? '').replaceAll('vault.started', 'vault.restored');
    const moved = format.write({ ...copyOf(ORIGIN, 5, memory.state.leaves[5]?.leaf ?? new Uint8Array(0)), index: 6 });
    const elsewhere = format.write(copyOf('other.example', 5, memory.state.leaves[5]?.leaf ?? new Uint8Array(0)));
    const beyond = format.write(copyOf(ORIGIN, 600, memory.state.leaves[5]?.leaf ?? new Uint8Array(0)));
    const misnamed = format.write({ ...copyOf(ORIGIN, 5, memory.state.leaves[5]?.leaf ?? new Uint8Array(0)), leafHash: '00'.repeat(32) });
    const report = await verify([changed, moved, elsewhere, beyond, misnamed, 'garbage', lines[0] ?? '']);
    expect(report).toMatchObject({ ok: false, verified: 1 });
    expect(report.problems.map(({ line, code }) => [line, code])).toEqual([
      [1, 'log_entry_mismatch'],
      [2, 'log_entry_mismatch'],
      [3, 'log_entry_mismatch'],
      [4, 'log_incomplete'],
      [5, 'log_entry_mismatch'],
      [6, 'log_entry_mismatch'],
    ]);
    // A tree that is not the signed one proves nothing.
    const other = createLogKey();
    expect(await verifyCopy(each(lines), format, tree, other.vkey).catch(codeOf)).toBe('note_signature_invalid');
    const [path = '', bytes = new Uint8Array(0)] = [...files].find(([one]) => one === 'tile/0/001') ?? [];
    const flipped = Uint8Array.from(bytes, (byte, at) => (at === 40 ? byte ^ 1 : byte));
    expect(await verify(lines, sourceOf(new Map([...files, [path, flipped]]))).catch(codeOf)).toBe('log_root_mismatch');
    expect(await verify(lines, sourceOf(new Map([...files].filter(([one]) => one !== path)))).catch(codeOf)).toBe('log_incomplete');
  });
});

async function* each(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

const SCHEMA = fileURLToPath(new URL('../../.cache/ocsf/1.8.0.json', import.meta.url));

describe('OCSF 1.8.0', () => {
  const here = existsSync(SCHEMA) ? it : it.skip; // `npm test` fetches it; without a way to a package registry it is not there

  here('every event is one of its class, as the published schema says, whatever the leaf', () => {
    const schemas = JSON.parse(readFileSync(SCHEMA, 'utf8')) as Record<string, object>;
    const ajv = new Ajv2020({ strict: false, allErrors: true });
    const validators = new Map(Object.entries(schemas).map(([uid, schema]) => [Number(uid), ajv.compile(schema)]));
    const drafts = RECORD_TYPES.flatMap((type) => [
      draft(type),
      { ...draft(type), actor: { kind: 'system' as const }, outcome: 'deny' as const },
    ]);
    const ambient = { vaultId: newId<VaultId>(new Date()), node: newId<Incarnation>(new Date()), configDigest: DIGEST, now: new Date() };
    const leaves = [...drafts.map((one) => buildLeaf(one, ambient).leaf), ...vectors.map((one) => one.leaf), withNames, forged, ...broken];
    const classes = new Set<number>();
    for (const [at, leaf] of leaves.entries()) {
      const event = JSON.parse(LOG_FORMATS.ocsf.write(copyOf(ORIGIN, at, leaf))) as { class_uid: number };
      classes.add(event.class_uid);
      const validate = validators.get(event.class_uid);
      expect([event, validate?.(event), validate?.errors]).toEqual([event, true, null]);
    }
    expect([...classes].sort()).toEqual(Object.values(OCSF_CLASSES).toSorted());
    expect(Object.keys(OCSF_KINDS).sort()).toEqual(RECORD_TYPES.toSorted());
    // The schema is strict, so that the test can fail.
    const event = JSON.parse(LOG_FORMATS.ocsf.write(copyOf(ORIGIN, 0, withNames))) as { class_uid: number };
    expect(validators.get(event.class_uid)?.({ ...event, surprise: 1 })).toBe(false);
  });
});

function draft(type: RecordDraft['type']): RecordDraft {
  return recordOf(type, {
    actor: { kind: 'administrator', administratorId: newId(new Date()), workstation: DIGEST as never },
    document: { kind: 'administrator', digest: 'cd'.repeat(32) as Digest },
    detail: loggable('something', 64),
  });
}
