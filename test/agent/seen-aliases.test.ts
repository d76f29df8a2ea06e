/** An alias may only move on: the requester remembers how far it was. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { rememberCounter, seenCounter } from '../../src/agent/seen-aliases.ts';
import { codeOf } from '../../src/domain/errors.ts';
import { ID, type ScriptedVault, startScriptedVault } from './scripted-vault.ts';

const root = mkdtempSync(join(tmpdir(), 'wv-aliases-'));
const failure = (work: Promise<unknown>) => work.then(() => undefined, codeOf);
const prod = { namespace: 'default', model: 'llama', name: 'prod' };
let file = '';
let turn = 0;
afterAll(() => rmSync(root, { recursive: true, force: true }));
beforeEach(() => {
  file = join(root, `aliases-${++turn}.json`);
});

describe('the counters seen', () => {
  test('are of one alias of one model of one namespace, the highest, and outlive the process', async () => {
    expect(await seenCounter(file, prod)).toBeUndefined();
    await rememberCounter(file, prod, 3);
    await rememberCounter(file, prod, 3);
    await rememberCounter(file, { ...prod, model: 'other' }, 9);
    await rememberCounter(file, prod, 5);
    expect([await seenCounter(file, prod), await seenCounter(file, { ...prod, name: 'test' })]).toEqual([5, undefined]);
    expect(await seenCounter(file, { ...prod, model: 'other' })).toBe(9);
    expect(readdirSync(root).filter((name) => name.startsWith(`aliases-${turn}`))).toEqual([`aliases-${turn}.json`]);
  });

  test('never fall', async () => {
    await rememberCounter(file, prod, 3);
    expect(await failure(rememberCounter(file, prod, 2))).toBe('alias_stale');
    expect(await seenCounter(file, prod)).toBe(3);
  });

  test.each(['', '{', '[]', '{"default/llama/prod":0}', '{"default/llama/prod":"3"}'])(
    'a file that holds %j is an error, not a first time',
    async (text) => {
      writeFileSync(file, text);
      expect(await failure(seenCounter(file, prod))).toBe('usage');
      expect(await failure(rememberCounter(file, prod, 9))).toBe('usage');
      expect(readFileSync(file, 'utf8')).toBe(text);
    },
  );

  test('names that every object has are names', async () => {
    const odd = { namespace: 'default', model: 'm', name: 'constructor' };
    expect(await seenCounter(file, odd)).toBeUndefined();
    await rememberCounter(file, odd, 1);
    expect(await seenCounter(file, odd)).toBe(1);
  });
});

describe('a release', () => {
  let vault: ScriptedVault;
  beforeAll(async () => {
    vault = await startScriptedVault();
  });
  afterAll(() => vault.stop());

  const OTHER = ID.replace(/0$/, '1');
  const answering = (change: object) => {
    const grant = { id: ID, expires: '', version: ID, versionDigest: 'a'.repeat(64), objects: [], receipt: { recordId: ID }, ...change };
    vault.answer = async (request, response) => {
      for await (const chunk of request) asked += String(chunk);
      response.writeHead(201).end(JSON.stringify(grant));
    };
    let asked = '';
    return () => JSON.parse(asked) as { aliasCounter?: number };
  };

  test('of an alias is asked for with the counter seen, and says its own', async () => {
    const asked = answering({ alias: { name: 'prod', counter: 7 } });
    const release = await vault.client.release('llama', 'prod', ID, [], 5);
    expect([release.alias, release.versionId, asked().aliasCounter]).toEqual([{ name: 'prod', counter: 7 }, ID, 5]);
    const first = answering({ alias: { name: 'prod', counter: 1 } });
    await vault.client.release('llama', 'prod', ID, []);
    expect(first()).not.toHaveProperty('aliasCounter');
  });

  test.each<[string, string, object]>([
    ['another version than the one asked for', ID, { version: OTHER }],
    ['an alias without its counter', 'prod', {}],
    ['another alias', 'prod', { alias: { name: 'test', counter: 1 } }],
  ])('of %s is digest_mismatch', async (_what, version, change) => {
    answering(change);
    expect(await failure(vault.client.release('llama', version, ID, []))).toBe('digest_mismatch');
  });
});
