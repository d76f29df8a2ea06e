/** What the documents show of `wv` is what `wv` takes: whole lines in their examples are parsed, commands and options named in a sentence exist. */
import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, expect, test } from '@jest/globals';
import type { Command } from 'commander';
import { createProgram } from '../../src/cli/commands.ts';

const ROOT = new URL('../../', import.meta.url);
const below = (folder: string) =>
  readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`);
const PAGES = ['README.md', 'CHANGELOG.md', 'SECURITY.md', ...below('docs'), ...below('policies'), ...below('softhsm')].filter((name) =>
  name.endsWith('.md'),
);

let program: Command;
const ran: string[] = [];
beforeAll(async () => {
  program = await createProgram(undefined, { writeErr: () => undefined });
  const silence = (command: Command): void => {
    command.action(() => void ran.push(command.name()));
    command.commands.forEach(silence);
  };
  program.commands.forEach(silence);
});

/** As a shell would: quotes, and what stands behind a pipe, a redirection or a comment is not ours. */
function wordsOf(line: string): string[] {
  const [ours = ''] = line.split(/ (?:[|<>]|>>|&&) |\s+#/);
  return [...ours.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, double, single, bare]) => double ?? single ?? bare ?? '');
}

function examplesOf(page: string): string[] {
  const blocks = [...page.matchAll(/^ *```[a-z]*\n([\s\S]*?)^ *```$/gm)].map(([, block = '']) => block.replace(/\\\n/g, ' '));
  const lines = blocks.flatMap((block) => block.split('\n')).map((line) => /^\s*(?:\$ )?(?:npx )?wv (.+)$/.exec(line)?.[1] ?? '');
  return lines.filter((line) => line !== '' && !line.includes('--help') && !line.includes('...'));
}

/** Why a mention such as `wv keys ls|show --kit KIT` names what there is not; undefined when all of it is there. */
function unknownIn(mention: string): string | undefined {
  const words = wordsOf(mention.replaceAll('\n', ' '));
  let here: readonly Command[] = [program];
  let at = 0;
  for (; at < words.length; at++) {
    const names = (words[at] ?? '').split('|');
    const next = names.map((name) => here.flatMap((one) => one.commands).find((one) => one.name() === name));
    const known = next.filter((one) => one !== undefined);
    if (known.length === 0) break;
    if (known.length < names.length) return words[at];
    here = known;
  }
  if (at === 0) return /^[a-z]/.test(words[0] ?? '') ? words[0] : undefined;
  const all = here.flatMap((one) => [one, ...one.commands]);
  const options = words.slice(at).filter((word) => /^--[a-z]/.test(word) && word !== '--help');
  return options.find((option) => !all.some((one) => one.options.some(({ long }) => long === option.split('=')[0])));
}

test('every line of an example is one that wv takes', async () => {
  const wrong: string[] = [];
  let count = 0;
  for (const page of PAGES) {
    for (const line of examplesOf(readFileSync(new URL(page, ROOT), 'utf8'))) {
      count++;
      ran.length = 0;
      await program.parseAsync(wordsOf(line), { from: 'user' }).catch((error) => wrong.push(`${page}: wv ${line}: ${error.message}`));
      if (ran.length !== 1) wrong.push(`${page}: wv ${line}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(count).toBeGreaterThan(50);
});

test('every command and option that a sentence names exists', () => {
  const wrong: string[] = [];
  let count = 0;
  for (const page of PAGES) {
    const text = readFileSync(new URL(page, ROOT), 'utf8').replace(/^ *```[\s\S]*?^ *```$/gm, '');
    for (const [, mention = ''] of text.matchAll(/`(?:npx )?wv ([^`]+)`/g)) {
      count++;
      const unknown = unknownIn(mention);
      if (unknown !== undefined) wrong.push(`${page}: wv ${mention}: ${unknown}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(count).toBeGreaterThan(200);
});
