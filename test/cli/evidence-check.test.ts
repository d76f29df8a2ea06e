/** The runner of `wv evidence check`, with a format of its own: what it hands over, what it compares, and that one bad entry ends nothing. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, jest, test } from '@jest/globals';
import type { ExaminationInputs, PinnedRoot } from '../../src/attestation/examination.ts';
import { check, type EntryResult } from '../../src/cli/evidence-check.ts';
import { MAX_EVIDENCE_BYTES } from '../../src/cli/evidence-manifest.ts';
import { sha256Hex } from '../../src/domain/bytes.ts';
import { describeShared, FOLDER } from '../attestation/shared-evidence.ts';
import { wv } from '../e2e/real-vault.ts';

const folder = mkdtempSync(join(tmpdir(), 'wv-evidence-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
mkdirSync(join(folder, 'set'));
writeFileSync(join(folder, 'outside.bin'), 'good');
writeFileSync(join(folder, 'set', 'good.bin'), 'good');
writeFileSync(join(folder, 'set', 'bad.bin'), 'bad');
writeFileSync(join(folder, 'set', 'chain.pem'), 'chain');
writeFileSync(join(folder, 'set', 'huge.bin'), '');
truncateSync(join(folder, 'set', 'huge.bin'), MAX_EVIDENCE_BYTES + 1);
execFileSync('mkfifo', [join(folder, 'set', 'pipe')]);

const ROOTS: PinnedRoot[] = [{ name: 'root', vendor: 'amd', certificate: new Uint8Array([1]) }];
let seen: ExaminationInputs | undefined;
/** Genuine when it says "good"; throws at "throw", which no examination of ours may. */
const formats = {
  plain: {
    malformed: 'malformed',
    load: async () => (inputs: ExaminationInputs) => {
      seen = inputs;
      const text = Buffer.from(inputs.evidence).toString('utf8');
      if (text === 'bad') throw new TypeError('not thought of');
      const valid = inputs.roots.length > 0;
      return {
        valid,
        accept: true,
        reasons: valid ? [] : ['untrusted_root'],
        claims: { text, size: text.length, nested: { list: [1, 2] } },
      };
    },
  },
};

const plain = { id: 'a', format: 'plain', file: 'good.bin' };
const GOOD = { valid: true, accept: true, reason: 'ok', all_reasons: [] };

async function run(entries: unknown, only?: string): Promise<{ results: EntryResult[]; error: unknown }> {
  const manifest = join(folder, 'set', 'MANIFEST.json');
  writeFileSync(manifest, JSON.stringify(entries));
  const written: string[] = [];
  const spy = jest.spyOn(process.stdout, 'write').mockImplementation((text) => written.push(String(text)) > 0);
  try {
    const error = await check({ manifest, json: true, ...(only !== undefined && { only }) }, ROOTS, formats).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    return { results: written.length === 0 ? [] : JSON.parse(written.join('')), error };
  } finally {
    spy.mockRestore();
  }
}

describe('an examination gets', () => {
  test('bytes, companions, the time, what is asked for, and the pinned roots; never what is expected of it', async () => {
    const expected = { ...GOOD, at: '2025-01-02T03:04:05Z', expected_nonce: '9009', text: 'good', size: 4, nested: { list: [1, 2] } };
    const { results, error } = await run([
      {
        ...plain,
        companions: { issuer_chain: 'chain.pem' },
        parameters: { audience: 'us' },
        expected,
        file_sha256: sha256Hex(Buffer.from('good')),
      },
    ]);
    expect(error).toBeUndefined();
    expect(results).toEqual([
      { id: 'a', valid: true, accept: true, reasons: [], claims: { text: 'good', size: 4, nested: { list: [1, 2] } }, disagreements: [] },
    ]);
    expect(seen?.now).toEqual(new Date('2025-01-02T03:04:05Z'));
    expect(seen?.parameters).toEqual({ audience: 'us', expected_nonce: '9009' });
    expect(Buffer.from(seen?.companions['issuer_chain'] ?? []).toString()).toBe('chain');
    expect(seen?.roots).toBe(ROOTS);
  });

  test('no root when the id of the entry has -no-trusted-root in it', async () => {
    const { results } = await run([{ ...plain, id: 'x-no-trusted-root' }]);
    expect(results[0]).toMatchObject({ valid: false, accept: false, reasons: ['untrusted_root'] });
  });

  test('an entry that expects nothing is printed and cannot disagree; what is not authentic is never acceptable', async () => {
    const { results, error } = await run([
      { ...plain, id: 'x-no-trusted-root' },
      { ...plain, format: 'unheard-of' },
    ]);
    expect(error).toBeUndefined();
    expect(results.map((one) => [one.valid, one.accept, one.disagreements])).toEqual([
      [false, false, undefined],
      [false, false, undefined],
    ]);
  });
});

describe('a disagreement is named and ends with evidence_disagrees', () => {
  test.each([
    ['valid', { ...GOOD, valid: false }, /^valid: expected false, found true/],
    ['accept', { ...GOOD, accept: false }, /^accept: expected false, found true/],
    ['the only reason', { ...GOOD, reason: 'expired', all_reasons: ['expired'] }, /^reason: expected expired, found none/],
    ['the reason where there is no list', { valid: true, accept: true, reason: 'expired' }, /^reason: expected expired/],
    ['a parsed value', { ...GOOD, text: 'goods' }, /^text: expected "goods", found "good"/],
    ['a number that is text', { ...GOOD, size: '4' }, /^size: expected "4", found 4/],
    ['a value deep inside', { ...GOOD, nested: { list: [1, 3] } }, /^nested: /],
    ['a value that was not read', { ...GOOD, debug: false }, /^debug: expected false, found null/],
    ['a member every object has', { ...GOOD, constructor: 'x' }, /^constructor: expected "x", found null/],
  ])('%s', async (_, expected, line) => {
    const { results, error } = await run([{ ...plain, expected }]);
    expect(results[0]?.disagreements).toEqual([expect.stringMatching(line)]);
    expect(error).toMatchObject({ code: 'evidence_disagrees' });
  });

  test('where several reasons fail together, none of them alone decides', async () => {
    const several = { valid: true, accept: true, reason: 'one', all_reasons: ['one', 'two'] };
    expect((await run([{ ...plain, expected: several }])).error).toBeUndefined();
  });
});

describe('one bad entry is an answer of its own, and the others are still examined', () => {
  const cases: ReadonlyArray<readonly [string, object, string]> = [
    ['a format nobody knows', { format: 'constructor' }, 'format_unsupported'],
    ['a file outside the folder', { file: '../outside.bin' }, 'entry_invalid'],
    ['a file outside the folder, the long way', { file: 'x/../../outside.bin' }, 'entry_invalid'],
    ['an absolute path', { file: '/etc/passwd' }, 'entry_invalid'],
    ['a companion outside the folder', { companions: { chain: '../outside.bin' } }, 'entry_invalid'],
    ['a file that is not there', { file: 'nothing.bin' }, 'file_unreadable'],
    ['a companion that is not there', { companions: { chain: 'nothing.pem' } }, 'file_unreadable'],
    ['a folder', { file: '.' }, 'file_unreadable'],
    ['a pipe nobody writes to', { file: 'pipe' }, 'file_unreadable'],
    ['a file above 4 MiB: the word of the format', { file: 'huge.bin' }, 'malformed'],
    ['other bytes than the entry states', { file_sha256: '00' }, 'file_digest_mismatch'],
    ['a time that is none', { expected: { ...GOOD, at: 'yesterday' } }, 'entry_invalid'],
    ['an entry without a file', { file: undefined }, 'entry_invalid'],
    ['companions of another form', { companions: [1] }, 'entry_invalid'],
    ['an examination that throws', { file: 'bad.bin' }, 'examination_failed'],
  ];
  test.each(cases)('%s', async (_, change, reason) => {
    const { results } = await run([{ ...plain, ...change }, plain]);
    expect(results).toHaveLength(2);
    expect(results[0]).toMatchObject({ valid: false, accept: false, reasons: [reason], claims: {}, error: expect.any(String) });
    expect(results[1]).toMatchObject({ valid: true, reasons: [] });
  });

  test('an entry that is no object has its place as its id', async () => {
    const { results, error } = await run([plain, 7]);
    expect(results[1]).toMatchObject({ id: '#1', reasons: ['entry_invalid'] });
    expect(error).toMatchObject({ code: 'evidence_disagrees' });
  });
});

describe('wrong usage', () => {
  test.each([
    ['an object', { a: 1 }, undefined],
    ['an empty list', [], undefined],
    ['an id that is not in it', [plain], 'b'],
  ])('%s', async (_, entries, only) => {
    expect(await run(entries, only)).toMatchObject({ results: [], error: { code: 'usage' } });
  });

  test('at a shell: exit 2 for a manifest that is none, 5 for a disagreement, 0 without', async () => {
    const manifest = join(folder, 'shell.json');
    writeFileSync(manifest, '[');
    expect((await wv('evidence', 'check', '--manifest', manifest)).exit).toBe(2);
    writeFileSync(manifest, JSON.stringify([{ ...plain, file: 'outside.bin', format: 'unheard-of', expected: GOOD }]));
    const wrong = await wv('evidence', 'check', '--manifest', manifest);
    expect([wrong.exit, wrong.err]).toEqual([5, expect.stringMatching(/^evidence_disagrees: 1 not as expected: a \(valid: expected true/)]);
    writeFileSync(manifest, JSON.stringify([{ ...plain, file: 'outside.bin', format: 'unheard-of' }]));
    const printed = await wv('evidence', 'check', '--json', '--manifest', manifest);
    expect([printed.exit, JSON.parse(printed.out)]).toMatchObject([0, [{ id: 'a', reasons: ['format_unsupported'] }]]);
  });
});

describeShared('the whole shared manifest at a shell', () => {
  test('every entry as expected, exit 0, one JSON array', async () => {
    const manifest = fileURLToPath(new URL('MANIFEST.json', FOLDER));
    const { exit, out, err } = await wv('evidence', 'check', '--json', '--manifest', manifest);
    expect([exit, err]).toEqual([0, '']);
    const results = JSON.parse(out) as EntryResult[];
    expect(results.flatMap(({ disagreements }) => disagreements)).toEqual([]);
    expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(results.length).toBeGreaterThan(90);
  });
});
