/** What the vault notices beside a release and a login, for rules to speak of. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { siteFinder } from '../../src/config/sites.ts';
import { loginSignals } from '../../src/vault/notice.ts';
import { keepHouse } from '../../src/vault/outcome.ts';
import type { Granted } from '../../src/vault/release.ts';
import { GOOD_PCRS, type Machine, type Published, TestVault } from './test-vault.ts';

const SIZE = 4 * 1_048_576;
let vault: TestVault;
let machine: Machine;
let version: Published;
beforeEach(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('gpu-1');
  version = await vault.publish('falcon', 'restricted', { 'weights.bin': Buffer.alloc(SIZE, 3) });
});
afterEach(() => vault.remove());

const signals = (type = 'release.noticed') => vault.records(type).map((record) => (record as { signals?: string[] }).signals);
const read = async (granted: Granted, start: number, bytes: number) => {
  const opened = await vault.opened(machine, granted);
  for await (const _ of opened.read({ start, end: start + bytes }, new AbortController().signal, () => undefined));
};

test('a requester is noticed the first time, and not again until something is new', async () => {
  await vault.granted({ machine, version });
  expect(signals()).toEqual([['first-seen-measurement', 'first-seen-machine', 'first-seen-certificate', 'first-seen-network']]);
  await vault.granted({ machine, version });
  expect(signals()).toHaveLength(1);
  await vault.granted({ machine: { ...machine, spki: Buffer.concat([machine.spki.subarray(0, -1), Buffer.of(1)]) }, version });
  expect(signals().at(-1)).toEqual(['first-seen-certificate']);
  const another = await vault.machine('gpu-2', { pcrs: GOOD_PCRS });
  await vault.granted({ machine: another, version });
  expect(signals().at(-1)).toContain('first-seen-machine');
  expect(JSON.stringify(vault.records())).not.toContain('198.51.100'); // an address is in no record
});

test('many small ranges are told in lots while the release lasts, the rest at its end', async () => {
  const granted = await vault.granted({ machine, version });
  for (let at = 0; at < 260; at++) await read(granted, at * 64, 64);
  await vault.vault.meter.flush();
  for (let round = 0; round < 2; round++) await keepHouse(vault.vault);
  const told = () => vault.records('release.noticed').flatMap(({ release }) => release?.['smallRanges'] ?? []);
  expect(told()).toEqual([260]);
  await read(granted, 0, 64);
  vault.clock.advance(3_601);
  await vault.vault.meter.flush();
  await keepHouse(vault.vault);
  expect(vault.records('release.end').at(-1)?.release).toMatchObject({ smallRanges: 1 });
  expect(told()).toEqual([260]);
});

test('half of a file in pieces that do not follow each other is told once; in order it is not', async () => {
  const piece = 512 * 1024;
  const inOrder = await vault.granted({ machine, version });
  for (let at = 0; at < 8; at++) await read(inOrder, at * piece, piece);
  expect(signals().flat()).not.toContain('scattered-reads');
  const scattered = await vault.granted({ machine, version });
  for (const at of [7, 5, 3, 1, 6, 4, 2, 0]) await read(scattered, at * piece, piece);
  expect(signals().filter((one) => one?.includes('scattered-reads'))).toHaveLength(1);
});

test('a login says what is new of it', async () => {
  const first = vault.records('admin.login').length;
  await vault.login('carol');
  await vault.login('carol');
  const [fresh, known] = signals('admin.login').slice(first);
  expect([fresh, known]).toEqual([['first-seen-workstation', 'first-seen-network'], undefined]);
});

describe('where sites are declared', () => {
  const siteOf = siteFinder([
    { name: 'berlin', country: 'DE', networks: ['198.51.100.0/25'] },
    { name: 'oslo', country: 'NO', networks: ['198.51.100.128/25'] },
  ]);

  test('a release says where it went, and that it went to another country', async () => {
    const sited = await vault.addNode({ siteOf });
    await vault.granted({ machine, version, node: sited });
    expect(signals().at(-1)).toContain('first-seen-country');
    expect(vault.records('release.begin').at(-1)?.release).toMatchObject({ site: 'berlin' });
    await vault.granted({ machine, version, node: sited, remoteAddress: '198.51.100.200' });
    expect(signals().at(-1)).toEqual(['first-seen-country']); // of the same /24
    expect(vault.records('release.begin').at(-1)?.release).toMatchObject({ site: 'oslo' });
    await vault.granted({ machine, version, node: sited });
    expect(signals()).toHaveLength(2);
    await vault.granted({ machine, version, node: sited, remoteAddress: '203.0.113.9' });
    expect(signals().at(-1)).toEqual(['first-seen-network', 'first-seen-country']);
    expect(vault.records('release.begin').at(-1)?.release).toMatchObject({ site: 'elsewhere' });
    await vault.granted({ machine, version });
    expect(vault.records('release.begin').at(-1)?.release).not.toHaveProperty('site'); // a node that declares none
  });

  test('a person in two countries within an hour is told, and not after it', async () => {
    const from = (address: string) =>
      vault.stores.unitOfWork.run((tx) => loginSignals('carol', 'workstation', address, tx, { ...vault.vault, siteOf }));
    await from('198.51.100.5');
    expect(await from('198.51.100.6')).toEqual([]);
    expect(await from('198.51.100.200')).toEqual(['other-country']);
    vault.clock.advance(1_800);
    expect(await from('203.0.113.9')).toContain('other-country');
    vault.clock.advance(3_601);
    expect(await from('198.51.100.5')).toEqual([]);
  });
});
