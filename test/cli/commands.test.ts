/** Every command of `wv`, without running it: it says what it is for, takes --json, and its examples are lines that it would accept. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Command } from 'commander';
import { createProgram } from '../../src/cli/commands.ts';
import { EXIT_CODES } from '../../src/cli/exit-codes.ts';

const NAMES = [
  ...['init', 'serve', 'keeper', 'doctor', 'login', 'logout', 'whoami', 'admin', 'publish', 'models', 'promote', 'alias', 'class'],
  ...['requests', 'approve', 'cancel', 'attester', 'fetch', 'keys', 'policy', 'reference', 'anchors', 'enrol'],
  ...['block', 'suspend', 'lockdown', 'stops', 'lift', 'log', 'alerts', 'sealed', 'backup', 'restore', 'completion'],
];

let program: Command;
let leaves: Array<{ path: string; command: Command }>;

beforeAll(async () => {
  program = await createProgram();
  leaves = leavesOf(program, '');
});

function leavesOf(command: Command, above: string): Array<{ path: string; command: Command }> {
  const path = `${above}${command.name()}`;
  return command.commands.length === 0 ? [{ path, command }] : command.commands.flatMap((one) => leavesOf(one, `${path} `));
}

/** All of its help, with what was added after it. */
function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (more) => void (text += more) });
  command.outputHelp();
  return text;
}

const examplesOf = (command: Command) =>
  (helpOf(command).split('\nExamples:\n')[1] ?? '').split('\n').flatMap((line) => (line.startsWith('  $ ') ? [line.slice(4)] : []));

/** As a shell would: quotes, and what stands after a pipe or a redirection is not ours. */
function wordsOf(line: string): string[] {
  const [ours = ''] = line.split(/ (?:[|<>]|>>) /);
  return [...ours.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, double, single, bare]) => double ?? single ?? bare ?? '');
}

test('has the commands it promises', () => {
  expect(program.commands.map((one) => one.name())).toEqual(expect.arrayContaining(NAMES));
  expect(leaves.length).toBeGreaterThan(25);
});

test('one alone is loaded when it is asked for, and all when what is asked for does not exist', async () => {
  expect((await createProgram('fetch')).commands.map((one) => one.name())).toEqual(['fetch']);
  for (const nothing of ['unseal', '__proto__', 'constructor', ''])
    expect((await createProgram(nothing)).commands.length).toBe(program.commands.length);
});

describe('every command', () => {
  test('says in one line what it is for, and so does every group', () => {
    const groups = program.commands.filter((one) => one.commands.length > 0).map((command) => ({ path: command.name(), command }));
    const wrong = [...leaves, ...groups].filter(({ command }) => !/^[A-Z][^\n]{9,150}$/.test(command.description()));
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  test('takes --json', () => {
    expect(leaves.filter(({ command }) => !command.options.some((one) => one.long === '--json')).map(({ path }) => path)).toEqual([]);
  });

  test('has at least two examples, of itself', () => {
    const few = leaves.filter(({ command }) => examplesOf(command).length < 2).map(({ path }) => path);
    expect(few).toEqual([]);
    const foreign = leaves.flatMap(({ path, command }) =>
      examplesOf(command)
        .map((example) => example.replace(/^wv models --/, 'wv models list --')) // what `wv models` alone does
        .filter((example) => example !== path && !example.startsWith(`${path} `)),
    );
    expect(foreign).toEqual([]);
  });

  test('says in its help how it may end', () => {
    const exits = Object.values(EXIT_CODES).map(([exit]) => exit);
    const silent = leaves.filter(
      ({ command }) => !exits.every((exit) => new RegExp(`^Exit codes: .*\\b${exit} `, 'm').test(helpOf(command))),
    );
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  test('accepts its own examples', async () => {
    const ran: string[] = [];
    for (const { path, command } of leaves) command.action(() => void ran.push(path));
    const refused: string[] = [];
    let count = 0;
    for (const { path, command } of leaves) {
      for (const example of examplesOf(command)) {
        count++;
        ran.length = 0;
        await program
          .parseAsync(wordsOf(example).slice(1), { from: 'user' })
          .catch((error) => refused.push(`${example}: ${error.message}`));
        if (ran[0] !== path) refused.push(`${example}: ran ${ran[0]}`);
      }
    }
    expect(refused).toEqual([]);
    expect(count).toBeGreaterThan(2 * 25);
  });

  test('has no option that swallows what stands behind it', () => {
    // who-can takes a shell's `policies/*.cedar`, and its one operand comes first
    const greedy = leaves.filter(({ path, command }) => path !== 'wv policy who-can' && command.options.some((one) => one.variadic));
    expect(greedy.map(({ path }) => path)).toEqual([]);
  });

  test('takes no secret but a one-time code on its command line', () => {
    const secret = /--(?:\w+-)*(?:pin|password|passphrase|secret|token|session|private-key) [<[](?!file)/;
    const named = leaves.flatMap(({ path, command }) =>
      command.options.filter((one) => secret.test(one.flags)).map((one) => `${path} ${one.flags}`),
    );
    expect(named).toEqual([]);
  });
});
