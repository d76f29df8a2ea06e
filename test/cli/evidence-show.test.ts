/** `wv evidence show`: it knows what lies before it, gives two answers, and leaves no value without its meaning. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import { detectFormat } from '../../src/cli/evidence-detect.ts';
import { EVIDENCE_FORMATS } from '../../src/cli/evidence-formats.ts';
import { CLAIM_WORDS, FORMAT_WORDS } from '../../src/cli/evidence-words.ts';
import { issueCrl } from '../attestation/crl-maker.ts';
import { log } from '../attestation/log-maker.ts';
import { describeShared, inputsOf, sharedEntries } from '../attestation/shared-evidence.ts';
import { issue } from '../attestation/test-ca.ts';
import { tokenOf } from '../attestation/token-issuer.ts';
import { wv } from '../e2e/real-vault.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'wv-show-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const put = (name: string, content: string | Uint8Array) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

describe('every format', () => {
  test('has words, and a page that exists', () => {
    expect(Object.keys(FORMAT_WORDS).sort()).toEqual(Object.keys(EVIDENCE_FORMATS).sort());
    const missing = Object.values(FORMAT_WORDS).filter(({ page }) => !existsSync(join(ROOT, 'docs/formats', page)));
    expect(missing.map(({ page }) => page)).toEqual([]);
  });

  test('a list of revoked certificates is told from a certificate, however short', async () => {
    const root = await issue({ name: 'R' });
    expect(detectFormat(root.der)).toBe('x509-crl-check');
    const short = await issueCrl({ issuer: root });
    expect([short.length < 260, detectFormat(short)]).toEqual([true, 'x509-crl']);
    expect(detectFormat(await issueCrl({ issuer: root, revoked: Array.from({ length: 40 }, (_, at) => `10${at + 10}`) }))).toBe('x509-crl');
    expect([0x30, 0x80, 0xff].map((second) => detectFormat(Uint8Array.of(0x30, second, 0x30, 0xff, 2, 1, 1)))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  describeShared('of real evidence', () => {
    const all = Object.keys(EVIDENCE_FORMATS).flatMap(sharedEntries);

    test('is told by how its bytes begin', () => {
      const wrong = all.filter((entry) => {
        const found = detectFormat(inputsOf(entry).evidence);
        return found !== entry.format && entry.expected['reason'] !== 'malformed' && entry.format !== 'tcg2-eventlog';
      });
      expect(wrong.map(({ id }) => id)).toEqual([]);
    });

    test('has a meaning for each value that the vectors list', () => {
      const asked = /^(?:valid|accept|reason|all_reasons|at|error|note|measurement_note|expected_.*)$/;
      const names = all.flatMap(({ expected }) => Object.keys(expected)).filter((name) => !asked.test(name));
      expect([...new Set(names)].filter((name) => !Object.hasOwn(CLAIM_WORDS, name))).toEqual([]);
    });

    test('keeps its companions known: each that a vector has can be given', () => {
      const beside = ['ak_public_tpmt', 'vcek', 'issuer_chain', 'td_quote', 'collateral'];
      const unknown = all.flatMap(({ format, companions }) =>
        Object.keys(companions)
          .filter((name) => !beside.includes(name) && !Object.hasOwn(FORMAT_WORDS[format]?.companions ?? {}, name))
          .map((name) => `${format} ${name}`),
      );
      expect([...new Set(unknown)]).toEqual([]);
    });
  });
});

describe('at a shell', () => {
  test('a log: whole, and nobody signed it', async () => {
    const file = put('boot.log', log(['sha256'], { register: 0, type: 4, data: new Uint8Array(4) }));
    const { exit, out } = await wv('evidence', 'show', file);
    expect(exit).toBe(0);
    expect(out).toMatch(/^measured boot log .*\(tcg2-eventlog\)/);
    expect(out).toContain('Authentic:  it is whole; nothing in it is signed');
    expect(out).toContain('It does not prove anything by itself');
  });

  test('a token: two answers, the reasons, what was not given, and no control character of its author', async () => {
    const file = put('token.jwt', await tokenOf({ iss: 'https://\u001b[31mred', exp: 4_000_000_000 }));
    const { exit, out } = await wv('evidence', 'show', file, '--at', '2026-12-01T12:00:00Z');
    expect(exit).toBe(0);
    expect(out).toMatch(
      /Authentic: {2}no, as far as these files show\nAcceptable: no\nBecause: {4}no_trusted_key, claims_not_understood\nNot given: {2}key /,
    );
    expect(out).not.toContain('\u001b');
  });

  test('--json: the examination, with what it was', async () => {
    const file = put('token.jwt', await tokenOf({ exp: 4_000_000_000 }));
    const { out } = await wv('evidence', 'show', file, '--json', '--nonce', 'aa');
    expect(JSON.parse(out)).toMatchObject({
      format: 'jwt-eat',
      valid: false,
      accept: false,
      reasons: expect.arrayContaining(['nonce_mismatch']),
    });
  });

  test.each([
    ['nothing known', ['evidence', 'show', put('strange', 'strange')]],
    ['a format nobody knows', ['evidence', 'show', put('strange', 'strange'), '--format', 'constructor']],
    ['a file that is not there', ['evidence', 'show', join(folder, 'nothing')]],
    ['a companion of another kind', ['evidence', 'show', put('t', 'a.b.c'), '--companion', `pcrs=${put('x', '{}')}`]],
    ['a companion without a file', ['evidence', 'show', put('t', 'a.b.c'), '--companion', 'key']],
    [
      'a companion twice',
      ['evidence', 'show', put('t', 'a.b.c'), '--companion', `key=${put('x', '{}')}`, '--companion', `key=${put('x', '{}')}`],
    ],
    ['no time', ['evidence', 'show', put('t', 'a.b.c'), '--at', 'today']],
  ])('%s: exit 2', async (_, words) => expect((await wv(...words)).exit).toBe(2));
});
