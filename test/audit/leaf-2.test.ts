import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { SINCE_2 } from '../../src/audit/leaf-version.ts';
import { leafHash } from '../../src/audit/merkle.ts';
import { buildLeaf, RECORD_TYPES } from '../../src/audit/record.ts';
import { toHex } from '../../src/domain/bytes.ts';
import { parseCanonicalJson } from '../../src/domain/json.ts';
import { OPERATION_KINDS } from '../../src/domain/operation.ts';
import { STOP_SCOPES } from '../../src/domain/stop.ts';
import { AMBIENT, GOLDEN } from './golden.ts';
import { GOLDEN_2 } from './golden-2.ts';

const read = (file: string) => JSON.parse(readFileSync(new URL(`../vectors/audit/${file}`, import.meta.url), 'utf8'));
const { leaves } = read('leaves-v2.json') as { leaves: ReadonlyArray<{ name: string; leaf: string; leafHash: string }> };
const json = [read('leaf-v1.schema.json'), read('leaf-v2.schema.json')] as const;
const [schema1, schema2] = json.map((one) => z.fromJSONSchema(one)) as [z.ZodType, z.ZodType];
const text = (leaf: Uint8Array) => new TextDecoder().decode(leaf);

describe('leaves of schema v2', () => {
  test.each(leaves)('$name: the bytes are those published, and schema 1 does not know them', ({ name, leaf, leafHash: hash }) => {
    const draft = GOLDEN_2[name];
    if (draft === undefined) throw new Error('no such draft');
    const built = buildLeaf(draft, AMBIENT);
    expect(text(built.leaf)).toBe(leaf);
    expect(toHex(leafHash(built.leaf))).toBe(hash);
    parseCanonicalJson(built.leaf, 'document_invalid');
    expect(JSON.parse(leaf).v).toBe(2);
    expect(schema2.safeParse(JSON.parse(leaf)).error).toBeUndefined();
    expect(schema1.safeParse({ ...JSON.parse(leaf), v: 1 }).success).toBe(false);
    expect(schema2.safeParse({ ...JSON.parse(leaf), more: 1 }).success).toBe(false);
  });

  test('every draft has its vector', () => {
    expect(Object.keys(GOLDEN_2)).toEqual(leaves.map(({ name }) => name));
  });

  test('what schema 1 can say is said in schema 1', () => {
    for (const draft of Object.values(GOLDEN)) expect(JSON.parse(text(buildLeaf(draft, AMBIENT).leaf)).v).toBe(1);
  });

  test('each word is in the schema it came with, in the order it came, and in the next', () => {
    const enumsOf = ({ properties: { type, operation, document, stop } }: (typeof json)[number]) => ({
      type: type.enum,
      operation: operation.properties.kind.enum,
      document: document.properties.kind.enum,
      stop: stop.properties.scope.enum,
    });
    const [one, two] = [enumsOf(json[0]), enumsOf(json[1])];
    const all = { type: RECORD_TYPES, operation: OPERATION_KINDS, stop: STOP_SCOPES };
    for (const [member, words] of Object.entries(all) as Array<[keyof typeof all, readonly string[]]>) {
      const since2: readonly string[] = SINCE_2[member];
      expect([...two[member]].sort()).toEqual([...words].sort());
      expect([...one[member]].sort()).toEqual(words.filter((word) => !since2.includes(word)).sort());
    }
    expect([...two.document].sort()).toEqual([...one.document, ...SINCE_2.document].sort());
  });
});
