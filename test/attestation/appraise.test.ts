import { describe, expect, test } from '@jest/globals';
import { type AppraisalInputs, appraise } from '../../src/attestation/appraise.ts';
import { KINDS } from '../../src/attestation/kinds.ts';
import type { EvidenceVerifier } from '../../src/attestation/port.ts';
import { createTpm2Verifier } from '../../src/attestation/tpm2/verifier.ts';
import { fromHex, sha256Hex } from '../../src/domain/bytes.ts';
import { assertEarned, claimStage } from '../../src/domain/earned.ts';
import { isRefusal, type PcrBanks, type Refusal, type Tpm2ReferenceValue } from '../../src/domain/evidence.ts';
import type { Digest, SubjectId } from '../../src/domain/ids.ts';
import { canonicalJson } from '../../src/domain/json.ts';
import { reportChecks } from './report-checks.ts';
import { captured, contextWithout, root } from './samples.ts';

const body = captured.genuine.ecc;
const evidence = [{ kind: 'tpm2', body }];
const quoted = body.pcrs['sha256'] ?? {};
const value = (id: string, pcrs: Record<string, string[]>, more: Partial<Tpm2ReferenceValue> = {}): Tpm2ReferenceValue => ({
  id,
  kind: 'tpm2',
  pcrs: { sha256: pcrs },
  ...more,
});
const asQuoted = value('boot-1', { '4': [quoted['4'] ?? ''], '7': ['00'.repeat(32), quoted['7'] ?? ''] });

const inputs: AppraisalInputs = {
  evidence,
  verifiers: new Map([['tpm2', createTpm2Verifier(reportChecks())]]),
  bindingOf: () => fromHex(captured.binding),
  context: contextWithout(),
  referenceValues: [asQuoted],
  referenceValuesDigest: 'd'.repeat(64) as Digest,
  appraisalPolicyId: 'none',
  spkiDigest: 'a'.repeat(64) as Digest,
  now: new Date(captured.at),
};

describe('an affirming appraisal', () => {
  test('says what was proved, by whom, against what, and is earned', async () => {
    const result = await appraise(inputs);
    if (isRefusal(result)) throw new Error(result.detail);
    expect(result).toMatchObject({
      tier: 'affirming',
      kinds: ['tpm2'],
      fresh: true,
      keyBound: true,
      hardware: true,
      tee: false,
      matched: ['boot-1'],
      spkiDigest: inputs.spkiDigest,
      referenceValuesDigest: inputs.referenceValuesDigest,
      evidenceDigest: sha256Hex(canonicalJson(evidence)),
    });
    expect(result.subject.name).toBe('gpu-17');
    expect(() => assertEarned('AttestationResult', result)).not.toThrow();
    expect(Object.isFrozen(result)).toBe(true);
  });

  test('is made in one place only', () => {
    expect(() => claimStage('AttestationResult')).toThrow('two places');
    expect(() => assertEarned('AttestationResult', { tier: 'affirming' })).toThrow();
  });

  test('names every reference value that matches and no other', async () => {
    const other = value('boot-2', { '7': ['11'.repeat(32)] });
    const result = await appraise({ ...inputs, referenceValues: [other, asQuoted, value('boot-3', { '0': [quoted['0'] ?? ''] })] });
    expect(isRefusal(result) || result.matched).toEqual(['boot-1', 'boot-3']);
  });
});

describe('starts from no', () => {
  test('refuses when there is no evidence', () => expectCode({ evidence: [] }, 'evidence_missing'));
  test('refuses two pieces, even the same twice', () => expectCode({ evidence: [...evidence, ...evidence] }, 'evidence_malformed'));
  test('refuses when no anchor is in force, although the attester is enrolled', async () => {
    const refusal = await expectCode({ context: { ...inputs.context, anchors: [] } }, 'endorsement_untrusted');
    expect(refusal.subject?.name).toBe('gpu-17');
  });
  test('refuses when the only anchor is for another kind', () => {
    const anchors = [{ ...root, kind: 'nitro' as 'tpm2' }];
    return expectCode({ context: { ...inputs.context, anchors } }, 'endorsement_untrusted');
  });
  test('refuses when no reference value is in force', () => expectCode({ referenceValues: [] }, 'reference_values_missing'));
  test('refuses when there are reference values of another kind only', () =>
    expectCode({ referenceValues: [{ id: 'enclave', kind: 'nitro', claims: { pcr0: ['00'] } }] }, 'reference_values_missing'));
  test.each(['tpm1', 'TPM2', '', 'constructor', '__proto__'])('refuses the kind "%s"', (kind) =>
    expectCode({ evidence: [{ kind, body }] }, 'evidence_kind_unsupported'),
  );
  test('refuses a kind without a verifier', () => expectCode({ verifiers: new Map() }, 'evidence_kind_unsupported'));
  test('refuses a verifier that stands under another name', () =>
    expectCode(
      { verifiers: new Map([['other', createTpm2Verifier(reportChecks())]]), evidence: [{ kind: 'other', body }] },
      'evidence_kind_unsupported',
    ));
});

describe('reference values', () => {
  const refused: ReadonlyArray<readonly [string, Tpm2ReferenceValue, string]> = [
    [
      'a PCR with another value',
      value('v', { '4': asQuoted.pcrs['sha256']?.['4'] as string[], '7': ['33'.repeat(32)] }),
      'v, differs in PCR sha256:7',
    ],
    ['a PCR that was not quoted', value('v', { '4': [quoted['4'] ?? ''], '11': ['00'.repeat(32)] }), 'sha256:11'],
    ['a PCR with no accepted value', value('v', { '7': [] }), 'sha256:7'],
    ['no PCR at all', value('v', {}), 'names no PCR'],
    ['no bank at all', { id: 'v', kind: 'tpm2', pcrs: {} }, 'names no PCR'],
    ['the values under another bank', { id: 'v', kind: 'tpm2', pcrs: { sha384: { '7': [quoted['7'] ?? ''] } } }, 'sha384:7'],
    ['a value in capitals', value('v', { '4': [(quoted['4'] ?? '').toUpperCase()] }), 'sha256:4'],
    ['a date that has passed', { ...asQuoted, expires: '2026-11-23T23:59:59Z' }, 'expired'],
    ['a date that is now', { ...asQuoted, expires: captured.at }, 'expired'],
    ['a date nobody can read', { ...asQuoted, expires: 'some day' }, 'expired'],
  ];
  test.each(refused)('do not match with %s', async (_name, reference, detail) => {
    const refusal = await expectCode({ referenceValues: [reference] }, 'measurement_mismatch');
    expect(refusal.detail).toContain(detail);
    expect(refusal.subject?.name).toBe('gpu-17');
  });

  test('match until they expire', async () => {
    expect(isRefusal(await appraise({ ...inputs, referenceValues: [{ ...asQuoted, expires: '2026-11-24T00:00:01Z' }] }))).toBe(false);
  });

  test('say which PCRs of the closest value to look at', async () => {
    const far = value('far', { '0': ['44'.repeat(32)], '4': ['44'.repeat(32)], '7': ['44'.repeat(32)] });
    const near = value('near', { '0': [quoted['0'] ?? ''], '7': ['44'.repeat(32)] });
    const refusal = await expectCode({ referenceValues: [far, near] }, 'measurement_mismatch');
    expect(refusal.detail).toBe('the closest reference value, near, differs in PCR sha256:7');
  });

  test('never rest on a SHA-1 bank', async () => {
    const pcrs: PcrBanks = { sha1: { '0': 'ab'.repeat(20) } };
    const verifiers = new Map([
      ['tpm2', verifierThat(async () => ({ kind: 'tpm2', attester: subject(), pcrs, facts: { akName: '000b', akTrust: 'activation' } }))],
    ]);
    const referenceValues = [{ id: 'old', kind: 'tpm2', pcrs: { sha1: { '0': ['ab'.repeat(20)] } } }] as const;
    await expectCode({ verifiers, referenceValues }, 'measurement_mismatch');
  });
});

describe('a verifier that is wrong', () => {
  test('stands under a kind that is not its own: refused', () => {
    const stranger = { kind: 'nitro' as 'tpm2', verify: createTpm2Verifier(reportChecks()).verify };
    return expectCode({ verifiers: new Map([['tpm2', stranger]]) }, 'evidence_kind_unsupported');
  });
  test('answers about another kind: an error', async () => {
    const claims = { kind: 'nitro' as 'tpm2', attester: subject(), pcrs: body.pcrs, facts: {} };
    await expect(appraise({ ...inputs, verifiers: new Map([['tpm2', verifierThat(async () => claims)]]) })).rejects.toThrow(
      'answered about',
    );
  });
});

describe('what the appraisal passes on', () => {
  test("the verifier's refusal, with the digest of what was shown", async () => {
    const refusal = await expectCode({ evidence: [{ kind: 'tpm2', body: { ...body, signature: 'AAAA' } }] }, 'evidence_malformed');
    expect(refusal.evidenceDigest).toMatch(/^[0-9a-f]{64}$/);
    const replayed = await expectCode({ bindingOf: () => new Uint8Array(3) }, 'evidence_binding_mismatch');
    expect(replayed.subject?.name).toBe('gpu-17');
  });

  test('an error of the store, as an error', async () => {
    const attester = () => Promise.reject(new Error('the database is gone'));
    await expect(appraise({ ...inputs, context: { ...inputs.context, attester } })).rejects.toThrow('the database is gone');
  });

  test('nothing to a verifier that is larger than its kind allows', async () => {
    const verifiers = new Map([['tpm2', verifierThat(() => Promise.reject(new Error('must not be asked')))]]);
    const large = { kind: 'tpm2', body: { note: 'x'.repeat(KINDS.tpm2.maxBodyBytes) } };
    await expectCode({ verifiers, evidence: [large] }, 'evidence_malformed');
  });

  test('nothing without a canonical form', async () => {
    await expectCode({ evidence: [{ kind: 'tpm2', body: JSON.parse('{"quote": 1e999}') }] }, 'evidence_malformed');
    const deep = JSON.parse(`${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`);
    await expectCode({ evidence: [{ kind: 'tpm2', body: deep }] }, 'evidence_malformed');
  });
});

function subject() {
  return {
    subjectId: 's' as SubjectId,
    namespace: captured.namespace,
    name: 'n',
    kind: 'tpm2' as const,
    akName: '000b',
    ekCertificateDigest: 'e'.repeat(64) as Digest,
    attributes: {},
  };
}

function verifierThat(verify: EvidenceVerifier['verify']): EvidenceVerifier {
  return { kind: 'tpm2', verify };
}

async function expectCode(change: Partial<AppraisalInputs>, code: string): Promise<Refusal> {
  const answer = await appraise({ ...inputs, ...change });
  if (!isRefusal(answer)) throw new Error('it was affirmed');
  expect(answer.code).toBe(code);
  return answer;
}
