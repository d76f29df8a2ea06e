/** `keeper` in vault.json: who holds the keys, and that the two ways are never mixed. */
import { describe, expect, test } from '@jest/globals';
import { parseConfig } from '../../src/config/config.ts';
import { codeOf, VaultError } from '../../src/domain/errors.ts';
import { parseKeeperFile } from '../../src/keys/keeper/config.ts';
import { awsEnvironment } from '../../src/keys/keeper/environment.ts';

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

describe('collateral in vault.json', () => {
  const source = { of: 'sev-snp', product: 'Genoa', kds: 'https://kds.example' };
  const collateral = (change: object) => () => parsed({ token, collateral: { everyHours: 12, sources: [source], ...change } });

  test('is off when absent, and says where from and how often', () => {
    expect(parsed({ token }).collateral).toBeUndefined();
    expect(collateral({ authorities: 'mirror.pem' })().collateral).toEqual({
      everyHours: 12,
      authorities: '/v/mirror.pem',
      sources: [source],
    });
  });

  test('names each setting that it does not understand', () => {
    for (const change of [
      { everyHours: 0 },
      { sources: [] },
      { sources: [{ ...source, kds: 'https://kds.example/' }] },
      { sources: [{ ...source, product: 'Rome' }] },
      { sources: [{ of: 'file', name: 'x', url: 'file:///etc/passwd' }] },
    ]) {
      expect(refusal(collateral(change))).toMatch(/^configuration_invalid: .*collateral/);
    }
  });
});

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

describe('vault.json with AWS KMS', () => {
  const kms = { region: 'eu-central-1', aliasPrefix: 'weight-vault/prod', credentialsFile: '../aws.json' };

  test('a child keeper is started with it; the path is that from the folder of the file', () => {
    expect(parsed({ kms }).keeper).toEqual({ mode: 'child', kms: { ...kms, credentialsFile: '/aws.json' } });
    expect(parsed({ kms, formerKeeper: 'old/keeper.sock' }).keeper).toMatchObject({ mode: 'child', formerKeeper: '/v/old/keeper.sock' });
    const { credentialsFile: _, ...role } = kms;
    expect(parsed({ kms: role }).keeper).toEqual({ mode: 'child', kms: role });
  });

  test.each([
    ['beside a token', { kms, token }, /kms: a vault has its keys in a token or in AWS KMS/],
    ['with an external keeper', { kms, keeper: { mode: 'external' } }, /kms: an external keeper has its own/],
    ['and a former keeper with an external one', { formerKeeper: '/s', keeper: { mode: 'external' } }, /formerKeeper: an external/],
    ['without a region', { kms: { aliasPrefix: 'v' } }, /kms\.region/],
    ['with a secret in it', { kms: { ...kms, secretAccessKey: 's' } }, /secretAccessKey/],
  ])('refuses it %s, and names the setting', (_, change, says) => {
    const refused = refusal(() => parsed(change));
    expect(refused).toMatch(/^configuration_invalid/);
    expect(refused).toMatch(says);
  });
});

describe('keeper.json of AWS KMS', () => {
  const kms = { provider: 'aws-kms', region: 'eu-central-1', aliasPrefix: 'weight-vault/prod', socket: '/run/keeper/keeper.sock' };
  const read = (change: object) => parseKeeperFile(JSON.stringify({ ...kms, ...change }));

  test('is what a keeper is started with', () => {
    const all = {
      credentialsFile: '/keys/aws.json',
      formerKeeper: '/run/old.sock',
      deletionDays: 7,
      endpoint: 'https://vpce.example',
      socketGroup: 10_003,
    };
    expect(read(all)).toEqual({ config: { ...kms, ...all }, softhsmConf: undefined });
    expect(read({})).toEqual({ config: kms, softhsmConf: undefined });
    for (const region of ['us-gov-west-1', 'cn-north-1', 'us-iso-east-1', 'eusc-de-east-1'])
      expect(read({ region: region }).config).toMatchObject({ region });
  });

  test.each([
    ['another provider', { provider: 'gcp-kms' }],
    ['a setting of a token', { tokenLabel: 'v' }],
    ['the configuration of SoftHSM', { softhsmConf: '/keys/conf' }],
    ['a secret', { secretAccessKey: 's' }],
    ['no region', { region: undefined }],
    ['an address for a region', { region: 'eu-central-1.evil.example/' }],
    ['no prefix', { aliasPrefix: '' }],
    ['the prefix of AWS', { aliasPrefix: 'aws/vault' }],
    ['a prefix that ends in a slash', { aliasPrefix: 'vault/' }],
    ['a prefix with alias/ in it twice over', { aliasPrefix: 'a//b' }],
    ['a prefix too long', { aliasPrefix: 'a'.repeat(65) }],
    ['plain http to another machine', { endpoint: 'http://kms.example' }],
    ['an endpoint with a password', { endpoint: 'https://me:pw@kms.example' }],
    ['no address', { endpoint: 'kms.example' }],
    ['a relative path', { credentialsFile: 'aws.json' }],
    ['six days', { deletionDays: 6 }],
    ['thirty-one days', { deletionDays: 31 }],
    ['days as text', { deletionDays: '7' }],
    ['a relative socket', { socket: 'keeper.sock' }],
    ['a relative former keeper', { formerKeeper: 'old.sock' }],
    ['itself as former keeper', { formerKeeper: '/run/keeper/keeper.sock' }],
    ['a former keeper too long', { formerKeeper: `/${'a'.repeat(107)}` }],
  ])('refuses %s', (_, change) => expect(refusal(() => read(change))).toMatch(/^configuration_invalid/));
});

test('a keeper of AWS KMS sees the role of its machine, and neither profiles, nor static keys, nor an endpoint of the environment', () => {
  const parent = {
    AWS_ROLE_ARN: 'arn',
    AWS_ACCESS_KEY_ID: 'AKIA',
    AWS_SECRET_ACCESS_KEY: 's',
    AWS_ENDPOINT_URL: 'http://evil',
    HOME: '/root',
  };
  expect(awsEnvironment(parent)).toEqual({
    AWS_ROLE_ARN: 'arn',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
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
