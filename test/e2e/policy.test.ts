/** `wv policy show|diff|who-can` and `wv reference import` against a real vault (real-vault.ts): what a reviewer of access and a policy author ask it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CompactSign } from 'jose';
import { VALUES_TYPE } from '../../src/attestation/jwt/signed-values.ts';
import { withTpmRequester } from '../../src/cli/requester.ts';
import { makeKey } from '../attestation/token-issuer.ts';
import { newRelease, type RealVault, refusal, startRealVault, withRequester, wv, wvJson } from './real-vault.ts';

const POLICIES = fileURLToPath(new URL('../../policies', import.meta.url));
const lastLine = (text: string) => text.trimEnd().split('\n').at(-1);
const folder = mkdtempSync(join(tmpdir(), 'wv-policy-online-'));
let vault: RealVault;
let kit: string[];
let machine: string;

beforeAll(async () => {
  vault = await startRealVault();
  machine = await vault.enrolled('gpu-node-1');
  await vault.promote();
  kit = ['--kit', vault.kit('alice')];
});
afterAll(() => vault?.stop());
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const inForce = () => wvJson('policy', 'show', ...kit) as Promise<{ counter: number; policies: Array<{ id: string; text: string }> }>;

describe('wv policy show', () => {
  test('the set in force: each policy with its digest, and who consented', async () => {
    const { exit, out } = await wv('policy', 'show', ...kit);
    expect([exit, out]).toEqual([0, expect.stringMatching(/^restricted-to-production-fleet +permit +[0-9a-f]{64}$/m)]);
    expect(out).toMatch(/^consents {2}[0-9a-f-]{36}, [0-9a-f-]{36}$/m);
    expect(lastLine(out)).toMatch(/^\d+ policies are in force\.$/);
    const { policies } = await inForce();
    expect((await wv('policy', 'show', ...kit, '--text')).out).toBe(`${policies.map(({ text }) => text).join('\n\n')}\n`);
  });

  test('none', async () => {
    const { exit, out } = await wv('policy', 'show', ...kit, '--namespace', 'nothing-here');
    expect([exit, out]).toEqual([0, 'No policy set is in force in nothing-here: nothing is permitted.\n']);
  });
});

describe('wv policy who-can', () => {
  test('release: the enrolled machine, under the set in force', async () => {
    const { exit, out } = await wv('policy', 'who-can', 'release', '--class', 'restricted', ...kit);
    expect(exit).toBe(0);
    expect(out).toMatch(/^gpu-node-1 +restricted +if fresh and keyBound and hardware +restricted-to-production-fleet /m);
    expect(lastLine(out)).toBe('Of 1 requester in default, by class: restricted 1.');
  });

  test('the matrix names every administrator of the ceremony', async () => {
    const { exit, out } = await wv('policy', 'who-can', ...kit);
    const { administrators } = (await wvJson('policy', 'who-can', ...kit)) as { administrators: Array<{ administrator: string }> };
    const names = administrators.map(({ administrator }) => administrator);
    expect([exit, names]).toEqual([0, expect.arrayContaining(['alice', 'bob'])]);
    expect(out).toMatch(new RegExp(`^ACTION +${names.join(' +')}$`, 'm'));
    expect(lastLine(out)).toMatch(new RegExp(`of ${names.length} administrators can change something: .*alice`));
  });
});

describe('wv policy diff', () => {
  test('the set in force against itself changes nothing', async () => {
    const same = join(folder, 'same.cedar');
    writeFileSync(same, (await inForce()).policies.map(({ text }) => text).join('\n\n'));
    const { exit, out } = await wv('policy', 'diff', ...kit, same);
    expect([exit, lastLine(out)]).toEqual([
      0,
      expect.stringMatching(/^No decision changes \(asked: 1 requester, \d+ kinds of version, \d+ assumptions\)\.$/),
    ]);
    expect(out).toContain('no policy changes');
  });

  test('a set without the restricted policies: which policies go, and which decision turns', async () => {
    const { exit, out } = await wv('policy', 'diff', ...kit, join(POLICIES, 'public.cedar'), join(POLICIES, 'internal.cedar'));
    expect(exit).toBe(0);
    expect(out).toMatch(/^removed {2}restricted-to-production-fleet$/m);
    expect(out).toMatch(
      /^gpu-node-1 +release of restricted versions.* permit -> deny +fresh and keyBound and hardware +restricted-to-production-fleet$/m,
    );
    expect(lastLine(out)).toMatch(/0 to permit, [1-9]\d* to deny/);
  });

  test("the vault's own set: what an administrator loses", async () => {
    const without = join(folder, 'people.cedar');
    const text = readFileSync(join(POLICIES, 'administrators.cedar'), 'utf8');
    writeFileSync(without, text.replace(/@id\("publisher"\)[\s\S]*?;/, ''));
    const { exit, out } = await wv('policy', 'diff', ...kit, '--namespace', 'system', without);
    expect(exit).toBe(0);
    expect(out).toMatch(/^alice +publishVersion in system +permit -> deny +- +publisher$/m);
  });

  test('a file that could not be put in force is refused with its place', async () => {
    const bad = join(folder, 'bad.cedar');
    writeFileSync(bad, '@id("a") permit (principl, action, resource);');
    const { exit, err } = await wv('policy', 'diff', ...kit, bad);
    expect([exit, err]).toEqual([3, expect.stringContaining('bad.cedar:1:18')]);
  });
});

describe('wv reference import', () => {
  const [builder, stranger] = [makeKey('builder'), makeKey('stranger')];
  const write = (name: string, content: string | Buffer) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const release = () => withRequester(machine, (one) => refusal(() => newRelease(one, vault.versionId)));
  const signed = (payload: object, by = builder) =>
    new CompactSign(Buffer.from(JSON.stringify(payload))).setProtectedHeader({ alg: 'ES256', typ: VALUES_TYPE }).sign(by.privateKey);

  test("a builder's signed values count once two people have said so, beside those in force, and nobody else's", async () => {
    const pcrs = await withTpmRequester(machine, async ({ attester }) => (await attester.readPcrs())['sha256'] ?? {});
    const state = Object.fromEntries(Object.entries(pcrs).map(([index, value]) => [index, [value]]));
    await vault.propose('reference-values', {
      values: [{ id: 'old', kind: 'tpm2', pcrs: { sha256: { ...state, '7': ['ff'.repeat(32)] } } }],
    });
    expect(await release()).toBe('measurement_mismatch');

    const values = [{ id: 'new', kind: 'tpm2', pcrs: { sha256: state }, source: 'says everybody' }];
    const signer = write('builder.pem', builder.publicKey.export({ type: 'spki', format: 'pem' }));
    const honest = write('image.jws', await signed({ values }));
    const foreign = await wv('reference', 'import', ...kit, '--signer', signer, write('foreign.jws', await signed({ values }, stranger)));
    expect([foreign.exit, foreign.err]).toEqual([2, expect.stringContaining('not of this signer')]);

    const asked = (await wvJson('reference', 'import', ...kit, '--signer', signer, honest)) as {
      requestId: string;
      operationDigest: string;
    };
    expect(await release()).toBe('measurement_mismatch');
    const alone = { operationDigest: asked.operationDigest };
    const path = `/v1/namespaces/default/requests/${asked.requestId}/approve`;
    expect(await refusal(() => vault.as('alice', (alice) => alice.call('POST', path, alone)))).toBe('approval_self');
    await vault.approve(asked, 'default', 'alice');
    expect(await release()).toBeUndefined();

    const { body } = await vault.as('alice', (alice) => alice.call('GET', '/v1/namespaces/default/documents/reference-values'));
    expect(body).toMatchObject({
      values: [{ id: 'old' }, { id: 'new', source: expect.stringMatching(/^signed by the key [0-9a-f]{64}$/) }],
    });
  });
});

test('the lists behind it hold no secret, and a person without a session gets none of them', async () => {
  const { administrators } = (await wvJson('policy', 'who-can', 'readLog', ...kit)) as { administrators: object[] };
  expect(JSON.stringify(administrators)).not.toMatch(/seed|workstation|spki/i);
  rmSync(join(vault.kit('bob'), 'session'), { force: true });
  const { exit, err } = await wv('policy', 'who-can', '--kit', vault.kit('bob'));
  expect([exit, err]).toEqual([3, expect.stringMatching(/^session_missing/)]);
});
