/** `wv policy check|test|who-can` at a shell, without a vault: exit status, what stands on standard output, and the verdict in its last line. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { SCHEMA_TEXT } from '../../src/policy/schema.ts';
import { wv } from '../e2e/real-vault.ts';

const POLICIES = fileURLToPath(new URL('../../policies', import.meta.url));
const starters = ['public', 'internal', 'restricted', 'critical'].map((name) => join(POLICIES, `${name}.cedar`));
const folder = mkdtempSync(join(tmpdir(), 'wv-policy-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...parts: string[]) => join(folder, ...parts);
const lastLine = (text: string) => text.trimEnd().split('\n').at(-1);
const RELEASE = 'principal is WeightVault::Requester, action == WeightVault::Action::"release", resource is WeightVault::ModelVersion';

function put(name: string, content: string | object): string {
  mkdirSync(join(at(name), '..'), { recursive: true });
  writeFileSync(at(name), typeof content === 'string' ? content : JSON.stringify(content));
  return at(name);
}

describe('wv policy check', () => {
  test('good: exit 0 and one line', async () => {
    const { exit, out, err } = await wv('policy', 'check', ...starters);
    expect([exit, out, err]).toEqual([0, 'Good: 5 policies in 4 files, no problem.\n', '']);
  });

  test('bad: exit 3, every problem with its line and a caret below the place, tabs and all', async () => {
    const file = put(
      'bad.cedar',
      `@id("p") permit (${RELEASE})\n\twhen { resource.class == "restrcited" && context.evidence.hardwear };\n`,
    );
    const { exit, out, err } = await wv('policy', 'check', file);
    expect([exit, err]).toEqual([3, 'policy_invalid: 2 errors, 0 warnings\n']);
    expect(out.split('\n')).toEqual([
      `${file}:2:27: error: p: \`resource.class\` is never "restrcited"`,
      '2 | \twhen { resource.class == "restrcited" && context.evidence.hardwear };',
      `  | \t${' '.repeat(25)}^^^^^^^^^^^^ did you mean "restricted"?`,
      '',
      expect.stringMatching(/:2:43: error: p: attribute `evidence.hardwear`/),
      expect.stringMatching(/^2 \| /),
      `  | \t${' '.repeat(41)}${'^'.repeat(25)} did you mean \`hardware\`?`,
      '',
      'Not good: 1 policy in 1 file, 2 errors, 0 warnings.',
      '',
    ]);
  });

  test('a warning alone is good, and with --strict it is not', async () => {
    const file = put('open.cedar', `@id("p") permit (${RELEASE});\n`);
    const relaxed = await wv('policy', 'check', file);
    expect([relaxed.exit, lastLine(relaxed.out)]).toEqual([0, 'Good: 1 policy in 1 file, 0 errors, 1 warning.']);
    const strict = await wv('policy', 'check', '--strict', file);
    expect([strict.exit, lastLine(strict.out)]).toEqual([3, 'Not good: 1 policy in 1 file, 0 errors, 1 warning.']);
  });

  test('--reference warns of ids that no reference value has; --json says the same to programs', async () => {
    const file = put('matched.cedar', `@id("p") permit (${RELEASE}) when { context.evidence.matched.contains("golden-2027") };\n`);
    const reference = put('reference.json', { values: [{ id: 'golden-2026', kind: 'tpm2', pcrs: {} }] });
    const { exit, out } = await wv('policy', 'check', '--json', '--reference', reference, file);
    expect([exit, JSON.parse(out)]).toEqual([
      0,
      expect.objectContaining({
        ok: true,
        policies: ['p'],
        warnings: 1,
        problems: [expect.objectContaining({ help: 'did you mean "golden-2026"?' })],
      }),
    ]);
  });

  test('what cannot be seen does not reach the terminal', async () => {
    const file = put('hidden.cedar', `@id("p") permit (${RELEASE}) when { principal.name == "a\u001b[2J\u202eb" };\n`);
    const { exit, out } = await wv('policy', 'check', file);
    expect([exit, out.includes('\u001b'), out.includes('\u202e')]).toEqual([3, false, false]);
    expect(out).toContain('an invisible character');
  });

  test('--schema prints the schema; no file at all is wrong usage', async () => {
    expect((await wv('policy', 'check', '--schema')).out).toBe(SCHEMA_TEXT);
    expect((await wv('policy', 'check')).exit).toBe(2);
    expect((await wv('policy', 'check', at('no-such.cedar'))).exit).toBe(2);
  });
});

describe('wv policy test', () => {
  const request = {
    requester: { name: 'n', namespace: 'prod', attributes: {} },
    version: { namespace: 'prod', class: 'public', attributes: {} },
  };
  const permit = { decision: 'permit', determining: ['open'] };
  beforeAll(() => {
    put(
      'mine/p.cedar',
      `@id("open") permit (${RELEASE}) when { resource.class == "public" };\n@id("idle") forbid (${RELEASE}) when { resource.class == "critical" };\n`,
    );
    put('mine/tests/good.json', { files: ['p.cedar'], cases: [{ name: 'public', ...request, expect: permit }] });
    put('wrong/p.cedar', `@id("other") permit (${RELEASE}) when { resource.class == "public" };\n`);
  });

  test('the starter policies: every case as expected, every policy covered', async () => {
    const { exit, out } = await wv('policy', 'test', '--require-coverage', join(POLICIES, 'tests'));
    expect([exit, lastLine(out)]).toEqual([
      0,
      expect.stringMatching(/^Good: (\d+) of \1 cases as expected, every policy decided some case\.$/),
    ]);
  });

  test('names the policy that decided no case, which is an error with --require-coverage', async () => {
    const relaxed = await wv('policy', 'test', at('mine', 'tests'));
    expect([relaxed.exit, lastLine(relaxed.out)]).toEqual([0, 'Good: 1 of 1 case as expected, 1 policy decided no case.']);
    expect(relaxed.out).toContain('never idle decided no case');
    const strict = await wv('policy', 'test', '--require-coverage', at('mine', 'tests'));
    expect([strict.exit, strict.err]).toEqual([3, 'policy_invalid: 1 policy decided no case\n']);
  });

  test('a case that is decided otherwise: exit 3, expected and got', async () => {
    const { exit, out } = await wv('policy', 'test', '--policies', at('wrong'), at('mine', 'tests'));
    expect(exit).toBe(3);
    expect(out).toContain('WRONG public\n          expected permit by open\n          got      permit by other');
    expect(lastLine(out)).toMatch(/^Not good: 0 of 1 case as expected/);
  });

  test('a case file of the wrong form, an empty folder and a policy that is invalid are said', async () => {
    put('form/tests/a.json', { files: ['p.cedar'], cases: [{ name: 'x', ...request, evidence: { hardwear: true }, expect: permit }] });
    const form = await wv('policy', 'test', at('form', 'tests'));
    expect([form.exit, form.err]).toEqual([2, expect.stringContaining('a.json')]);
    mkdirSync(at('empty'));
    expect((await wv('policy', 'test', at('empty'))).exit).toBe(2);
    put('invalid/p.cedar', 'permit');
    put('invalid/tests/a.json', { files: ['p.cedar'], cases: [{ name: 'x', ...request, expect: permit }] });
    const invalid = await wv('policy', 'test', at('invalid', 'tests'));
    expect([invalid.exit, invalid.err]).toEqual([3, expect.stringContaining('p.cedar:1:')]);
  });
});

describe('wv policy who-can, from files', () => {
  const requesters = put('requesters.json', {
    requesters: [
      { name: 'node-1', attributes: { fleet: 'production', owner: 'us' } },
      { name: 'node-2', attributes: { fleet: 'staging' } },
      { name: 'node-3', attributes: { fleet: 'production', owner: 'us' }, blocked: true },
    ],
  });
  const administrators = put('administrators.json', {
    administrators: [
      { name: 'alice', roles: ['policy-author'] },
      { name: 'bob', roles: ['reviewer'] },
      { name: 'gone', roles: ['policy-author'], state: 'removed' },
    ],
  });
  const people = ['--policies', join(POLICIES, 'administrators.cedar'), '--administrators', administrators];

  test('release: a row for each requester, and the count', async () => {
    const { exit, out } = await wv(
      'policy',
      'who-can',
      'release',
      '--class',
      'restricted',
      '--namespace',
      'prod',
      '--policies',
      ...starters,
      '--requesters',
      requesters,
    );
    expect(exit).toBe(0);
    expect(out).toMatch(/^node-1 +restricted +if fresh and keyBound and hardware +restricted-to-production-fleet +class_demands_unmet$/m);
    expect(out).toMatch(/^node-2 +restricted +never +- +policy_denied: no policy permits it$/m);
    expect(out).toMatch(/^node-3 +restricted +never +- +subject_blocked: it is blocked$/m);
    expect(lastLine(out)).toBe('Of 3 requesters in prod, by class: restricted 1.');
  });

  test('an action: who, why, and who not; removed people are not asked about', async () => {
    const { exit, out } = await wv('policy', 'who-can', 'setPolicy', ...people);
    expect([exit, lastLine(out)]).toEqual([0, '1 of 2 administrators may setPolicy: alice.']);
    expect(out).toMatch(/^alice +policy-author +yes +policy-author +-$/m);
    expect(out).toMatch(/^bob +reviewer +- +- +action_denied: no policy permits it$/m);
    expect(out).not.toContain('gone');
  });

  test('no action: the matrix', async () => {
    const { exit, out } = await wv('policy', 'who-can', ...people);
    expect([exit, lastLine(out)]).toEqual([0, '1 of 2 administrators can change something: alice.']);
    expect(out).toMatch(/^ACTION +alice +bob$/m);
    expect(out).toMatch(/^setPolicy +yes +-$/m);
    expect(out).toMatch(/^readLog +- +yes$/m);
  });

  test('a time decides where policies look at it', async () => {
    const text = `@id("until") permit (${RELEASE}) when { resource.class == "public" && context.now < datetime("2026-06-01") };`;
    const asked = ['policy', 'who-can', 'release', '--class', 'public', '--policies', put('until.cedar', text), '--requesters', requesters];
    expect(lastLine((await wv(...asked, '--at', '2026-05-01T00:00:00Z')).out)).toMatch(/public 2\.$/);
    expect(lastLine((await wv(...asked, '--at', '2026-07-01T00:00:00Z')).out)).toMatch(/public 0\.$/);
  });

  test('says which policies could not be tried out, before the verdict', async () => {
    const text = `@id("shared") permit (${RELEASE}) when { resource.class == "public" && principal.tags.containsAll(resource.tags) };`;
    const { exit, out } = await wv('policy', 'who-can', 'release', '--policies', put('shared.cedar', text), '--requesters', requesters);
    expect([exit, out]).toEqual([0, expect.stringContaining('Not everything could be tried: shared compare')]);
  });

  test('wrong usage says what is missing', async () => {
    const rows: Array<[args: string[], says: RegExp]> = [
      [['release'], /--policies <file>, or --kit/],
      [['release', '--policies', ...starters], /--requesters <file>, or --kit/],
      [['launch'], /the actions are release, readCatalogue/],
      [['release', '--policies', ...starters, '--requesters', requesters, '--at', 'soon'], /--at is a time/],
      [['release', '--policies', ...starters, '--requesters', requesters, '--namespace', 'A'], /--namespace/],
      [['release', '--policies', ...starters, '--requesters', requesters, '--class', 'secret'], /--class/],
    ];
    for (const [args, says] of rows) {
      const { exit, out, err } = await wv('policy', 'who-can', ...args);
      expect([args.join(' '), exit, out]).toEqual([args.join(' '), 2, '']);
      expect(err).toMatch(says);
    }
  });
});
