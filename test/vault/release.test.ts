/** release.ts: what is released, and every way in which it is not. Each refusal must be in the access log when it is answered. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ChallengeId, type Namespace, newId, type VersionId } from '../../src/domain/ids.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { issueChallenge } from '../../src/vault/challenge.ts';
import type { Denied } from '../../src/vault/record.ts';
import { type Granted, release } from '../../src/vault/release.ts';
import { GOOD_VALUE, type Machine, marker, type Published, RESEARCH, starterPolicies, TestVault } from './test-vault.ts';

let vault: TestVault;
let machine: Machine;
let version: Published;

beforeAll(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('gpu-1');
  version = await vault.publish('falcon', 'restricted', { 'weights.bin': marker(3000), 'config.json': marker(10) });
});
afterAll(() => vault.remove());

describe('a permitted release', () => {
  test('answers the objects of the signed manifest, with a release.begin already in the log', async () => {
    const answer = await vault.granted({ machine, version });
    expect(answer.objects.map(({ path, size }) => ({ path, size }))).toEqual([
      { path: 'config.json', size: 10 },
      { path: 'weights.bin', size: 3000 },
    ]);
    const { permit } = answer;
    expect(permit.expiresAt.getTime() - vault.clock.now().getTime()).toBe(3_600_000); // class restricted
    expect(vault.records().find((record) => record.recordId === permit.recordId)).toMatchObject({
      type: 'release.begin',
      outcome: 'permit',
      namespace: 'prod',
      actor: { kind: 'requester', subjectId: machine.subjectId, spkiDigest: permit.spkiDigest },
      object: { versionId: version.versionId, versionDigest: version.versionDigest, class: 'restricted' },
      decision: { determining: ['restricted-to-production-fleet'] },
      attestation: { tier: 'affirming', matched: ['golden'] },
      release: { releaseId: permit.releaseId },
    });
  });

  test('has its record in the database before the key is unwrapped', async () => {
    const node = await vault.addNode();
    const honest = vault.keys.unwrap;
    const seen: Array<string | undefined> = [];
    vault.keys.unwrap = (wrapped, aad) => {
      seen.push(vault.lastRecord().type);
      return honest(wrapped, aad);
    };
    try {
      await vault.granted({ machine, version, node });
    } finally {
      vault.keys.unwrap = honest;
    }
    expect(seen).toEqual(['release.begin']);
  });

  test('unwraps the key of a version once, however many releases there are', async () => {
    const node = await vault.addNode();
    const before = vault.keys.unwraps;
    await Promise.all(Array.from({ length: 8 }, () => vault.granted({ machine, version, node })));
    expect(vault.keys.unwraps - before).toBe(1);
  });

  test('delivers exactly what was published', async () => {
    const answer = await vault.granted({ machine, version });
    expect(await vault.fetch(machine, answer)).toEqual(marker(3000));
    expect(await vault.fetch(machine, answer, 'config.json')).toEqual(marker(10));
  });
});

describe('the challenge', () => {
  test('is missing: challenge_unknown', async () => {
    vault.expectDenied(await vault.ask({ machine, version, challengeId: null }), 'challenge_unknown');
  });

  test('was never issued: challenge_unknown', async () => {
    vault.expectDenied(await vault.ask({ machine, version, challengeId: newId<ChallengeId>(vault.clock.now()) }), 'challenge_unknown');
  });

  test('was issued to another TLS key: challenge_unknown, and it is not spent by that', async () => {
    const other = await vault.machine('gpu-2');
    const challenge = await issueChallenge(other.spki, vault.vault);
    const evidence = [await vault.evidenceFor(machine, challenge)];
    vault.expectDenied(await vault.ask({ machine, version, challengeId: challenge.challengeId, evidence }), 'challenge_unknown');
    const own = [await vault.evidenceFor(other, challenge)];
    expect((await vault.ask({ machine: other, version, challengeId: challenge.challengeId, evidence: own })).refused).toBe(false);
  });

  test('is good for 60 seconds and not for 61: challenge_expired', async () => {
    const [early, late] = [await issueChallenge(machine.spki, vault.vault), await issueChallenge(machine.spki, vault.vault)];
    const evidence = async (challenge: typeof early) => ({
      challengeId: challenge.challengeId,
      evidence: [await vault.evidenceFor(machine, challenge)],
    });
    vault.clock.advance(60);
    expect((await vault.ask({ machine, version, ...(await evidence(early)) })).refused).toBe(false);
    vault.clock.advance(1);
    vault.expectDenied(await vault.ask({ machine, version, ...(await evidence(late)) }), 'challenge_expired');
  });

  test('is good once: challenge_spent, also after a refusal', async () => {
    const challenge = await issueChallenge(machine.spki, vault.vault);
    const { challengeId } = challenge;
    const evidence = [await vault.evidenceFor(machine, challenge)];
    expect((await vault.ask({ machine, version, challengeId, evidence })).refused).toBe(false);
    vault.expectDenied(await vault.ask({ machine, version, challengeId, evidence }), 'challenge_spent');

    const second = await issueChallenge(machine.spki, vault.vault);
    const wrong = [await vault.evidenceFor({ ...machine, pcrs: {} }, second)];
    vault.expectDenied(await vault.ask({ machine, version, challengeId: second.challengeId, evidence: wrong }), 'measurement_mismatch');
    const right = [await vault.evidenceFor(machine, second)];
    vault.expectDenied(await vault.ask({ machine, version, challengeId: second.challengeId, evidence: right }), 'challenge_spent');
  });

  test('spent by fifty requests at once on two nodes gives exactly one release', async () => {
    const other = await vault.addNode();
    const nodes = [vault.node, other];
    const challenge = await issueChallenge(machine.spki, vault.vault);
    const evidence = [await vault.evidenceFor(machine, challenge)];
    const begun = vault.records('release.begin').length;
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, at) =>
        release(
          {
            requestId: `r${at}`,
            namespace: machine.namespace,
            challengeId: challenge.challengeId,
            model: version.model,
            version: version.versionId,
            evidence,
            delivery: 'stream',
            spki: machine.spki,
            remoteAddress: '198.51.100.7',
          },
          (nodes[at % 2] ?? vault.node).vault,
        ),
      ),
    );
    const codes = answers.map((answer) => (answer.refused ? answer.code : 'granted'));
    expect(codes.filter((code) => code === 'granted')).toHaveLength(1);
    expect(codes.filter((code) => code === 'challenge_spent')).toHaveLength(49);
    expect(vault.records('release.begin').length - begun).toBe(1);
  });
});

describe('the evidence', () => {
  const denied = async (asking: Partial<Parameters<TestVault['ask']>[0]>) => vault.ask({ machine, version, ...asking });

  test('is missing: evidence_missing', async () => {
    vault.expectDenied(await denied({ evidence: [] }), 'evidence_missing');
  });

  test.each(['nitro', 'TPM2', '__proto__', 'constructor'])('is of the kind "%s": evidence_kind_unsupported', async (kind) => {
    vault.expectDenied(await denied({ evidence: [{ kind, body: {} }] }), 'evidence_kind_unsupported');
  });

  test('is two pieces: evidence_malformed', async () => {
    const piece = { kind: 'tpm2', body: {} };
    vault.expectDenied(await denied({ evidence: [piece, piece] }), 'evidence_malformed');
  });

  test('is by a key that was never enrolled: attester_key_unknown', async () => {
    vault.expectDenied(await denied({ machine: { ...machine, akName: `000b${'00'.repeat(32)}` } }), 'attester_key_unknown');
  });

  test('is by a key enrolled in another namespace: attester_key_unknown', async () => {
    const stranger = await vault.machine('gpu-9', { namespace: RESEARCH });
    vault.expectDenied(await denied({ machine: stranger, namespace: machine.namespace }), 'attester_key_unknown');
  });

  test('is bound to something else: evidence_binding_mismatch, naming who sent it', async () => {
    const refusal = vault.expectDenied(await denied({ binding: new Uint8Array(32) }), 'evidence_binding_mismatch');
    expect(vault.records().find((one) => one.recordId === refusal.recordId)?.actor).toMatchObject({ subjectId: machine.subjectId });
  });

  test("was made for the challenge and TLS key of another machine's connection: evidence_binding_mismatch", async () => {
    const thief = { ...machine, spki: Uint8Array.of(1, 2, 3) };
    const challenge = await issueChallenge(thief.spki, vault.vault);
    const evidence = [await vault.evidenceFor(machine, challenge)]; // bound to the honest machine's key
    vault.expectDenied(await denied({ machine: thief, challengeId: challenge.challengeId, evidence }), 'evidence_binding_mismatch');
  });

  test.each([
    ['another value', { sha256: { '7': '08'.repeat(32) } }],
    ['no value', { sha256: {} }],
    ['the value in a SHA-1 bank', { sha1: { '7': '07'.repeat(32) } }],
  ])('has %s in the PCR: measurement_mismatch', async (_what, pcrs) => {
    vault.expectDenied(await denied({ machine: { ...machine, pcrs: pcrs as Machine['pcrs'] } }), 'measurement_mismatch');
  });
});

describe('what nobody set up permits nothing', () => {
  const ns = 'empty' as Namespace;
  let bare: TestVault;
  let owner: Machine;
  let weights: Published;
  beforeAll(async () => {
    bare = await TestVault.make();
    owner = await bare.machine('gpu-1', { namespace: ns });
    weights = await bare.publish('falcon', 'public', undefined, ns);
  });
  afterAll(() => bare.remove());
  const ask = () => bare.ask({ machine: owner, version: weights });

  test('no anchors, then no reference values, then no policies, then no permit, and only then a release', async () => {
    bare.expectDenied(await ask(), 'endorsement_untrusted');
    const anchors = [{ kind: 'tpm2' as const, name: 'root', certificate: 'AAAA' }];
    await bare.twoPeople({ kind: 'trust-anchors', namespace: ns, counter: 1, anchors: [] });
    bare.expectDenied(await ask(), 'endorsement_untrusted');
    await bare.twoPeople({ kind: 'trust-anchors', namespace: ns, counter: 2, anchors });
    bare.expectDenied(await ask(), 'reference_values_missing');
    await bare.twoPeople({ kind: 'reference-values', namespace: ns, counter: 1, values: [] });
    bare.expectDenied(await ask(), 'reference_values_missing');
    await bare.twoPeople({ kind: 'reference-values', namespace: RESEARCH, counter: 1, values: [GOOD_VALUE] });
    bare.expectDenied(await ask(), 'reference_values_missing'); // another namespace's count there alone
    await bare.twoPeople({ kind: 'reference-values', namespace: ns, counter: 2, values: [GOOD_VALUE] });
    bare.expectDenied(await ask(), 'policy_missing');
    await bare.twoPeople({ kind: 'policy-set', namespace: ns, counter: 1, policies: {} });
    bare.expectDenied(await ask(), 'policy_missing');
    await bare.twoPeople({ kind: 'policy-set', namespace: ns, counter: 2, policies: starterPolicies('internal') });
    bare.expectDenied(await ask(), 'policy_denied');
    await bare.twoPeople({ kind: 'policy-set', namespace: ns, counter: 3, policies: starterPolicies('public') });
    expect((await ask()).refused).toBe(false);
  });

  test('reference values that expired: measurement_mismatch', async () => {
    const expires = new Date(bare.clock.now().getTime() + 10_000).toISOString();
    await bare.twoPeople({ kind: 'reference-values', namespace: ns, counter: 3, values: [{ ...GOOD_VALUE, expires }] });
    expect((await ask()).refused).toBe(false);
    bare.clock.advance(10);
    bare.expectDenied(await ask(), 'measurement_mismatch');
  });

  test('a policy that cannot be evaluated denies, although another permits: policy_error', async () => {
    await bare.twoPeople({ kind: 'reference-values', namespace: ns, counter: 4, values: [GOOD_VALUE] });
    const fails = `forbid (principal is WeightVault::Requester, action == WeightVault::Action::"release", resource is WeightVault::ModelVersion)
      when { context.now.offset(duration("9223372036854775807ms")) > context.now };`;
    await bare.twoPeople({ kind: 'policy-set', namespace: ns, counter: 4, policies: { ...starterPolicies('public'), fails } });
    bare.expectDenied(await ask(), 'policy_error');
  });
});

describe('the decision', () => {
  test('no policy permits the machine: policy_denied', async () => {
    const staging = await vault.machine('gpu-staging', { attributes: { fleet: 'staging' } });
    vault.expectDenied(await vault.ask({ machine: staging, version }), 'policy_denied');
  });

  test('critical versions are refused whatever the evidence: class_demands_unmet', async () => {
    const critical = await vault.publish('crown', 'critical');
    vault.expectDenied(await vault.ask({ machine, version: critical }), 'class_demands_unmet');
  });

  test('a version that waits for the second person: version_quarantined', async () => {
    const waiting = await vault.upload('waiting', 'restricted');
    vault.expectDenied(await vault.ask({ machine, version: waiting }), 'version_quarantined');
  });

  test('a version of another model, of no model, of another namespace: version_unknown, model_unknown', async () => {
    const other = await vault.publish('heron', 'public');
    vault.expectDenied(await vault.ask({ machine, version: { ...version, model: 'heron' } }), 'version_unknown');
    vault.expectDenied(await vault.ask({ machine, version: { ...other, model: 'phoenix' } }), 'model_unknown');
    vault.expectDenied(
      await vault.ask({ machine, version: { ...version, versionId: newId<VersionId>(vault.clock.now()) } }),
      'version_unknown',
    );
    const elsewhere = await vault.publish('elsewhere', 'public', undefined, RESEARCH);
    vault.expectDenied(await vault.ask({ machine, version: elsewhere }), 'model_unknown');
  });

  test('a blocked machine: subject_blocked, on every node, and only that machine', async () => {
    const [bad, good] = [await vault.machine('gpu-bad'), await vault.machine('gpu-good')];
    await blockSubject(await vault.as('bob'), bad.namespace, 'gpu-bad', vault.vault);
    const node = await vault.addNode();
    const answers: Array<Granted | Denied> = [await vault.ask({ machine: bad, version }), await vault.ask({ machine: bad, version, node })];
    for (const answer of answers) vault.expectDenied(answer, 'subject_blocked');
    expect((await vault.ask({ machine: good, version, node })).refused).toBe(false);
  });
});

test('no refusal of this file unwrapped a key or left a release behind', async () => {
  const before = vault.keys.unwraps;
  const begun = vault.records('release.begin').length;
  const releases = () => vault.row('SELECT count(*) AS n FROM releases')['n'];
  const rows = releases();
  vault.expectDenied(await vault.ask({ machine, version, evidence: [] }), 'evidence_missing');
  vault.expectDenied(await vault.ask({ machine, version, binding: new Uint8Array(1) }), 'evidence_binding_mismatch');
  vault.expectDenied(await vault.ask({ machine: { ...machine, pcrs: {} }, version }), 'measurement_mismatch');
  expect(vault.keys.unwraps).toBe(before);
  expect(vault.records('release.begin').length).toBe(begun);
  expect(releases()).toBe(rows);
});

test('namespaces that never were leave nothing in memory, however many a stranger names', async () => {
  const kept: unknown[] = [];
  const set = Map.prototype.set;
  const { spki } = machine;
  Map.prototype.set = function (this: Map<unknown, unknown>, key: unknown, value: unknown) {
    if (String(key).includes('ghost-')) kept.push(key);
    return set.call(this, key, value);
  };
  try {
    for (const namespace of ['ghost-1', 'ghost-2'] as Namespace[]) {
      const { challengeId } = await issueChallenge(spki, vault.vault);
      const asked = { requestId: 'ask', namespace, challengeId, model: 'm', version: 'v', aliasCounter: undefined, evidence: [], spki };
      const evidence = [await vault.evidenceFor(machine, { nonce: spki })];
      await release({ ...asked, evidence, delivery: 'stream', remoteAddress: '198.51.100.7' }, vault.vault);
    }
  } finally {
    Map.prototype.set = set;
  }
  expect(kept).toEqual([]);
});
