/** `wv keys` before it asks anything of a vault: wrong numbers are wrong usage, and a recovery key is made whole or not at all. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createProgram } from '../../src/cli/commands.ts';
import { exitOf } from '../../src/cli/exit-codes.ts';
import { keepBeside, withSettings } from '../../src/cli/next-settings.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'wv-keys-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const failureOf = async (...words: string[]) => {
  const program = await createProgram('keys');
  const [keys] = program.commands;
  for (const one of keys?.commands.flatMap((command) => [command, ...command.commands]) ?? [])
    one.configureOutput({ writeErr: () => undefined });
  return program.parseAsync(['keys', ...words], { from: 'user' }).then(
    () => 'no error',
    (error: Error) => `${exitOf(error)}: ${error.message}`,
  );
};

describe('a number that is none, or out of bounds, is wrong usage', () => {
  test.each(['0', '-1', 'abc', '1.5', '1e2', '0x1', '', ' 1', '1/../2', '99999999999'])('version %j', async (version) => {
    for (const verb of ['suspend', 'resume', 'compromised', 'destroy', 'keep'])
      expect(await failureOf(verb, '--kit', folder, version)).toMatch(/^usage: error: .*It is 1 to 2147483648\.$/);
  });

  test.each([
    [['rewrap', '--kit', 'kit', '--rate', '5001'], /It is 1 to 5000/],
    [['rewrap', '--kit', 'kit', '--rate', 'fast'], /It is 1 to 5000/],
    [['periods', '--kit', 'kit', '--cryptoperiod-days', '731'], /It is 1 to 730/],
    [['periods', '--kit', 'kit', '--destruction-wait-days', ''], /It is 1 to 365/],
    [['periods', '--kit', 'kit'], /give --cryptoperiod-days, --destruction-wait-days or both/],
    [['ceremony', 'make', '--shares', '17', '--needed', '2', 'made'], /It is 2 to 16/],
    [['ceremony', 'make', '--shares', '2', '--needed', '3', 'made'], /at most all are needed/],
  ] as const)('%j', async (words, why) => {
    const failure = await failureOf(...words);
    expect(failure).toMatch(/^usage: /);
    expect(failure).toMatch(why);
  });
});

test('a recovery key is not made where files of another one are: nothing of it is left, and nothing of the other is written over', async () => {
  writeFileSync(join(folder, 'share-2.txt'), 'of another key');
  const failure = await failureOf('ceremony', 'make', '--shares', '3', '--needed', '2', folder);
  expect(failure).toMatch(/^usage: .*has files of a recovery key: give another folder$/);
  expect(readdirSync(folder)).toEqual(['share-2.txt']);
  expect(readFileSync(join(folder, 'share-2.txt'), 'utf8')).toBe('of another key');
});

test('the checkpoint that a key hands over with is not written over by the next rotation', async () => {
  const file = join(folder, 'vault.json.last-checkpoint');
  const names = [await keepBeside(file, Buffer.from('A names B')), await keepBeside(file, Buffer.from('B names C'))];
  expect(names).toEqual([file, `${file}.2`]);
  expect(names.map((name) => readFileSync(name, 'utf8'))).toEqual(['A names B', 'B names C']);
});

test('vault.json that is not there, or is no JSON, is wrong usage before anything is changed', async () => {
  const file = join(folder, 'no-vault.json');
  await expect(withSettings(file, {}, 'signing')).rejects.toMatchObject({ code: 'usage' });
  writeFileSync(file, '{');
  await expect(withSettings(file, {}, 'signing')).rejects.toMatchObject({ code: 'usage' });
});
