/** Child process of the crash tests: a file sink of the log. Appends numbered lines in batches, says `ack <next index>` when a batch is durable. */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { createLineFiles, type LineFiles } from '../../../src/audit/delivery/line-files.ts';

export const LINES = 120;
const BATCH = 7;

export function lineFilesIn(folder: string): LineFiles {
  const indexOf = (line: string) => (/^[0-9]+ /.test(line) ? Number(line.split(' ')[0]) : undefined);
  return createLineFiles({ folder: join(folder, 'sink'), rotateBytes: 12_000, indexOf });
}

/** From a few bytes to more than a sector. */
export const lineOf = (index: number) => ({ index, line: `${index} ${'x'.repeat((index * 131) % 900)}.` });

export async function appendFrom(next: number, files: LineFiles, done: (next: number) => void): Promise<void> {
  for (let at = next; at < LINES; at += BATCH) {
    const end = Math.min(LINES, at + BATCH);
    await files.append(Array.from({ length: end - at }, (_, offset) => lineOf(at + offset)));
    done(end);
  }
}

if (import.meta.main) await appendFrom(0, lineFilesIn(process.argv[2] ?? ''), (next) => void writeSync(1, `ack ${next}\n`));
