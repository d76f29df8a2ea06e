/** docs/evidence-kinds.md and the code say the same about what evidence proves. */
import { describe, expect, test } from '@jest/globals';
import { KINDS, provedBy } from '../../src/attestation/kinds.ts';
import { CLASSES } from '../../src/domain/classes.ts';
import type { Proved, VerifiedClaims } from '../../src/domain/evidence.ts';
import { FACTS } from '../../src/domain/facts.ts';
import { tableRows, textOf } from '../tidy/source.ts';
import { enrolled } from './samples.ts';
import { ENROLLED } from './token-issuer.ts';

const PROVED = ['fresh', 'keyBound', 'hardware', 'tee'] as const;
const rows = tableRows('docs/evidence-kinds.md');
const bare = (cell: string) => cell.replaceAll('`', '');

test('the table of kinds', () => {
  const inCode = Object.entries(KINDS).map(([kind, facts]) => [kind, ...PROVED.map((fact) => facts[fact])]);
  const inPage = rows.filter((row) => row.length === 6 && bare(row[0] ?? '') in KINDS).map((row) => row.slice(0, 5).map(bare));
  expect(inPage).toEqual(inCode);
});

test('the tables of facts', () => {
  const page = textOf('docs/evidence-kinds.md');
  for (const [kind, facts] of Object.entries(FACTS)) {
    const [, below = ''] = page.split(`\n### \`${kind}\`\n`);
    const [section = ''] = below.split('\n### ');
    const inPage = section
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map((line) => line.split(' | ').map((cell) => cell.replaceAll(/[|`]/g, '').trim()));
    const inCode = Object.entries(facts).map(([name, { type, says, optional, identifies, measures, unlessNamed = [] }]) => [
      `${name}${optional ? '?' : ''}`,
      ...[type, says, identifies ? 'yes' : '', measures ? 'yes' : '', unlessNamed.join(', ')],
    ]);
    expect([kind, inPage]).toEqual([kind, inCode]);
  }
});

describe('the table of tokens', () => {
  const tokens = rows.filter((row) => row.length === 7 && ['yes', 'no'].includes(row[2] ?? ''));

  test('names the strongest class that each reaches', () => {
    expect(tokens).toHaveLength(5);
    for (const row of tokens) {
      const proved = Object.fromEntries(PROVED.map((fact, at) => [fact, row[at + 2] === 'yes'])) as unknown as Proved; // one cell each
      const enough = (['public', 'internal', 'restricted', 'critical'] as const).filter((name) =>
        PROVED.every((fact) => !CLASSES[name][fact] || proved[fact]),
      );
      expect(bare(row[6] ?? '')).toMatch(new RegExp(`^${enough.at(-1)}\\b`));
    }
  });
});

describe('a verifier', () => {
  const nothing: Proved = { fresh: false, keyBound: false, hardware: false, tee: false };
  const everything: Proved = { fresh: true, keyBound: true, hardware: true, tee: true };

  test('decides for its kind only what the kind leaves open', () => {
    const jwt = (proved: Proved): VerifiedClaims => ({ kind: 'jwt', attester: ENROLLED, proved, facts: {} });
    expect(provedBy(jwt(nothing))).toEqual(nothing);
    expect(provedBy(jwt(everything))).toEqual(everything);
    const quote = (proved?: Proved) =>
      ({ kind: 'tpm2', attester: enrolled('000b'), pcrs: {}, facts: {}, ...(proved && { proved }) }) as VerifiedClaims;
    expect(provedBy(quote())).toEqual({ fresh: true, keyBound: true, hardware: true, tee: false });
    expect(provedBy(quote({ ...nothing, tee: true }))).toEqual(everything);
    const svid = { kind: 'spiffe', attester: enrolled('000b'), facts: {}, proved: everything } as unknown as VerifiedClaims; // another's requester
    expect(provedBy(svid)).toEqual({ ...nothing, keyBound: true });
  });
});
