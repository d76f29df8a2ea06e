/** Where the commands read a log from: a copy in a folder, or the vault through an administrator's session. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readAll } from '../agent/https-client.ts';
import type { LogSource } from '../audit/verify.ts';
import { VaultError } from '../domain/errors.ts';
import { type Kit, withKit } from './kit.ts';

/** A folder as `wv log export` wrote it. A file that is not there is missing, not an error. */
export function copyIn(folder: string): LogSource {
  const read = async (path: string): Promise<Uint8Array | undefined> => {
    try {
      return await readFile(join(folder, path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new VaultError('log_incomplete', `${path} cannot be read`, { cause: error });
    }
  };
  return { checkpoint: async () => (await read('checkpoint')) ?? new Uint8Array(0), tile: read };
}

/** The vault's own log; each bundle that is read is on record there. */
export function logOf<T>(folder: string, work: (source: LogSource) => Promise<T>): Promise<T> {
  return withKit(folder, async (kit) => work(await logThrough(kit, '/v1/log')));
}

/** The same, of an open kit, below `path`: the whole log, or what a reviewer of one namespace gets of it. */
export async function logThrough(kit: Kit, path: string, checkpoint = 'checkpoint'): Promise<LogSource> {
  const headers = await kit.sessionHeaders();
  const get = async (name: string) =>
    new Uint8Array(await readAll(await kit.https.send({ method: 'GET', path: `${path}/${name}`, headers })));
  return { checkpoint: () => get(checkpoint), tile: (name) => get(name).catch(undefinedIfPruned) };
}

/** What the vault says it removed is not there; whether a record says so too is the verifier's to find. */
function undefinedIfPruned(error: unknown): undefined {
  if (error instanceof VaultError && error.code === 'record_pruned') return undefined;
  throw error;
}
