/** How large the logs were when this witness last cosigned them, apart from `heads.db`: `<size> <root, base64> <origin>` a line. It may lag behind, never lead. */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';

export interface Newest {
  readonly size: number;
  readonly root: Uint8Array;
}

const LINE = /^(0|[1-9][0-9]{0,15}) ([A-Za-z0-9+/]{43}=) (\S+)$/;

/** Durable when it returns, old or new whenever the machine stops. Not awaited, because two requests must not write at once. */
export function writeNewest(file: string, newest: ReadonlyMap<string, Newest>): void {
  const next = `${file}.${process.pid}`; // of two processes in one folder each has its own
  try {
    const lines = [...newest].map(([origin, { size, root }]) => `${size} ${toBase64(root)} ${origin}\n`);
    writeFileSync(next, lines.join(''), { mode: 0o600, flush: true });
    renameSync(next, file);
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  }
  const folder = openSync(dirname(file), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Throws `witness_memory_invalid` when it is gone or is something else. */
export function newestIn(file: string): ReadonlyMap<string, Newest> {
  const lines = textOf(file).split('\n');
  if (lines.pop() !== '') throw new VaultError('witness_memory_invalid', 'heads.newest is cut short');
  return new Map(lines.map(parsed));
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new VaultError('witness_memory_invalid', 'heads.newest cannot be read', { cause });
  }
}

function parsed(line: string): readonly [origin: string, Newest] {
  const [, size = '', root = '', origin = ''] = LINE.exec(line) ?? [];
  if (origin === '') throw new VaultError('witness_memory_invalid', 'heads.newest is damaged');
  return [origin, { size: Number(size), root: new Uint8Array(Buffer.from(root, 'base64')) }];
}
