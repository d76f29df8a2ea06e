/** The completion scripts: bash really completes with its own; zsh and fish are looked at where they are installed. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createProgram } from '../../src/cli/commands.ts';
import { completionScript } from '../../src/cli/completion.ts';
import { CLASS_NAMES } from '../../src/domain/classes.ts';
import { wv } from '../e2e/real-vault.ts';

const folder = mkdtempSync(join(tmpdir(), 'wv-completion-'));
const file = (shell: string) => join(folder, `wv.${shell}`);
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeAll(async () => {
  const program = await createProgram();
  for (const shell of ['bash', 'zsh', 'fish']) writeFileSync(file(shell), completionScript(shell, program));
  mkdirSync(join(folder, 'here', 'kits'), { recursive: true });
  writeFileSync(join(folder, 'here', 'kit.json'), '');
  writeFileSync(join(folder, 'here', 'a name'), '');
});

/** What bash offers when Tab is pressed after `words`. The last one is what is being typed. */
function offered(...words: string[]): string[] {
  const script = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _wv; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const out = execFileSync('bash', ['--norc', '-c', script, 'bash', file('bash'), 'wv', ...words], {
    encoding: 'utf8',
    cwd: join(folder, 'here'),
  });
  return out
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}

describe('bash completes', () => {
  test('commands', () => {
    expect(offered('')).toEqual(expect.arrayContaining(['fetch', 'publish', 'policy', 'completion']));
    expect(offered('pu')).toEqual(['publish']);
    expect(offered('nothing-begins-so')).toEqual([]);
  });

  test('subcommands', () => {
    expect(offered('models', '')).toEqual(expect.arrayContaining(['list', 'show', 'versions']));
    expect(offered('log', 'ver')).toEqual(['verify', 'verify-copy']);
    expect(offered('sealed', 'o')).toEqual(['open']);
  });

  test('options of the command that stands there, and of no other', () => {
    expect(offered('publish', '--')).toEqual(expect.arrayContaining(['--class', '--follow-symlinks', '--json', '--kit', '--resume']));
    expect(offered('publish', '--')).not.toContain('--requester');
    expect(offered('log', 'verify', '--v')).toEqual(['--vkey']);
    expect(offered('publish', '--kit', 'kits', '--fol')).toEqual(['--follow-symlinks']);
  });

  test('values: names of classes, also after =', () => {
    expect(offered('publish', '--class', '')).toEqual([...CLASS_NAMES].sort());
    expect(offered('publish', '--class', 're')).toEqual(['restricted']);
    expect(offered('publish', '--class', '=', 'pu')).toEqual(['public']);
    expect(offered('publish', '--class', '=')).toEqual([...CLASS_NAMES].sort());
    expect(offered('completion', '')).toEqual(['bash', 'fish', 'zsh']);
  });

  test('values: folders, files, names with spaces; and nothing where only you know', () => {
    expect(offered('publish', '--kit', '')).toEqual(['kits']);
    expect(offered('sealed', 'open', '')).toEqual(['a name', 'kit.json', 'kits']);
    expect(offered('publish', '--model', '')).toEqual([]);
  });
});

test('wv completion prints the script, and refuses another shell', async () => {
  const { exit, out, err } = await wv('completion', 'bash');
  expect([exit, err]).toEqual([0, '']);
  expect(out).toContain('complete -F _wv wv');
  const other = await wv('completion', 'tcsh');
  expect([other.exit, other.out]).toEqual([2, '']);
  expect(other.err).toMatch(/bash, zsh, fish/);
});

describe.each(['zsh', 'fish'])('%s', (shell) => {
  const installed = spawnSync(shell, ['--version'], { stdio: 'ignore' }).status === 0;
  (installed ? test : test.skip)('parses its script', () => {
    expect(spawnSync(shell, ['-n', file(shell)], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
  });

  test('is told of every subcommand', () => {
    const text = spawnSync('cat', [file(shell)], { encoding: 'utf8' }).stdout;
    for (const name of ['publish', 'versions', 'restricted', 'follow-symlinks']) expect(text).toContain(name);
  });
});
