/** docs/refusals.md cannot rot: every code of its sections has a row, every row a code, a record and a test that are there. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { RECORD_TYPES } from '../../src/audit/record.ts';
import { isErrorCode } from '../../src/domain/errors.ts';

const at = (path: string) => new URL(`../../${path}`, import.meta.url);
const page = readFileSync(at('docs/refusals.md'), 'utf8');

interface Row {
  readonly section: string;
  readonly situation: string;
  readonly codes: readonly string[];
  readonly record: string;
  readonly file: string;
  readonly title: string;
}

const rows: readonly Row[] = page.split(/^## /m).flatMap((part) => {
  const [section = '', ...lines] = part.split('\n');
  return lines.filter((line) => line.startsWith('| ') && !line.startsWith('| situation')).map((line) => rowOf(section, line));
});

function rowOf(section: string, line: string): Row {
  const [situation = '', codes = '', record = '', shown = '', ...more] = line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
  const [, file = '', title = ''] = /^`([^`]+)`: (.+)$/.exec(shown) ?? [];
  if (more.length > 0 || file === '') throw new Error(`not a row of four cells: ${line}`);
  return { section, situation, codes: [...codes.matchAll(/`(\w+)`/g)].map(([, code = '']) => code), record, file, title };
}

/** The codes below a comment of the table in the code, up to the next. */
function codesOf(section: string): string[] {
  const [, below] = readFileSync(at('src/domain/errors.ts'), 'utf8').split(`// ${section}.\n`);
  const [part = ''] = (below ?? '').split(/\n\n/);
  return [...part.matchAll(/^ {2}(\w+): \[/gm)].map(([, code = '']) => code);
}

describe.each(['Who is asking', 'The release path', 'Publishing and documents'])('the section "%s"', (section) => {
  test('has a row for every code of that section of the code, and for no other', () => {
    const codes = codesOf(section);
    expect(codes.length).toBeGreaterThan(10);
    const named = rows.filter((row) => row.section === section).flatMap((row) => row.codes);
    expect([...new Set(named)].toSorted()).toEqual(codes.toSorted());
  });
});

/** What is tried by whoever wants round the vault: each begins at least one row. */
const TRIED = [
  'AK never activated',
  'Expired release',
  'Renewed release',
  'Wrong TOTP',
  'Replayed TOTP',
  'Replayed TOTP, at once on two processes',
  'TOTP with spaces',
  'TOTP with Unicode digits',
  'Self-approval',
  'Approval after the request changed',
  'Stale alias',
  'Rolled-back catalog row',
  'Altered document',
  'Database row edited by hand',
  'Plaintext or foreign ciphertext in the blob folder',
  'Log not writable',
  'Disk full: of the database',
  'Disk full: of the blobs',
];

/** What evidence may be that is none, from the requirements of attestation: each begins at least one row of "Bad evidence". */
const BAD_EVIDENCE = [
  'Evidence of 64 MiB',
  'Empty evidence',
  'Evidence of another kind',
  'Evidence replayed within its life',
  'Evidence from the future',
  'Evidence with an expired leaf',
  'A self-signed root that the attester sends',
  'A lookalike root',
  'CBOR with a key twice',
  'Trailing bytes',
  'BER instead of DER',
  'r or s zero',
  'Curve confusion',
  'A nonce of the wrong length',
  'Report data padded, or cut',
];

/** What an HSM, its files and its wrapped keys may be that they must not: each begins at least one row of "Keys and HSMs". */
const BAD_KEYS = [
  'Token full',
  'Token read-only',
  'Token uninitialized',
  'Two tokens of one label',
  'PIN file open to group or others',
  'Key with EXTRACTABLE=true',
  'Wrapped blob of another version',
  'Wrapped blob of another version or namespace',
  'Wrapped blob of another vault',
  'Clock set back',
  'Disk full during a rewrap',
];

test.each(BAD_KEYS)('"%s" has a row under "Keys and HSMs"', (what) => {
  expect(rows.some(({ section, situation }) => section === 'Keys and HSMs' && situation.startsWith(what))).toBe(true);
});

test.each(BAD_EVIDENCE)('"%s" has a row under "Bad evidence"', (what) => {
  expect(rows.some(({ section, situation }) => section === 'Bad evidence' && situation.startsWith(what))).toBe(true);
});

test.each(TRIED)('"%s" has a row', (what) => {
  expect(rows.filter(({ situation }) => situation.startsWith(what)).length).toBeGreaterThan(0);
});

test.each(rows)('$section: $situation', ({ codes, record, file, title }) => {
  expect(codes.length).toBeGreaterThan(0);
  for (const code of codes) expect([code, isErrorCode(code)]).toEqual([code, true]);
  expect(['none', ...RECORD_TYPES.map((type) => `\`${type}\``)]).toContain(record);
  expect([file, existsSync(at(file))]).toEqual([file, true]);
  expect(file).toMatch(/\.test\.ts$/);
  expect(title.length).toBeGreaterThan(1);
  // Titles are compared as they are written in the source.
  expect([title, readFileSync(at(file), 'utf8').includes(title)]).toEqual([title, true]);
});
