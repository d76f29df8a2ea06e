/**
 * The journal of a partly received file, as JSON lines: first what the file will be, then one line per range that is on the disk. A range
 * is written here after the disk has its bytes, so what a crash leaves behind covers no byte that is not there. Whoever lies in
 * it costs a second fetch and no more: the whole file's digest decides.
 */
import type { FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import type { Digest, ObjectPath } from '../domain/ids.ts';
import { type ByteRange, joinRanges } from './byte-ranges.ts';

export interface Expected {
  readonly versionDigest: Digest;
  readonly path: ObjectPath;
  readonly size: number;
  readonly sha256: Digest;
}

/** A journal of 140 GB in pieces of 16 MiB has 9000 lines of 60 bytes. */
const MAX_JOURNAL_BYTES = 16 * 1024 * 1024;

const head = z.strictObject({ v: z.literal(1), versionDigest: z.string(), path: z.string(), size: z.int(), sha256: z.string() });
const line = z.strictObject({ start: z.int().min(0), end: z.int().min(1) });

export function headLine({ versionDigest, path, size, sha256 }: Expected): string {
  return `${JSON.stringify({ v: 1, versionDigest, path, size, sha256 })}\n`;
}

export function rangeLine({ start, end }: ByteRange): string {
  return `${JSON.stringify({ start, end })}\n`;
}

/** What the journal says is on the disk; nothing when it is of another file. A line that was cut off by a crash ends it. */
export async function readJournal(file: FileHandle, expected: Expected): Promise<ByteRange[]> {
  if ((await file.stat()).size > MAX_JOURNAL_BYTES) return [];
  // After the last newline stands nothing, or half a line.
  const [first = '', ...rest] = (await file.readFile('utf8')).split('\n').slice(0, -1);
  const about = parse(first, head);
  const same = about !== undefined && headLine(about as z.output<typeof head> & Expected) === headLine(expected);
  if (!same) return [];
  const ranges: ByteRange[] = [];
  for (const text of rest) {
    const range = parse(text, line);
    if (range === undefined || range.end > expected.size || range.start >= range.end) break;
    ranges.push(range);
  }
  return joinRanges(ranges);
}

function parse<T extends z.ZodType>(text: string, schema: T): z.output<T> | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
