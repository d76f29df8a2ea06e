/**
 * Enrolling a requester, the vault's side: who may, what a wrong or late answer does, and that it happens once. Whether the credential opens
 * in the right TPM alone is tested with a TPM (test/attestation). Here the request comes from one that was captured, or is signed with a
 * secret that the test knows.
 */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { sha256, sha256Hex } from '../../src/domain/bytes.ts';
import type { Digest, RequestId } from '../../src/domain/ids.ts';
import { SYSTEM } from '../../src/domain/ids.ts';
import type { AdminActor } from '../../src/vault/authorize.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { beginEnrolment, confirmEnrolment } from '../../src/vault/enrol.ts';
import { signRequest } from '../../src/vault/requests.ts';
import { captured, root } from '../attestation/samples.ts';
import { codeFrom, GOOD_PCRS, type Machine, noise, PROD, RESEARCH, TestVault } from './test-vault.ts';

let vault: TestVault;
let alice: AdminActor;
beforeEach(async () => {
  vault = await TestVault.ready();
  alice = await vault.as('alice');
});
afterEach(() => vault.remove());

const akOf = (name: string) => `000b${sha256Hex(Buffer.from(`attestation key of ${name}`))}`;

/** An enrolment that waits for `secret`, signed as beginEnrolment signs it. */
async function waiting(name: string, secret: Uint8Array, akName = akOf(name)): Promise<RequestId> {
  const operation = {
    kind: 'enrol',
    namespace: PROD,
    name,
    akName,
    ekCertificateDigest: 'e'.repeat(64),
    attributes: { fleet: 'production' },
    secretDigest: sha256Hex(secret),
  };
  const { row, document } = await signRequest(alice, { operation, kind: 'enrol', namespace: PROD }, vault.clock.now(), 600, vault.vault);
  await vault.stores.unitOfWork.run(async (tx) => {
    await vault.stores.documents.put(tx, document);
    await vault.stores.approvals.insert(tx, row);
  });
  return row.requestId;
}
const confirm = (requestId: RequestId, secret: Uint8Array, actor = alice, node = vault.node) =>
  codeFrom(confirmEnrolment(actor, requestId, secret, node.vault));
const enrolled = () => vault.row('SELECT count(*) AS n FROM subjects')['n'];

describe('beginning', () => {
  const begin = (over: Partial<Parameters<typeof beginEnrolment>[1]> = {}, actor = alice) =>
    beginEnrolment(actor, { namespace: PROD, name: 'gpu-17', attributes: {}, request: captured.enrolment, ...over }, vault.vault);
  beforeEach(() => vault.twoPeople({ kind: 'trust-anchors', namespace: PROD, counter: 2, anchors: [root] }));

  test('answers a credential for ten minutes, and enrols nobody yet', async () => {
    const { credential, expiresAt } = await begin();
    expect(credential.idObject.length).toBeGreaterThan(0);
    expect(expiresAt.getTime() - vault.clock.now().getTime()).toBe(600_000);
    expect(enrolled()).toBe(0);
  });

  test('needs an anchor of this very namespace: endorsement_untrusted, recorded', async () => {
    expect(await codeFrom(begin({ namespace: RESEARCH }))).toBe('endorsement_untrusted');
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'endorsement_untrusted' });
  });

  test('under a name that is taken is refused: subject_exists', async () => {
    await vault.machine('gpu-17');
    expect(await codeFrom(begin())).toBe('subject_exists');
  });

  test('by someone without the role is denied and recorded', async () => {
    expect(await codeFrom(begin({}, await vault.as('carol')))).toBe('action_denied');
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'action_denied' });
  });

  test("in the vault's own namespace, or with a request that is none, is refused", async () => {
    expect(await codeFrom(begin({ namespace: SYSTEM }))).toBe('request_invalid');
    expect(await codeFrom(begin({ request: { ...captured.enrolment, v: 2 } }))).toBe('request_invalid');
  });
});

describe('confirming', () => {
  const secret = noise(32);

  test('with the secret enrols the machine, which then gets what the policy permits', async () => {
    const requestId = await waiting('gpu-1', secret);
    const attester = await confirmEnrolment(alice, requestId, secret, vault.vault);
    expect(attester).toMatchObject({ name: 'gpu-1', akName: akOf('gpu-1'), attributes: { fleet: 'production' } });
    expect(vault.lastRecord()).toMatchObject({ type: 'attester.enrolled', outcome: 'success', document: { kind: 'attester' } });
    const machine: Machine = {
      name: 'gpu-1',
      namespace: PROD,
      spki: sha256(Buffer.from('tls')),
      akName: attester.akName,
      subjectId: attester.subjectId,
      pcrs: GOOD_PCRS,
    };
    expect((await vault.ask({ machine, version: await vault.publish('falcon', 'restricted') })).refused).toBe(false);
  });

  test.each([
    ['another secret', noise(32)],
    ['nothing', new Uint8Array(0)],
    ['the secret and one byte more', Uint8Array.from([...secret, 0])],
    ['the digest of the secret, which the database holds', sha256(secret)],
  ])('with %s is refused and recorded, and the right one comes too late then', async (_what, answer) => {
    const requestId = await waiting('gpu-1', secret);
    expect(await confirm(requestId, answer)).toBe('activation_failed');
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', outcome: 'deny', reason: 'activation_failed' });
    expect(await confirm(requestId, secret)).toBe('approval_settled');
    expect(enrolled()).toBe(0);
  });

  test('twice, also at once on two nodes, enrols once', async () => {
    const other = await vault.addNode();
    const requestId = await waiting('gpu-1', secret);
    const answers = await Promise.all([vault.node, other, vault.node, other].map((node) => confirm(requestId, secret, alice, node)));
    expect(answers.sort()).toEqual(['approval_settled', 'approval_settled', 'approval_settled', 'nothing thrown']);
    expect(vault.records('attester.enrolled')).toHaveLength(1);
  });

  test('after ten minutes comes too late', async () => {
    const requestId = await waiting('gpu-1', secret);
    vault.clock.advance(600);
    expect(await confirm(requestId, secret)).toBe('approval_settled');
    expect(enrolled()).toBe(0);
  });

  test('a name or a key that was taken meanwhile: subject_exists, and nothing of it stays', async () => {
    const [name, key] = [await waiting('gpu-1', secret), await waiting('gpu-2', secret, akOf('gpu-1'))];
    await vault.machine('gpu-1');
    const documents = () => vault.row("SELECT count(*) AS n FROM documents WHERE kind = 'attester'")['n'];
    const before = documents();
    expect(await confirm(name, secret)).toBe('subject_exists');
    expect(await confirm(key, secret)).toBe('subject_exists');
    expect(enrolled()).toBe(1);
    expect(documents()).toBe(before);
  });

  test('a TPM that is blocked is not enrolled anew under another key and name: that would take one person, lifting takes two', async () => {
    await confirmEnrolment(alice, await waiting('gpu-1', secret), secret, vault.vault);
    const { stopId, scope, target } = await blockSubject(alice, PROD, 'gpu-1', vault.vault);
    expect(await confirm(await waiting('gpu-2', secret), secret)).toBe('subject_blocked');
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'subject_blocked' });
    expect(enrolled()).toBe(1);
    await vault.twoPeople({ kind: 'lift', namespace: PROD, stopId, scope, ...(target !== undefined && { target }) });
    expect(await confirm(await waiting('gpu-2', secret), secret)).toBe('nothing thrown');
  });

  test('by someone without the role is denied, and does not spend it', async () => {
    const requestId = await waiting('gpu-1', secret);
    expect(await confirm(requestId, noise(32), await vault.as('carol'))).toBe('action_denied');
    expect(await confirm(requestId, secret)).toBe('nothing thrown');
  });

  test('what a database writer put in its place (their own attestation key, behind the honest secret) is refused', async () => {
    const requestId = await waiting('gpu-1', secret);
    const { operation } = vault.row('SELECT CAST(operation AS TEXT) AS operation FROM approvals WHERE request_id = ?', requestId);
    const forged = Buffer.from(String(operation).replace(akOf('gpu-1'), `000b${'66'.repeat(32)}`));
    vault.sql(
      'UPDATE approvals SET operation = ?, operation_digest = ? WHERE request_id = ?',
      forged,
      sha256Hex(forged) as Digest,
      requestId,
    );
    expect(await confirm(requestId, secret)).toBe('approval_changed');
    expect(enrolled()).toBe(0);
  });

  test('is not how a promotion happens', async () => {
    const { requestId } = await vault.upload('falcon', 'restricted');
    expect(await confirm(requestId, secret)).toBe('request_unknown');
  });
});
