import { describe, expect, it } from '@jest/globals';
import type { SpkiDigest } from '../../src/domain/evidence.ts';
import type { ChallengeId, Incarnation, ModelId, RecordId, ReleaseId, StopId, SubjectId, VersionId } from '../../src/domain/ids.ts';
import { type KnownStop, STOP_SCOPES, type Stop, type StopScope } from '../../src/domain/stop.ts';
import type { ChallengeRow, ProgressRow, ReleaseRow, StopRow } from '../../src/releases/port.ts';
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
  SOME_TIME,
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

  describe(`ReleaseStore, spent tokens: ${name}`, () => {
    const use = freshStores(open);
    const spendToken = (stores: Stores, issuer: string, tokenId: string, lifeMs = 60_000) =>
      within(stores, (tx) => stores.releases.spendTokenId(tx, issuer, tokenId, later(tx.now, lifeMs)));

    it('spends a token id once of fifty concurrent attempts on two nodes, and remembers after reopening', async () => {
      const { stores, second, reopen } = use();
      const nodes = [stores, await second()];
      const answers = await atOnce(50, (index) => spendToken(nodes[index % 2] ?? stores, 'https://issuer.test', 'id-1'));
      expect(answers.filter(Boolean)).toHaveLength(1);
      expect(await spendToken(await reopen(), 'https://issuer.test', 'id-1')).toBe(false);
    });

    it('tells issuers and ids apart, also where one runs into the other', async () => {
      const { stores } = use();
      for (const [issuer, tokenId] of [
        ['https://a.test', 'id'],
        ['https://b.test', 'id'],
        ['https://a.testi', 'd'],
        ['https://a.test', 'ID'],
      ] as const)
        expect(await spendToken(stores, issuer, tokenId)).toBe(true);
    });

    it('forgets those whose token expired before a time, and no others', async () => {
      const { stores } = use();
      const now = await timeOf(stores);
      const spendUntil = (tokenId: string, lifeMs: number) =>
        within(stores, (tx) => stores.releases.spendTokenId(tx, 'https://a.test', tokenId, later(now, lifeMs)));
      for (const [tokenId, lifeMs] of [
        ['before', 59_999],
        ['at', 60_000],
      ] as const)
        expect(await spendUntil(tokenId, lifeMs)).toBe(true);
      await within(stores, (tx) => stores.releases.purgeTokenIds(tx, later(now, 60_000)));
      expect(await spendUntil('before', 59_999)).toBe(true);
      expect(await spendUntil('at', 60_000)).toBe(false);
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
      const later = { ...one, bytes: 2 ** 45 + 1, completedObjects: 3, abortedStreams: 2, activeStreams: 0, smallRanges: 7 };
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

    it('lists as endable what expired or is stopped and has no outcome, oldest first, at most `limit`', async () => {
      const { stores, advance } = use();
      const now = await timeOf(stores);
      const soon = later(now, 10_000);
      const blocked = subjectId();
      const third = await inserted(stores, { createdAt: later(now, 3), expiresAt: soon });
      const first = await inserted(stores, { createdAt: later(now, 1), subjectId: blocked });
      const second = await inserted(stores, { createdAt: later(now, 2), expiresAt: soon });
      await inserted(stores, { createdAt: now, expiresAt: soon, outcome: 'completed' });
      await inserted(stores, { createdAt: now }); // neither expired nor stopped
      await inserted(stores, { createdAt: now, subjectId: blocked, namespace: OTHER_NS }); // blocked in another namespace only
      const block = { ...stopOn('requester', blocked), lifted: false };
      const endable = (limit: number, stops: readonly KnownStop[] = [block]) =>
        within(stores, (tx) => stores.releases.endable(tx, stops, limit));
      expect(await endable(10, [])).toEqual([]);
      expect(await endable(10)).toEqual([first]);
      await advance(10_000);
      expect(await endable(10)).toEqual([first, second, third]);
      expect(await endable(2)).toEqual([first, second]);
      await within(stores, (tx) => stores.releases.endRelease(tx, first.releaseId, 'cut'));
      expect(await endable(10)).toEqual([second, third]);
    });

    it.each(STOP_SCOPES.filter((scope) => scope !== 'key'))(
      'lists as endable what a stop of a %s covers, and of one that was lifted only what is older',
      async (scope) => {
        const { stores } = use();
        const now = await timeOf(stores);
        const covered = await inserted(stores, { releaseId: id<ReleaseId>(now) });
        const other = await inserted(stores, { releaseId: id<ReleaseId>(now), ...(scope === 'namespace' && { namespace: OTHER_NS }) });
        const target = {
          requester: covered.subjectId,
          model: covered.modelId,
          version: covered.versionId,
          namespace: undefined,
          vault: undefined,
        };
        const endable = async (lifted: boolean, placedAt: Date) => {
          const stop = { ...stopOn(scope, target[scope]), stopId: id<StopId>(placedAt), lifted };
          const rows = await within(stores, (tx) => stores.releases.endable(tx, [stop], 10));
          return new Set(rows.map(({ releaseId }) => releaseId));
        };
        const [before, after] = [later(now, -1), later(now, 1)];
        const expected = new Set(scope === 'vault' ? [covered.releaseId, other.releaseId] : [covered.releaseId]);
        expect(await endable(false, before)).toEqual(expected);
        expect(await endable(false, after)).toEqual(expected);
        expect(await endable(true, after)).toEqual(expected);
        expect(await endable(true, before)).toEqual(new Set());
      },
    );

    it('says which versions open releases are of, each once, and none of what has ended', async () => {
      const { stores } = use();
      const now = await timeOf(stores);
      const first = await inserted(stores, { releaseId: id<ReleaseId>(now) });
      await inserted(stores, { releaseId: id<ReleaseId>(now), versionId: first.versionId });
      const other = await inserted(stores, { releaseId: id<ReleaseId>(now), namespace: OTHER_NS });
      const open = async () => (await within(stores, (tx) => stores.releases.openVersions(tx))).map(({ versionId }) => versionId).sort();
      expect(await open()).toEqual([first.versionId, other.versionId].sort());
      await within(stores, (tx) => stores.releases.endRelease(tx, other.releaseId, 'completed'));
      expect(await open()).toEqual([first.versionId]);
    });
  });

  describe(`ReleaseStore, budgets: ${name}`, () => {
    const use = freshStores(open);

    it('sums what a requester took: open releases by what they reserved, ended ones by what they sent, for as long as it is asked', async () => {
      const { stores, second, advance } = use();
      const other = await second();
      const of = { namespace: NS, subjectId: subjectId(), modelId: id<ModelId>() };
      const begun = (machine: string, reservedBytes?: number) => ({
        ...{ ...of, releaseId: id<ReleaseId>(), machine: digest(machine), versionBytes: 100 },
        ...(reservedBytes !== undefined && { reservedBytes }),
      });
      const [first, free] = [begun('a', 120), begun('b')];
      const sum = async (from = stores, except?: ReleaseId) =>
        within(from, (tx) => from.releases.egress(tx, { ...of, machine: digest('a') }, later(tx.now, -60_000), except));
      await within(stores, async (tx) => {
        await stores.releases.insertEgress(tx, first);
        await stores.releases.insertEgress(tx, free);
        await stores.releases.insertEgress(tx, { ...begun('c', 120), subjectId: subjectId() });
      });
      expect(await sum(other)).toEqual({ bytes: 220, replicas: 2, machines: 2, machineCounted: true });
      expect(await sum(stores, first.releaseId)).toEqual({ bytes: 100, replicas: 1, machines: 1, machineCounted: false });
      expect(await within(stores, (tx) => stores.releases.settleEgress(tx, first.releaseId, 40))).toEqual({
        versionBytes: 100,
        smallRanges: 0,
      });
      await within(stores, (tx) => stores.releases.settleEgress(tx, first.releaseId, 99)); // it ended once
      expect(await sum()).toEqual({ bytes: 140, replicas: 1, machines: 2, machineCounted: true });
      await advance(60_001);
      expect(await sum()).toEqual({ bytes: 100, replicas: 1, machines: 1, machineCounted: false });
      expect(await within(stores, (tx) => stores.releases.settleEgress(tx, id<ReleaseId>(), 1))).toBeUndefined();
      await within(stores, (tx) => stores.releases.purgeEgress(tx, tx.now));
      expect(await within(stores, (tx) => stores.releases.settleEgress(tx, first.releaseId, 1))).toBeUndefined();
      expect(await sum()).toEqual({ bytes: 100, replicas: 1, machines: 1, machineCounted: false }); // what is open stays
    });

    it('lets claims of many at once take exactly what was reserved, and takes back what is returned', async () => {
      const { stores, second } = use();
      const other = await second();
      const releaseId = id<ReleaseId>();
      const row = { namespace: NS, subjectId: subjectId(), modelId: id<ModelId>(), machine: digest('a'), versionBytes: 100 };
      await within(stores, (tx) => stores.releases.insertEgress(tx, { ...row, releaseId, reservedBytes: 120 }));
      const claim = (bytes: number, from = stores) => within(from, (tx) => from.releases.claimEgress(tx, releaseId, bytes));
      const claimed = await atOnce(10, (at) => claim(17, at % 2 === 0 ? stores : other));
      expect(claimed.reduce<number>((all, one) => all + (one ?? 0), 0)).toBe(120);
      await within(stores, (tx) => stores.releases.returnEgress(tx, releaseId, 5));
      expect([await claim(17), await claim(1)]).toEqual([5, 0]);
      const unbound = id<ReleaseId>();
      await within(stores, (tx) => stores.releases.insertEgress(tx, { ...row, releaseId: unbound }));
      expect(await within(stores, (tx) => stores.releases.claimEgress(tx, unbound, 10))).toBeUndefined();
      expect(await within(stores, (tx) => stores.releases.claimEgress(tx, id<ReleaseId>(), 10))).toBe(0); // no row is no right
    });
  });

  describe(`ReleaseStore, stops and nodes: ${name}`, () => {
    const use = freshStores(open);

    it('tells every node of a stop when the transaction has committed, as it was placed, also after reopening', async () => {
      const { stores, second, reopen } = use();
      const other = await second();
      const now = await timeOf(stores);
      const placed: StopRow[] = [
        { ...stopOn('requester', subjectId(), now), name: 'gpu-1' },
        stopOn('version', id<VersionId>(), later(now, 1)),
        { ...stopOn('vault', undefined, later(now, 2)), namespace: OTHER_NS },
      ];
      const known = (from: Stores) => within(from, (tx) => from.releases.stops(tx));
      expect(await known(other)).toEqual([]);
      for (const stop of placed) await within(stores, (tx) => stores.releases.insertStop(tx, stop));
      expect(await known(other)).toEqual(placed);
      expect(await known(await reopen())).toEqual(placed);
    });

    it('keeps the first of two stops of one id', async () => {
      const { stores } = use();
      const stop = stopOn('model', id<ModelId>());
      for (const row of [stop, { ...stop, scope: 'vault' as const, name: 'other' }])
        await within(stores, (tx) => stores.releases.insertStop(tx, row));
      expect(await within(stores, (tx) => stores.releases.stops(tx))).toEqual([stop]);
    });

    it('points a stop at the document that lifts it, and no other stop', async () => {
      const { stores } = use();
      const [lifted, other] = [stopOn('namespace'), stopOn('requester', subjectId(), later(SOME_TIME, 1))];
      for (const stop of [lifted, other]) await within(stores, (tx) => stores.releases.insertStop(tx, stop));
      const liftDigest = digest();
      expect(await within(stores, (tx) => stores.releases.pointLift(tx, lifted.stopId, liftDigest))).toBe(true);
      expect(await within(stores, (tx) => stores.releases.pointLift(tx, id<StopId>(), liftDigest))).toBe(false);
      expect(await within(stores, (tx) => stores.releases.stops(tx))).toEqual([{ ...lifted, liftDigest }, other]);
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
      expect(await within(other, (tx) => other.releases.anyNodeLives(tx))).toBe(true);
      await advance(5_000);
      expect(await lives()).toBe(false);
      expect(await within(other, (tx) => other.releases.anyNodeLives(tx))).toBe(false);
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
  return { node: id<Incarnation>(), bytes: bytesMoved, completedObjects: 1, abortedStreams: 0, activeStreams: 4, smallRanges: 0 };
}

function stopOn(scope: StopScope, target?: Stop['target'], createdAt = SOME_TIME): Stop {
  return { stopId: id<StopId>(createdAt), scope, namespace: NS, createdAt, ...(target !== undefined && { target }) };
}
