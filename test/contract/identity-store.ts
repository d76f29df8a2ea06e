import { describe, expect, it } from '@jest/globals';
import type { AdministratorId, Digest, Namespace, SubjectId } from '../../src/domain/ids.ts';
import type { AdministratorRow, ClaimRow, SessionRow, SubjectRow } from '../../src/identity/port.ts';
import type { Stores } from '../../src/stores/port.ts';
import { atOnce, digest, freshStores, id, later, NS, type OpenStores, OTHER_NS, SOME_TIME, timeOf, within } from './stores-under-test.ts';

export function identityStoreContract(name: string, open: OpenStores): void {
  describe(`IdentityStore: ${name}`, () => {
    const use = freshStores(open);

    it('finds an administrator by id and by name, also after reopening, and lists all', async () => {
      const { stores, reopen } = use();
      const [ada, bob] = [administrator('ada'), administrator('bob')];
      await insertAdministrators(stores, bob, ada);
      const again = await reopen();
      await within(again, async (tx) => {
        expect(await again.identity.administrator(tx, ada.administratorId)).toEqual(ada);
        expect(await again.identity.administratorByName(tx, 'bob')).toEqual(bob);
        expect(await again.identity.administrators(tx)).toEqual([ada, bob]);
        expect(await again.identity.administrator(tx, id<AdministratorId>())).toBeUndefined();
        expect(await again.identity.administratorByName(tx, 'eve')).toBeUndefined();
      });
    });

    it('has no administrators at first', async () => {
      const { stores } = use();
      expect(await within(stores, (tx) => stores.identity.administrators(tx))).toEqual([]);
    });

    it('rejects administrator_exists when the name is taken, and keeps the first', async () => {
      const { stores } = use();
      const ada = administrator('ada');
      await insertAdministrators(stores, ada);
      await expect(insertAdministrators(stores, administrator('ada'))).rejects.toMatchObject({ code: 'administrator_exists' });
      expect(await within(stores, (tx) => stores.identity.administrators(tx))).toEqual([ada]);
    });

    it('finds a subject by id, name and attester key, in its namespace only, also after reopening', async () => {
      const { stores, reopen } = use();
      const row = subject('node-1', 'ak-1');
      await insertSubject(stores, row);
      const { identity, unitOfWork } = await reopen();
      const find = (namespace: Namespace) =>
        unitOfWork.run(async (tx) => [
          await identity.subject(tx, namespace, row.subjectId),
          await identity.subjectByName(tx, namespace, 'node-1'),
          await identity.subjectByAttesterKey(tx, namespace, 'ak-1'),
        ]);
      expect(await find(NS)).toEqual([row, row, row]);
      expect(await find(OTHER_NS)).toEqual([undefined, undefined, undefined]);
    });

    it('lists the subjects of a namespace in order of name, a page at a time, also after reopening', async () => {
      const { stores, reopen } = use();
      const rows = ['node-1', 'node-10', 'node-2', 'node_3', 'zeta'].map((name, at) => subject(name, `ak-${at}`));
      for (const row of [...rows].reverse()) await insertSubject(stores, row);
      await insertSubject(stores, subject('alpha', 'ak-other', OTHER_NS));
      const again = await reopen();
      const page = (limit: number, after?: string) => within(again, (tx) => again.identity.subjects(tx, NS, limit, after));
      expect(await page(10)).toEqual(rows);
      expect(await page(2)).toEqual(rows.slice(0, 2));
      expect(await page(2, 'node-10')).toEqual(rows.slice(2, 4));
      expect(await page(10, 'node-15')).toEqual(rows.slice(2)); // a name that was removed meanwhile
      expect(await page(10, 'zeta')).toEqual([]);
    });

    it('rejects subject_exists when the name or the attester key is taken in the namespace', async () => {
      const { stores } = use();
      await insertSubject(stores, subject('node-1', 'ak-1'));
      await expect(insertSubject(stores, subject('node-1', 'ak-2'))).rejects.toMatchObject({ code: 'subject_exists' });
      await expect(insertSubject(stores, subject('node-2', 'ak-1'))).rejects.toMatchObject({ code: 'subject_exists' });
      await insertSubject(stores, subject('node-1', 'ak-1', OTHER_NS));
      await insertSubject(stores, subject('node-2', 'ak-2'));
    });

    it('claims each time step of an authenticator once, and none at or before a claimed one', async () => {
      const { stores } = use();
      expect(await claim(stores, 'totp-1', 58_000_000)).toBe(true);
      expect(await claim(stores, 'totp-1', 58_000_000)).toBe(false);
      expect(await claim(stores, 'totp-1', 57_999_999)).toBe(false);
      expect(await claim(stores, 'totp-1', 0)).toBe(false);
      expect(await claim(stores, 'totp-2', 57_999_999)).toBe(true); // another authenticator
      expect(await claim(stores, 'totp-1', 58_000_002)).toBe(true);
      expect(await claim(stores, 'totp-1', 58_000_001)).toBe(false); // between: an older code came late
    });

    it('claims a time step once of fifty concurrent attempts on two nodes, and remembers after reopening', async () => {
      const { stores, second, reopen } = use();
      const nodes = [stores, await second()];
      const claims = await atOnce(50, (index) => claim(nodes[index % 2] ?? stores, 'totp', 7));
      expect(claims.filter(Boolean)).toHaveLength(1);
      expect(await claim(await reopen(), 'totp', 7)).toBe(false);
    });

    it('forgets a claim whose transaction failed', async () => {
      const { stores } = use();
      const failed = within(stores, async (tx) => {
        await stores.identity.claimTimeStep(tx, 'totp', 9);
        throw new Error('later in the same transaction');
      });
      await expect(failed).rejects.toThrow('later');
      expect(await claim(stores, 'totp', 9)).toBe(true);
    });

    it('counts login failures per administrator and workstation, at or after `since` by the database time', async () => {
      const { stores, advance, reopen } = use();
      const [mine, stranger] = [digest(), digest()];
      const fail = () => within(stores, (tx) => stores.identity.recordLoginFailure(tx, 'ada', mine).then(() => tx.now));
      const first = await fail();
      await advance(10_000);
      const next = await fail();
      const again = await reopen();
      const count = (who: string, where: typeof mine, since: Date) =>
        within(again, (tx) => again.identity.loginFailures(tx, who, where, since));
      expect(await count('ada', mine, first)).toBe(2);
      expect(await count('ada', mine, later(first, 1))).toBe(1);
      expect(await count('ada', mine, next)).toBe(1);
      expect(await count('ada', mine, later(next, 1))).toBe(0);
      expect(await count('ada', stranger, first)).toBe(0);
      expect(await count('bob', mine, first)).toBe(0);
    });

    it('takes back one failure, and forgets old ones', async () => {
      const { stores, advance } = use();
      const mine = digest();
      const count = () => within(stores, (tx) => stores.identity.loginFailures(tx, 'ada', mine, new Date(0)));
      const fail = () => within(stores, (tx) => stores.identity.recordLoginFailure(tx, 'ada', mine));
      for (let at = 0; at < 3; at++) await fail();
      await within(stores, (tx) => stores.identity.withdrawLoginFailure(tx, 'ada', mine));
      await within(stores, (tx) => stores.identity.withdrawLoginFailure(tx, 'bob', mine));
      expect(await count()).toBe(2);
      await advance(60_000);
      await fail();
      await within(stores, (tx) => stores.identity.purgeLoginFailures(tx, later(tx.now, -30_000)));
      expect(await count()).toBe(1);
    });

    it('forgets the failures of one administrator on one workstation only', async () => {
      const { stores } = use();
      const [mine, other] = [digest(), digest()];
      const fail = (who: string, where: typeof mine) => within(stores, (tx) => stores.identity.recordLoginFailure(tx, who, where));
      for (const [who, where] of [
        ['ada', mine],
        ['ada', other],
        ['bob', mine],
      ] as const)
        await fail(who, where);
      await within(stores, (tx) => stores.identity.forgetLoginFailures(tx, 'ada', mine));
      const count = (who: string, where: typeof mine) => within(stores, (tx) => stores.identity.loginFailures(tx, who, where, new Date(0)));
      expect([await count('ada', mine), await count('ada', other), await count('bob', mine)]).toEqual([0, 1, 1]);
    });

    it('keeps a session until it is deleted, also after reopening', async () => {
      const { stores, reopen } = use();
      const [row, other] = await openSessions(stores, 2);
      const again = await reopen();
      await within(again, async (tx) => {
        expect(await again.identity.session(tx, row.tokenDigest)).toEqual(row);
        await again.identity.deleteSession(tx, row.tokenDigest);
        await again.identity.deleteSession(tx, row.tokenDigest); // logging out twice is no failure
        expect(await again.identity.session(tx, row.tokenDigest)).toBeUndefined();
        expect(await again.identity.session(tx, other.tokenDigest)).toEqual(other);
      });
    });

    it("moves a session's lastSeenAt, and nothing else, to the database's now", async () => {
      const { stores, advance } = use();
      const [row, other] = await openSessions(stores, 2);
      await advance(5_000);
      const now = await within(stores, async (tx) => {
        await stores.identity.touchSession(tx, row.tokenDigest);
        await stores.identity.touchSession(tx, digest()); // one that does not exist stays that way
        return tx.now;
      });
      await within(stores, async (tx) => {
        expect(await stores.identity.session(tx, row.tokenDigest)).toEqual({ ...row, lastSeenAt: now });
        expect(await stores.identity.session(tx, other.tokenDigest)).toEqual(other);
      });
      expect(now.getTime()).toBeLessThanOrEqual((await timeOf(stores)).getTime());
    });

    it('ends all sessions of one person, and nobody else’s', async () => {
      const { stores } = use();
      const [first, second] = await openSessions(stores, 2);
      const bob = administrator('bob');
      await insertAdministrators(stores, bob);
      const other = { ...first, tokenDigest: digest(), administratorId: bob.administratorId };
      await within(stores, (tx) => stores.identity.insertSession(tx, other));
      await within(stores, (tx) => stores.identity.deleteSessionsOf(tx, first.administratorId));
      expect(await sessionOf(stores, first.tokenDigest)).toBeUndefined();
      expect(await sessionOf(stores, second.tokenDigest)).toBeUndefined();
      expect(await sessionOf(stores, other.tokenDigest)).toEqual(other);
    });

    it('forgets sessions that are too old or idle too long, and keeps the others', async () => {
      const { stores } = use();
      const [row] = await openSessions(stores, 2);
      const at = (seconds: number) => later(SOME_TIME, seconds * 1000);
      const [old, idle, live] = [
        { ...row, tokenDigest: digest(), createdAt: at(100), lastSeenAt: at(900) },
        { ...row, tokenDigest: digest(), createdAt: at(101), lastSeenAt: at(800) },
        { ...row, tokenDigest: digest(), createdAt: at(101), lastSeenAt: at(801) },
      ];
      await within(stores, async (tx) => {
        for (const one of [old, idle, live]) await stores.identity.insertSession(tx, one);
        await stores.identity.purgeSessions(tx, { createdBefore: at(100), seenBefore: at(800) });
      });
      for (const gone of [row, old, idle]) expect(await sessionOf(stores, gone.tokenDigest)).toBeUndefined();
      expect(await sessionOf(stores, live.tokenDigest)).toEqual(live);
    });

    it('notes a step-up, in general or for one operation, of that session only', async () => {
      const { stores, advance, reopen } = use();
      const [row, other] = await openSessions(stores, 2);
      const operation = digest();
      await advance(5_000);
      const stepUp = (tokenDigest: Digest, wanted?: Digest) =>
        within(stores, async (tx) => ({ done: await stores.identity.stepUp(tx, tokenDigest, wanted), now: tx.now }));
      const bound = await stepUp(row.tokenDigest, operation);
      expect(bound.done).toBe(true);
      expect(await sessionOf(stores, row.tokenDigest)).toEqual({ ...row, stepUpAt: bound.now, stepUpFor: operation });
      expect(await sessionOf(stores, other.tokenDigest)).toEqual(other);
      const general = await stepUp(row.tokenDigest);
      expect(await sessionOf(await reopen(), row.tokenDigest)).toEqual({ ...row, stepUpAt: general.now });
    });

    it('notes no step-up of a session that is not there', async () => {
      const { stores } = use();
      expect(await within(stores, (tx) => stores.identity.stepUp(tx, digest()))).toBe(false);
    });

    it('spends a step-up for its own operation only, after `since` only, and once of twenty attempts on two nodes', async () => {
      const { stores, second } = use();
      const nodes = [stores, await second()];
      const [row, other] = await openSessions(stores, 2);
      const operation = digest();
      const at = await within(stores, async (tx) => {
        await stores.identity.stepUp(tx, row.tokenDigest, operation);
        return tx.now;
      });
      const spend = (token: Digest, wanted: Digest, since: Date, from = stores) =>
        within(from, (tx) => from.identity.spendStepUp(tx, token, wanted, since));
      expect(await spend(row.tokenDigest, digest(), later(at, -1))).toBe(false);
      expect(await spend(other.tokenDigest, operation, later(at, -1))).toBe(false);
      expect(await spend(row.tokenDigest, operation, at)).toBe(false);
      const spent = await atOnce(20, (index) => spend(row.tokenDigest, operation, later(at, -1), nodes[index % 2]));
      expect(spent.filter(Boolean)).toHaveLength(1);
      expect(await sessionOf(stores, row.tokenDigest)).toEqual({ ...row, stepUpAt: at });
    });

    it('keeps one claim per person, the newest, until it is deleted, also after reopening', async () => {
      const { stores, reopen } = use();
      const [ada, bob] = [administrator('ada'), administrator('bob')];
      await insertAdministrators(stores, ada, bob);
      const [first, newest, others] = [claimOf(ada), claimOf(ada), claimOf(bob)];
      await within(stores, async (tx) => {
        for (const one of [first, others, newest]) await stores.identity.putClaim(tx, one);
      });
      const again = await reopen();
      const find = (who: AdministratorRow) => within(again, (tx) => again.identity.claim(tx, who.administratorId));
      expect(await find(ada)).toEqual(newest);
      const drop = () => within(again, (tx) => again.identity.deleteClaim(tx, ada.administratorId));
      expect(await drop()).toBe(true);
      expect(await drop()).toBe(false);
      expect(await find(ada)).toBeUndefined();
      expect(await find(bob)).toEqual(others);
    });
  });
}

function administrator(name: string): AdministratorRow {
  return { administratorId: id<AdministratorId>(), name };
}

function subject(name: string, attesterKey: string, namespace = NS): SubjectRow {
  return { subjectId: id<SubjectId>(), namespace, name, attesterKey, documentDigest: digest() };
}

async function insertAdministrators(stores: Stores, ...rows: readonly AdministratorRow[]): Promise<void> {
  await within(stores, async (tx) => {
    for (const row of rows) await stores.identity.insertAdministrator(tx, row);
  });
}

function insertSubject(stores: Stores, row: SubjectRow): Promise<void> {
  return within(stores, (tx) => stores.identity.insertSubject(tx, row));
}

function claim(stores: Stores, authenticatorId: string, timeStep: number): Promise<boolean> {
  return within(stores, (tx) => stores.identity.claimTimeStep(tx, authenticatorId, timeStep));
}

function claimOf({ administratorId }: AdministratorRow): ClaimRow {
  const wrappedSeed = new Uint8Array(Buffer.from(digest(), 'hex'));
  return { administratorId, authenticatorId: id(), counter: 2, workstation: digest(), wrappedSeed, begunAt: SOME_TIME };
}

function sessionOf(stores: Stores, tokenDigest: Digest): Promise<SessionRow | undefined> {
  return within(stores, (tx) => stores.identity.session(tx, tokenDigest));
}

async function openSessions(stores: Stores, count: 2): Promise<[SessionRow, SessionRow]> {
  const owner = administrator('ada');
  await insertAdministrators(stores, owner);
  const rows = Array.from({ length: count }, () => ({
    tokenDigest: digest(),
    administratorId: owner.administratorId,
    authenticatorId: 'totp-1',
    workstation: digest(),
    createdAt: SOME_TIME,
    lastSeenAt: later(SOME_TIME, 1),
    stepUpAt: later(SOME_TIME, 2),
  }));
  await within(stores, async (tx) => {
    for (const row of rows) await stores.identity.insertSession(tx, row);
  });
  return rows as [SessionRow, SessionRow]; // `count` is 2
}
