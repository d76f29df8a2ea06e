/** docs/evidence-kinds.md and the code say the same about what evidence proves. */
import { describe, expect, test } from '@jest/globals';
import { KINDS, provedBy } from '../../src/attestation/kinds.ts';
import { CLASSES } from '../../src/domain/classes.ts';
import type { Proved, VerifiedClaims } from '../../src/domain/evidence.ts';
import { tableRows } from '../tidy/source.ts';
import { enrolled } from './samples.ts';
import { ENROLLED } from './token-issuer.ts';

const FACTS = ['fresh', 'keyBound', 'hardware', 'tee'] as const;
const rows = tableRows('docs/evidence-kinds.md');
const bare = (cell: string) => cell.replaceAll('`', '');

test('the table of kinds', () => {
  const inCode = Object.entries(KINDS).map(([kind, facts]) => [kind, ...FACTS.map((fact) => facts[fact])]);
  const inPage = rows.filter((row) => row.length === 6 && bare(row[0] ?? '') in KINDS).map((row) => row.slice(0, 5).map(bare));
  expect(inPage).toEqual(inCode);
});

describe('the table of tokens', () => {
  const tokens = rows.filter((row) => row.length === 7 && ['yes', 'no'].includes(row[2] ?? ''));

  test('names the strongest class that each reaches', () => {
    expect(tokens).toHaveLength(5);
    for (const row of tokens) {
      const proved = Object.fromEntries(FACTS.map((fact, at) => [fact, row[at + 2] === 'yes'])) as unknown as Proved; // one cell each
      const enough = (['public', 'internal', 'restricted'] as const).filter((name) =>
        FACTS.every((fact) => !CLASSES[name][fact] || proved[fact]),
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
    const quote = { kind: 'tpm2', attester: enrolled('000b'), pcrs: {}, facts: {}, proved: { ...nothing, tee: true } } as VerifiedClaims;
    expect(provedBy(quote)).toEqual({ fresh: true, keyBound: true, hardware: true, tee: false });
  });
});
