/** One appraisal of several pieces: one challenge, one key, one machine that answers for what stands beside it. */
import { describe, expect, test } from '@jest/globals';
import { type AppraisalInputs, appraise, resultForModel } from '../../src/attestation/appraise.ts';
import { KINDS } from '../../src/attestation/kinds.ts';
import type { EvidenceVerifier, VerificationContext } from '../../src/attestation/port.ts';
import { findWorkload } from '../../src/attestation/workload.ts';
import { equalBytes, sha256, toBase64, toHex } from '../../src/domain/bytes.ts';
import { assertEarned } from '../../src/domain/earned.ts';
import {
  additionalEvidenceDigest,
  attesterKeyOf,
  type EnrolledWorkload,
  type Evidence,
  type EvidenceKind,
  evidenceBinding,
  gpuNonce,
  isRefusal,
  type Refusal,
  refuse,
  teeReportData,
  type VerifiedClaims,
} from '../../src/domain/evidence.ts';
import { FACTS, type Facts, type FixedKind } from '../../src/domain/facts.ts';
import type { Digest, ModelId, Namespace, SubjectId, VaultId } from '../../src/domain/ids.ts';
import { canonicalJson } from '../../src/domain/json.ts';

const namespace = 'lab' as Namespace;
const bound = {
  vaultId: '01a0b1c2-d3e4-7000-8000-000000000001' as VaultId,
  challengeNonce: new Uint8Array(32).fill(7),
  spki: new Uint8Array(91).fill(3),
};
const B = (additional?: Uint8Array) => evidenceBinding(additional ? { ...bound, additionalEvidenceDigest: additional } : bound);
const MODEL = '019bc0de-0000-7000-8000-000000000003' as ModelId;
const OTHER = '019bc0de-0000-7000-8000-000000000004' as ModelId;

/** Some value for every fact that is not optional. */
function factsOf(kind: FixedKind, over: Facts): Facts {
  const blank = { text: '', hex: '', number: 0, flag: false, texts: [] } as const;
  const needed = Object.entries(FACTS[kind]).filter(([, { optional }]) => !optional);
  return { ...Object.fromEntries(needed.map(([name, { type }]) => [name, blank[type]])), ...over };
}

const guest: EnrolledWorkload = {
  subjectId: '01a0b1c2-d3e4-7000-8000-000000000016' as SubjectId,
  namespace,
  name: 'guest-1',
  kind: 'tdx',
  identity: { fact: 'mrtd', value: 'aa'.repeat(48) },
  attributes: {},
};
const TDX = factsOf('tdx', { mrtd: 'aa'.repeat(48), tcbStatus: 'UpToDate' });
const GPU = factsOf('nvidia-gpu', {
  deviceId: '11'.repeat(32),
  driverVersion: '550.90',
  vbiosVersion: '96.00',
  confidentialMode: true,
  driverRimMatched: true,
  vbiosRimMatched: true,
});

/** Says what it is told, and is bound as its kind is: the signatures are what the real verifiers are tested for. */
function verifier(kind: EvidenceKind, boundTo: (context: VerificationContext) => Uint8Array): EvidenceVerifier {
  return {
    kind,
    async verify(body, context): Promise<VerifiedClaims | Refusal> {
      const carried = Buffer.from(String(body['carries']), 'base64');
      if (!equalBytes(new Uint8Array(carried), boundTo(context))) return refuse('evidence_binding_mismatch', '');
      const facts = body['facts'] as Facts;
      if (kind === 'nvidia-gpu') return { kind, facts };
      if (kind === 'jwt') return { kind, facts, attester: { ...guest, kind, issuer: 'i', subject: 's' }, proved: NOTHING };
      const found = await findWorkload('tdx', facts, context);
      return isRefusal(found) ? found : { kind: 'tdx', attester: found, facts };
    },
  };
}
const NOTHING = { fresh: false, keyBound: false, hardware: false, tee: false };

const inputs: Omit<AppraisalInputs, 'evidence'> = {
  verifiers: new Map(
    [
      verifier('tdx', ({ binding }) => teeReportData(binding)),
      verifier('jwt', ({ binding }) => sha256(binding)),
      verifier('nvidia-gpu', ({ challengeNonce, spki }) => gpuNonce({ challengeNonce, spki })),
    ].map((one) => [one.kind, one]),
  ),
  bindingOf: B,
  context: {
    challengeNonce: bound.challengeNonce,
    spki: bound.spki,
    now: new Date('2026-11-24T00:00:00Z'),
    namespace,
    anchors: [
      { kind: 'tdx', name: 'intel', certificate: '' },
      { kind: 'nvidia-gpu', name: 'nvidia', certificate: '' },
      { kind: 'jwt', name: 'i', issuer: 'i', algorithms: [], claims: {} },
    ],
    collateral: { find: async () => undefined },
    attester: async (key) => (key === attesterKeyOf(guest) ? guest : undefined),
    spendTokenId: async () => true,
  },
  referenceValues: [
    { id: 'image-1', kind: 'tdx', claims: { mrtd: ['aa'.repeat(48)] } },
    { id: 'h100', kind: 'nvidia-gpu', claims: { driverVersion: ['550.90'], vbiosVersion: ['96.00'] } },
    { id: 'token', kind: 'jwt', issuer: 'i', claims: { a: ['b'] } },
  ],
  referenceValuesDigest: 'd'.repeat(64) as Digest,
  appraisalPolicyId: 'none',
  spkiDigest: 'a'.repeat(64) as Digest,
  now: new Date('2026-11-24T00:00:00Z'),
};

const gpu = (over: Facts = {}, from = bound): Evidence => ({
  kind: 'nvidia-gpu',
  body: { carries: toBase64(gpuNonce(from)), facts: { ...GPU, ...over } },
});
const tdx = (others: readonly Evidence[], over: Facts = {}): Evidence => ({
  kind: 'tdx',
  body: { carries: toBase64(teeReportData(B(additionalEvidenceDigest([{ kind: '', body: {} }, ...others])))), facts: { ...TDX, ...over } },
});
const token = (): Evidence => ({ kind: 'jwt', body: { carries: toBase64(sha256(B())), facts: { a: 'b' } } });
const together = (...others: readonly Evidence[]) => [tdx(others), ...others];

const ask = (evidence: readonly Evidence[], over: Partial<AppraisalInputs> = {}) => appraise({ ...inputs, ...over, evidence });
async function codeOf(evidence: readonly Evidence[], over: Partial<AppraisalInputs> = {}): Promise<string> {
  const answer = await ask(evidence, over);
  return isRefusal(answer) ? answer.code : 'affirmed';
}
async function affirmed(evidence: readonly Evidence[], over: Partial<AppraisalInputs> = {}) {
  const answer = await ask(evidence, over);
  if (isRefusal(answer)) throw new Error(`${answer.code}: ${answer.detail}`);
  return answer;
}

describe('the bytes that bind', () => {
  test('a GPU has SHA-256(LP(label, challenge nonce, SPKI)), a TEE all 64 bytes of SHA-512(B)', () => {
    const parts = [Buffer.from('weight-vault gpu v1'), bound.challengeNonce, bound.spki];
    const prefixed = parts.flatMap((part) => [Buffer.from([0, 0, 0, part.length]), part]);
    expect(toHex(gpuNonce(bound))).toBe(toHex(sha256(...prefixed)));
    expect(teeReportData(B())).toHaveLength(64);
  });

  test('the list is the canonical JSON of every piece but the first', () => {
    expect(additionalEvidenceDigest([token()])).toBeUndefined();
    expect(additionalEvidenceDigest([])).toBeUndefined();
    expect(additionalEvidenceDigest([token(), gpu()])).toEqual(sha256(canonicalJson([gpu()])));
  });
});

describe('a machine and its GPUs', () => {
  const two = [gpu(), gpu({ deviceId: '22'.repeat(32) })];

  test('make one result: the machine says who asks, the GPUs add facts', async () => {
    const result = await affirmed(together(...two));
    expect(() => assertEarned('AttestationResult', result)).not.toThrow();
    expect(result).toMatchObject({ kinds: ['tdx', 'nvidia-gpu'], fresh: true, keyBound: true, hardware: true, tee: true });
    expect(result.subject.name).toBe('guest-1');
    expect(result.matched).toEqual(['image-1', 'h100']);
    expect(result.pieces.map(({ kind, facts }) => [kind, facts['deviceId']])).toEqual([
      ['tdx', undefined],
      ['nvidia-gpu', '11'.repeat(32)],
      ['nvidia-gpu', '22'.repeat(32)],
    ]);
  });

  test('a GPU alone, or in front, never passes', async () => {
    expect(await codeOf([gpu()])).toBe('evidence_malformed');
    expect(await codeOf(two)).toBe('evidence_malformed');
    expect(await codeOf([gpu(), tdx([gpu()])])).toBe('evidence_malformed');
  });

  test('a GPU that the machine did not vouch for is refused: one more, one less, another, in another order', async () => {
    expect(await codeOf([tdx([]), ...two])).toBe('evidence_binding_mismatch');
    expect(await codeOf([tdx(two), gpu()])).toBe('evidence_binding_mismatch');
    expect(await codeOf([tdx(two)])).toBe('evidence_binding_mismatch');
    expect(await codeOf([tdx(two), ...two.toReversed()])).toBe('evidence_binding_mismatch');
    expect(await codeOf([tdx([gpu()]), gpu({ deviceId: '33'.repeat(32) })])).toBe('evidence_binding_mismatch');
  });

  test.each([
    ['another challenge', { ...bound, challengeNonce: new Uint8Array(32).fill(8) }],
    ['another key', { ...bound, spki: new Uint8Array(91).fill(4) }],
  ])('a GPU report for %s is refused, though the machine vouches for it', async (_what, from) => {
    expect(await codeOf(together(gpu({}, from)))).toBe('evidence_binding_mismatch');
  });

  test('the same GPU twice is refused, and more GPUs than a board has', async () => {
    expect(await codeOf(together(gpu(), gpu()))).toBe('evidence_malformed');
    const many = Array.from({ length: KINDS['nvidia-gpu'].maxPieces + 1 }, (_, at) =>
      gpu({ deviceId: toHex(new Uint8Array(32).fill(at)) }),
    );
    expect(await codeOf(together(...many.slice(1)))).toBe('affirmed');
    expect(await codeOf(together(...many))).toBe('evidence_malformed');
  });

  test('a debug mode of either is refused whatever the reference values say', async () => {
    const generous = inputs.referenceValues.map((value) =>
      'pcrs' in value ? value : { ...value, claims: { ...value.claims, debug: ['true', 'false'] } },
    );
    for (const evidence of [[tdx([], { debug: true })], together(gpu({ debug: true }))]) {
      for (const referenceValues of [inputs.referenceValues, generous]) {
        const answer = await ask(evidence, { referenceValues });
        expect(answer).toMatchObject({ code: 'debug_enabled', failed: [{ claim: 'debug', expected: ['false'], seen: 'true' }] });
      }
    }
  });

  test.each<[string, Facts]>([
    ['is not in confidential mode', { confidentialMode: false }],
    ['has a driver that its maker does not know', { driverRimMatched: false }],
    ['has a VBIOS that its maker does not know', { vbiosRimMatched: false }],
    ['has another driver', { driverVersion: '550.91' }],
  ])('a GPU that %s is refused without a word in the reference value', async (_what, over) => {
    const answer = await ask(together(gpu(over)));
    expect(answer).toMatchObject({ code: 'measurement_mismatch', subject: guest, failed: [{ claim: Object.keys(over)[0] }] });
  });

  test('each piece needs an anchor and a reference value of its own', async () => {
    const anchors = inputs.context.anchors.slice(0, 1);
    expect(await codeOf(together(gpu()), { context: { ...inputs.context, anchors } })).toBe('endorsement_untrusted');
    expect(await codeOf(together(gpu()), { referenceValues: inputs.referenceValues.slice(0, 1) })).toBe('reference_values_missing');
  });
});

describe('a token', () => {
  test('beside a machine is bound to the same challenge and key, and adds no freshness of its own', async () => {
    const result = await affirmed(together(token()));
    expect(result).toMatchObject({ kinds: ['tdx', 'jwt'], tee: true });
    expect(await codeOf([tdx([]), token()])).toBe('evidence_binding_mismatch');
  });

  test('in front of a machine is refused: what answers no challenge cannot vouch for anything', async () => {
    const alone = token();
    expect(await codeOf([alone])).toBe('affirmed');
    expect(await codeOf([alone, tdx([])])).toBe('evidence_binding_mismatch');
  });
});

describe('firmware', () => {
  test('that is not up to date is its own refusal, with what was expected and seen', async () => {
    expect(await ask([tdx([], { tcbStatus: 'OutOfDate' })])).toMatchObject({
      code: 'tcb_unacceptable',
      failed: [{ claim: 'tcbStatus', expected: ['UpToDate'], seen: 'OutOfDate' }],
    });
  });

  test('that two people accept by name is accepted', async () => {
    const claims = { mrtd: ['aa'.repeat(48)], tcbStatus: ['UpToDate', 'SWHardeningNeeded'] };
    const referenceValues = [{ id: 'image-1', kind: 'tdx' as const, claims }];
    expect(await codeOf([tdx([], { tcbStatus: 'SWHardeningNeeded' })], { referenceValues })).toBe('affirmed');
    expect(await codeOf([tdx([], { tcbStatus: 'OutOfDate' })], { referenceValues })).toBe('tcb_unacceptable');
  });

  test('below a least number is refused, and so is a number that is not there', async () => {
    const withLeast = (atLeast: Record<string, number>) => ({
      referenceValues: [{ id: 'image-1', kind: 'tdx' as const, claims: { mrtd: ['aa'.repeat(48)] }, atLeast }],
    });
    const evidence = [tdx([], { tcbEvaluationDataNumber: 17 })];
    expect(await codeOf(evidence, withLeast({ tcbEvaluationDataNumber: 17 }))).toBe('affirmed');
    expect(await codeOf(evidence, withLeast({ tcbEvaluationDataNumber: 18 }))).toBe('measurement_mismatch');
    expect(await codeOf(evidence, withLeast({ nothing: 0 }))).toBe('measurement_mismatch');
  });
});

describe('reference values for one model', () => {
  const scoped = (...models: string[]) => ({ referenceValues: inputs.referenceValues.map((value) => ({ ...value, models })) });

  test('count for that model and no other', async () => {
    const result = await affirmed(together(gpu()), scoped(MODEL));
    const narrowed = resultForModel(result, MODEL);
    if (isRefusal(narrowed)) throw new Error(narrowed.detail);
    expect(() => assertEarned('AttestationResult', narrowed)).not.toThrow();
    expect(narrowed.matched).toEqual(['image-1', 'h100']);
    expect(resultForModel(result, OTHER)).toMatchObject({ code: 'measurement_mismatch', subject: guest });
  });

  test('must be there for every piece', async () => {
    const [image, card, ...rest] = inputs.referenceValues;
    if (image === undefined || card === undefined) throw new Error('two values');
    const result = await affirmed(together(gpu()), { referenceValues: [image, { ...card, models: [OTHER] }, ...rest] });
    expect(resultForModel(result, MODEL)).toMatchObject({ code: 'measurement_mismatch', detail: expect.stringContaining('nvidia-gpu') });
    expect(isRefusal(resultForModel(result, OTHER))).toBe(false);
  });
});

describe('who a guest is', () => {
  const chip: EnrolledWorkload = { ...guest, name: 'package-1', identity: { fact: 'ppid', value: 'bb'.repeat(16) } };
  const knowing = (...enrolled: EnrolledWorkload[]) => ({
    context: { ...inputs.context, attester: async (key: string) => enrolled.find((one) => attesterKeyOf(one) === key) },
  });

  test('is one fact that an administrator enrolled; nobody without', async () => {
    expect((await affirmed([tdx([], { ppid: 'bb'.repeat(16) })], knowing(chip))).subject.name).toBe('package-1');
    expect(await codeOf([tdx([])], knowing(chip))).toBe('attester_key_unknown');
    expect(await codeOf([tdx([], { ppid: 'bb'.repeat(16) })], knowing({ ...chip, namespace: 'other' as Namespace }))).toBe(
      'attester_key_unknown',
    );
  });

  test('is nobody by a fact of zeros, even if that was enrolled', async () => {
    const zeros: EnrolledWorkload = { ...guest, identity: { fact: 'mrOwner', value: '00'.repeat(48) } };
    expect(await codeOf([tdx([], { mrOwner: '00'.repeat(48) })], knowing(zeros))).toBe('attester_key_unknown');
  });

  test('is refused when two are enrolled by its facts: a stop of one must not be passed by as the other', async () => {
    const answer = await ask([tdx([], { ppid: 'bb'.repeat(16) })], knowing(guest, chip));
    expect(answer).toMatchObject({ code: 'attester_ambiguous', detail: expect.stringContaining('guest-1, package-1') });
  });
});

test('a verifier that leaves a fact out, or states one that is not in the table, is an error of ours and no answer', async () => {
  const { mrtd: _, ...without } = TDX;
  const body = tdx([]).body;
  const enrolledByOwner = { ...guest, identity: { fact: 'mrOwner', value: 'cc'.repeat(48) } };
  const context = {
    ...inputs.context,
    attester: async (key: string) => (key === attesterKeyOf(enrolledByOwner) ? enrolledByOwner : undefined),
  };
  const shown = (facts: Facts) => ask([{ kind: 'tdx', body: { ...body, facts: { ...facts, mrOwner: 'cc'.repeat(48) } } }], { context });
  await expect(shown(without)).rejects.toThrow('mrtd is missing');
  await expect(shown({ ...TDX, own: 'x' })).rejects.toThrow('own is not in the table');
  await expect(shown({ ...TDX, quoteVersion: '4' })).rejects.toThrow('quoteVersion is no number');
});
