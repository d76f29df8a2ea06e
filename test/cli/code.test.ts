/** Where `wv login` takes its code from, and where it never shows it. */
import { spawn, spawnSync } from 'node:child_process';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { readCode } from '../../src/cli/code.ts';
import { codeOf } from '../../src/domain/errors.ts';

const CODE = fileURLToPath(new URL('../../src/cli/code.ts', import.meta.url));
const PROMPT = 'Code of your authenticator app: ';
const failure = (work: Promise<unknown>) => work.then(() => undefined, codeOf);
const input = (...chunks: string[]) => Readable.from(chunks);

describe('a code', () => {
  test('is the option, else the first line of standard input', async () => {
    expect(await readCode({ code: '123456' }, input('654321'))).toBe('123456');
    expect(await readCode({ codeStdin: true }, input('12', '3456\nmore'))).toBe('123456');
    expect(await readCode({ codeStdin: true }, input(' 123456\r\n'))).toBe('123456');
    expect(await readCode({ codeStdin: true }, input('123456'))).toBe('123456');
  });

  test.each<[string, Parameters<typeof readCode>]>([
    ['both at once', [{ code: '1', codeStdin: true }, input('1')]],
    ['nothing on standard input', [{ codeStdin: true }, input()]],
    ['an empty line', [{ codeStdin: true }, input('\n123456')]],
    ['no end of line for too long', [{ codeStdin: true }, input('1'.repeat(1000))]],
    ['no terminal to ask at', [{}, input('123456')]],
  ])('%s is usage', async (_what, given) => {
    expect(await failure(readCode(...given))).toBe('usage');
  });
});

// util-linux gives a program a terminal of its own.
const hasTerminal = spawnSync('script', ['--version'], { stdio: 'ignore' }).status === 0;
(hasTerminal ? describe : describe.skip)('at a terminal', () => {
  /** Typed once it asks: earlier keys the terminal itself would show. */
  function typed(keys: string): Promise<string> {
    const program = `import { readCode } from '${CODE}'; try { console.log('got', JSON.stringify(await readCode({}))); } catch (e) { console.log('failed', e.code); }`;
    const command = `"${process.execPath}" --disable-warning=ExperimentalWarning --input-type=module-typescript -e "$PROGRAM"`;
    const terminal = spawn('script', ['-qec', command, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, PROGRAM: program },
    });
    return new Promise((done, fail) => {
      let [shown, asked] = ['', false];
      terminal.stdout.setEncoding('utf8').on('data', (piece: string) => {
        shown += piece;
        if (!asked && shown.includes(PROMPT)) asked = terminal.stdin.write(keys);
      });
      terminal.once('error', fail).once('close', () => done(shown));
    });
  }

  test('it is asked for, and not shown', async () => {
    const out = await typed('123456\r');
    expect(out).toContain('got "123456"');
    expect(out.replace('got "123456"', '')).not.toContain('123456');
  });

  test('Ctrl-C ends it', async () => {
    expect(await typed('12\x03')).toContain('failed interrupted');
  });
});
