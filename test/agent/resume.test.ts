/** A fetch that did not end: what the next one believes of what is there, what it fetches, and what it never does. */
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { GrantedRelease } from '../../src/agent/data-client.ts';
import { type FetchOptions, fetchRelease } from '../../src/agent/fetch.ts';
import { type LastingRelease, lastingRelease } from '../../src/agent/lasting-release.ts';
import { partNames } from '../../src/agent/part-file.ts';
import { createRetries } from '../../src/agent/retry.ts';
import { codeOf, VaultError } from '../../src/domain/errors.ts';
import { filesBelow, until } from '../e2e/real-vault.ts';
import { breakingAfter, granted, ID, refusing, type ScriptedVault, serving, startScriptedVault } from './scripted-vault.ts';

const MIB = 1024 * 1024;
const NEXT_ID = '01890000-0000-7000-8000-000000000001';
const bytes = randomBytes(40 * MIB);
const release = granted({ 'model.bin': bytes });
let vault: ScriptedVault;
let root: string;
let folder: string;
let turn = 0;

beforeAll(async () => {
  vault = await startScriptedVault();
  root = mkdtempSync(join(tmpdir(), 'wv-resume-'));
});
afterAll(async () => {
  await vault.stop();
  rmSync(root, { recursive: true, force: true });
});
beforeEach(() => {
  folder = join(root, `target-${++turn}`);
  mkdirSync(folder);
  vault.asked.length = 0;
});

const impatient = () => createRetries({ giveUpSeconds: 0 });
const patient = () => createRetries({ firstMs: 1, mostMs: 20, giveUpSeconds: 20 });
const fetched = (which: GrantedRelease | LastingRelease = release, options: FetchOptions = {}) =>
  fetchRelease(vault.client, 'all' in which ? which : lastingRelease(which), folder, { retries: impatient(), ...options });
const failure = (work: Promise<unknown>) => work.then(() => undefined, codeOf);
const at = (...parts: string[]) => join(folder, ...parts);
const received = () => readFileSync(at('model.bin')).equals(bytes);
const askedBytes = () => vault.asked.reduce((sum, { start, end }) => sum + end - start, 0);
const names = partNames({ versionDigest: release.versionDigest, path: 'model.bin' as GrantedRelease['objects'][number]['path'] });
const [part, journal] = [`.wv-part/${names.data}`, `.wv-part/${names.journal}`];

/** Two of three pieces are here, and the third is missing. */
async function halfWay(): Promise<void> {
  vault.answer = (request, response) =>
    (request.headers.range === 'bytes=33554432-41943039' ? refusing('release_expired') : serving(bytes))(request, response);
  // One stream: the first two pieces are whole before the third fails.
  expect(await failure(fetched(release, { streams: 1 }))).toBe('release_expired');
  expect(filesBelow(folder)).toEqual([at(journal), at(part)].sort());
  vault.asked.length = 0;
  vault.answer = serving(bytes);
}

describe('a second fetch', () => {
  test('asks for nothing that is here, and leaves the file alone under its name', async () => {
    await halfWay();
    let resumed = 0;
    await fetched(release, { onResumed: (more) => (resumed += more) });
    expect(vault.asked.map(({ start, end }) => [start, end])).toEqual([[33_554_432, 41_943_040]]);
    expect([received(), resumed, filesBelow(folder), existsSync(at('.wv-part'))]).toEqual([true, 33_554_432, [at('model.bin')], false]);
  });

  test('asks for nothing at all when every file is here and right', async () => {
    writeFileSync(at('model.bin'), bytes);
    await fetched();
    expect([vault.asked, received()]).toEqual([[], true]);
  });

  test('replaces a file of that name that is not right', async () => {
    writeFileSync(at('model.bin'), Buffer.alloc(bytes.length));
    vault.answer = serving(bytes);
    await fetched();
    expect([received(), askedBytes()]).toEqual([true, bytes.length]);
  });

  test('of another version uses nothing of the first, and removes it', async () => {
    await halfWay();
    await fetched({ ...release, versionDigest: 'e'.repeat(64) as GrantedRelease['versionDigest'] });
    expect([received(), askedBytes(), filesBelow(folder)]).toEqual([true, bytes.length, [at('model.bin')]]);
  });
});

describe('what a journal says is believed only as far as it can be', () => {
  test('a line cut off by a crash ends it', async () => {
    await halfWay();
    truncateSync(at(journal), statSync(at(journal)).size - 3);
    await fetched();
    expect([received(), askedBytes()]).toEqual([true, bytes.length - 16 * MIB]);
  });

  test('it lies: one more fetch, and the file is right', async () => {
    await halfWay();
    writeFileSync(at(part), Buffer.alloc(bytes.length));
    await fetched();
    expect([received(), filesBelow(folder)]).toEqual([true, [at('model.bin')]]);
  });

  test('it claims everything: the digest still decides', async () => {
    await halfWay();
    writeFileSync(at(part), Buffer.alloc(bytes.length));
    writeFileSync(at(journal), `${readFileSync(at(journal), 'utf8').split('\n')[0]}\n{"start":0,"end":${bytes.length}}\n`);
    await fetched();
    expect(received()).toBe(true);
  });

  test('it covers more than the file holds: that much is fetched again', async () => {
    await halfWay();
    truncateSync(at(part), 17 * MIB);
    await fetched();
    expect(received()).toBe(true);
    expect(askedBytes()).toBeGreaterThanOrEqual(bytes.length - 17 * MIB);
  });

  test.each([
    ['nothing', ''],
    ['nonsense', 'nonsense\n{"start":0,"end":10}\n'],
    ['ranges outside the file', `{"start":0,"end":${2 ** 52}}\n`],
    ['a range that is none', '{"start":10,"end":10}\n'],
  ])('it holds %s', async (_what, text) => {
    await halfWay();
    const head = readFileSync(at(journal), 'utf8').split('\n')[0];
    writeFileSync(at(journal), text.startsWith('{') ? `${head}\n${text}` : text);
    await fetched();
    expect([received(), askedBytes()]).toEqual([true, bytes.length]);
  });
});

describe('a connection that breaks', () => {
  test('again and again, is taken up where it broke: no byte comes twice', async () => {
    vault.answer = breakingAfter(bytes, 3 * MIB);
    let came = 0;
    await fetched(release, { retries: patient(), onBytes: (more) => (came += more) });
    expect([received(), came]).toEqual([true, bytes.length]);
    expect(vault.asked.length).toBeGreaterThan(10);
  });

  test('for good, is given up with what came kept', async () => {
    vault.answer = breakingAfter(bytes, MIB);
    expect(await failure(fetched(release, { streams: 1 }))).toBe('vault_unreachable');
    vault.asked.length = 0;
    vault.answer = serving(bytes);
    await fetched();
    expect(received()).toBe(true);
    expect(askedBytes()).toBeLessThan(bytes.length);
  });

  test('by us, is `interrupted`, with what came kept', async () => {
    const abort = new AbortController();
    vault.answer = breakingAfter(bytes, MIB);
    const onBytes = () => abort.abort(new VaultError('interrupted'));
    expect(await failure(fetched(release, { streams: 1, retries: patient(), signal: abort.signal, onBytes }))).toBe('interrupted');
    vault.asked.length = 0;
    vault.answer = serving(bytes);
    await fetched();
    expect(received()).toBe(true);
    expect(askedBytes()).toBeLessThan(bytes.length);
  });

  test.each(['release_cut', 'subject_blocked', 'policy_denied'])('%s is never tried again, and nothing stays', async (code) => {
    vault.answer = refusing(code);
    expect(await failure(fetched(release, { streams: 1, retries: patient() }))).toBe(code);
    expect([vault.asked.length, filesBelow(folder)]).toEqual([1, []]);
  });
});

describe('streams', () => {
  test('are shared by all files, and never more than asked for', async () => {
    const files = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`file-${index}`, randomBytes(1000 + index)]));
    let [open, most] = [0, 0];
    vault.answer = async (request, response) => {
      most = Math.max(most, ++open);
      await until(() => most >= 5); // held until as many are open as may be
      await sleep(50);
      open--;
      serving(files[request.url?.split('/').at(-1) ?? ''] ?? Buffer.alloc(0))(request, response);
    };
    await fetched(granted(files), { streams: 5 });
    expect(most).toBe(5);
    expect(readdirSync(folder).sort()).toEqual(Object.keys(files).sort());
    for (const [name, content] of Object.entries(files)) expect(readFileSync(at(name)).equals(content)).toBe(true);
  });
});

describe('a release that expires', () => {
  const expiring =
    (goodUntil: number) =>
    (request: Parameters<ScriptedVault['answer']>[0], response: Parameters<ScriptedVault['answer']>[1]): unknown => {
      const under = /releases\/([^/]+)/.exec(request.url ?? '')?.[1];
      return (under === ID && vault.asked.length > goodUntil ? refusing('release_expired') : serving(bytes))(request, response);
    };

  test('is attested anew, once for all streams, and the fetch goes on', async () => {
    vault.answer = expiring(1);
    let attested = 0;
    const lasting = lastingRelease(release, async () => {
      attested++;
      await sleep(20);
      return { ...release, releaseId: NEXT_ID as GrantedRelease['releaseId'] };
    });
    await fetched(lasting);
    expect([received(), attested]).toEqual([true, 1]);
    expect(lasting.all.map(({ releaseId }) => releaseId)).toEqual([ID, NEXT_ID]); // both are the caller's to end
  });

  test.each<[string, Partial<GrantedRelease>]>([
    ['another version', { versionDigest: 'f'.repeat(64) as GrantedRelease['versionDigest'] }],
    ['another file under the same version', { objects: granted({ 'model.bin': Buffer.from('x') }).objects }],
  ])('into %s stops with digest_mismatch', async (_what, change) => {
    vault.answer = expiring(1);
    const lasting = lastingRelease(release, async () => ({ ...release, releaseId: NEXT_ID as GrantedRelease['releaseId'], ...change }));
    expect(await failure(fetched(lasting, { streams: 1 }))).toBe('digest_mismatch');
    expect(lasting.all.length).toBe(2);
    expect(filesBelow(folder)).toEqual([]);
  });

  test('at once each time is not attested for ever', async () => {
    vault.answer = refusing('release_expired');
    let attested = 0;
    const lasting = lastingRelease(release, async () => {
      const releaseId = NEXT_ID.replace(/1$/, String(++attested)) as GrantedRelease['releaseId'];
      return { ...release, releaseId };
    });
    expect(await failure(fetched(lasting))).toBe('release_expired');
    expect(attested).toBe(3);
  });
});

describe('the target folder', () => {
  const victim = () => join(root, `victim-${turn}`);
  const away = () => join(root, `away-${turn}`);
  beforeEach(() => {
    mkdirSync(away());
    writeFileSync(victim(), 'not ours');
    vault.answer = serving(bytes);
  });

  test.each<[string, from: () => string, to: () => string]>([
    ['the file', () => at('model.bin'), victim],
    ['the unfinished file', () => at(part), victim],
    ['the journal', () => at(journal), victim],
    ['the lock', () => at('.wv-part/lock'), victim],
    ['the folder of unfinished files', () => at('.wv-part'), away],
  ])('%s is a link: refused, and nothing is written through it', async (_what, from, to) => {
    if (from() !== at('.wv-part')) mkdirSync(at('.wv-part'));
    symlinkSync(to(), from());
    expect(await failure(fetched())).toBe('path_invalid');
    expect(readFileSync(victim(), 'utf8')).toBe('not ours');
    expect(readdirSync(away())).toEqual([]);
  });

  test('a folder on the way to a file is a link: refused', async () => {
    symlinkSync(away(), at('deep'));
    expect(await failure(fetched(granted({ 'deep/er/model.bin': bytes })))).toBe('path_invalid');
    expect(readdirSync(away())).toEqual([]);
  });

  test.each(['.wv-part/lock', '.WV-PART/x', '.wv-part'])('no object is called %s', async (path) => {
    expect(await failure(fetched(granted({ [path]: bytes })))).toBe('path_invalid');
  });

  test('something else than a file has the name: told, not replaced', async () => {
    mkdirSync(at('model.bin'));
    expect(await failure(fetched())).toBe('target_unwritable');
    rmSync(at('model.bin'), { recursive: true });
    writeFileSync(at('deep'), 'a file');
    expect(await failure(fetched(granted({ 'deep/model.bin': bytes })))).toBe('target_unwritable');
  });

  test('two fetches at once: the second is refused; a lock whose process died is no lock', async () => {
    const secondDone = Promise.withResolvers<void>();
    vault.answer = async (request, response) => {
      await secondDone.promise;
      serving(bytes)(request, response);
    };
    const first = fetched();
    await until(() => vault.asked.length > 0);
    expect(JSON.stringify(readFileSync(at('.wv-part/lock'), 'utf8'))).toContain(hostname());
    // The lock names this very process; another one that lives stands in for it.
    writeFileSync(at('.wv-part/lock'), `${process.ppid} ${hostname()}\n`);
    expect(await failure(fetched())).toBe('usage');
    secondDone.resolve();
    await first;
    mkdirSync(at('.wv-part'), { recursive: true });
    writeFileSync(at('.wv-part/lock'), `4194304 ${hostname()}\n`); // beyond the largest pid there can be
    rmSync(at('model.bin'));
    await fetched();
    expect(received()).toBe(true);
    writeFileSync(join(folder, 'other'), '');
    mkdirSync(at('.wv-part'));
    writeFileSync(at('.wv-part/lock'), '1 another-host\n');
    expect(await failure(fetched())).toBe('usage');
  });
});
