import { describe, expect, it } from '@jest/globals';
import type { SpkiDigest } from '../../src/domain/evidence.ts';
import type { ChallengeId, Incarnation, ModelId, RecordId, ReleaseId, SubjectId, VersionId } from '../../src/domain/ids.ts';
import type { Block, ChallengeRow, ProgressRow, ReleaseRow } from '../../src/releases/port.ts';
import type { Stores } from '../../src/stores/port.ts';
import {
  atOnce,
  bytes,
  digest,
  freshStores,
  id,
  later,
  NS,
  type OpenStores,
  OTHER_NS,
  subjectId,
  timeOf,
  within,
} from './stores-under-test.ts';

export function releaseStoreContract(name: string, open: OpenStores): void {
  describe(`ReleaseStore, challenges: ${name}`, () => {
    const use = freshStores(open);

    it('gives the row to who spends the challenge, also after reopening', async () => {
      const { stores, reopen } = use();
      const row = await issued(stores);
      expect(await spend(await reopen(), row.challengeId, row.spkiDigest)).toEqual(row);
    });

    it('lets exactly one of fifty concurrent spenders on two nodes have it', async () => {
      const { stores, second } = use();
      const nodes = [stores, await second()];
      const row = await issued(stores);
      const answers = await atOnce(50, (index) => spend(nodes[index % 2] ?? stores, row.challengeId, row.spkiDigest));
      expect(answers.filter((answer) => typeof answer === 'object')).toEqual([row]);
      expect(answers.filter((answer) => answer === 'challenge_spent')).toHaveLength(49);
    });

    it('remembers after reopening that it was spent', async () => {
      const { stores, reopen } = use();
      const row = await issued(stores);
      await spend(stores, row.challengeId, row.spkiDigest);
      expect(await spend(await reopen(), row.challengeId, row.spkiDigest)).toBe('challenge_spent');
    });

    it('does not know one that was never issued or was issued to another key, which stays good for its own', async () => {
      const { stores } = use();
      const row = await issued(stores);
      expect(await spend(stores, id<ChallengeId>(), row.spkiDigest)).toBe('challenge_unknown');
      expect(await spend(stores, row.challengeId, digest())).toBe('challenge_unknown');
      expect(await spend(stores, row.challengeId, row.spkiDigest)).toEqual(row);
    });

    it("is good up to its expiry and expired when the database's time is past it", async () => {
      const { stores, advance } = use();
      const [last, late] = [await issued(stores, 0), await issued(stores, 10_000)];
      const answer = await within(stores, async (tx) => {
        const row = { ...last, challengeId: id<ChallengeId>(), expiresAt: tx.now };
        await stores.releases.insertChallenge(tx, row);
        return stores.releases.spendChallenge(tx, row.challengeId, row.spkiDigest);
      });
      expect(typeof answer).toBe('object');
      await advance(10_001);
      expect(await spend(stores, late.challengeId, late.spkiDigest)).toBe('challenge_expired');
      expect(await spend(stores, late.challengeId, digest())).toBe('challenge_unknown');
    });

    it('forgets challenges that expired before a time, spent or not, and no others', async () => {
      const { stores } = use();
      const now = await timeOf(stores);
      const rows = [challenge(later(now, 60_000)), challenge(later(now, 60_001)), challenge(later(now, 59_999))] as const;
      for (const row of rows) await within(stores, (tx) => stores.releases.insertChallenge(tx, row));
      await spend(stores, rows[2].challengeId, rows[2].spkiDigest);
      await within(stores, (tx) => stores.releases.purgeChallenges(tx, later(now, 60_000)));
      expect(await spend(stores, rows[2].challengeId, rows[2].spkiDigest)).toBe('challenge_unknown');
      expect(await spend(stores, rows[0].challengeId, rows[0].spkiDigest)).toEqual(rows[0]);
      expect(await spend(stores, rows[1].challengeId, rows[1].spkiDigest)).toEqual(rows[1]);
    });
  });

  describe(`ReleaseStore, releases: ${name}`, () => {
    const use = freshStores(open);

    it('gives a release back as it was inserted, in its namespace only, also after reopening', async () => {
      const { stores, reopen } = use();
      const [running, ended] = [await inserted(stores), await inserted(stores, { outcome: 'aborted' })];
      const again = await reopen();
      expect(await find(again, running.releaseId)).toEqual(running);
      expect(await find(again, running.releaseId)).not.toHaveProperty('outcome');
      expect(await find(again, ended.releaseId)).toEqual(ended);
      expect(await within(again, (tx) => again.releases.release(tx, OTHER_NS, running.releaseId))).toBeUndefined();
      expect(await find(again, id<ReleaseId>())).toBeUndefined();
    });

    it("replaces a node's figures and keeps those of the others, also after reopening", async () => {
      const { stores, reopen } = use();
      const [{ releaseId }, other] = [await inserted(stores), await inserted(stores)];
      const [one, two] = [progressOf(1), progressOf(2 ** 52)];
      const later = { ...one, bytes: 2 ** 45 + 1, completedObjects: 3, abortedStreams: 2, activeStreams: 0 };
      const record = (figures: ProgressRow) => within(stores, (tx) => stores.releases.recordProgress(tx, releaseId, figures));
      for (const figures of [one, two, later]) await record(figures);
      const again = await reopen();
      const rows = await within(again, (tx) => again.releases.progress(tx, releaseId));
      expect(new Set(rows)).toEqual(new Set([later, two]));
      expect(await within(again, (tx) => again.releases.progress(tx, other.releaseId))).toEqual([]);
    });

    it('sets the outcome exactly once, also of ten attempts on two nodes', async () => {
      const { stores, second } = use();
      const nodes = [stores, await second()];
      const release = await inserted(stores);
      const end = (node: Stores, index: number) =>
        within(node, (tx) => node.releases.endRelease(tx, release.releaseId, index === 0 ? 'completed' : 'cut'));
      const ended = await atOnce(10, (index) => end(nodes[index % 2] ?? stores, index));
      expect(ended.filter(Boolean)).toHaveLength(1);
      const outcome = ended.indexOf(true) === 0 ? 'completed' : 'cut';
      expect(await find(stores, release.releaseId)).toEqual({ ...release, outcome });
      expect(await within(stores, (tx) => stores.releases.endRelease(tx, id<ReleaseId>(), 'cut'))).toBe(false);
    });

    it('lists as endable what expired or whose subject is blocked and has no outcome, oldest first, at most `limit`', async () => {
      const { stores, advance } = use();
      const now = await timeOf(stores);
      const soon = later(now, 10_000);
      const blocked = subjectId();
      const third = await inserted(stores, { createdAt: later(now, 3), expiresAt: soon });
      const first = await inserted(stores, { createdAt: later(now, 1), subjectId: blocked });
      const second = await inserted(stores, { createdAt: later(now, 2), expiresAt: soon });
      await inserted(stores, { createdAt: now, expiresAt: soon, outcome: 'completed' });
      await inserted(stores, { createdAt: now }); // neither expired nor blocked
      await inserted(stores, { createdAt: now, subjectId: blocked, namespace: OTHER_NS }); // blocked in another namespace only
      const endable = (limit: number) => within(stores, (tx) => stores.releases.endable(tx, limit));
      expect(await endable(10)).toEqual([]);
      await block(stores, { namespace: NS, subjectId: blocked });
      expect(await endable(10)).toEqual([first]);
      await advance(10_000);
      expect(await endable(10)).toEqual([first, second, third]);
      expect(await endable(2)).toEqual([first, second]);
      await within(stores, (tx) => stores.releases.endRelease(tx, first.releaseId, 'cut'));
      expect(await endable(10)).toEqual([second, third]);
    });
  });

  describe(`ReleaseStore, blocks and nodes: ${name}`, () => {
    const use = freshStores(open);

    it('blocks a subject once, and says so to every node when the transaction has committed, also after reopening', async () => {
      const { stores, second, reopen } = use();
      const other = await second();
      const [one, two]: [Block, Block] = [
        { namespace: NS, subjectId: subjectId() },
        { namespace: OTHER_NS, subjectId: subjectId() },
      ];
      expect(await within(other, (tx) => other.releases.blocks(tx))).toEqual([]);
      expect(await block(stores, one)).toBe(true);
      expect(await block(other, one)).toBe(false);
      expect(await within(other, (tx) => other.releases.blocks(tx))).toEqual([one]);
      expect(await block(stores, two)).toBe(true);
      const again = await reopen();
      expect(new Set(await within(again, (tx) => again.releases.blocks(tx)))).toEqual(new Set([one, two]));
    });

    it('tells a block of the same subject in two namespaces apart', async () => {
      const { stores } = use();
      const both = subjectId();
      expect(await block(stores, { namespace: NS, subjectId: both })).toBe(true);
      expect(await block(stores, { namespace: OTHER_NS, subjectId: both })).toBe(true);
    });

    it("says that a node lives while its lease reaches past the database's now", async () => {
      const { stores, second, advance } = use();
      const other = await second();
      const node = id<Incarnation>();
      const lives = () => within(other, (tx) => other.releases.nodeLives(tx, node));
      const renew = () => within(stores, (tx) => stores.releases.renewNode(tx, node, later(tx.now, 15_000)));
      expect(await lives()).toBe(false);
      await renew();
      expect(await lives()).toBe(true);
      await advance(10_000);
      await renew();
      await advance(10_000);
      expect(await lives()).toBe(true);
      await advance(5_000);
      expect(await lives()).toBe(false);
      const atNow = await within(stores, async (tx) => {
        await stores.releases.renewNode(tx, node, tx.now);
        return stores.releases.nodeLives(tx, node);
      });
      expect(atNow).toBe(false);
    });
  });
}

function challenge(expiresAt: Date): ChallengeRow {
  return { challengeId: id<ChallengeId>(), nonce: bytes(32), spkiDigest: digest(), expiresAt };
}

function issued(stores: Stores, lifeMs = 60_000): Promise<ChallengeRow> {
  return within(stores, async (tx) => {
    const row = challenge(later(tx.now, lifeMs));
    await stores.releases.insertChallenge(tx, row);
    return row;
  });
}

function spend(stores: Stores, challengeId: ChallengeId, spkiDigest: SpkiDigest) {
  return within(stores, (tx) => stores.releases.spendChallenge(tx, challengeId, spkiDigest));
}

function inserted(stores: Stores, wanted: Partial<ReleaseRow> = {}): Promise<ReleaseRow> {
  return within(stores, async (tx) => {
    const row: ReleaseRow = {
      releaseId: id<ReleaseId>(),
      namespace: NS,
      subjectId: id<SubjectId>(),
      modelId: id<ModelId>(),
      versionId: id<VersionId>(),
      versionDigest: digest(),
      spkiDigest: digest(),
      recordId: id<RecordId>(),
      documentDigest: digest(),
      createdAt: tx.now,
      expiresAt: later(tx.now, 3_600_000),
      ...wanted,
    };
    await stores.releases.insertRelease(tx, row);
    return row;
  });
}

function find(stores: Stores, releaseId: ReleaseId): Promise<ReleaseRow | undefined> {
  return within(stores, (tx) => stores.releases.release(tx, NS, releaseId));
}

function progressOf(bytesMoved: number): ProgressRow {
  return { node: id<Incarnation>(), bytes: bytesMoved, completedObjects: 1, abortedStreams: 0, activeStreams: 4 };
}

function block(stores: Stores, row: Block): Promise<boolean> {
  return within(stores, (tx) => stores.releases.block(tx, row));
}
