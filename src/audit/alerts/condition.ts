/** The condition of a Sigma rule: `and`, `or`, `not`, parentheses, `1 of` and `all of` selections by name or pattern. */
import type { Test } from './selection.ts';
import { invalid } from './sigma-yaml.ts';

const TOKEN = /\(|\)|[A-Za-z0-9_*]+/g;
const DEPTH = 16;

/** `alert_rule_invalid` when it names a selection that there is none of, leaves one unused, or is no condition. */
export function conditionTest(name: string, condition: string, selections: ReadonlyMap<string, Test>): Test {
  const tokens = condition.match(TOKEN) ?? [];
  if (condition.replace(TOKEN, '').trim() !== '') throw invalid(name, `the condition has something that is not supported: ${condition}`);
  const used = new Set<string>();
  let at = 0;

  const named = (pattern: string): ReadonlyArray<Test> => {
    const glob = pattern.endsWith('*') ? pattern.slice(0, -1) : undefined;
    const names = [...selections.keys()].filter(
      (one) => pattern === 'them' || one === pattern || (glob !== undefined && one.startsWith(glob)),
    );
    if (names.length === 0) throw invalid(name, `the condition names "${pattern}", which is no selection`);
    for (const one of names) used.add(one);
    return names.map((one) => selections.get(one) ?? (() => false)); // never absent: the names are its keys
  };
  const either = (depth: number): Test => {
    if (depth > DEPTH) throw invalid(name, 'the condition is nested too deeply');
    const tests = [both(depth)];
    while (tokens[at]?.toLowerCase() === 'or') {
      at++;
      tests.push(both(depth));
    }
    return (fields) => tests.some((test) => test(fields));
  };
  const both = (depth: number): Test => {
    const tests = [one(depth)];
    while (tokens[at]?.toLowerCase() === 'and') {
      at++;
      tests.push(one(depth));
    }
    return (fields) => tests.every((test) => test(fields));
  };
  const one = (depth: number): Test => {
    const token = tokens[at++];
    if (token === undefined || token === ')') throw invalid(name, `the condition ends too early: ${condition}`);
    if (token === '(') {
      const inner = either(depth + 1);
      if (tokens[at++] !== ')') throw invalid(name, `a parenthesis is not closed: ${condition}`);
      return inner;
    }
    if (token.toLowerCase() === 'not') {
      const inner = one(depth + 1);
      return (fields) => !inner(fields);
    }
    if ((token === '1' || token.toLowerCase() === 'all') && tokens[at]?.toLowerCase() === 'of') {
      at++;
      const tests = named(tokens[at++] ?? '');
      return token === '1' ? (fields) => tests.some((test) => test(fields)) : (fields) => tests.every((test) => test(fields));
    }
    const [test] = named(token);
    if (token.includes('*') || test === undefined) throw invalid(name, `"${token}" needs "1 of" or "all of" before it`);
    return test;
  };

  const test = either(0);
  if (at !== tokens.length) throw invalid(name, `the condition has something left over: ${condition}`);
  const unused = [...selections.keys()].find((selection) => !used.has(selection));
  if (unused !== undefined) throw invalid(name, `the selection "${unused}" is not used`);
  return test;
}
