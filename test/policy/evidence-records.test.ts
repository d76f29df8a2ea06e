/** What policies can ask of evidence: the schema has every fact of the table, with its type, and the values arrive. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { isRefusal } from '../../src/domain/evidence.ts';
import { FACTS, type Facts, problemsOfFacts } from '../../src/domain/facts.ts';
import { assumptionsFor } from '../../src/policy/assume.ts';
import { decideRelease } from '../../src/policy/decide.ts';
import { RECORDS, recordsOf, recordTypes } from '../../src/policy/evidence-attributes.ts';
import { supposePiece } from '../../src/policy/suppose-pieces.ts';
import { attested, loaded, manifest, question, RELEASE } from './support.ts';

const schema = readFileSync(new URL('../../policies/weight-vault.cedarschema', import.meta.url), 'utf8');

test('the records of the schema file are those of the table of facts', () => {
  for (const [record, members] of Object.entries(recordTypes())) {
    const [, body = ''] = new RegExp(`type ${record[0]?.toUpperCase()}${record.slice(1)} = \\{\n([^}]*)\\}`).exec(schema) ?? [];
    const inFile = Object.fromEntries([...body.matchAll(/^ +(\w+\??): ([\w<>]+),/gm)].map(([, name, type]) => [name, type]));
    expect([record, inFile]).toEqual([record, members]);
    expect(schema).toMatch(new RegExp(`^ {4}${record}\\?: `, 'm'));
  }
});

/** Whether a permit with this condition permits. A condition that does not validate denies, and then the negated one does too. */
function holds(condition: string, pieces: ReturnType<typeof supposePiece>[]): boolean {
  const policySet = loaded({ p: `permit (${RELEASE}) when { ${condition} };` });
  expect(policySet.problem).toBeUndefined();
  return !isRefusal(decideRelease(question({ policySet, attested: attested({}, { pieces }), manifest: manifest() })));
}
describe('a policy', () => {
  const gpu = (said: Facts = {}) => supposePiece('nvidia-gpu', { model: 'H200', ...said });

  test.each(Object.entries(RECORDS).filter(([kind]) => kind !== 'nvidia-gpu' && kind !== 'tpm2'))(
    'sees every fact of %s',
    (kind, record) => {
      const piece = supposePiece(kind as 'tdx', {});
      expect(problemsOfFacts(piece.kind, piece.facts)).toEqual([]);
      const literal = (value: unknown) => (Array.isArray(value) ? undefined : JSON.stringify(value));
      const asked = Object.entries(piece.facts).flatMap(([name, value]) =>
        literal(value) === undefined ? [] : [`context.evidence.${record}.${name} == ${literal(value)}`],
      );
      expect(asked.length).toBeGreaterThan(2);
      for (const one of asked) expect([one, holds(`context.evidence has ${record} && ${one}`, [piece])]).toEqual([one, true]);
      expect(holds(`context.evidence has ${record}`, [])).toBe(false);
    },
  );

  test('compares numbers as numbers', () => {
    const pieces = [supposePiece('sev-snp', { tcbSnp: 22 })];
    const at = (least: number) => holds(`context.evidence has sevSnp && context.evidence.sevSnp.tcbSnp >= ${least}`, pieces);
    expect([at(3), at(22), at(23), at(100)]).toEqual([true, true, false, false]);
  });

  test('asks about all GPUs at once, and one that is different is seen', () => {
    const where = (condition: string) => `context.evidence has nvidiaGpu && context.evidence.nvidiaGpu.${condition}`;
    const two = [gpu(), gpu({ deviceId: '11' })];
    expect([holds(where('models == ["H200"]'), two), holds(where('count == 2'), two), holds(where('allConfidential'), two)]).toEqual([
      true,
      true,
      true,
    ]);
    expect(holds(where('models == ["H200"]'), [gpu(), gpu({ model: 'H100' })])).toBe(false);
    expect(holds(where('allConfidential'), [gpu(), gpu({ confidentialMode: false })])).toBe(false);
    expect(holds(where('allRimsMatched'), [gpu(), gpu({ driverRimMatched: false })])).toBe(false);
  });

  test('is told when anything that a verdict stood on was stale', () => {
    const stale = (pieces: ReturnType<typeof supposePiece>[]) => holds('context.evidence.collateralStale', pieces);
    expect([stale([gpu()]), stale([]), stale([supposePiece('tdx', {}), gpu({ collateralStale: true })])]).toEqual([false, false, true]);
  });
});

test("records hold no facts of tokens: their names are an anchor's, not ours", () => {
  expect(recordsOf([{ kind: 'jwt', facts: { tdx: 'x' } }])).toEqual({});
});

test('a supposed piece is whole for every kind, and a sound one', () => {
  for (const [kind, table] of Object.entries(FACTS)) {
    const { facts } = supposePiece(kind as 'tdx', {});
    expect([kind, problemsOfFacts(kind as 'tdx', facts)]).toEqual([kind, []]);
    for (const [name, { unlessNamed, optional }] of Object.entries(table)) {
      if (unlessNamed !== undefined && !optional) expect([name, unlessNamed.includes(String(facts[name]))]).toEqual([name, true]);
    }
  }
});

test('who-can tries evidence that says what the policies ask, and none of it', () => {
  const set = {
    p: `permit (${RELEASE}) when { context.evidence has tdx && context.evidence.tdx.tcbStatus == "SWHardeningNeeded" && context.evidence.tdx.tcbEvaluationDataNumber >= 17 };`,
  };
  const tried = assumptionsFor([set], ['tdx']).map(({ evidence }) => evidence.pieces);
  expect(new Set(tried.map((pieces) => pieces.length))).toEqual(new Set([0, 1]));
  expect(tried.find((pieces) => pieces.length === 1)?.[0]?.facts).toMatchObject({ tcbStatus: 'SWHardeningNeeded', debug: false });
});
