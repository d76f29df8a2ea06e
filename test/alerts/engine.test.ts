import { describe, expect, test } from '@jest/globals';
import { createEngine, type Engine } from '../../src/audit/alerts/engine.ts';
import { loadRuleSet } from '../../src/audit/alerts/rule-set.ts';
import { loggable } from '../../src/audit/record.ts';
import { sha256Hex, utf8 } from '../../src/domain/bytes.ts';
import { VaultError } from '../../src/domain/errors.ts';
import type { Digest } from '../../src/domain/ids.ts';
import { type At, GOLDEN_ALERTS, leavesOf, START } from './golden.ts';
import { shippedRules } from './shipped.ts';

const HEAD = `title: One rule
id: 6a3f0f4e-3f0b-4c1c-8a55-6b1ed3c1a001
level: high
weightvault:
    alert: X01
logsource:
    product: weight-vault
`;
const rule = (detection: string) => `${HEAD}detection:\n${detection.replace(/^/gm, '    ')}\n`;
const selecting = (fields: string) => rule(`selection:\n${fields.replace(/^/gm, '    ')}\ncondition: selection`);
const base =
  'title: Base\nname: base\nlogsource:\n    product: weight-vault\ndetection:\n    selection:\n        type: release.denied\n    condition: selection\n';
const correlating = (members: string) =>
  `${base}---\ntitle: Many\nid: 6a3f0f4e-3f0b-4c1c-8a55-6b1ed3c1a002\nlevel: high\nweightvault:\n    alert: X02\ncorrelation:\n${members.replace(/^/gm, '    ')}\n`;
const counting = (condition: string, type = 'event_count') =>
  correlating(`type: ${type}\nrules:\n    - base\ngroup-by:\n    - actor.spkiDigest\ntimespan: 5m\ncondition:\n    ${condition}`);

const whyRefused = (text: string) => {
  try {
    loadRuleSet({ 'rule.yml': text });
    return undefined;
  } catch (error) {
    if (error instanceof VaultError && error.code === 'alert_rule_invalid') return error.detail;
    throw error;
  }
};

describe('a rule file is refused as a whole', () => {
  const refused: ReadonlyArray<readonly [string, string, RegExp]> = [
    ['a regular expression', selecting("reason|re: '.*'"), /modifier "re" is not supported/],
    ['an address range', selecting("detail|cidr: '10.0.0.0/8'"), /modifier "cidr" is not supported/],
    ['a field that no leaf has', selecting('actor.name: x'), /no field "actor.name"/],
    ['a type that no record has', selecting('type: release.began'), /no record type "release.began"/],
    ['a search without a field', rule('keywords:\n    - password\ncondition: keywords'), /detection.keywords/],
    ['an empty selection', rule('selection: {}\ncondition: selection'), /empty selection/],
    ['a selection that is not used', rule('a:\n    type: log.read\nb:\n    type: log.read\ncondition: a'), /"b" is not used/],
    ['a selection that is not there', rule('a:\n    type: log.read\ncondition: a and b'), /names "b"/],
    ['a condition with a pipe', rule('a:\n    type: log.read\ncondition: a | count() > 5'), /not supported/],
    ['a condition that ends too early', rule('a:\n    type: log.read\ncondition: a and'), /too early/],
    ['a condition with something left over', rule('a:\n    type: log.read\ncondition: a a'), /left over/],
    ['another log source', selecting('type: log.read').replace('weight-vault', 'windows'), /logsource.product/],
    ['a member of no specification', `${selecting('type: log.read')}severity: 3\n`, /document: .*severity/],
    ['a key that stands twice', selecting('type: log.read\ntype: log.halted'), /unique/i],
    ['an alias', selecting('type: &a log.read\ndetail: *a'), /alias/i],
    ['an action without a name', selecting('type: log.read').replace('alert: X01', 'alert: X01\n    automatic: true'), /needs an action/],
    ['a count that always holds', counting('gte: 0'), /no lower bound above 0/],
    ['a count without a lower bound', counting('lt: 5'), /no lower bound above 0/],
    ['a count that would fill the memory', counting('gte: 1000000'), /too much in memory/],
    ['an average', counting('gte: 5', 'value_avg'), /correlation.type/],
    ['a sum of nothing', counting('gte: 5', 'value_sum'), /needs a field/],
    ['a rule that is not there', counting('gte: 5').replace('- base', '- other'), /no rule "other"/],
    ['a time without a unit', counting('gte: 5').replace('5m', '300'), /timespan/],
    ['nesting without an end', `${HEAD}detection: ${'['.repeat(2_000)}`, /nested too deeply/],
    ['a file that is too large', `# ${'x'.repeat(70_000)}`, /larger than/],
    ['nothing at all', '', /0 documents/],
    ['a rule without a level', selecting('type: log.read').replace('level: high\n', ''), /needs id, level/],
  ];
  test.each(refused)('%s', (_, text, why) => {
    expect(whyRefused(text)).toMatch(why);
  });
  test('and a doubling of aliases costs nothing', () => {
    const bomb = ['a: &a [x, x]', ...'bcdefghij'.split('').map((to, at) => `${to}: &${to} [*${'abcdefghi'[at]}, *${'abcdefghi'[at]}]`)];
    expect(whyRefused(bomb.join('\n'))).toMatch(/alias/i);
  });
});

const fires = (text: string, leaf: object) => {
  const engine = createEngine(loadRuleSet({ 'rule.yml': text }));
  return engine.observe(0, utf8(JSON.stringify({ time: START.toISOString(), ...leaf }))).length === 1;
};

describe('a selection', () => {
  const detail = (text: string) => ({ type: 'log.read', detail: text });
  test.each([
    ["detail: 'abc'", 'ABC', true],
    ["detail|cased: 'abc'", 'ABC', false],
    ["detail: 'a*c'", 'a-anything-c', true],
    ["detail: 'a?c'", 'abc', true],
    ["detail: 'a?c'", 'ac', false],
    ["detail: 'a\\*c'", 'abc', false],
    ["detail: 'a\\*c'", 'a*c', true],
    ["detail|contains: 'b'", 'abc', true],
    ["detail|startswith: 'b'", 'abc', false],
    ["detail|endswith: 'c'", 'abc', true],
    ["detail|contains|all:\n    - 'a'\n    - 'z'", 'abc', false],
    ["detail|neq: 'abc'", 'abc', false],
    ['detail: null', 'abc', false],
    ['namespace: null', 'abc', true],
    ['namespace|exists: false', 'abc', true],
    ['time|hour: 12', 'abc', true],
    ['time|hour: 13', 'abc', false],
  ])('%s of "%s": %s', (fields, text, expected) => {
    expect(fires(selecting(fields), detail(text))).toBe(expected);
  });
  test('a pattern of many stars on a long text is answered', () => {
    expect(fires(selecting(`detail: '${'*a'.repeat(200)}b'`), detail('a'.repeat(16_000)))).toBe(false); // a backtracking engine never answers
  });
  test('a list in the leaf has each of its values', () => {
    expect(fires(selecting('signals: late'), { signals: ['overdue', 'late'] })).toBe(true);
  });
});

describe('the engine', () => {
  const shipped = loadRuleSet(shippedRules());
  const titles = (engine: Engine, leaves: readonly Uint8Array[], from = 0) =>
    leaves.flatMap((leaf, at) => engine.observe(from + at, leaf).map(({ rule: { title }, indexes }) => `${title} ${indexes.join(',')}`));

  test('goes on from a kept state as if it had never stopped, wherever it stopped', () => {
    const leaves = leavesOf(Object.values(GOLDEN_ALERTS).flatMap((one) => one.fires));
    const whole = titles(createEngine(shipped), leaves);
    expect(whole.length).toBeGreaterThan(44);
    for (let cut = 0; cut < leaves.length; cut += 7) {
      const first = createEngine(shipped);
      const before = titles(first, leaves.slice(0, cut));
      const state = JSON.parse(JSON.stringify(first.state()));
      expect([...before, ...titles(createEngine(shipped, state), leaves.slice(cut), cut)]).toEqual(whole);
    }
  });

  test('takes no state of another rule set', () => {
    const [stream] = [GOLDEN_ALERTS['Many refusals of one TLS key']?.fires ?? []];
    const first = createEngine(shipped);
    titles(first, leavesOf(stream.slice(0, 4)));
    const state = { ...first.state(), ruleSet: sha256Hex(utf8('another')) as Digest };
    expect(titles(createEngine(shipped, state), leavesOf(stream.slice(4)), 4)).toEqual([]);
  });

  test('remembers a bounded number of groups, and forgets the one that was quiet for longest', () => {
    const text = counting('gte: 2');
    const engine = createEngine(loadRuleSet({ 'rule.yml': text }));
    const denied = (n: number): At => ({
      seconds: 0,
      draft: { type: 'release.denied', outcome: 'deny', actor: { kind: 'requester', spkiDigest: sha256Hex(utf8(`key ${n}`)) as never } },
    });
    const of = (n: number) => leavesOf([denied(n)])[0] ?? new Uint8Array(0);
    for (let n = 0; n < 10_001; n++) engine.observe(n, of(n));
    expect(engine.evicted()).toBe(1);
    expect(Object.values(engine.state().correlations)[0]?.groups).toHaveLength(10_000);
    expect(engine.observe(20_000, of(0))).toEqual([]); // forgotten
    expect(engine.observe(20_001, of(5_000))).toHaveLength(1);
  });

  test('is not stirred by alerts, by what is no leaf, or by a leaf without a time', () => {
    const engine = createEngine(loadRuleSet({ 'rule.yml': selecting("type: '*'") }));
    expect(
      titles(engine, leavesOf([{ seconds: 0, draft: { type: 'alert.raised', outcome: 'success', actor: { kind: 'system' } } }])),
    ).toEqual([]);
    for (const bytes of [utf8('no json'), utf8('[]'), utf8('{"type":"log.read"}'), new Uint8Array([0xff])])
      expect(engine.observe(0, bytes)).toEqual([]);
    const read = leavesOf([
      { seconds: 0, draft: { type: 'log.read', outcome: 'success', actor: { kind: 'system' }, detail: loggable('x', 9) } },
    ]);
    expect(titles(engine, read)).toEqual(['One rule 0']);
  });

  test('a leaf far in the future costs its group one window, and no more', () => {
    const stream = GOLDEN_ALERTS['Many refusals of one TLS key']?.fires ?? [];
    const [first, ...others] = stream;
    const strayed = stream.slice(1, 2).map((one) => ({ ...one, seconds: 1_000_000 }));
    const leaves = leavesOf([...(first ? [first] : []), ...others.slice(0, 2), ...strayed, ...others.slice(2)]);
    expect(titles(createEngine(shipped), leaves).filter((one) => one.startsWith('Many refusals of one TLS key'))).toHaveLength(0);
    expect(
      titles(createEngine(shipped), [...leaves, ...leavesOf(stream.map((one) => ({ ...one, seconds: one.seconds + 300 })))]).length,
    ).toBeGreaterThan(0);
  });
});
