/** A renewed release: new evidence, the same version, key and requester; anything less leaves it as it was. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { issueChallenge } from '../../src/vault/challenge.ts';
import type { Granted } from '../../src/vault/release.ts';
import { renew } from '../../src/vault/renew.ts';
import { codeFrom, type Machine, type Node, type Published, TestVault } from './test-vault.ts';

let vault: TestVault;
let machine: Machine;
let version: Published;
let granted: Granted;
beforeEach(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('node-1');
  version = await vault.publish('m', 'restricted');
  granted = await vault.granted({ machine, version });
});
afterEach(() => vault.remove());

interface Renewing {
  readonly by?: Machine;
  readonly spki?: Uint8Array;
  readonly evidence?: readonly { kind: string; body: Record<string, unknown> }[];
  readonly node?: Node;
}
async function renewed({ by = machine, spki = by.spki, evidence, node = vault.node }: Renewing = {}) {
  const challenge = await issueChallenge(spki, node.vault);
  const honest = await vault.evidenceFor({ ...by, spki }, challenge);
  const { namespace, releaseId } = granted.permit;
  const who = { requestId: 'renew', remoteAddress: '198.51.100.7', spki };
  return renew({ ...who, namespace, releaseId, challengeId: challenge.challengeId, evidence: evidence ?? [honest] } as never, node.vault);
}
const expiry = () => Number(vault.row('SELECT expires_at FROM releases WHERE release_id = ?', granted.permit.releaseId)['expires_at']);
const read = (node = vault.node) => vault.fetch(machine, granted, 'weights.bin', node);

describe('renewing', () => {
  test('moves the expiry by the life of the class, keeps the release and its begin, and is recorded', async () => {
    vault.clock.advance(3_000);
    const answer = await renewed();
    if (answer.refused) throw new Error(answer.code);
    expect(answer.permit).toMatchObject({ releaseId: granted.permit.releaseId, recordId: granted.permit.recordId });
    expect(answer.permit.expiresAt.getTime()).toBe(vault.clock.now().getTime() + 3_600_000);
    vault.clock.advance(3_000); // past the first expiry
    expect((await read()).length).toBe(1000);
    expect((await read(await vault.addNode())).length).toBe(1000); // another node believes the new document
    const [record] = vault.records('release.renewed');
    expect(record).toMatchObject({ outcome: 'permit', release: { releaseId: granted.permit.releaseId, begin: granted.permit.recordId } });
    vault.clock.advance(3_601);
    expect(await vault.open(machine, granted)).toMatchObject({ code: 'release_expired' });
  });

  test('may be done again and again', async () => {
    for (let times = 0; times < 3; times++) {
      vault.clock.advance(3_500);
      expect(await renewed()).toMatchObject({ refused: false });
    }
    expect((await read()).length).toBe(1000);
  });
});

describe('is refused, recorded, and the release stays as it was', () => {
  test.each<[string, string, () => Promise<Renewing>]>([
    ['without evidence', 'evidence_missing', async () => ({ evidence: [] })],
    ['with another TLS key', 'release_key_mismatch', async () => ({ spki: new Uint8Array(32).fill(7) })],
    ['in another state', 'measurement_mismatch', async () => ({ by: { ...machine, pcrs: { sha256: { '7': 'ff'.repeat(32) } } } })],
    [
      'by another enrolled machine',
      'release_key_mismatch',
      async () => ({ by: { ...(await vault.machine('node-2')), spki: machine.spki } }),
    ],
  ])('%s: %s', async (_name, code, how) => {
    const before = expiry();
    vault.clock.advance(10);
    expect(await renewed(await how())).toMatchObject({ refused: true, code });
    expect(vault.records('release.denied').at(-1)).toMatchObject({ reason: code });
    expect(expiry()).toBe(before);
    expect((await read()).length).toBe(1000);
  });

  test('when a policy no longer permits it', async () => {
    await vault.twoPeople({ kind: 'policy-set', namespace: machine.namespace, counter: 2, policies: {} });
    expect(await renewed()).toMatchObject({ code: 'policy_missing' });
  });

  test('once it has expired or ended', async () => {
    vault.clock.advance(3_600);
    expect(await renewed()).toMatchObject({ code: 'release_expired' });
    vault.sql("UPDATE releases SET outcome = 'completed', expires_at = expires_at + 100000000");
    expect(await renewed()).toMatchObject({ code: 'release_ended' });
    vault.sql("UPDATE releases SET outcome = 'cut'");
    expect(await renewed()).toMatchObject({ code: 'release_cut' });
  });

  test('when its row was edited by hand', async () => {
    vault.sql('UPDATE releases SET expires_at = expires_at + 100000000');
    expect(await renewed()).toMatchObject({ code: 'document_invalid' });
  });

  test('when it ends while it is being renewed', async () => {
    const { sign } = vault.vault.catalogueKey;
    Object.assign(vault.vault.catalogueKey, {
      sign: async (message: Uint8Array) => {
        vault.sql("UPDATE releases SET outcome = 'completed'");
        return sign(message);
      },
    });
    expect(await codeFrom(renewed())).toBe('release_ended');
    expect(vault.records('release.renewed')).toEqual([]);
  });
});
