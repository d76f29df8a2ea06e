/** Promise P1: nothing leaves, and no key is opened, before the Permit is durable; and a Permit cannot be written by hand. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Room } from '../../src/audit/room.ts';
import type { AccessRequest, Permit, RecordedPermit } from '../../src/domain/access.ts';
import { claimStage } from '../../src/domain/earned.ts';
import { VaultError } from '../../src/domain/errors.ts';
import { newId, type ReleaseId } from '../../src/domain/ids.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { issueChallenge } from '../../src/vault/challenge.ts';
import { finishRelease } from '../../src/vault/finish.ts';
import { login } from '../../src/vault/login.ts';
import { openObject } from '../../src/vault/open-object.ts';
import { readReceipt } from '../../src/vault/receipt.ts';
import { recordPermit } from '../../src/vault/record.ts';
import { release } from '../../src/vault/release.ts';
import { renew } from '../../src/vault/renew.ts';
import { unwrapDek } from '../../src/vault/unwrap.ts';
import type { Vault } from '../../src/vault/vault.ts';
import { codeFrom, type Machine, type Node, PROD, type Published, TestVault, workstationOf } from './test-vault.ts';

let vault: TestVault;
let machine: Machine;
let version: Published;
let before: { unwraps: number; releases: unknown; begins: number };

beforeAll(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('gpu-1');
  version = await vault.publish('falcon', 'restricted');
});
afterAll(() => vault.remove());

const counts = () => ({
  unwraps: vault.keys.unwraps,
  releases: vault.row('SELECT count(*) AS n FROM releases')['n'],
  begins: vault.records('release.begin').length,
});
beforeEach(() => {
  before = counts();
});

/** A node whose access log fails from the `after`-th record of a type on. */
function failingLog(honest: Vault['accessLog'], fails: (type: string) => boolean, error: Error): Vault['accessLog'] {
  return { append: async (tx, draft) => (fails(draft.type) ? Promise.reject(error) : honest.append(tx, draft)) };
}

async function nodeWith(over: (vault: Vault) => Partial<Vault>): Promise<Node> {
  const { vault: plain, sequencer } = await vault.addNode();
  return { vault: { ...plain, ...over(plain) }, sequencer };
}

describe('when the access log cannot be written', () => {
  test.each(['store_unavailable', 'log_leaf_too_large', 'log_unavailable'] as const)(
    'a permit with %s releases nothing, opens no key and leaves no release behind',
    async (code) => {
      const node = await nodeWith(({ accessLog }) => ({
        accessLog: failingLog(accessLog, (type) => type === 'release.begin', new VaultError(code)),
      }));
      expect(await codeFrom(vault.ask({ machine, version, node }))).toBe(code);
      expect(counts()).toEqual(before);
    },
  );

  test('a refusal is no answer either', async () => {
    const node = await nodeWith(({ accessLog }) => ({ accessLog: failingLog(accessLog, () => true, new VaultError('store_unavailable')) }));
    expect(await codeFrom(vault.ask({ machine, version, node, evidence: [] }))).toBe('store_unavailable');
    expect(counts()).toEqual(before);
  });

  test('a refused read is no answer either, and sends nothing', async () => {
    const granted = await vault.granted({ machine, version });
    const node = await nodeWith(({ accessLog }) => ({ accessLog: failingLog(accessLog, () => true, new VaultError('store_unavailable')) }));
    expect(await codeFrom(vault.open({ ...machine, spki: Uint8Array.of(1) }, granted, 'weights.bin', node))).toBe('store_unavailable');
  });

  test('a transaction that fails after the record was written in it releases nothing', async () => {
    const node = await nodeWith(({ stores }) => ({
      stores: {
        ...stores,
        unitOfWork: {
          run: (work) =>
            stores.unitOfWork.run(async (tx) => {
              const result = await work(tx);
              if (typeof result === 'string') throw new VaultError('store_unavailable', 'the commit failed'); // recordPermit's answers the record's id
              return result;
            }),
        },
      },
    }));
    expect(await codeFrom(vault.ask({ machine, version, node }))).toBe('store_unavailable');
    expect(counts()).toEqual(before);
  });

  test('a record that is not durable in two seconds releases nothing: log_unavailable, and what became durable later is ended at once', async () => {
    const node = await nodeWith(({ stores }) => ({
      stores: {
        ...stores,
        unitOfWork: {
          run: async (work) => {
            const result = await stores.unitOfWork.run(work);
            if (typeof result === 'string') await new Promise((resolve) => setTimeout(resolve, 2_300)); // the record is written, and the answer is late
            return result;
          },
        },
      },
    }));
    expect(await codeFrom(vault.ask({ machine, version, node }))).toBe('log_unavailable'); // in time it would have been granted
    expect(vault.keys.unwraps).toBe(before.unwraps);
    while (vault.lastRecord().type !== 'release.end') await new Promise((resolve) => setTimeout(resolve, 20));
    const [begin, end] = vault.records().slice(-2);
    expect(end).toMatchObject({ release: { begin: begin?.recordId, outcome: 'aborted', bytes: 0 } });
  });

  test('a disk without room for more releases nothing new, and says so: log_space_low', async () => {
    for (const room of ['low', 'spent', 'gone'] as const) {
      const node = await nodeWith(() => ({ logRoom: () => room }));
      expect(await codeFrom(vault.ask({ machine, version, node }))).toBe('log_space_low');
    }
    expect(counts()).toEqual(before);
  });

  test('the last of its room is for those it knows: strangers get log_space_low and leave nothing, and machines can still be blocked', async () => {
    const other = await TestVault.ready();
    try {
      const [owner, thief] = [await other.machine('gpu-1'), await other.machine('gpu-2')];
      const { permit } = await other.granted({ machine: owner, version: await other.publish('falcon', 'restricted') });
      const { challengeId } = await issueChallenge(thief.spki, other.vault);
      const admin = await other.as('alice');
      let room: Room = 'spent';
      const { vault: plain } = await other.addNode();
      const node = { ...plain, logRoom: () => room };
      const by = { requestId: 'ask', namespace: PROD, remoteAddress: '198.51.100.7', spki: thief.spki };
      const asked = { ...by, model: 'm', version: 'v', aliasCounter: undefined, delivery: 'stream' as const };
      const [theirs, never] = [permit.releaseId, newId<ReleaseId>(other.clock.now())];
      const attempt = { administrator: 'alice', workstation: workstationOf('nobody'), code: '000000', ...by };
      const tries: Array<() => Promise<unknown>> = [
        () => release({ ...asked, challengeId: undefined, evidence: [] }, node),
        () => release({ ...asked, challengeId, evidence: [{ kind: 'none-of-ours', body: {} }] }, node),
        () => renew({ ...by, releaseId: theirs, challengeId: undefined, evidence: [] }, node),
        () => openObject({ ...by, releaseId: theirs, path: 'weights.bin' }, node),
        () => openObject({ ...by, releaseId: never, path: 'weights.bin' }, node),
        () => readReceipt({ ...by, releaseId: never }, node),
        () => finishRelease({ ...by, releaseId: theirs }, node),
        () => login(attempt, node),
      ];
      const kept = () => [other.records().length, other.row('SELECT count(*) AS n FROM challenges')['n']];
      const before = kept();
      for (const attempted of tries) await attempted().catch(() => undefined);
      expect(kept()).toEqual([Number(before[0]) + tries.length, before[1]]); // as long as there is room, each is a record

      room = 'gone';
      const full = kept();
      for (const attempted of [...tries, () => issueChallenge(thief.spki, node)]) expect(await codeFrom(attempted())).toBe('log_space_low');
      expect(kept()).toEqual(full);
      await blockSubject(admin, PROD, 'gpu-1', node);
      await finishRelease({ ...by, spki: owner.spki, releaseId: theirs }, node);
      expect(other.records().slice(-2)).toMatchObject([{ type: 'stop.placed' }, { type: 'release.end', release: { outcome: 'cut' } }]);
    } finally {
      await other.remove();
    }
  });

  test('a halted log (the stored one is not the one that was signed) releases nothing: log_unavailable', async () => {
    const node = await nodeWith(() => ({ logHalted: () => new VaultError('log_root_mismatch') }));
    expect(await codeFrom(vault.ask({ machine, version, node }))).toBe('log_unavailable');
    expect(counts()).toEqual(before);
  });

  test('a log whose published tiles were altered halts, and from then on this node releases nothing', async () => {
    const other = await TestVault.ready();
    try {
      const owner = await other.machine('gpu-1');
      const weights = await other.publish('falcon', 'public');
      expect(await other.node.sequencer.tick()).toBe('published');
      expect((await other.ask({ machine: owner, version: weights })).refused).toBe(false);
      other.sql('UPDATE log_tiles SET bytes = zeroblob(length(bytes))');
      expect(await other.node.sequencer.tick()).toBe('halted');
      const unwraps = other.keys.unwraps;
      expect(await codeFrom(other.ask({ machine: owner, version: weights }))).toBe('log_unavailable');
      expect(other.keys.unwraps).toBe(unwraps);
    } finally {
      await other.remove();
    }
  });
});

describe('a permit written by hand', () => {
  const forged = async (): Promise<RecordedPermit> => {
    const { permit } = await vault.granted({ machine, version });
    return { ...permit, releaseId: newId<ReleaseId>(vault.clock.now()) }; // every member right, and never earned
  };

  test('opens no key', async () => {
    const permit = await forged();
    const node = await vault.addNode();
    const unwraps = vault.keys.unwraps;
    await expect(unwrapDek(permit, node.vault)).rejects.toThrow('not a RecordedPermit');
    await expect(unwrapDek(Object.freeze({ ...permit }), node.vault)).rejects.toThrow('not a RecordedPermit');
    await expect(unwrapDek(Object.create(permit) as RecordedPermit, node.vault)).rejects.toThrow('not a RecordedPermit');
    expect(vault.keys.unwraps).toBe(unwraps);
  });

  test('is not recorded as a release', async () => {
    const { permit } = await vault.granted({ machine, version });
    const begins = vault.records('release.begin').length;
    const made = { attested: { subject: {} }, manifest: {}, delivery: 'stream' } as unknown as Permit;
    await expect(recordPermit({} as AccessRequest, made, vault.vault)).rejects.toThrow('not a Permit');
    await expect(recordPermit({} as AccessRequest, permit as unknown as Permit, vault.vault)).rejects.toThrow('not a Permit'); // another stage's
    expect(vault.records('release.begin').length).toBe(begins);
  });

  test('cannot be minted by anyone else: each stage is claimed', () => {
    for (const stage of ['AttestationResult', 'Permit', 'RecordedPermit'] as const)
      expect(() => claimStage(stage)).toThrow('made in two places');
  });

  test('that was earned cannot be changed afterwards', async () => {
    const { permit } = await vault.granted({ machine, version });
    expect(() => Object.assign(permit, { versionId: 'another' })).toThrow(TypeError);
  });
});

describe('when the HSM fails after the record', () => {
  test('the caller gets the error, and the log says that the release ended as aborted with no byte sent', async () => {
    const node = await vault.addNode();
    vault.keys.failUnwrap = new VaultError('keeper_unavailable');
    try {
      expect(await codeFrom(vault.ask({ machine, version, node }))).toBe('keeper_unavailable');
    } finally {
      vault.keys.failUnwrap = undefined;
    }
    const [begin, end] = vault.records().slice(-2);
    expect(begin?.type).toBe('release.begin');
    expect(end).toMatchObject({
      type: 'release.end',
      outcome: 'failure',
      release: { begin: begin?.recordId, outcome: 'aborted', bytes: 0 },
    });
    const releaseId = String(begin?.release?.releaseId) as ReleaseId;
    const answer = await vault.open(machine, { permit: { namespace: machine.namespace, releaseId } as RecordedPermit });
    expect(answer.refused && answer.code).toBe('release_ended');
  });

  test('and once it is back the same node releases again: a failed unwrap is not remembered', async () => {
    const node = await vault.addNode();
    vault.keys.failUnwrap = new VaultError('keeper_deadline');
    await codeFrom(vault.ask({ machine, version, node }));
    vault.keys.failUnwrap = undefined;
    expect((await vault.ask({ machine, version, node })).refused).toBe(false);
  });
});

test('a block between the decision and the record lets the release begin, but not one byte leave', async () => {
  const late = await vault.machine('gpu-late');
  const { vault: plain } = await vault.addNode();
  const bob = await vault.as('bob');
  const catalogueKey = {
    ...plain.catalogueKey,
    sign: async (message: Uint8Array) => {
      await blockSubject(bob, late.namespace, 'gpu-late', vault.vault);
      return plain.catalogueKey.sign(message);
    },
  };
  const answer = await vault.ask({ machine: late, version, node: { ...vault.node, vault: { ...plain, catalogueKey } } });
  if (answer.refused) return expect(answer.code).toBe('subject_blocked'); // refusing there would be better still
  const read = await vault.open(late, answer);
  expect(read.refused && read.code).toBe('subject_blocked');
});
