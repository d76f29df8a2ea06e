/** What cannot be taken back is asked for by name, and never done because nobody was there to ask. */
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

const CONFIRM = fileURLToPath(new URL('../../src/cli/confirm.ts', import.meta.url));
const PROGRAM = `import { confirm } from '${CONFIRM}';
await confirm({ yes: process.env.YES === '1' }, 'Destroying key k1', 'k1').then(() => console.log('went on'), (e) => console.log('stopped', e.code));`;
const NODE_ARGS = ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '-e', PROGRAM];

test('without a terminal only --yes goes on', () => {
  const run = (YES: string) =>
    spawnSync(process.execPath, NODE_ARGS, { encoding: 'utf8', input: 'k1\n', env: { ...process.env, YES } }).stdout;
  expect([run('0'), run('1')]).toEqual(['stopped usage\n', 'went on\n']);
});

const hasTerminal = spawnSync('script', ['--version'], { stdio: 'ignore' }).status === 0;
(hasTerminal ? describe : describe.skip)('at a terminal', () => {
  const typed = (text: string) => {
    const command = `"${process.execPath}" --disable-warning=ExperimentalWarning --input-type=module-typescript -e "$PROGRAM"`;
    const script = `{ sleep 1.5; printf '${text}\\r'; sleep 0.5; } | script -qec '${command}' /dev/null`;
    return execFileSync('bash', ['-c', script], { encoding: 'utf8', env: { ...process.env, PROGRAM } });
  };

  test('the name goes on, anything else does not', () => {
    const right = typed('k1');
    expect(right).toContain('Destroying key k1 cannot be taken back. Type k1 to go on: ');
    expect(right).toContain('went on');
    expect(typed('y')).toContain('stopped usage');
    expect(typed('')).toContain('stopped usage');
  });
});
