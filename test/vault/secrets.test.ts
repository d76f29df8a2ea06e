/**
 * Promise P5 and C9: after everything a vault does, no file of it holds a seed, a DEK or a session token. Not searched for: the PIN, which only
 * the keeper has, and the activation secret, which nobody outside beginEnrolment ever sees.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { canonicalJson } from '../../src/domain/json.ts';
import { authenticate } from '../../src/vault/authorize.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { beginEnrolment } from '../../src/vault/enrol.ts';
import { keepHouse } from '../../src/vault/outcome.ts';
import { captured, root } from '../attestation/samples.ts';
import { codeFrom, marker, PROD, TestVault } from './test-vault.ts';

let vault: TestVault;
const tokens: string[] = [];
const printed: string[] = [];

beforeAll(async () => {
  for (const stream of [process.stdout, process.stderr] as const)
    jest.spyOn(stream, 'write').mockImplementation((chunk) => printed.push(Buffer.from(chunk as Uint8Array).toString('latin1')) > 0);
  for (const method of ['log', 'info', 'warn', 'error', 'debug'] as const)
    jest.spyOn(console, method).mockImplementation((...said) => void printed.push(said.map(String).join(' ')));
  vault = await TestVault.ready();
  for (const name of ['alice', 'bob', 'carol']) tokens.push(await vault.login(name));
  const [machine, bad] = [await vault.machine('gpu-1'), await vault.machine('gpu-2')];
  const version = await vault.publish('falcon', 'restricted', { 'weights.bin': marker(3 << 20), 'config.json': marker(10) });
  const granted = await vault.granted({ machine, version });
  await vault.fetch(machine, granted);
  await codeFrom(vault.ask({ machine, version, evidence: [] }));
  await codeFrom(vault.ask({ machine: bad, version, binding: new Uint8Array(3) }));
  await blockSubject(await vault.as('bob'), PROD, 'gpu-2', vault.vault);
  await vault.twoPeople({ kind: 'trust-anchors', namespace: PROD, counter: 2, anchors: [root] });
  await beginEnrolment(
    await vault.as('alice'),
    { namespace: PROD, name: 'gpu-17', attributes: {}, request: captured.enrolment },
    vault.vault,
  );
  await vault.node.sequencer.tick();
  vault.clock.advance(3600);
  await keepHouse(vault.vault);
  jest.restoreAllMocks();
});
afterAll(() => vault.remove());

/** Every file of the vault, the write-ahead log included: bytes that were deleted from a table are still there. */
function files(): Array<readonly [name: string, bytes: Buffer]> {
  const folder = vault.site.folder;
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(folder, name)).isFile());
  expect(names).toEqual(expect.arrayContaining(['vault.db', 'vault.db-wal']));
  return names.map((name) => [name, readFileSync(join(folder, name))] as const);
}

/** In whatever spelling: raw, hex in both cases, base64 and base64url at each of the three alignments. */
function spellings(bytes: Uint8Array): Buffer[] {
  const hex = Buffer.from(bytes).toString('hex');
  const aligned = [0, 1, 2].map((skip) => Buffer.from(bytes.subarray(skip, bytes.length - ((bytes.length - skip) % 3))));
  const texts = [hex, hex.toUpperCase(), ...aligned.flatMap((part) => [part.toString('base64'), part.toString('base64url')])];
  return [Buffer.from(bytes), ...texts.map((text) => Buffer.from(text))];
}

function expectNowhere(what: string, needles: readonly Buffer[]): void {
  expect(needles.every((needle) => needle.length >= 16)).toBe(true); // shorter ones could be found by chance
  const output = Buffer.from(printed.join('\n'), 'latin1');
  for (const [name, bytes] of [...files(), ['what was printed', output] as const]) {
    for (const needle of needles) if (bytes.includes(needle)) throw new Error(`${what} is in ${name}`);
  }
}

describe('nowhere in the database, its write-ahead log, the blobs or the output is', () => {
  test('a search that finds what is there', () => {
    const node = Buffer.from(vault.vault.node);
    expect(() => expectNowhere('the node', [node])).toThrow('is in vault.db'); // it stands in every record
    const digest = Buffer.from(String(vault.row('SELECT digest AS d FROM documents')['d']));
    expect(() => expectNowhere('the digest of a document', [digest])).toThrow('is in vault.db');
  });

  test('a DEK or the seed of an authenticator', () => {
    const lengths = vault.keys.plain.map((bytes) => bytes.length).sort();
    expect(lengths).toEqual([20, 20, 20, 32]); // three people, one version
    for (const secret of vault.keys.plain) expectNowhere(`a secret of ${secret.length} bytes`, spellings(secret));
    for (const { seed } of Object.values(vault.site.people)) expectNowhere('a seed in base32', [Buffer.from(seed)]);
  });

  test('a session token', () => {
    expect(tokens).toHaveLength(3);
    for (const token of tokens) expectNowhere('a token', [Buffer.from(token), ...spellings(Buffer.from(token, 'base64url'))]);
  });

  test('the plaintext of an object', () => expectNowhere('the plaintext', [Buffer.from('PLAINTEXT-MARKER-')]));
});

test('no access record holds the name or the address of a person, only a commitment', () => {
  const leaves = JSON.stringify(vault.records());
  for (const personal of ['alice', 'bob', 'carol', '192.0.2.1', '198.51.100.7']) expect(leaves).not.toContain(`"${personal}"`);
  expect(vault.records('admin.login').length).toBeGreaterThan(2);
});

test('every seed that was opened for a check was wiped after it', () => {
  const seeds = vault.keys.opened.filter((secret) => secret.disposed);
  const held = vault.keys.opened.filter((secret) => !secret.disposed);
  expect(seeds.length).toBeGreaterThan(4);
  expect(held.map((secret) => secret.length)).toEqual([]); // and the block wiped the idle DEK
});

test('an actor, a permit and a granted release can be printed: they hold no secret', async () => {
  const token = await vault.login('alice');
  const actor = await authenticate(
    { token, workstation: vault.person('alice').workstation, requestId: 'r', remoteAddress: '192.0.2.1' },
    vault.vault,
  );
  expect(Buffer.from(canonicalJson(actor)).includes(token)).toBe(false);
});
