/** What a command says. Standard output is its answer and nothing else; progress and notes go to standard error. */
import { safeJson } from '../domain/json.ts';

/** Prints `value` as one JSON document, or the lines of `text` for a person. */
export function print(options: { readonly json?: boolean }, value: object, text: readonly string[]): void {
  process.stdout.write(options.json ? `${safeJson(value)}\n` : `${text.join('\n')}\n`);
}

/** What a terminal may act on, or a reader not see: controls, bidi and other invisible characters, line separators. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Text of a machine that may lie, for a terminal. */
export function shown(text: string): string {
  return text.replaceAll(UNSAFE, '?');
}

/** A remark on the way, for a person. It is no part of the answer. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Lines of aligned columns under their headings. Control characters are shown as `?`: names may come from a machine that lies. */
export function aligned(headings: readonly string[], rows: ReadonlyArray<readonly string[]>): string[] {
  const all = [headings, ...rows].map((row) => row.map(shown));
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `1.5 GiB`: for people; programs read the bytes from `--json`. */
export function inUnits(bytes: number): string {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  return power === 0 ? `${bytes} B` : `${(bytes / 1024 ** power).toFixed(1)} ${UNITS[power]}`;
}
