/** Rows for people. */
import type { Row } from './area.ts';

const HEADINGS = ['measure', 'value', 'unit', 'peer', 'of peer', 'ratio', 'target', ''] as const;
const RIGHT: ReadonlySet<number> = new Set([1, 4, 5]);

export function tableOf(rows: readonly Row[]): string {
  const lines = [HEADINGS, ...rows.map(cellsOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const padded = (cell: string, column: number) =>
    RIGHT.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  return lines.map((line) => line.map(padded).join('  ').trimEnd()).join('\n');
}

function cellsOf({ name, value, unit, peer, peerValue, ratio, target, met }: Row): string[] {
  const verdict = met === null ? '' : met ? 'met' : 'missed';
  return [name, figure(value), unit, peer ?? '', figure(peerValue), figure(ratio), target ?? '', verdict];
}

/** Three digits are more than the noise of a shared machine leaves. */
function figure(value: number | null): string {
  if (value === null) return '';
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
