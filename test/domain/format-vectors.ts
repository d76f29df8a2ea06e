import { readFileSync } from 'node:fs';

/** One file of test/vectors/formats. The caller names its shape; a wrong one fails where it is used. */
export function formatVectors<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/formats/${file}`, import.meta.url), 'utf8')) as T;
}

/** The fenced blocks of a page under docs/formats, in order, without their fences. */
export function pageBlocks(page: string): readonly string[] {
  const text = readFileSync(new URL(`../../docs/formats/${page}`, import.meta.url), 'utf8');
  return [...text.matchAll(/^```[a-z]*\n([\s\S]*?)^```$/gm)].map((block) => block[1] ?? '');
}

/** The hexadecimal digits that begin each line, up to two spaces or the end of the line: the rest of the line explains them. */
export function leadingHex(block: string): string {
  return [...block.matchAll(/^((?:[0-9a-f]{2}| (?! ))+)(?: {2}|$)/gm)].map((line) => (line[1] ?? '').replaceAll(' ', '')).join('');
}
