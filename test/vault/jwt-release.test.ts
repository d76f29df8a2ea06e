/** A whole vault that releases on tokens: what they are enough for, what they are not, and that each refusal is on record. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { toBase64 } from '../../src/domain/bytes.ts';
import { additionalEvidenceDigest, evidenceBinding, jwtAttesterKey, jwtNonce } from '../../src/domain/evidence.ts';
import { parseId } from '../../src/domain/ids.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { issueChallenge } from '../../src/vault/challenge.ts';
import { enrolToken } from '../../src/vault/enrol.ts';
import { keepHouse } from '../../src/vault/outcome.ts';
import { listRequesters } from '../../src/vault/people.ts';
import { makeKey } from '../attestation/token-issuer.ts';
import { anchorFor, type Issuer, JwtMachine, startIssuer, trust, withVerifier } from './jwt-machine.ts';
import { codeFrom, marker, type Node, PROD, RESEARCH, TestVault } from './test-vault.ts';

let vault: TestVault;
let issuer: Issuer;
let node: Node;
let machine: JwtMachine;

beforeEach(async () => {
  [vault, issuer] = await Promise.all([TestVault.ready(), startIssuer()]);
  node = await vault.addNode(withVerifier(vault));
  await trust(vault, anchorFor(issuer));
  machine = await JwtMachine.enrolled(vault, issuer, 'cvm-1');
});
afterEach(async () => {
  issuer.close();
  await vault.remove();
});

describe('a token that answers the challenge', () => {
  test('is enough for an internal model: the weights arrive, and the record says what was proved', async () => {
    const weights = marker(5000);
    const answer = await machine.ask(await vault.publish('falcon', 'internal', { 'weights.bin': weights }), node);
    if (answer.refused) throw new Error(`${answer.code}: ${answer.detail}`);
    const asMachine = { spki: machine.spki, namespace: PROD } as Parameters<typeof vault.fetch>[0];
    expect(await vault.fetch(asMachine, answer, 'weights.bin', node)).toEqual(weights);
    expect(vault.records('release.begin').at(-1)).toMatchObject({
      attestation: {
        kinds: ['jwt'],
        fresh: true,
        keyBound: true,
        hardware: false,
        matched: ['golden-image'],
        facts: { image: 'sha256:golden' },
      },
    });
    expect(JSON.stringify(vault.records())).not.toMatch(/eyJ[\w-]{8}/); // no token, whole or in part; `eyJ` alone is in a commitment by chance
  });

  test('is not enough for a restricted one, unless two people said that the issuer vouches for hardware', async () => {
    const restricted = await vault.publish('falcon', 'restricted');
    const denied = vault.expectDenied(await machine.ask(restricted, node), 'class_demands_unmet');
    expect(denied.detail).toContain('hardware');
    await trust(vault, anchorFor(issuer, { hardware: true, tee: true }), 3);
    expect((await machine.ask(restricted, node)).refused).toBe(false);
  });

  test.each([
    ['made for another challenge', { claims: { eat_nonce: 'x'.repeat(43) } }, 'evidence_binding_mismatch'],
    ['for another audience', { claims: { aud: 'another-vault' } }, 'evidence_binding_mismatch'],
    ['of an image nobody accepted', { claims: { image: 'sha256:other' } }, 'measurement_mismatch'],
    ['that names no image', { claims: { image: undefined } }, 'measurement_mismatch'],
    ['about somebody else', { claims: { sub: 'machine:cvm-2' } }, 'attester_key_unknown'],
    ['of an issuer nobody trusts', { claims: { iss: 'https://other.test' } }, 'endorsement_untrusted'],
    ['that has expired', { claims: { exp: 1 } }, 'evidence_expired'],
    ['that is none', { token: 'weights' }, 'evidence_malformed'],
    ['in a namespace without anchors', { namespace: RESEARCH }, 'endorsement_untrusted'],
  ] as const)('%s is refused and recorded', async (_what, over, code) => {
    const version = await vault.publish('falcon', 'internal');
    vault.expectDenied(await machine.ask(version, node, over as Parameters<JwtMachine['ask']>[2]), code);
  });

  test('stops counting when its issuer is no anchor any more', async () => {
    const version = await vault.publish('falcon', 'internal');
    await vault.twoPeople({ kind: 'trust-anchors', namespace: PROD, counter: 3, anchors: [] });
    vault.expectDenied(await machine.ask(version, node), 'endorsement_untrusted');
  });

  test('does not count without a reference value of its issuer', async () => {
    const version = await vault.publish('falcon', 'internal');
    await vault.twoPeople({ kind: 'reference-values', namespace: PROD, counter: 3, values: [] });
    vault.expectDenied(await machine.ask(version, node), 'reference_values_missing');
    const ofAnother = { id: 'other', kind: 'jwt', issuer: 'https://other.test', claims: { image: ['sha256:golden'] } } as const;
    const nothing = { id: 'nothing', kind: 'jwt', issuer: issuer.url, claims: {} } as const;
    await vault.twoPeople({ kind: 'reference-values', namespace: PROD, counter: 4, values: [ofAnother] });
    vault.expectDenied(await machine.ask(version, node), 'reference_values_missing');
    await vault.twoPeople({ kind: 'reference-values', namespace: PROD, counter: 5, values: [nothing] });
    vault.expectDenied(await machine.ask(version, node), 'measurement_mismatch');
  });
});

describe('a token without a nonce', () => {
  const bearer = async () => {
    const { nonceClaim: _, ...anchor } = anchorFor(issuer);
    await trust(vault, anchor, 3);
  };

  test('is enough for a public model, and not for an internal one', async () => {
    await bearer();
    const answer = await machine.ask(await vault.publish('open', 'public'), node, { claims: { jti: 'one' } });
    expect(answer.refused).toBe(false);
    const denied = vault.expectDenied(
      await machine.ask(await vault.publish('falcon', 'internal'), node, { claims: { jti: 'two' } }),
      'class_demands_unmet',
    );
    expect(denied.detail).toContain('fresh, keyBound');
  });

  test('is good once on two nodes over one database, however many show it at once', async () => {
    await bearer();
    const version = await vault.publish('open', 'public');
    const other = await vault.addNode(withVerifier(vault));
    const token = await machine.token('', { jti: 'one' });
    const answers = await Promise.all([node, other, node, other, node, other].map((on) => machine.ask(version, on, { token })));
    expect(answers.filter(({ refused }) => !refused)).toHaveLength(1);
    for (const denied of answers.filter(({ refused }) => refused)) vault.expectDenied(denied, 'token_spent');
  });

  test('is remembered until it has expired, and forgotten some time after', async () => {
    await bearer();
    const version = await vault.publish('open', 'public');
    const spent = () => vault.row('SELECT count(*) AS n FROM spent_tokens')['n'];
    await machine.ask(version, node, { claims: { jti: 'one' } });
    vault.clock.advance(300);
    await keepHouse(node.vault);
    expect(spent()).toBe(1);
    vault.clock.advance(900);
    await keepHouse(node.vault);
    expect(spent()).toBe(0);
  });
});

describe('the issuer', () => {
  test('rotates its key: new tokens count within half a minute', async () => {
    const version = await vault.publish('falcon', 'internal');
    expect((await machine.ask(version, node)).refused).toBe(false);
    issuer.keys = [makeKey('key-2'), ...issuer.keys];
    vault.expectDenied(await machine.ask(version, node), 'endorsement_untrusted');
    vault.clock.advance(30);
    expect((await machine.ask(version, node)).refused).toBe(false);
    expect(issuer.reads).toBe(2);
  });

  test('is gone: no answer (issuer_unavailable) and no release, until it is back', async () => {
    const version = await vault.publish('falcon', 'internal');
    issuer.close();
    expect(await codeFrom(machine.ask(version, node))).toBe('issuer_unavailable');
    expect(vault.records('release.begin')).toEqual([]);
  });

  test('is never asked while no anchor names its address', async () => {
    const { jwksUrl: _url, jwksCa: _ca, ...anchor } = anchorFor(issuer);
    await trust(vault, { ...anchor, jwks: { keys: issuer.keys.map(({ jwk }) => jwk) } }, 3);
    expect((await machine.ask(await vault.publish('falcon', 'internal'), node)).refused).toBe(false);
    expect(issuer.reads).toBe(0);
  });
});

describe('enrolling a requester that shows tokens', () => {
  const wanted = () => ({ namespace: PROD, name: 'web', attributes: {}, issuer: issuer.url, subject: 'web' });
  const enrol = async (over: object = {}, name = 'alice') =>
    codeFrom(enrolToken(await vault.as(name), { ...wanted(), ...over }, vault.vault));

  test('is recorded, and it is listed beside the others', async () => {
    const made = await enrolToken(await vault.as('alice'), wanted(), vault.vault);
    expect(made).toEqual({ ...wanted(), kind: 'jwt', subjectId: parseId(made.subjectId, 'subject') });
    expect(vault.lastRecord()).toMatchObject({ type: 'attester.enrolled', outcome: 'success', document: { kind: 'attester' } });
    const { requesters } = await listRequesters(await vault.as('alice'), { namespace: PROD }, vault.vault);
    expect(requesters.map(({ name, kind }) => [name, kind])).toEqual([
      ['cvm-1', 'jwt'],
      ['web', 'jwt'],
    ]);
  });

  test('needs an anchor of that very issuer in that very namespace: endorsement_untrusted, recorded', async () => {
    for (const over of [{ issuer: `${issuer.url}/` }, { issuer: 'https://other.test' }, { namespace: RESEARCH }]) {
      expect(await enrol(over)).toBe('endorsement_untrusted');
      expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'endorsement_untrusted' });
    }
  });

  test('needs the role: action_denied, recorded', async () => {
    expect(await enrol({}, 'carol')).toBe('action_denied');
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'action_denied' });
  });

  test('happens once for a name, and once for a subject', async () => {
    expect(await enrol()).toBe('nothing thrown');
    expect(await enrol({ subject: 'other' })).toBe('subject_exists');
    expect(await enrol({ name: 'other' })).toBe('subject_exists');
    expect(await enrol({ name: 'other', subject: 'other' })).toBe('nothing thrown');
  });

  test('never happens in the namespace of the vault itself', async () => {
    expect(await enrol({ namespace: 'system' })).toBe('request_invalid');
  });

  test('a row that a database writer moved to another subject releases nothing', async () => {
    const version = await vault.publish('falcon', 'internal');
    const stranger = new JwtMachine(vault, issuer, 'machine:stranger');
    vault.expectDenied(await stranger.ask(version, node), 'attester_key_unknown');
    const key = jwtAttesterKey(issuer.url, stranger.subject);
    expect(vault.sql('UPDATE subjects SET attester_key = ?', key)).toBe(1);
    vault.expectDenied(await stranger.ask(version, node), 'document_invalid');
  });
});

test('a token beside the evidence of a TPM adds its facts, and nothing once the machine that it is about is blocked', async () => {
  const tpm = { ...(await vault.machine('gpu-1')), spki: machine.spki };
  const version = await vault.publish('falcon', 'restricted');
  const askWithBoth = async () => {
    const { challengeId, nonce } = await issueChallenge(tpm.spki, node.vault);
    const bound = { vaultId: node.vault.vaultId, challengeNonce: nonce, spki: tpm.spki };
    const beside = { kind: 'jwt', body: { token: await machine.token(jwtNonce(evidenceBinding(bound))) } };
    const digest = additionalEvidenceDigest([beside, beside]); // of all but the first
    if (digest === undefined) throw new Error('there is one beside');
    const first = await vault.evidenceFor(tpm, { nonce });
    const binding = toBase64(evidenceBinding({ ...bound, additionalEvidenceDigest: digest }));
    return vault.ask({ machine: tpm, version, challengeId, evidence: [{ ...first, body: { ...first.body, binding } }, beside], node });
  };
  expect(await askWithBoth()).toMatchObject({ refused: false });
  await blockSubject(await vault.as('bob'), PROD, 'cvm-1', vault.vault);
  await node.vault.revocations.refresh();
  vault.expectDenied(await askWithBoth(), 'subject_blocked');
});
