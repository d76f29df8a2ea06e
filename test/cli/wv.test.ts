/** `wv` as a person at a shell meets it: exit status, standard output, standard error. What needs a vault is in test/e2e. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLogKey, publishedFiles } from '../audit/small-log.ts';
import { filesBelow, wv } from '../e2e/real-vault.ts';

const ID = '01890000-0000-7000-8000-000000000000';
const folder = mkdtempSync(join(tmpdir(), 'wv-cli-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...parts: string[]) => join(folder, ...parts);
const firstWord = (text: string) => /^[a-z_]+/.exec(text)?.[0];
const COMMANDS = [
  ...['init', 'serve', 'login', 'logout', 'whoami', 'requests', 'approve', 'policy', 'reference', 'anchors', 'enrol', 'block', 'publish'],
  ...['models', 'attester', 'fetch', 'log', 'sealed', 'completion'],
];

/** `wv` runs in a process of its own: a few hundred milliseconds each, so tables run two at a time. */
async function each<T>(rows: readonly T[], work: (row: T) => Promise<void>): Promise<void> {
  const left = rows.values();
  const worker = async () => {
    for (const row of left) await work(row);
  };
  await Promise.all([worker(), worker()]);
}

describe('help', () => {
  test('lists every command, on standard output, with exit 0', async () => {
    const { exit, out, err } = await wv('--help');
    expect([exit, err]).toEqual([0, '']);
    for (const command of COMMANDS) expect(out).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
  });

  test('of every command says what it is for, with exit 0', () =>
    each(COMMANDS, async (command) => {
      const { exit, out, err } = await wv(command, '--help');
      expect([command, exit, err]).toEqual([command, 0, '']);
      expect(out).toMatch(new RegExp(`^Usage: wv ${command}\\b`));
    }));

  test('the launcher that npx runs is the same program', async () => {
    const { execFileSync } = await import('node:child_process');
    const launcher = fileURLToPath(new URL('../../src/cli/wv.mjs', import.meta.url));
    expect(execFileSync(process.execPath, [launcher, '--help'], { encoding: 'utf8' })).toContain('Usage: wv');
    expect(() => execFileSync(process.execPath, [launcher, 'nonsense'], { stdio: 'pipe' })).toThrow(expect.objectContaining({ status: 2 }));
  });
});

test('wrong usage ends with 2, nothing on standard output, and says what is wrong', async () => {
  writeFileSync(at('not-json'), 'not json');
  writeFileSync(at('empty.json'), '{}');
  const kit = ['--kit', at('no-kit')];
  const init = (...more: string[]) => ['init', '--folder', at('new-vault'), '--origin', 'vault.example/x', ...more];
  const people = ['--administrator', 'alice:publisher', '--administrator', 'bob:approver'];
  const rows: Array<[args: string[], says: RegExp]> = [
    [[], /Usage: wv/],
    [['unseal'], /unknown command 'unseal'/],
    [['__proto__'], /unknown command/],
    [['--version'], /unknown option/],
    [['serve'], /--folder/],
    [['serve', '--folder', at('x'), '--plane', 'both,admin'], /--plane/],
    [['serve', '--folder', at('x'), '--port', '1'], /unknown option/],
    [['serve', 'x', '--folder', at('x')], /too many arguments/],
    [['fetch', '--requester', at('x'), '--model', 'm'], /--version/],
    [['fetch', '--requester', at('x'), '--model', 'm', '--version', ID, '--out', at('out'), '--streams', '17'], /1 to 16/],
    [['fetch', '--requester', at('x'), '--model', 'm', '--version', ID, '--out', at('out'), '--progress', 'loud'], /auto, plain, off/],
    [['publish', ...kit, '--model', 'm', '--class', 'secret', at('x')], /public, internal, restricted, critical/],
    [['fetch', '--requester', at('no-requester'), '--model', 'm', '--version', ID, '--out', at('out')], /requester\.json cannot be read/],
    [['publish', ...kit, '--model', 'm', '--class', 'public', at('no-folder')], /kit\.json cannot be read/],
    [['login', ...kit], /kit\.json cannot be read/],
    [['approve', ...kit, 'only-one'], /missing required argument/],
    [['policy', 'set', ...kit, at('no.cedar')], /cannot be read/],
    [['policy'], /Usage: wv policy/],
    [['log', 'verify', at('x')], /--vkey/],
    [['log', 'export', at('x'), ...kit], /kit\.json cannot be read/],
    [['attester', 'request', at('x')], /--requester/],
    [init(...people, '--token', at('no-token.json')), /no-token\.json cannot be read/],
    [init(...people, '--token', at('not-json')), /is not JSON/],
    [init(...people, '--token', at('empty.json')), /module/],
    [init('--administrator', 'alice', '--token', at('empty.json')), /--administrator is name:role/],
    [['sealed', 'open', at('nothing')], /--/],
  ];
  await each(rows, async ([args, says]) => {
    const { exit, out, err } = await wv(...args);
    expect([args.join(' '), exit, out]).toEqual([args.join(' '), 2, '']);
    expect(err).toMatch(says);
  });
  expect(filesBelow(at('new-vault')).filter((file) => file.endsWith('vault.json'))).toEqual([]);
});

test('with --json, wrong usage is one JSON document on standard error, from commander as from the command', async () => {
  const rows: Array<[args: string[], detail: RegExp]> = [
    [['logout', '--json', '--kit', at('no-kit'), '--nonsense'], /^unknown option '--nonsense'$/],
    [['nonsense', '--json'], /^unknown command 'nonsense'$/],
    [['models', '--json'], /^required option '--kit <folder>' not specified$/],
    [['whoami', '--json', '--kit', at('no-kit')], /kit\.json cannot be read$/],
  ];
  await each(rows, async ([args, detail]) => {
    const { exit, out, err } = await wv(...args);
    expect([args.join(' '), exit, out]).toEqual([args.join(' '), 2, '']);
    expect(JSON.parse(err)).toEqual({ error: { code: 'usage', detail: expect.stringMatching(detail) } });
  });
});

describe('wv serve', () => {
  test('without a vault is not_initialized', async () => {
    const { exit, out, err } = await wv('serve', '--folder', at('nothing-here'));
    expect([exit, out, firstWord(err)]).toEqual([3, '', 'not_initialized']);
  });

  test('names the setting that is wrong', async () => {
    mkdirSync(at('bad'), { recursive: true });
    writeFileSync(at('bad', 'vault.json'), '{"vaultId": 1, "unheardOf": true}');
    const { exit, err } = await wv('serve', '--folder', at('bad'));
    expect([exit, firstWord(err)]).toEqual([3, 'configuration_invalid']);
    expect(err).toContain('unheardOf');
    writeFileSync(at('bad', 'vault.json'), '{');
    expect(firstWord((await wv('serve', '--folder', at('bad'))).err)).toBe('configuration_invalid');
  });
});

describe('wv log verify', () => {
  const key = createLogKey();
  let files: Map<string, Uint8Array>;
  beforeAll(async () => {
    ({ files } = await publishedFiles(300, key)); // more than one tile of hashes and one bundle of entries
  });

  /** A copy of the log with one file changed. */
  function copy(name: string, change: (copied: Map<string, Uint8Array>) => void = () => {}): string {
    const copied = new Map(files);
    change(copied);
    for (const [path, bytes] of copied) {
      mkdirSync(dirname(at(name, path)), { recursive: true });
      writeFileSync(at(name, path), bytes);
    }
    return at(name);
  }

  const flip = (path: string, offset: number) => (copied: Map<string, Uint8Array>) => {
    const bytes = Buffer.from(copied.get(path) ?? Buffer.alloc(0));
    bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset);
    copied.set(path, bytes);
  };

  test('good: exit 0, and the counts', async () => {
    const { exit, out, err } = await wv('log', 'verify', copy('good'), '--vkey', key.vkey, '--json');
    expect([exit, err]).toEqual([0, '']);
    expect(JSON.parse(out)).toMatchObject({ ok: true, size: 300, problems: [] });
  });

  test('anything else: exit 5 and the code', async () => {
    const paths = [...files.keys()];
    const entries = paths.find((path) => path === 'tile/entries/000') ?? '';
    const tile = paths.find((path) => path === 'tile/0/000') ?? '';
    expect([entries, tile]).toEqual(['tile/entries/000', 'tile/0/000']);
    const without = (path: string) => (copied: Map<string, Uint8Array>) => void copied.delete(path);
    const cut = (path: string) => (copied: Map<string, Uint8Array>) =>
      void copied.set(path, (copied.get(path) ?? new Uint8Array(0)).slice(0, -1));
    const rows: Array<[name: string, code: string, change: (copied: Map<string, Uint8Array>) => void, vkey?: string]> = [
      ['an altered entry', 'log_entry_mismatch', flip(entries, 30)],
      ['an altered tile', 'log_tile_mismatch', flip(tile, 40)],
      ['an altered root in the checkpoint', 'note_signature_invalid', flip('checkpoint', 30)],
      ['a checkpoint that is none', 'note_malformed', (copied) => copied.set('checkpoint', Buffer.from('nonsense'))],
      ['a missing bundle', 'log_incomplete', without(entries)],
      ['a missing tile', 'log_incomplete', without(tile)],
      ['a missing checkpoint', 'note_malformed', without('checkpoint')],
      ['a bundle cut short', 'log_entry_mismatch', cut(entries)],
      ['a tile cut short', 'log_incomplete', cut(tile)],
      ['the key of another log', 'note_signature_invalid', () => {}, createLogKey().vkey],
      ['a key that is none', 'note_malformed', () => {}, 'nonsense'],
      ['no folder at all', 'note_malformed', (copied) => copied.clear()],
    ];
    await each(rows, async ([name, code, change, vkey = key.vkey]) => {
      const { exit, err } = await wv('log', 'verify', copy(name.replaceAll(' ', '-'), change), '--vkey', vkey);
      expect([name, exit, firstWord(err)]).toEqual([name, 5, code]);
    });
  });

  test('names the altered record, and says the same as JSON', async () => {
    const altered = copy('named', flip('tile/entries/000', 30));
    const { exit, out, err } = await wv('log', 'verify', altered, '--vkey', key.vkey, '--json');
    expect([exit, JSON.parse(out).ok]).toEqual([5, false]);
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'log_entry_mismatch', detail: expect.stringMatching(/^record 0 /) } });
    expect(readFileSync(join(altered, 'checkpoint')).length).toBeGreaterThan(0);
  });
});
