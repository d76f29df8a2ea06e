/** Reads the entry bundles of an exported log: enough to name a record, and to find its bytes. */
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';

export interface Leaf {
  readonly index: number;
  readonly type: string;
  readonly reason: string | undefined;
  /** Path of the bundle that holds it, and where its bytes start. */
  readonly bundle: string;
  readonly offset: number;
}

export async function readLeaves(folder: string): Promise<readonly Leaf[]> {
  const entries = join(folder, 'tile', 'entries');
  const files = (await readdir(entries, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const bundles = files.map((entry) => relative(folder, join(entry.parentPath, entry.name))).sort();
  const leaves: Leaf[] = [];
  for (const bundle of bundles) {
    const bytes = await readFile(join(folder, bundle));
    for (let at = 0; at < bytes.length; ) {
      const length = bytes.readUInt16BE(at);
      const { type, reason } = JSON.parse(bytes.subarray(at + 2, at + 2 + length).toString('utf8'));
      leaves.push({ index: leaves.length, type, reason, bundle, offset: at + 2 });
      at += 2 + length;
    }
  }
  return leaves;
}
