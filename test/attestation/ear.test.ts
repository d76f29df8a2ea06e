/** EAR and AR4SI: a status is never better than its vector, and the page shows what is written. */
import { describe, expect, test } from '@jest/globals';
import { earOf } from '../../src/attestation/ear.ts';
import { KINDS } from '../../src/attestation/kinds.ts';
import { affirmedVector, refusedVector, tierOf } from '../../src/attestation/trust-vector.ts';
import { ERROR_CODES, type ErrorCode } from '../../src/domain/errors.ts';
import { type AppraisedPiece, EVIDENCE_KINDS } from '../../src/domain/evidence.ts';
import type { Digest } from '../../src/domain/ids.ts';
import { canonicalJson } from '../../src/domain/json.ts';
import { pageBlocks } from '../domain/format-vectors.ts';

const proved = { fresh: true, keyBound: true, hardware: true, tee: true };
const context = {
  vaultId: '01a0b1c2-d3e4-7000-8000-000000000001',
  at: new Date('2026-11-30T09:00:00Z'),
  appraisalPolicyId: `reference-values 3 ${'a'.repeat(64)}, trust-anchors 2 ${'b'.repeat(64)}`,
  evidenceDigest: 'c'.repeat(64),
  tlsExporter: 'd'.repeat(64),
};
const written = (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;

describe('AR4SI', () => {
  test.each(EVIDENCE_KINDS)('what is affirmed of %s is affirming in every claim', (kind) => {
    const vector = affirmedVector({ kind, proved });
    expect(tierOf(vector)).toBe('affirming');
    for (const value of Object.values(vector)) expect(value >= 2 && value <= 31).toBe(true);
    expect('runtime-opaque' in vector).toBe(['always', 'evidence'].includes(KINDS[kind].tee));
    if (KINDS[kind].tee === 'always') return;
    expect(affirmedVector({ kind, proved: { ...proved, tee: false } })).not.toHaveProperty('runtime-opaque');
  });

  test('no refusal is affirming', () => {
    for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) expect(tierOf(refusedVector({ code }))).not.toBe('affirming');
    expect(tierOf(refusedVector({ code: 'debug_enabled' }))).toBe('contraindicated');
    expect(tierOf(refusedVector({ code: 'challenge_spent' }))).toBe('none');
  });

  test('the tier is the worst of all claims, at each border', () => {
    const tier = (...values: number[]) => tierOf(Object.fromEntries(values.map((value, at) => [`claim-${at}`, value])));
    expect([tier(), tier(0), tier(1), tier(2), tier(31), tier(32), tier(95), tier(96), tier(127)]).toEqual([
      ...['none', 'none', 'none', 'affirming', 'affirming', 'warning', 'warning', 'contraindicated', 'contraindicated'],
    ]);
    expect(tier(2, 2, 96, 32)).toBe('contraindicated');
  });
});

const guest: AppraisedPiece = {
  kind: 'tdx',
  proved,
  facts: { mrtd: 'aa'.repeat(48), tcbStatus: 'UpToDate', tcbEvaluationDataNumber: 17, debug: false, advisoryIds: [] },
  matched: [{ id: 'inference-image-12' }],
  endorsements: [
    { what: 'TCB info', digest: 'e'.repeat(64) as Digest, notBefore: '2026-11-20T00:00:00Z', notAfter: '2026-12-20T00:00:00Z' },
  ],
};

describe('the page', () => {
  const refusal = {
    code: 'measurement_mismatch' as const,
    detail: 'the closest reference value, h100-550, differs in fact driverVersion',
    failed: [{ claim: 'driverVersion', expected: ['550.144.03'], seen: '535.86.09' }],
  };

  test('begins with what is written', () => {
    const [example = ''] = pageBlocks('ear.md');
    expect(canonicalJson(JSON.parse(example))).toEqual(earOf({ pieces: [guest], refusal }, context));
  });
});

describe('an EAR', () => {
  test('has one submodule for each piece, in order, and another for a refusal', () => {
    const gpu: AppraisedPiece = { ...guest, kind: 'nvidia-gpu' };
    const names = (ear: Uint8Array) => Object.keys(written(ear)['submods'] as object);
    expect(names(earOf({ pieces: [guest, gpu, gpu] }, context))).toEqual(['0-tdx', '1-nvidia-gpu', '2-nvidia-gpu']);
    expect(names(earOf({ pieces: [], refusal: { code: 'evidence_malformed', detail: '' } }, context))).toEqual(['refused']);
  });

  test('bounds what came from a stranger, and stays well-formed', () => {
    const long = `\ud800${'x'.repeat(100_000)}`;
    const failed = Array.from({ length: 1000 }, () => ({ claim: long, expected: [long], seen: long }));
    const ear = earOf({ pieces: [], refusal: { code: 'measurement_mismatch', detail: long, failed } }, context);
    expect(ear.length).toBeLessThan(65_536);
    expect(Buffer.from(ear).toString().isWellFormed()).toBe(true);
  });

  test('leaves out what is not known', () => {
    const ear = written(earOf({ pieces: [] }, { ...context, evidenceDigest: undefined, tlsExporter: undefined }));
    expect(Object.keys(ear).filter((name) => name.startsWith('weight-vault.'))).toEqual(['weight-vault.vault-id']);
  });
});
