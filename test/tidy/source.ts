/** Reads the project as text: which files there are, what each imports, what a page's tables say. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Made here, or by others: not ours to keep tidy. */
const NOT_OURS = new Set(['node_modules', '.git', '.cache', '.demo', 'coverage']);

/** Files below `folder`, as paths from the project's root, in order. Empty when there is no such folder. */
export function filesOf(folder: string): string[] {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { recursive: false, withFileTypes: true })
    .filter((entry) => !NOT_OURS.has(entry.name) && !entry.name.endsWith('.log'))
    .flatMap((entry) => (entry.isDirectory() ? filesOf(join(folder, entry.name)) : [join(folder, entry.name)]))
    .sort();
}

export function textOf(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8');
}

export interface Import {
  /** The importing file, from the root. */
  readonly from: string;
  /** What the source says: `./ids.ts`, `node:fs`, `zod`. */
  readonly specifier: string;
  /** The imported file from the root, for a relative specifier. */
  readonly file: string | undefined;
  /** The package's name, for what is neither ours nor Node's. */
  readonly packageName: string | undefined;
}

const IMPORT =
  /(?:^|[;\n])\s*(?:import|export)\b(?:[^'"`;]*?\bfrom)?\s*['"]([^'"]+)['"]|\b(?:import|require|createRequire\([^)]*\))\(\s*['"]([^'"]+)['"]/g;

/** Every import of a file, types too: a type is knowledge as well. */
export function importsOf(file: string): Import[] {
  return [...withoutComments(textOf(file)).matchAll(IMPORT)].map((match) => {
    const specifier = match[1] ?? match[2] ?? '';
    const ours = specifier.startsWith('.');
    return {
      from: file,
      specifier,
      file: ours ? relative(ROOT, join(ROOT, dirname(file), specifier)) : undefined,
      packageName: ours || specifier.startsWith('node:') ? undefined : packageOf(specifier),
    };
  });
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

/** Block comments and lines that are only a comment: enough for finding imports and types, and it leaves strings alone. */
export function withoutComments(text: string): string {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, ' ')
    .replaceAll(/^\s*\/\/.*$/gm, '')
    .replaceAll(/\s\/\/ .*$/gm, '');
}

/** Rows of every Markdown table of a page whose first cell is `code`; cells are trimmed, the back quotes of the first one removed. */
export function tableRows(page: string): string[][] {
  return textOf(page)
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .slice(1, line.lastIndexOf('|'))
        .split('|')
        .map((cell) => cell.trim()),
    )
    .map(([first = '', ...rest]) => [first.replaceAll('`', ''), ...rest]);
}

/** True when `path` is `prefix` or lies below it; a prefix that ends in `.ts` is one file. */
export function isBelow(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`);
}
