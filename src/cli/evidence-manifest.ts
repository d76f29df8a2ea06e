/** The manifest of `wv evidence check` (docs/evidence-check.md): its entries, and their files, which must lie below its folder. */
import type { Stats } from 'node:fs';
import { constants, type FileHandle, open } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { z } from 'zod';
import { sha256Hex } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';

const MAX_MANIFEST_BYTES = 64 * 1024 * 1024;
const MAX_ENTRIES = 100_000;
/** Of evidence and of each companion. The largest real one, a vendor's RIM or event log, stays below 1 MiB. */
export const MAX_EVIDENCE_BYTES = 4 * 1024 * 1024;

/** Why an entry was not examined at all. */
export type EntryProblem = 'entry_invalid' | 'file_unreadable' | 'file_too_large' | 'file_digest_mismatch';

export class EntryError extends Error {
  readonly code: EntryProblem;
  constructor(code: EntryProblem, message: string) {
    super(message);
    this.code = code;
  }
}

const record = z.record(z.string(), z.unknown());
const entrySchema = z.looseObject({
  id: z.string().min(1),
  format: z.string(),
  file: z.string(),
  companions: z.record(z.string(), z.string()).nullish(),
  parameters: record.nullish(),
  expected: z
    .looseObject({
      valid: z.boolean(),
      accept: z.boolean(),
      reason: z.string().nullish(),
      all_reasons: z.array(z.string()).nullish(),
      at: z.string().nullish(),
    })
    .nullish(),
  file_sha256: z.string().nullish(),
});
export type ManifestEntry = z.output<typeof entrySchema>;
export type Expected = NonNullable<ManifestEntry['expected']>;

/** What stands in the manifest, entry by entry: one that has not the form is an EntryError of its own, the others still count. */
export interface ListedEntry {
  readonly id: string;
  readonly entry: ManifestEntry | EntryError;
}

/** Throws `usage` when the file is no manifest at all. */
export async function readManifest(file: string): Promise<ListedEntry[]> {
  const listed = await readListed(file);
  if (!Array.isArray(listed)) throw new VaultError('usage', `${file} is not a JSON array of entries`);
  if (listed.length > MAX_ENTRIES) throw new VaultError('usage', `${file} has more than ${MAX_ENTRIES} entries`);
  return listed.map((one: unknown, at) => {
    const parsed = entrySchema.safeParse(one);
    if (parsed.success) return { id: parsed.data.id, entry: parsed.data };
    const id = record.safeParse(one).data?.['id'];
    const problem = new EntryError('entry_invalid', z.prettifyError(parsed.error).replaceAll('\n', ' '));
    return { id: typeof id === 'string' ? id : `#${at}`, entry: problem };
  });
}

async function readListed(file: string): Promise<unknown> {
  try {
    return JSON.parse(Buffer.from(await readBounded(file, MAX_MANIFEST_BYTES)).toString('utf8'));
  } catch (cause) {
    throw new VaultError('usage', `${file} cannot be read as JSON${cause instanceof EntryError ? `: ${cause.message}` : ''}`, { cause });
  }
}

/** The evidence and its companions. Throws EntryError. */
export async function readEntryFiles(
  manifest: string,
  entry: ManifestEntry,
): Promise<{ readonly evidence: Uint8Array; readonly companions: Readonly<Record<string, Uint8Array>> }> {
  const read = (file: string) => readBounded(join(dirname(manifest), inside(file)), MAX_EVIDENCE_BYTES);
  const evidence = await read(entry.file);
  if (typeof entry.file_sha256 === 'string' && entry.file_sha256.toLowerCase() !== sha256Hex(evidence)) {
    throw new EntryError('file_digest_mismatch', `${entry.file} does not have the SHA-256 that its entry states`);
  }
  const companions: Record<string, Uint8Array> = Object.create(null); // a name like __proto__ is a name
  for (const [name, file] of Object.entries(entry.companions ?? {})) companions[name] = await read(file);
  return { evidence, companions };
}

/** One file by itself, named by the user. Throws EntryError. */
export function readEvidenceFile(file: string): Promise<Uint8Array> {
  return readBounded(file, MAX_EVIDENCE_BYTES);
}

/** A manifest can come from a stranger: it opens nothing outside its own folder. */
function inside(file: string): string {
  const path = normalize(file);
  if (isAbsolute(path) || path === '..' || path.startsWith('../') || path.includes('\0')) {
    throw new EntryError('entry_invalid', `${file} is not below the folder of the manifest`);
  }
  return path;
}

/** Regular files only: a pipe or a device would never end. */
async function readBounded(file: string, maxBytes: number): Promise<Uint8Array> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK); // a pipe without a writer would keep us waiting
    const { size } = regular(await handle.stat(), file, maxBytes);
    const bytes = new Uint8Array(size);
    const { bytesRead } = await handle.read(bytes, 0, size, 0);
    return bytes.subarray(0, bytesRead);
  } catch (error) {
    if (error instanceof EntryError) throw error;
    throw new EntryError('file_unreadable', `${file} cannot be read`);
  } finally {
    await handle?.close();
  }
}

function regular(stat: Stats, file: string, maxBytes: number): Stats {
  if (!stat.isFile()) throw new EntryError('file_unreadable', `${file} is not a regular file`);
  if (stat.size > maxBytes) throw new EntryError('file_too_large', `${file} is larger than ${maxBytes} bytes`);
  return stat;
}
