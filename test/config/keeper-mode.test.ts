/** `keeper` in vault.json: who holds the keys, and that the two ways are never mixed. */
import { describe, expect, test } from '@jest/globals';
import { parseConfig } from '../../src/config/config.ts';
import { codeOf, VaultError } from '../../src/domain/errors.ts';
import { parseKeeperFile } from '../../src/keys/keeper/config.ts';

const token = { module: '/usr/lib/hsm.so', label: 'v', serial: '01', pinFile: '../token/pin', softhsmConf: 'conf' };
const file = {
  vaultId: '01890000-0000-7000-8000-000000000000',
  vaultDocument: 'a'.repeat(64),
  database: 'vault.db',
  blobs: 'blobs',
  keeperSocket: 'keeper/keeper.sock',
  dataPlane: { host: '127.0.0.1', port: 1, certificate: 'd.crt', privateKey: 'd.key' },
  adminPlane: { host: '127.0.0.1', port: 2, certificate: 'a.crt', privateKey: 'a.key' },
};
const parsed = (change: object) => parseConfig(JSON.stringify({ ...file, ...change }), '/v');

function refusal(work: () => unknown): string {
  try {
    work();
    return 'accepted';
  } catch (error) {
    return `${codeOf(error)}: ${error instanceof VaultError ? error.detail : ''}`;
  }
}

describe('vault.json', () => {
  test('a child keeper is the default, with the token it is started with', () => {
    const expected = { mode: 'child', token: { ...token, pinFile: '/token/pin', softhsmConf: '/v/conf' } };
    expect(parsed({ token }).keeper).toEqual(expected);
    expect(parsed({ token, keeper: { mode: 'child' } }).keeper).toEqual(expected);
  });

  test('an external keeper is a socket and nothing else', () => {
    const external = parsed({ keeper: { mode: 'external' }, keeperSocket: '/run/keeper/keeper.sock' });
    expect(external.keeper).toEqual({ mode: 'external', socket: '/run/keeper/keeper.sock' });
    expect(parsed({ keeper: { mode: 'external' } }).keeper).toEqual({ mode: 'external', socket: '/v/keeper/keeper.sock' });
    expect(JSON.stringify(external)).not.toMatch(/pin|token/i);
  });

  test.each([
    ['external, with a token', { keeper: { mode: 'external' }, token }, /token: an external keeper has its own/],
    ['child, without a token', {}, /token: a child keeper needs one/],
    ['another mode', { keeper: { mode: 'remote' }, token }, /keeper\.mode/],
    ['no mode', { keeper: {}, token }, /keeper\.mode/],
    ['a member too many', { keeper: { mode: 'external', pinFile: '/pin' } }, /pinFile/],
  ])('refuses %s, and names the setting', (_, change, says) => {
    const refused = refusal(() => parsed(change));
    expect(refused).toMatch(/^configuration_invalid/);
    expect(refused).toMatch(says);
  });
});

describe('keeper.json', () => {
  const keeper = { module: '/usr/lib/hsm.so', tokenLabel: 'v', pinFile: '/keys/pin', socket: '/run/keeper/keeper.sock' };
  const read = (change: object) => parseKeeperFile(JSON.stringify({ ...keeper, ...change }));

  test('is what a keeper is started with, and SOFTHSM2_CONF apart', () => {
    expect(read({ socketGroup: 10_003, softhsmConf: '/keys/conf' })).toEqual({
      config: { ...keeper, socketGroup: 10_003 },
      softhsmConf: '/keys/conf',
    });
    expect(read({})).toEqual({ config: keeper, softhsmConf: undefined });
  });

  test.each([
    ['a ceremony', { ceremony: true }],
    ['a relative path', { softhsmConf: 'conf' }],
    ['a relative socket', { socket: 'keeper.sock' }],
    ['root’s group', { socketGroup: 0 }],
    ['the id that means no change', { socketGroup: 4_294_967_295 }],
    ['a group by its name', { socketGroup: 'vault' }],
    ['half a group', { socketGroup: 1.5 }],
    ['an unknown setting', { pin: '1234' }],
  ])('refuses %s', (_, change) => expect(refusal(() => read(change))).toMatch(/^configuration_invalid/));
});
