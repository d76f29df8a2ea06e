/**
 * Promises P7 and P9 against someone who can write every row of the database, and nothing else: what matters is a signed document, rows only
 * point at it. At the end, as `todo`, what such a writer can still do today.
 */
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { sha256Hex } from '../../src/domain/bytes.ts';
import { type Digest, newId, type ObjectPath, type StopId } from '../../src/domain/ids.ts';
import { spkiDigestOf } from '../../src/identity/certificates.ts';
import { sessionTokenDigest } from '../../src/identity/session-token.ts';
import { approve, requestApproval } from '../../src/vault/approve.ts';
import { authenticate } from '../../src/vault/authorize.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { issueChallenge } from '../../src/vault/challenge.ts';
import { confirmEnrolment } from '../../src/vault/enrol.ts';
import { finishRelease } from '../../src/vault/finish.ts';
import { login } from '../../src/vault/login.ts';
import { finishVersion, putObject, startVersion } from '../../src/vault/publish.ts';
import type { Granted } from '../../src/vault/release.ts';
import { requestLift, suspend } from '../../src/vault/stop.ts';
import {
  chunksOf,
  codeFrom,
  GOOD_VALUE,
  type Machine,
  PROD,
  type Published,
  RESEARCH,
  starterPolicies,
  TestVault,
  workstationOf,
} from './test-vault.ts';

let vault: TestVault;
let machine: Machine;
let version: Published;

beforeEach(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('gpu-1');
  version = await vault.publish('falcon', 'restricted');
});
afterEach(() => vault.remove());

/** The code of refusing or failing; `granted` when the attack worked. */
async function ask(over: Partial<Parameters<TestVault['ask']>[0]> = {}): Promise<string> {
  const begins = vault.records('release.begin').length;
  const code = await codeOf(vault.ask({ machine, version, ...over }));
  if (code !== 'granted') expect(vault.records('release.begin').length).toBe(begins);
  return code;
}

async function codeOf(answer: Promise<{ readonly refused: boolean; readonly code?: string }>): Promise<string> {
  const settled = await codeFrom(answer);
  if (settled !== 'nothing thrown') return settled;
  const value = await answer;
  return value.refused ? String(value.code) : 'granted';
}

describe('a release row', () => {
  let granted: Granted;
  beforeEach(async () => {
    granted = await vault.granted({ machine, version });
  });
  const open = (who = machine) => codeOf(vault.open(who, granted));
  const edit = (set: string, ...params: unknown[]) =>
    expect(vault.sql(`UPDATE releases SET ${set} WHERE release_id = ?`, ...params, granted.permit.releaseId)).toBe(1);

  test('that is left alone is served', async () => {
    expect(await open()).toBe('granted');
  });

  test('of another TLS key: the thief is refused, and so is the owner', async () => {
    const thief = { ...machine, spki: Uint8Array.of(6, 6, 6) };
    edit('spki_digest = ?', spkiDigestOf(thief.spki));
    expect(await open(thief)).toBe('document_invalid');
    expect(await open()).toBe('release_key_mismatch');
  });

  test('of another version', async () => {
    const other = await vault.publish('heron', 'restricted');
    edit('version_id = ?, model_id = ?, version_digest = ?', other.versionId, other.modelId, other.versionDigest);
    expect(await open()).toBe('document_invalid');
  });

  test('of another requester, so that a block would not find it', async () => {
    const other = await vault.machine('gpu-2');
    await blockSubject(await vault.as('bob'), PROD, 'gpu-1', vault.vault);
    edit('subject_id = ?', other.subjectId);
    expect(await open()).not.toBe('granted');
  });

  test('that expires later than was signed', async () => {
    edit('expires_at = expires_at + 3600000');
    expect(await open()).toBe('document_invalid');
    vault.clock.advance(3601);
    expect(await open()).toBe('document_invalid');
  });

  test('of another record, so that the log names another begin', async () => {
    edit('record_id = ?', (await vault.granted({ machine, version })).permit.recordId);
    expect(await open()).toBe('document_invalid');
  });

  test('made up, pointing at no document, at another release and at a document of another kind', async () => {
    const other = await vault.granted({ machine, version });
    const policy = String(vault.row("SELECT digest FROM document_slots WHERE slot = 'policy-set' AND namespace = 'prod'")['digest']);
    for (const digest of [
      '0'.repeat(64),
      String(vault.row('SELECT document_digest AS d FROM releases WHERE release_id = ?', other.permit.releaseId)['d']),
      policy,
    ]) {
      const made = freshId();
      vault.sql(
        `INSERT INTO releases SELECT ?, namespace, subject_id, model_id, version_id, version_digest, spki_digest, record_id, ?, created_at, expires_at, outcome
         FROM releases WHERE release_id = ?`,
        made,
        digest,
        granted.permit.releaseId,
      );
      const permit = { ...granted.permit, releaseId: made as typeof granted.permit.releaseId };
      expect(await codeOf(vault.open(machine, { permit }))).toBe('document_invalid');
    }
  });

  test('moved to another namespace is not found', async () => {
    edit("namespace = 'research'");
    expect(await open()).toBe('release_unknown');
    const permit = { ...granted.permit, namespace: RESEARCH };
    expect(await codeOf(vault.open(machine, { permit }))).toBe('document_invalid');
  });

  test('is believed by a process that never saw it because of its signed document, and not otherwise', async () => {
    const changed = await vault.granted({ machine, version });
    vault.sql('UPDATE releases SET expires_at = expires_at + 1 WHERE release_id = ?', changed.permit.releaseId);
    await inFreshProcess(async (fresh) => {
      expect(await codeOf(fresh.open(machine, granted))).toBe('granted');
      expect(await fresh.fetch(machine, granted)).toHaveLength(1000);
      expect(await codeFrom(fresh.open(machine, changed))).toBe('document_invalid');
    });
  });
});

describe('a version row', () => {
  test('set to promoted without a promotion', async () => {
    const waiting = await vault.upload('waiting', 'restricted');
    vault.sql("UPDATE versions SET state = 'promoted' WHERE version_id = ?", waiting.versionId);
    expect(await ask({ version: waiting })).toBe('version_quarantined');
  });

  test("given another version's promotion", async () => {
    const waiting = await vault.upload('waiting', 'restricted');
    const promotion = String(vault.row('SELECT promotion_digest AS p FROM versions WHERE version_id = ?', version.versionId)['p']);
    vault.sql("UPDATE versions SET state = 'promoted', promotion_digest = ? WHERE version_id = ?", promotion, waiting.versionId);
    expect(await ask({ version: waiting })).toBe('manifest_mismatch');
  });

  test('given a manifest, a policy set or nothing at all for a promotion', async () => {
    const waiting = await vault.upload('waiting', 'restricted');
    for (const digest of [waiting.versionDigest, slotDigest('policy-set'), 'f'.repeat(64)]) {
      vault.sql("UPDATE versions SET state = 'promoted', promotion_digest = ? WHERE version_id = ?", digest, waiting.versionId);
      expect(await ask({ version: waiting })).toBe('document_invalid');
    }
  });

  test('given the manifest of another version, with its promotion', async () => {
    const other = await vault.publish('falcon', 'restricted', { 'weights.bin': Uint8Array.of(1) });
    vault.sql(
      `UPDATE versions SET (version_digest, promotion_digest) = (SELECT version_digest, promotion_digest FROM versions WHERE version_id = ?)
       WHERE version_id = ?`,
      version.versionId,
      other.versionId,
    );
    expect(await ask({ version: other })).toBe('manifest_mismatch');
  });

  test('given the wrapped key of another version', async () => {
    const other = await vault.publish('heron', 'restricted');
    vault.sql(
      'UPDATE versions SET wrapped_dek = (SELECT wrapped_dek FROM versions WHERE version_id = ?) WHERE version_id = ?',
      other.versionId,
      version.versionId,
    );
    const node = await vault.addNode();
    expect(await codeOf(vault.ask({ machine, version, node }))).toBe('key_context_mismatch');
    expect(vault.lastRecord()).toMatchObject({ type: 'release.end', release: { outcome: 'aborted', bytes: 0 } });
  });

  test('given the wrapped key of another version after the release began: no byte leaves', async () => {
    const granted = await vault.granted({ machine, version });
    const other = await vault.publish('heron', 'restricted');
    vault.sql(
      'UPDATE versions SET wrapped_dek = (SELECT wrapped_dek FROM versions WHERE version_id = ?) WHERE version_id = ?',
      other.versionId,
      version.versionId,
    );
    expect(await codeFrom(vault.fetch(machine, granted))).toBe('key_context_mismatch');
  });

  test('given an altered, a cut and an empty wrapped key', async () => {
    const wrapped = vault.row('SELECT wrapped_dek AS w FROM versions WHERE version_id = ?', version.versionId)['w'] as Buffer;
    const altered = Buffer.from(wrapped);
    altered[altered.length - 40] = (altered[altered.length - 40] ?? 0) ^ 1;
    for (const bytes of [altered, wrapped.subarray(0, -1), Buffer.alloc(0)]) {
      vault.sql('UPDATE versions SET wrapped_dek = ? WHERE version_id = ?', bytes, version.versionId);
      const node = await vault.addNode();
      expect(['key_unwrap_refused', 'key_context_mismatch']).toContain(await codeOf(vault.ask({ machine, version, node })));
    }
  });

  test('moved to another model', async () => {
    const other = await vault.publish('heron', 'public');
    vault.sql('UPDATE versions SET model_id = ? WHERE version_id = ?', other.modelId, version.versionId);
    expect(await ask()).toBe('version_unknown');
    expect(await ask({ version: { ...version, model: 'heron' } })).toBe('manifest_mismatch');
  });

  test('reopened, so that its publisher alone fills it anew under the promotion it has', async () => {
    vault.sql("UPDATE versions SET state = 'uploading', version_digest = NULL WHERE version_id = ?", version.versionId);
    const alice = await vault.as('alice');
    const { versionId } = version;
    const other = await putObject(alice, { namespace: PROD, versionId, path: 'a' as ObjectPath }, chunksOf(Uint8Array.of(1)), vault.vault);
    await finishVersion(alice, { namespace: PROD, versionId }, { class: 'restricted', objects: [other], attributes: {} }, vault.vault);
    vault.sql("UPDATE versions SET state = 'promoted' WHERE version_id = ?", versionId);
    expect(await ask()).toBe('manifest_mismatch'); // two people consented to another digest
  });

  test('swapped under a release that began: the promised digest is not the one of the row', async () => {
    const granted = await vault.granted({ machine, version });
    const other = await vault.publish('falcon', 'restricted', { 'weights.bin': Uint8Array.of(1) });
    vault.sql('UPDATE versions SET version_digest = ? WHERE version_id = ?', other.versionDigest, version.versionId);
    expect(await codeFrom(vault.open(machine, granted))).toBe('manifest_mismatch');
  });
});

test('a class lowered in the row of the model changes nothing for a published version', async () => {
  const waiting = await vault.upload('waiting', 'restricted');
  vault.sql("UPDATE models SET class = 'public'");
  const staging = await vault.machine('gpu-staging', { attributes: { fleet: 'staging' } });
  expect(await ask({ machine: staging })).toBe('policy_denied');
  expect(await ask({ version: waiting })).toBe('version_quarantined');
  const again = await requestApproval(
    await vault.as('alice'),
    {
      kind: 'promote',
      namespace: PROD,
      modelId: waiting.modelId,
      versionId: waiting.versionId,
      versionDigest: waiting.versionDigest,
      class: 'restricted',
    },
    vault.vault,
  );
  expect(again.state).toBe('pending'); // still two people: the class is the signed manifest's
});

describe('a slot', () => {
  const point = (slot: string, digest: string, counter: number, namespace = 'prod') =>
    vault.sql('UPDATE document_slots SET digest = ?, counter = ? WHERE slot = ? AND namespace = ?', digest, counter, slot, namespace);

  test('pointed at a document of another kind', async () => {
    point('policy-set', slotDigest('reference-values'), 1);
    expect(await ask()).toBe('document_invalid');
  });

  test("pointed at another namespace's document", async () => {
    await vault.twoPeople({ kind: 'reference-values', namespace: RESEARCH, counter: 1, values: [{ ...GOOD_VALUE, id: 'lax' }] });
    point('reference-values', slotDigest('reference-values', RESEARCH), 1);
    expect(await ask()).toBe('document_invalid');
    point('policy-set', slotDigest('policy-set', 'system'), 1);
    expect(await ask()).toBe('document_invalid');
  });

  test('with another counter than its document', async () => {
    point('policy-set', slotDigest('policy-set'), 7);
    expect(await ask()).toBe('document_invalid');
  });

  test('of the vault itself, pointed at a generous set of a namespace', async () => {
    point('policy-set', slotDigest('policy-set'), 1, 'system');
    expect(await codeFrom(blockSubject(await vault.as('bob'), PROD, 'gpu-1', vault.vault))).toBe('document_invalid');
  });

  test('removed: nothing is permitted', async () => {
    vault.sql("DELETE FROM document_slots WHERE slot = 'policy-set' AND namespace = 'prod'");
    expect(await ask()).toBe('policy_missing');
    vault.sql("DELETE FROM document_slots WHERE slot = 'trust-anchors' AND namespace = 'prod'");
    expect(await ask()).toBe('document_invalid'); // this process has seen them
    expect(await ask({ node: await vault.addNode() })).toBe('endorsement_untrusted');
  });

  test('counters cannot be skipped or repeated by asking', async () => {
    const policies = starterPolicies('public');
    for (const counter of [1, 3]) {
      const asked = requestApproval(await vault.as('alice'), { kind: 'policy-set', namespace: PROD, counter, policies }, vault.vault);
      expect(await codeFrom(asked)).toBe('document_stale');
    }
  });
});

describe('the row of a requester', () => {
  test("pointing at another requester's document", async () => {
    const other = await vault.machine('gpu-2', { attributes: { fleet: 'staging' } });
    vault.sql(
      'UPDATE subjects SET document_digest = (SELECT document_digest FROM subjects WHERE subject_id = ?) WHERE subject_id = ?',
      machine.subjectId,
      other.subjectId,
    );
    expect(await ask({ machine: other })).toBe('document_invalid');
  });

  test('with the attestation key of an attacker', async () => {
    const attacker = { ...machine, akName: `000b${'66'.repeat(32)}` };
    vault.sql('UPDATE subjects SET attester_key = ? WHERE subject_id = ?', `tpm2:${attacker.akName}`, machine.subjectId);
    expect(await ask({ machine: attacker })).toBe('document_invalid');
    expect(await ask()).toBe('attester_key_unknown');
  });

  test.each(['subject_id', 'name'])('with another %s', async (column) => {
    vault.sql(`UPDATE subjects SET ${column} = ? WHERE subject_id = ?`, column === 'name' ? 'gpu-0' : freshId(), machine.subjectId);
    expect(await ask()).toBe('document_invalid');
  });

  test('moved to another namespace', async () => {
    vault.sql("UPDATE subjects SET namespace = 'research' WHERE subject_id = ?", machine.subjectId);
    expect(await ask()).toBe('attester_key_unknown');
    expect(await ask({ namespace: RESEARCH })).toBe('document_invalid');
  });
});

describe('the row of an administrator', () => {
  const logIn = async (administrator: string, workstation: string) =>
    codeFrom(
      login(
        {
          administrator,
          code: await vault.code(workstation),
          workstation: workstationOf(workstation),
          requestId: 'r',
          remoteAddress: '192.0.2.1',
        },
        vault.vault,
      ),
    );

  const pointCarolAtBob = async () => {
    const [carol, bob] = await Promise.all(['carol', 'bob'].map(async (name) => `administrator:${(await vault.as(name)).administratorId}`));
    vault.sql('UPDATE document_slots SET digest = (SELECT digest FROM document_slots WHERE slot = ?) WHERE slot = ?', bob, carol);
    vault.clock.advance(60);
  };

  test("renamed to somebody else's opens no session for either", async () => {
    vault.sql("UPDATE administrators SET name = 'nobody' WHERE name = 'carol'");
    vault.sql("UPDATE administrators SET name = 'carol' WHERE name = 'bob'");
    vault.clock.advance(60);
    expect(await logIn('carol', 'bob')).toBe('login_refused');
    expect(await logIn('carol', 'carol')).toBe('login_refused');
    expect(await logIn('bob', 'bob')).toBe('login_refused');
  });

  test("whose slot points at somebody else's document opens no session for either", async () => {
    await pointCarolAtBob();
    expect(await logIn('carol', 'bob')).toBe('document_invalid');
    expect(await logIn('carol', 'carol')).toBe('login_refused'); // her workstation is nobody's: her document is not to be found
  });

  test('does not end in a session with more roles, when a session lives', async () => {
    const token = await vault.login('carol');
    await pointCarolAtBob();
    expect(
      await codeFrom(authenticate({ token, workstation: workstationOf('carol'), requestId: 'r', remoteAddress: '' }, vault.vault)),
    ).toBe('document_invalid');
  });

  test('made up opens nothing', async () => {
    vault.sql("INSERT INTO administrators VALUES (?, 'mallory')", freshId());
    vault.clock.advance(60);
    expect(await logIn('mallory', 'bob')).toBe('login_refused');
  });
});

describe('a session row', () => {
  const forge = (person: string, workstation: string, authenticator?: string) => {
    const token = 'forged-token';
    const { administrator_id } = vault.row('SELECT * FROM administrators WHERE name = ?', person);
    const { digest } = vault.row('SELECT digest FROM document_slots WHERE slot = ?', `administrator:${administrator_id}`);
    const body = JSON.parse(String(vault.row('SELECT CAST(bytes AS TEXT) AS b FROM documents WHERE digest = ?', digest)['b']));
    const now = vault.clock.now().getTime();
    vault.sql('DELETE FROM sessions');
    vault.sql(
      'INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, NULL)',
      sessionTokenDigest(token),
      administrator_id,
      authenticator ?? body.authenticator.id,
      workstationOf(workstation),
      now,
      now,
      now,
    );
    return (from: string) =>
      codeFrom(authenticate({ token, workstation: workstationOf(from), requestId: 'r', remoteAddress: '192.0.2.1' }, vault.vault));
  };

  test("for bob on the writer's own machine is refused, whatever the row says of the machine", async () => {
    expect(await forge('bob', 'mallory')('mallory')).toBe('workstation_unknown');
    expect(await forge('bob', 'bob')('mallory')).toBe('workstation_unknown');
    expect(await forge('bob', 'alice')('alice')).toBe('workstation_unknown'); // an administrator cannot become another one
  });

  test('with an authenticator that is not the one of the person is refused', async () => {
    expect(await forge('bob', 'bob', freshId())('bob')).toBe('workstation_unknown');
  });

  test("KNOWN: with everything right, on bob's own workstation, it stands in for the code", async () => {
    // A writer who also holds the workstation's TLS key does not need the second factor. docs/threat-model.md should say so.
    expect(await forge('bob', 'bob')('bob')).toBe('nothing thrown');
  });
});

describe('a document', () => {
  const kinds = [
    'policy-set',
    'reference-values',
    'trust-anchors',
    'attester',
    'manifest',
    'promotion',
    'release',
    'administrator',
  ] as const;

  test('cannot be changed or removed by accident', () => {
    expect(() => vault.sql("UPDATE documents SET bytes = x'00'")).toThrow('documents never change');
    expect(() => vault.sql('DELETE FROM documents')).toThrow('kept for ever');
  });

  test.each(kinds)('of kind %s, altered, is refused by a node that has not read it yet', async (kind) => {
    const granted = await vault.granted({ machine, version });
    vault.dropTriggers();
    expect(
      vault.sql("UPDATE documents SET bytes = CAST(replace(CAST(bytes AS TEXT), '2026-', '2027-') AS BLOB) WHERE kind = ?", kind),
    ).toBeGreaterThan(0);
    await expectRefusedAnew(kind, granted);
  });

  test.each(kinds)('of kind %s, with a signature by another key, is refused', async (kind) => {
    const granted = await vault.granted({ machine, version });
    vault.dropTriggers();
    const rows = vault.database.prepare('SELECT digest, signature FROM documents WHERE kind = ?').all(kind) as Array<{
      digest: string;
      signature: Buffer;
    }>;
    for (const { digest, signature } of rows) {
      signature[0] = (signature[0] ?? 0) ^ 1;
      vault.sql('UPDATE documents SET signature = ? WHERE digest = ?', signature, digest);
    }
    await expectRefusedAnew(kind, granted);
  });

  test('read before is served from memory: its digest fixes its content', async () => {
    expect(await ask()).toBe('granted');
    vault.dropTriggers();
    vault.sql("UPDATE documents SET bytes = x'00', signature = x'00' WHERE kind IN ('policy-set', 'manifest', 'promotion', 'attester')");
    expect(await ask()).toBe('granted'); // from what was signed, not from what is stored now
    await expectRefusedAnew('policy-set', await vault.granted({ machine, version }));
  });

  /** By a node that has cached nothing. What a process remembers of releases is its own, so that kind needs another process. */
  async function expectRefusedAnew(kind: string, granted: Granted): Promise<void> {
    if (kind === 'release') {
      await inFreshProcess(async (fresh) => expect(await codeFrom(fresh.open(machine, granted))).toBe('document_invalid'));
      return;
    }
    const node = await vault.addNode();
    const code =
      kind === 'administrator' ? await codeFrom(vault.login('alice', node)) : await codeOf(vault.ask({ machine, version, node }));
    // Such a person is nobody, and keeps nobody else from logging in.
    expect(code).toBe(kind === 'administrator' ? 'login_refused' : 'document_invalid');
  }
});

describe('a request that waits', () => {
  const columns = [
    'requested_by',
    'authenticator_id',
    'workstation',
    'namespace',
    'expires_at',
    'operation',
    'operation_digest',
    'request_id',
  ] as const;

  test.each(columns)('with another %s than was signed is not approved', async (column) => {
    const waiting = await vault.upload('waiting', 'restricted');
    const other = await vault.upload('other', 'restricted');
    const take =
      column === 'expires_at'
        ? 'expires_at + 1'
        : column === 'namespace'
          ? "'research'"
          : column === 'request_id' || column === 'operation' || column === 'operation_digest'
            ? undefined
            : `'${freshId()}'`;
    if (column === 'request_id')
      vault.sql(
        'UPDATE approvals SET document_digest = (SELECT document_digest FROM approvals WHERE request_id = ?) WHERE request_id = ?',
        other.requestId,
        waiting.requestId,
      );
    else if (take === undefined)
      vault.sql(
        `UPDATE approvals SET ${column} = (SELECT ${column} FROM approvals WHERE request_id = ?) WHERE request_id = ?`,
        other.requestId,
        waiting.requestId,
      );
    else vault.sql(`UPDATE approvals SET ${column} = ${take} WHERE request_id = ?`, waiting.requestId);
    expect(await codeFrom(approve(await vault.as('bob'), waiting.requestId, waiting.operationDigest, vault.vault))).toBe(
      'approval_changed',
    );
    expect(await ask({ version: waiting })).toBe('version_quarantined');
  });

  test("made alice's own by changing who asked is not approved by alice", async () => {
    const waiting = await vault.upload('waiting', 'restricted'); // by alice
    const bob = await vault.as('bob');
    vault.sql(
      'UPDATE approvals SET requested_by = ?, authenticator_id = ?, workstation = ?',
      bob.administratorId,
      bob.authenticatorId,
      bob.workstation,
    );
    expect(await codeFrom(approve(await vault.as('alice'), waiting.requestId, waiting.operationDigest, vault.vault))).toBe(
      'approval_changed',
    );
  });

  test("planted in bob's name is not approved by anyone", async () => {
    const waiting = await vault.upload('waiting', 'restricted');
    const bob = await vault.as('bob');
    for (const document of ['a'.repeat(64), version.versionDigest]) {
      const planted = freshId();
      vault.sql(
        `INSERT INTO approvals SELECT ?, namespace, kind, operation, operation_digest, ?, ?, ?, ?, created_at, expires_at, state FROM approvals WHERE request_id = ?`,
        planted,
        document,
        bob.administratorId,
        bob.authenticatorId,
        bob.workstation,
        waiting.requestId,
      );
      expect(
        await codeFrom(approve(await vault.as('alice'), planted as typeof waiting.requestId, waiting.operationDigest, vault.vault)),
      ).toBe('document_invalid');
    }
  });

  test('that was executed is not executed again when its row is set back', async () => {
    vault.sql("UPDATE approvals SET state = 'pending'");
    expect(await codeFrom(vault.approve('bob', version))).toBe('version_state_conflict');
    const { request_id, operation_digest } = vault.row("SELECT * FROM approvals WHERE kind = 'policy-set'") as Record<
      string,
      typeof version.requestId & Digest
    >;
    if (request_id === undefined || operation_digest === undefined) throw new Error('there is a policy set');
    const asked = { requestId: request_id, operationDigest: operation_digest };
    expect(await codeFrom(vault.approve('bob', asked))).toBe('document_stale');
  });

  test('is not approved by another digest than the approver was shown', async () => {
    const waiting = await vault.upload('waiting', 'restricted');
    expect(await codeFrom(approve(await vault.as('bob'), waiting.requestId, 'd'.repeat(64) as Digest, vault.vault))).toBe(
      'approval_changed',
    );
  });

  test('for a promotion is no enrolment to confirm', async () => {
    const waiting = await vault.upload('waiting', 'restricted');
    const confirm = async () => codeFrom(confirmEnrolment(await vault.as('alice'), waiting.requestId, new Uint8Array(32), vault.vault));
    expect(await confirm()).toBe('request_unknown');
    vault.sql("UPDATE approvals SET kind = 'enrol' WHERE request_id = ?", waiting.requestId);
    expect(await confirm()).toBe('approval_changed');
  });
});

test('a class lowered in the row while a version is uploaded does not get into its manifest', async () => {
  const alice = await vault.as('alice');
  const started = await startVersion(alice, PROD, 'falcon', vault.vault);
  const object = await putObject(
    alice,
    { namespace: PROD, versionId: started.versionId, path: 'a' as ObjectPath },
    chunksOf(Uint8Array.of(1)),
    vault.vault,
  );
  vault.sql("UPDATE models SET class = 'public'");
  const announced = { class: 'restricted' as const, objects: [object], attributes: {} };
  expect(await codeFrom(finishVersion(alice, { namespace: PROD, versionId: started.versionId }, announced, vault.vault))).toBe(
    'model_exists',
  );
});

describe('pointing back and exchanging names', () => {
  test('a slot pointed at an older document, with its older counter, is refused by a process that saw the newer one', async () => {
    const older = slotDigest('policy-set');
    await vault.twoPeople({ kind: 'policy-set', namespace: PROD, counter: 2, policies: starterPolicies('public') });
    expect(await ask()).toBe('policy_denied');
    vault.sql("UPDATE document_slots SET digest = ?, counter = 1 WHERE slot = 'policy-set' AND namespace = 'prod'", older);
    expect(await ask()).toBe('document_invalid');
  });

  test('a block by name never hits another machine whose row was given that name', async () => {
    const other = await vault.machine('gpu-2');
    vault.sql("UPDATE subjects SET name = 'x' WHERE name = 'gpu-1'");
    vault.sql("UPDATE subjects SET name = 'gpu-1' WHERE subject_id = ?", other.subjectId);
    expect(await codeFrom(blockSubject(await vault.as('bob'), PROD, 'gpu-1', vault.vault))).toBe('document_invalid');
  });

  test('what was altered is refused on record', async () => {
    vault.sql("UPDATE document_slots SET counter = 7 WHERE slot = 'policy-set' AND namespace = 'prod'");
    expect(await ask()).toBe('document_invalid');
    expect(vault.lastRecord()).toMatchObject({ type: 'release.denied', reason: 'document_invalid' });
  });
});

describe('a stop', () => {
  let granted: Granted;
  let stopId: StopId;
  beforeEach(async () => {
    granted = await vault.granted({ machine, version });
    vault.clock.advance(1);
    ({ stopId } = await blockSubject(await vault.as('bob'), PROD, 'gpu-1', vault.vault));
  });
  const requestToLift = async (id = stopId) => {
    await vault.stepUp('alice');
    return requestLift(await vault.as('alice'), { namespace: PROD, stop: id }, vault.vault);
  };
  const point = (digest: unknown, id = stopId) => vault.sql('UPDATE stops SET lift_digest = ? WHERE stop_id = ?', digest, id);

  test('cannot be removed or turned on something else by accident', () => {
    expect(() => vault.sql('DELETE FROM stops')).toThrow('stops are kept for ever');
    for (const change of ["target = 'x'", 'target = NULL', "scope = 'model'", "namespace = 'research'", "stop_id = 'x'", 'created_at = 0'])
      expect(() => vault.sql(`UPDATE stops SET ${change}`)).toThrow('only the lift can be added');
  });

  test('whose row vanished is in force in every process that saw it, can be pressed again, and two people can still lift it', async () => {
    vault.dropTriggers();
    vault.sql('DELETE FROM stops');
    expect(await ask()).toBe('subject_blocked');
    expect(await codeOf(vault.open(machine, granted))).toBe('release_cut');
    const again = await blockSubject(await vault.as('bob'), PROD, 'gpu-1', vault.vault);
    expect(again.stopId).toBe(stopId);
    expect(await ask({ node: await vault.addNode() })).toBe('subject_blocked'); // its row is back
    vault.sql('DELETE FROM stops');
    await vault.approve('bob', await requestToLift());
    expect(await ask()).toBe('granted');
    expect(await ask({ node: await vault.addNode() })).toBe('granted');
  });

  test('whose row was turned on another requester still stops the first one where it was seen', async () => {
    const other = await vault.machine('gpu-2');
    vault.dropTriggers();
    vault.sql('UPDATE stops SET target = ?', other.subjectId);
    expect(await ask()).toBe('subject_blocked');
  });

  test('is not lifted by writing a digest: of nothing, of another document, of the lift of another stop', async () => {
    const other = await suspend(await vault.as('bob'), { namespace: PROD, model: 'falcon' }, vault.vault);
    await vault.approve('bob', await requestToLift(other.stopId));
    const documents = vault.database.prepare('SELECT digest FROM documents').all() as Array<{ digest: string }>;
    expect(documents.length).toBeGreaterThan(10);
    for (const digest of ['', 'x', 'f'.repeat(64), ...documents.map((one) => one.digest)]) {
      point(digest);
      expect(await ask()).toBe('subject_blocked');
    }
    expect(await ask({ node: await vault.addNode() })).toBe('subject_blocked');
    const refused = await codeOf(vault.open(machine, granted));
    expect(['subject_blocked', 'release_cut']).toContain(refused);
    await vault.approve('bob', await requestToLift()); // what was written there is in nobody's way
    expect(await ask()).toBe('granted');
  });

  test('that a writer plants stops what it says, everything where that cannot be told, and two people lift it', async () => {
    await vault.approve('bob', await requestToLift());
    const plant = (scope: string) => {
      const id = newId<StopId>(vault.clock.now());
      vault.sql('INSERT INTO stops VALUES (?, ?, ?, ?, NULL, ?, NULL)', id, scope, PROD, version.versionId, vault.clock.now().getTime());
      return id;
    };
    for (const [scope, code] of [
      ['version', 'version_suspended'],
      ['galaxy', 'lockdown'],
    ] as const) {
      const planted = plant(scope);
      expect(await ask()).toBe(code);
      await vault.approve('bob', await requestToLift(planted));
      expect(await ask()).toBe('granted');
    }
  });

  test('that was lifted does not come back when its row forgets the lift, where the lift was seen', async () => {
    await vault.approve('bob', await requestToLift());
    expect(await ask()).toBe('granted');
    point(null);
    expect(await ask()).toBe('granted');
  });

  test('is not lifted by a request whose row was made to name another stop', async () => {
    const other = await suspend(await vault.as('bob'), { namespace: PROD, model: 'falcon' }, vault.vault);
    const harmless = await requestToLift(other.stopId);
    const { operation } = vault.row('SELECT CAST(operation AS TEXT) AS operation FROM approvals WHERE request_id = ?', harmless.requestId);
    const altered = String(operation).replace(other.stopId, stopId);
    vault.sql(
      'UPDATE approvals SET operation = ?, operation_digest = ? WHERE request_id = ?',
      Buffer.from(altered),
      sha256Hex(Buffer.from(altered)),
      harmless.requestId,
    );
    expect(await codeFrom(vault.approve('bob', harmless))).toBe('approval_changed');
    expect(await ask()).toBe('subject_blocked');
  });

  test('ends a release for good: clearing its outcome revives it neither while it is stopped nor when that is lifted', async () => {
    vault.sql('UPDATE releases SET outcome = NULL');
    expect(await codeOf(vault.open(machine, granted))).toBe('subject_blocked');
    await vault.approve('bob', await requestToLift());
    vault.sql('UPDATE releases SET outcome = NULL');
    expect(await codeOf(vault.open(machine, granted))).toBe('release_cut');
    expect(await codeOf(vault.open(machine, granted, 'weights.bin', await vault.addNode()))).toBe('release_cut');
  });
});

/**
 * What a database writer can still do. Each test holds what happens today, so that the day it is closed the test says so.
 * None of these shows plaintext to somebody without a TLS key that attested; each weakens what people decided.
 */
describe('KNOWN, open to a database writer today', () => {
  test('clearing the outcome of a release that ended by itself revives it until its signed expiry', async () => {
    const granted = await vault.granted({ machine, version });
    const { namespace, releaseId } = granted.permit;
    await finishRelease({ requestId: 'r', namespace, releaseId, spki: machine.spki, remoteAddress: '' }, vault.vault);
    vault.sql('UPDATE releases SET outcome = NULL');
    expect(await codeOf(vault.open(machine, granted))).toBe('granted');
    vault.clock.advance(3600);
    expect(await codeOf(vault.open(machine, granted))).toBe('release_expired');
  });

  test('a spent challenge made unspent, and an expired one made younger, let old evidence through once more', async () => {
    const challenge = await issueChallenge(machine.spki, vault.vault);
    const evidence = [await vault.evidenceFor(machine, challenge)];
    const { challengeId } = challenge;
    expect(await ask({ challengeId, evidence })).toBe('granted');
    vault.clock.advance(3600);
    expect(await ask({ challengeId, evidence })).toBe('challenge_spent');
    vault.sql('UPDATE challenges SET spent_at = NULL, expires_at = expires_at + 3600000');
    expect(await ask({ challengeId, evidence })).toBe('granted');
  });

  test('the bytes of a release can be altered before its end is recorded', async () => {
    const granted = await vault.granted({ machine, version });
    await vault.fetch(machine, granted);
    await vault.vault.meter.flush();
    vault.sql('UPDATE release_progress SET bytes = 0');
    const { namespace, releaseId } = granted.permit;
    await finishRelease({ requestId: 'r', namespace, releaseId, spki: machine.spki, remoteAddress: '' }, vault.vault);
    expect(vault.lastRecord()).toMatchObject({ type: 'release.end', release: { bytes: 0, outcome: 'aborted' } });
  });
});

function slotDigest(slot: string, namespace = 'prod'): string {
  return String(vault.row('SELECT digest FROM document_slots WHERE slot = ? AND namespace = ?', slot, namespace)['digest']);
}

function freshId(): string {
  return `019bc0de-0000-7000-8000-${Math.random().toString(16).slice(2, 14).padEnd(12, '0')}`;
}

/** The same database, HSM and people, in modules that remember nothing: as a process that has just started. */
async function inFreshProcess(work: (fresh: TestVault) => Promise<void>): Promise<void> {
  jest.resetModules();
  const { TestVault: Fresh } = await import('./test-vault.ts');
  expect(Fresh).not.toBe(TestVault);
  const fresh = new Fresh(vault.site);
  try {
    await fresh.addNode();
    await work(fresh);
  } finally {
    await fresh.leave();
  }
}
