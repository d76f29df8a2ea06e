import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { SINCE_2 } from '../../src/audit/leaf-version.ts';
import { leafHash } from '../../src/audit/merkle.ts';
import {
  type Actor,
  buildLeaf,
  commitment,
  loggable,
  loggableMap,
  parseLeaf,
  RECORD_TYPES,
  type RecordDraft,
} from '../../src/audit/record.ts';
import { fromHex, toHex } from '../../src/domain/bytes.ts';
import { newId, type RecordId, type StopId, type VaultId, type VersionId } from '../../src/domain/ids.ts';
import { canonicalJson, parseCanonicalJson } from '../../src/domain/json.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { AMBIENT, GOLDEN } from './golden.ts';
import { DIGEST, recordOf } from './small-log.ts';

const read = (file: string) => JSON.parse(readFileSync(new URL(`../vectors/audit/${file}`, import.meta.url), 'utf8'));
const { leaves } = read('leaves.json') as {
  leaves: ReadonlyArray<{
    name: string;
    leaf: string;
    leafHash: string;
    disclosures: ReadonlyArray<{ recordId: string; field: string; salt: string; value: string }>;
  }>;
};
const schemaJson = read('leaf-v1.schema.json');
const schema = z.fromJSONSchema(schemaJson);
const text = (leaf: Uint8Array) => new TextDecoder().decode(leaf);
const json = (leaf: Uint8Array) => JSON.parse(text(leaf));

describe('leaves of schema v1', () => {
  test.each(leaves)('$name: the bytes are those published', ({ name, leaf, leafHash: hash, disclosures }) => {
    const built = buildLeaf(GOLDEN[name] ?? recordOf('vault.started'), AMBIENT);
    expect(text(built.leaf)).toBe(leaf);
    expect(toHex(leafHash(built.leaf))).toBe(hash);
    expect(built.disclosures.map((one) => ({ ...one, salt: toHex(one.salt) }))).toEqual(disclosures);
    parseCanonicalJson(built.leaf, 'document_invalid');
    expect(schema.safeParse(json(built.leaf)).error).toBeUndefined();
  });

  test('every golden draft has its vector', () => {
    expect(Object.keys(GOLDEN)).toEqual(leaves.map(({ name }) => name));
  });

  test('the published schema knows every record type, and refuses a member it does not know', () => {
    const since2: readonly string[] = SINCE_2.type;
    expect(schemaJson.properties.type.enum).toEqual(RECORD_TYPES.filter((type) => !since2.includes(type)));
    const leaf = json(buildLeaf(recordOf('vault.started'), AMBIENT).leaf);
    expect(schema.safeParse({ ...leaf, more: 1 }).success).toBe(false);
    expect(schema.safeParse({ ...leaf, actor: { kind: 'system', name: 'x' } }).success).toBe(false);
  });

  test('the published schema knows what a stop says, with and without a target', () => {
    const stop = { stopId: newId<StopId>(AMBIENT.now), kind: 'suspend' as const, scope: 'version' as const };
    for (const target of [undefined, newId<VersionId>(AMBIENT.now)]) {
      const leaf = json(buildLeaf(recordOf('stop.placed', { stop: { ...stop, target } }), AMBIENT).leaf);
      expect(leaf.stop).toEqual({ ...stop, ...(target && { target }) });
      expect(schema.safeParse(leaf).error).toBeUndefined();
      expect(schema.safeParse({ ...leaf, stop: { ...leaf.stop, name: 'gpu-1' } }).success).toBe(false);
    }
  });

  test('take their id from the draft, or make a UUIDv7 of the database time', () => {
    const recordId = newId<RecordId>(new Date());
    expect(buildLeaf({ ...recordOf('vault.started'), recordId }, AMBIENT).recordId).toBe(recordId);
    const made = buildLeaf(recordOf('vault.started'), AMBIENT);
    expect(Number.parseInt(made.recordId.replaceAll('-', '').slice(0, 12), 16)).toBe(AMBIENT.now.getTime());
    expect(json(made.leaf)).toMatchObject({ recordId: made.recordId, time: '2026-07-01T12:00:00.005Z' });
  });

  test('may be exactly 16 KiB, and one byte more is refused', () => {
    const empty = buildLeaf(recordOf('vault.started', { detail: loggable('', 0) }), AMBIENT).leaf.length;
    const filled = (chars: number) => buildLeaf(recordOf('vault.started', { detail: loggable('x'.repeat(chars), 20_000) }), AMBIENT).leaf;
    expect(filled(16_384 - empty)).toHaveLength(16_384);
    expect(() => filled(16_385 - empty)).toThrow('log_leaf_too_large');
  });

  test('leave out what an object carries beyond its type', () => {
    const actor: Actor & { readonly password: string } = { kind: 'requester', spkiDigest: DIGEST, password: 'hunter2' };
    const facts = loggableMap({ 'a\nb': 'c\nd' }, 64);
    const attestation = {
      kinds: ['tpm2'],
      tier: 'affirming',
      fresh: true,
      keyBound: true,
      hardware: true,
      evidenceDigest: DIGEST,
      referenceValuesDigest: DIGEST,
      matched: [],
      facts,
      quote: 'raw',
    } as const;
    const leaf = buildLeaf(recordOf('release.begin', { actor, attestation }), AMBIENT).leaf;
    expect(text(leaf)).not.toMatch(/hunter2|raw|password/);
    expect(json(leaf).attestation.facts).toEqual({ 'a\\u000ab': 'c\\u000ad' });
    expect(schema.safeParse(json(leaf)).success).toBe(true);
  });
});

test('docs/formats/access-log.md says of every type when it is written', () => {
  const page = readFileSync(new URL('../../docs/formats/access-log.md', import.meta.url), 'utf8');
  const rows = (page.split('| type | written when |')[1] ?? '').split('\n\n')[0]?.split('\n') ?? [];
  const named = rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([a-z.-]+)`/g)].map(([, type]) => type));
  expect(named.toSorted()).toEqual([...RECORD_TYPES].toSorted());
});

describe('personal data', () => {
  const personal = { administratorName: 'zoe\u0308', remoteAddress: '192.0.2.7' };

  test('is only a commitment in the leaf, and the disclosure opens it', () => {
    const { leaf, disclosures, recordId } = buildLeaf(recordOf('admin.login', { personal }), { ...AMBIENT, random: undefined });
    expect(text(leaf)).not.toMatch(/zo(?:e\u0308|\u00eb)|192\.0/); // in neither form; `zo` alone is in a commitment by chance
    expect(disclosures.map(({ field }) => field)).toEqual(['administratorName', 'remoteAddress']);
    for (const one of disclosures) {
      expect(one.recordId).toBe(recordId);
      expect(one.salt).toHaveLength(16);
      expect(json(leaf).commitments[one.field]).toBe(commitment(one.salt, one.field, one.value));
    }
    expect(disclosures[0]?.value).toBe('zoë');
  });

  test('has another commitment each time, per field and per record', () => {
    const made = [1, 2].map(
      () => json(buildLeaf(recordOf('admin.login', { personal }), { ...AMBIENT, random: undefined }).leaf).commitments,
    );
    expect(new Set(made.flatMap((one) => Object.values(one))).size).toBe(4);
    expect(commitment(fromHex('07'.repeat(16)), 'a', 'bc')).not.toBe(commitment(fromHex('07'.repeat(16)), 'ab', 'c'));
  });
});

describe('free text', () => {
  test.each([
    ['plain text, äöü, 漢字, 😀', 'plain text, äöü, 漢字, 😀'],
    ['line\nfeed\r\ttab\u0000\u001b[31m\u007f\u0085', 'line\\u000afeed\\u000d\\u0009tab\\u0000\\u001b[31m\\u007f\\u0085'],
    ['\u2028\u2029', '\\u2028\\u2029'],
    ['\u202a\u202e\u2066\u2069\u200e\u200f\u061c', '\\u202a\\u202e\\u2066\\u2069\\u200e\\u200f\\u061c'],
    ['zero\u200bwidth\ufeff', 'zero\\u200bwidth\\ufeff'],
    ['tag \u{e0041}', 'tag \\udb40\\udc41'],
    ['lone \ud800 surrogates \udc00', 'lone \\ud800 surrogates \\udc00'],
    ['a \\u000a of its own', 'a \\u005cu000a of its own'],
  ])('%j is escaped', (raw, escaped) => {
    expect(loggable(raw, 200)).toBe(escaped);
  });

  test('is cut to its length between characters and escapes', () => {
    expect(loggable('abcdef', 6)).toBe('abcdef');
    expect(loggable('abcdefg', 6)).toBe('abcde…');
    expect(loggable('abc\n', 6)).toBe('abc…');
    expect(loggable('abcd😀x', 6)).toBe('abcd…');
    expect(loggable('\n'.repeat(1_000_000), 20)).toHaveLength(19);
  });

  test('cannot end a line or a JSON string early', () => {
    const detail = loggable('","outcome":"permit\n{"v":1}', 200);
    const leaf = buildLeaf(recordOf('admin.denied', { outcome: 'deny', detail }), AMBIENT).leaf;
    expect(text(leaf)).not.toContain('\n');
    expect(json(leaf)).toMatchObject({ outcome: 'deny', detail: '","outcome":"permit\\u000a{"v":1}' });
  });

  test('has only one type that fits, and bytes and secrets have none', () => {
    const secret = new SecretBytes(new Uint8Array(32));
    // @ts-expect-error a bare string may hold anything
    const bare: RecordDraft = recordOf('admin.denied', { detail: 'text' });
    // @ts-expect-error bytes may be a key
    const bytes: RecordDraft = recordOf('admin.denied', { detail: new Uint8Array(32) });
    // @ts-expect-error a secret stays a secret
    const hidden: RecordDraft = recordOf('admin.denied', { detail: secret });
    // @ts-expect-error not even by way of loggable
    expect(() => loggable(secret, 10)).toThrow();
    // @ts-expect-error ids of one kind do not stand for another
    const confused: RecordDraft = recordOf('admin.denied', { recordId: newId<VaultId>(new Date()) });
    // @ts-expect-error facts are text from outside as well
    const facts: RecordDraft['attestation'] = { ...GOLDEN['a release begins']?.attestation, facts: { a: 'b' } };
    // @ts-expect-error a fact may not be a secret
    expect(() => loggableMap({ secret }, 10)).toThrow();
    expect([bare, bytes, hidden, confused, facts]).toHaveLength(5);
  });
});

describe('a leaf being named in a report', () => {
  test('gives its id, type and the begin it ends', () => {
    const begin = newId<RecordId>(new Date());
    const { leaf, recordId } = buildLeaf(recordOf('release.end', { release: { releaseId: newId(new Date()), begin } }), AMBIENT);
    expect(parseLeaf(leaf)).toEqual({ recordId, type: 'release.end', begin });
    expect(parseLeaf(leaf.slice(0, -1))).toEqual({ recordId });
  });

  test.each(['', 'null', '[]', '7', '{"recordId":"<script>","type":"\\u001b[2J"}', '{"recordId":{},"type":[],"release":"x"}', '\u0000'])(
    'says nothing it does not know: %j',
    (leaf) => {
      expect(parseLeaf(new TextEncoder().encode(leaf))).toEqual({});
      expect(parseLeaf(Uint8Array.of(0xff, 0xfe))).toEqual({});
      expect(parseLeaf(canonicalJson({ type: 'x'.repeat(100) }))).toEqual({});
    },
  );
});
