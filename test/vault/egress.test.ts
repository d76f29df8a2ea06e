/** Egress budgets, tried by many at once: what is reserved, claimed and settled can never be more than a policy gave. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isRefusal } from '../../src/domain/evidence.ts';
import { endRelease, keepHouse } from '../../src/vault/outcome.ts';
import type { Granted } from '../../src/vault/release.ts';
import { anchorFor, JwtMachine, startIssuer, trust, withVerifier } from './jwt-machine.ts';
import { codeFrom, type Machine, PROD, type Published, starterPolicies, TestVault } from './test-vault.ts';

const SIZE = 3 * 1_048_576;
let vault: TestVault;
let machine: Machine;
let version: Published;
const weights = Buffer.alloc(SIZE, 7);

/** Policies with a budget of so many open or whole copies in 24 h. */
const budget = (copies: number) => ({
  ...starterPolicies('restricted'),
  'egress-copies': `@id("egress-copies") forbid (principal, action == WeightVault::Action::"release", resource is WeightVault::ModelVersion)
    when { context.egress.replicasLast24h >= ${copies} };`,
});

beforeEach(async () => {
  vault = await TestVault.make();
  await vault.putInForce(PROD, budget(2));
  machine = await vault.machine('gpu-1');
  version = await vault.publish('falcon', 'restricted', { 'weights.bin': weights });
});
afterEach(() => vault.remove());

const ask = (node = vault.node) => vault.ask({ machine, version, node });
const end = async ({ permit }: Granted) => {
  await vault.vault.meter.flush();
  await endRelease(permit.namespace, permit.releaseId, 'completed', vault.vault);
};
const read = async (granted: Granted, start: number, bytes: number, node = vault.node): Promise<number> => {
  const opened = await vault.opened(machine, granted, 'weights.bin', node);
  let got = 0;
  for await (const chunk of opened.read({ start, end: start + bytes }, new AbortController().signal, () => undefined)) got += chunk.length;
  return got;
};

describe('a budget', () => {
  test('of many at once on two nodes grants exactly what it has, and names the policy to the others', async () => {
    const other = await vault.addNode();
    const answers = await Promise.all(Array.from({ length: 12 }, (_, at) => ask(at % 2 === 0 ? vault.node : other)));
    const refused = answers.filter((one) => one.refused);
    expect(answers.length - refused.length).toBe(2);
    for (const one of refused) expect([one.code, one.detail]).toEqual(['policy_denied', 'forbidden by egress-copies']);
    const denied = vault.records('release.denied');
    expect(denied).toHaveLength(10);
    expect(denied[0]?.detail).toContain('forbidden by egress-copies');
  });

  test('gives back what a release did not take, and keeps what it took for a day', async () => {
    const [first, second] = [await vault.granted({ machine, version }), await vault.granted({ machine, version })];
    vault.expectDenied(await ask(), 'policy_denied');
    await end(first); // nothing was read: it is no copy
    const third = await vault.granted({ machine, version });
    await vault.fetch(machine, third);
    await vault.fetch(machine, second);
    await end(second);
    await end(third);
    vault.expectDenied(await ask(), 'policy_denied');
    const reopened = await vault.addNode(); // another process knows it too
    vault.expectDenied(await ask(reopened), 'policy_denied');
    vault.clock.advance(86_401);
    expect((await ask()).refused).toBe(false);
  });

  test('of machines holds for many at once that share one requester, on two nodes', async () => {
    const issuer = await startIssuer();
    try {
      const forbid = `@id("egress-machines") forbid (principal, action == WeightVault::Action::"release", resource is WeightVault::ModelVersion)
        when { context.egress.machinesLast24h >= 3 && !context.egress.machineCounted };`;
      await vault.twoPeople({
        kind: 'policy-set',
        namespace: PROD,
        counter: 2,
        policies: { ...starterPolicies('internal'), 'egress-machines': forbid },
      });
      await trust(vault, anchorFor(issuer));
      const nodes = await Promise.all([vault.addNode(withVerifier(vault)), vault.addNode(withVerifier(vault))]);
      const one = await JwtMachine.enrolled(vault, issuer, 'fleet');
      const fleet = [one, ...Array.from({ length: 8 }, () => new JwtMachine(vault, issuer, one.subject))]; // each with a TLS key of its own
      const internal = await vault.publish('pigeon', 'internal', { 'weights.bin': weights });
      const answers = await Promise.all(fleet.map((each, at) => each.ask(internal, nodes[at % 2] ?? vault.node)));
      expect(answers.filter((answer) => !answer.refused)).toHaveLength(3);
      for (const answer of answers) if (answer.refused) expect(answer.detail).toBe('forbidden by egress-machines');
      const again = await Promise.all(fleet.map((each, at) => each.ask(internal, nodes[(at + 1) % 2] ?? vault.node)));
      expect(again.map(({ refused }) => refused)).toEqual(answers.map(({ refused }) => refused)); // the three that were counted may come again
      vault.clock.advance(86_401 + 28_800); // they expired, and a day went by
      await keepHouse(vault.vault);
      vault.clock.advance(86_401);
      expect((await one.ask(internal, vault.nodes[1] ?? vault.node)).refused).toBe(false);
    } finally {
      issuer.close();
    }
  });

  test('of bytes counts what a process had claimed when it died, though it never said that it sent it', async () => {
    const dying = await vault.addNode();
    const granted = await vault.granted({ machine, version, node: dying });
    const opened = await vault.opened(machine, granted, 'weights.bin', dying);
    const reading = opened.read({ start: 0, end: SIZE }, new AbortController().signal, () => undefined);
    await reading.next(); // and nothing more is ever heard of it
    vault.clock.advance(3_601);
    await keepHouse(vault.vault);
    expect(vault.records('release.unknown').at(-1)?.release).toMatchObject({ outcome: 'unknown', bytes: 0 });
    expect(vault.row('SELECT sent_bytes AS n FROM release_egress')['n']).toBe(SIZE);
    await vault.granted({ machine, version }); // one whole copy is gone, this is the second
    vault.expectDenied(await ask(), 'policy_denied');
    await reading.return();
  });

  test('is not given back by a clock that goes backwards', async () => {
    await vault.granted({ machine, version });
    const second = await vault.granted({ machine, version });
    await vault.fetch(machine, second);
    await end(second);
    for (const seconds of [-3_600, -86_400, -2_592_000]) {
      vault.clock.advance(seconds);
      const started = await vault.addNode(); // a process that runs goes on from the time it had; one that starts believes the clock
      vault.expectDenied(await ask(started), 'policy_denied');
    }
  });

  test('of bytes counts what was sent, and its record says how much of the version that was', async () => {
    const granted = await vault.granted({ machine, version });
    expect(await read(granted, 0, SIZE / 2)).toBe(SIZE / 2);
    await end(granted);
    expect(vault.records('release.end').at(-1)?.release).toMatchObject({
      bytes: SIZE / 2,
      sharePpm: 500_000,
      subjectId: machine.subjectId,
    });
  });
});

describe('a release', () => {
  test('is cut when it has sent what it reserved, on whichever node, and a restart forgets nothing', async () => {
    const granted = await vault.granted({ machine, version });
    const reserved = SIZE + SIZE / 8 + 1_048_576;
    expect(await read(granted, 0, SIZE)).toBe(SIZE);
    const other = await vault.addNode();
    const left = reserved - SIZE;
    expect(await read(granted, 0, 1_048_576, other)).toBe(1_048_576);
    let got = 0;
    const cut = await codeFrom(
      (async () => {
        const opened = await vault.opened(machine, granted);
        for await (const chunk of opened.read({ start: 0, end: SIZE }, new AbortController().signal, () => undefined)) got += chunk.length;
      })(),
    );
    expect(cut).toBe('egress_exhausted');
    expect(got).toBeLessThanOrEqual(left - 1_048_576);
    expect(vault.records('object.denied').at(-1)).toMatchObject({ reason: 'egress_exhausted', outcome: 'deny' });
    await end(granted);
    const sent = vault.records('release.end').at(-1)?.release?.bytes ?? 0;
    expect(sent).toBeLessThanOrEqual(reserved);
  });

  test('whose reservation somebody deleted from the database is read no further, in whichever node: no row is no right', async () => {
    const granted = await vault.granted({ machine, version });
    expect(await read(granted, 0, 1)).toBe(1);
    vault.database.exec('DELETE FROM release_egress');
    for (const node of [undefined, await vault.addNode()]) {
      expect(await codeFrom(read(granted, 0, SIZE, node))).toBe('egress_exhausted');
    }
  });

  test('gets back what it claimed for a range and did not read', async () => {
    const granted = await vault.granted({ machine, version });
    for (let at = 0; at < 20; at++) {
      const opened = await vault.opened(machine, granted);
      const reading = opened.read({ start: 0, end: SIZE }, new AbortController().signal, () => undefined);
      await reading.next();
      await reading.return();
      if ((vault.row('SELECT claimed_bytes AS n FROM release_egress')['n'] as number) > SIZE) break;
    }
    expect(await read(granted, SIZE / 2, 1)).toBe(1);
  });

  test('is held to nothing where no policy speaks of budgets', async () => {
    await vault.twoPeople({ kind: 'policy-set', namespace: PROD, counter: 2, policies: starterPolicies('restricted') });
    const granted = await vault.granted({ machine, version });
    for (let at = 0; at < 3; at++) expect(await read(granted, 0, SIZE)).toBe(SIZE);
  });

  test('whatever is asked, ended and read in whatever order: open and whole copies are never more than the budget', async () => {
    const other = await vault.addNode();
    const step = fc.oneof(
      fc.record({ do: fc.constant('ask' as const), count: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ do: fc.constant('end' as const), count: fc.integer({ min: 0, max: 3 }) }),
      fc.record({ do: fc.constant('read' as const), count: fc.integer({ min: 0, max: 3 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 8 }), async (steps) => {
        vault.clock.advance(86_401); // a day of its own
        const open: Granted[] = [];
        const whole = new Set<string>();
        for (const { do: what, count } of steps) {
          if (what === 'ask') {
            const answers = await Promise.all(Array.from({ length: count }, (_, at) => ask(at % 2 === 0 ? vault.node : other)));
            open.push(...answers.flatMap((one) => (isRefusal(one) ? [] : [one])));
          }
          const one = open[count];
          if (what === 'read' && one !== undefined) {
            await vault.fetch(machine, one).then(
              () => whole.add(one.permit.releaseId),
              () => undefined,
            );
          }
          if (what === 'end' && one !== undefined) {
            await end(one);
            open.splice(count, 1);
          }
          const copies = new Set([...open.map(({ permit }) => permit.releaseId), ...whole]);
          expect(copies.size).toBeLessThanOrEqual(2);
        }
        for (const one of open) await end(one);
      }),
      { numRuns: 12 },
    );
  });
});
