/**
 * The highest counter of each alias this requester has been given, in a file of its own. The vault is told it with each request, and must
 * not answer a lower one: then its catalogue was rolled back, and an old version would pass as the current one.
 */
import { randomUUID } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { z } from 'zod';
import { VaultError } from '../domain/errors.ts';
import { syncFolderOf, writing } from './target-folder.ts';

const seenFile = z.record(z.string(), z.int().min(1));

export interface Alias {
  readonly namespace: string;
  readonly model: string;
  readonly name: string;
}

const keyOf = ({ namespace, model, name }: Alias) => `${namespace}/${model}/${name}`;

/** Undefined when this alias was never followed. A file that cannot be read is an error: forgetting would undo what it is for. */
export async function seenCounter(file: string, alias: Alias): Promise<number | undefined> {
  const seen = await readSeen(file);
  return Object.hasOwn(seen, keyOf(alias)) ? seen[keyOf(alias)] : undefined;
}

/** Durable when it resolves. Throws `alias_stale` when `counter` is lower than one seen before. */
export async function rememberCounter(file: string, alias: Alias, counter: number): Promise<void> {
  const seen = await readSeen(file);
  const before = Object.hasOwn(seen, keyOf(alias)) ? (seen[keyOf(alias)] ?? 0) : 0;
  if (counter < before) throw new VaultError('alias_stale', `${alias.name} was at ${before}, and the vault answers ${counter}`);
  if (counter > before) await writeSeen(file, { ...seen, [keyOf(alias)]: counter });
}

async function readSeen(file: string): Promise<Record<string, number>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT') return {};
    throw new VaultError('usage', `${file} cannot be read`, { cause: error });
  }
  try {
    return seenFile.parse(JSON.parse(text));
  } catch (cause) {
    throw new VaultError('usage', `${file} does not hold the counters of aliases`, { cause });
  }
}

async function writeSeen(file: string, seen: Record<string, number>): Promise<void> {
  const next = `${file}.${randomUUID()}`;
  try {
    const handle = await writing(open(next, 'wx', 0o600), file);
    try {
      await writing(handle.writeFile(`${JSON.stringify(seen)}\n`), file);
      await writing(handle.sync(), file);
    } finally {
      await handle.close();
    }
    await writing(rename(next, file), file);
  } catch (error) {
    await rm(next, { force: true });
    throw error;
  }
  await syncFolderOf(file);
}
