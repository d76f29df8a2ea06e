import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parseAllDocuments } from 'yaml';
import { createEngine } from '../../src/audit/alerts/engine.ts';
import { LEAF_FIELDS } from '../../src/audit/alerts/leaf-fields.ts';
import { loadRuleSet } from '../../src/audit/alerts/rule-set.ts';
import { GOLDEN_ALERTS, leavesOf } from './golden.ts';
import { shippedRules } from './shipped.ts';

const files = shippedRules();
const ruleSet = loadRuleSet(files);
const read = (path: string) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));

describe('the shipped alert rules', () => {
  test('are Sigma documents as the published schemas demand', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    const { $schema: _, ...rule } = read('../vectors/sigma/sigma-detection-rule-schema.json');
    const [detection, correlation] = [ajv.compile(rule), ajv.compile(read('../vectors/sigma/sigma-correlation-rules-schema.json'))];
    let documents = 0;
    for (const [name, text] of Object.entries(files)) {
      expect(name).toMatch(/^[a-z0-9_]{6,66}\.yml$/); // Sigma: names of files
      for (const document of parseAllDocuments(text).map((one) => one.toJS())) {
        const validate = 'correlation' in document ? correlation : detection;
        expect([name, document.title, validate(document), validate.errors]).toEqual([name, document.title, true, null]);
        documents++;
      }
    }
    expect(documents).toBeGreaterThan(ruleSet.rules.length);
  });

  test('are A01 to A20, and nothing acts by itself but A08', () => {
    const expected = Array.from({ length: 20 }, (_, at) => `A${String(at + 1).padStart(2, '0')}`);
    expect([...new Set(ruleSet.rules.map(({ alert }) => alert))]).toEqual(expected);
    expect(ruleSet.rules.filter(({ automatic }) => automatic).map(({ alert, action }) => [alert, action])).toEqual([['A08', 'block']]);
  });

  test('each has its golden streams', () => {
    expect(Object.keys(GOLDEN_ALERTS).sort()).toEqual(ruleSet.rules.map(({ title }) => title).sort());
  });
});

describe.each(Object.entries(GOLDEN_ALERTS))('%s', (title, { fires, silent }) => {
  const firedBy = (stream: typeof fires) => {
    const engine = createEngine(ruleSet);
    return leavesOf(stream).flatMap((leaf, index) =>
      engine.observe(index, leaf).map(({ rule, indexes }) => ({ title: rule.title, indexes })),
    );
  };
  test('fires on its stream, once, with its last leaf among the indexes', () => {
    const fired = firedBy(fires).filter((one) => one.title === title);
    expect(fired).toHaveLength(1);
    expect(fired[0]?.indexes.at(-1)).toBe(fires.length - 1);
  });
  test('is silent on the one that comes close', () => {
    expect(silent.length).toBeGreaterThan(0);
    expect(firedBy(silent).filter((one) => one.title === title)).toEqual([]);
  });
});

test('a rule can speak of every member of a leaf, and of nothing else', () => {
  interface Schema {
    readonly properties?: Readonly<Record<string, Schema>>;
    readonly anyOf?: readonly Schema[];
  }
  const names = ({ properties, anyOf }: Schema, prefix: string): string[] => {
    if (anyOf?.every((one) => one.properties !== undefined)) return anyOf.flatMap((one) => names(one, prefix));
    if (properties === undefined) return [prefix];
    return Object.entries(properties).flatMap(([name, member]) => names(member, prefix === '' ? name : `${prefix}.${name}`));
  };
  const open = ['attestation.facts', 'alert.group', 'commitments.administratorName', 'commitments.remoteAddress', 'destruction.remains'];
  const schema = read('../vectors/audit/leaf-v2.schema.json');
  const all = [...new Set(names(schema, ''))].filter((name) => !open.includes(name));
  expect([...LEAF_FIELDS].sort()).toEqual(all.sort());
});
