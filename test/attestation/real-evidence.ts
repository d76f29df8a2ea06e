/** Real evidence that is authentic, outside of the test runner: for soaks and for processes of their own. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ExaminationInputs } from '../../src/attestation/examination.ts';
import { pinnedRoots } from '../../src/attestation/pinned-roots.ts';
import { EntryError, type ManifestEntry, readEntryFiles, readManifest } from '../../src/cli/evidence-manifest.ts';

const MANIFEST = fileURLToPath(new URL('../../../shared/vectors/attestation/MANIFEST.json', import.meta.url));

export interface PreparedEntry {
  readonly id: string;
  readonly format: string;
  readonly inputs: ExaminationInputs;
}

/** The entries of these formats that are valid. Throws when the shared vectors are not on this machine. */
export async function preparedEntries(formats: readonly string[]): Promise<readonly PreparedEntry[]> {
  if (!existsSync(MANIFEST)) throw new Error(`the shared vectors are not at ${MANIFEST}`);
  const entries = (await readManifest(MANIFEST)).flatMap(({ entry }) => (isOneOf(entry, formats) ? [entry] : []));
  return Promise.all(entries.map(prepare));
}

function isOneOf(entry: ManifestEntry | EntryError, formats: readonly string[]): entry is ManifestEntry {
  return !(entry instanceof EntryError) && formats.includes(entry.format) && entry.expected?.valid === true;
}

async function prepare(entry: ManifestEntry): Promise<PreparedEntry> {
  const files = await readEntryFiles(MANIFEST, entry);
  const asked = Object.entries(entry.expected ?? {}).filter(([name]) => name.startsWith('expected_'));
  const parameters = { ...Object.fromEntries(asked), ...entry.parameters };
  const now = new Date(String(entry.expected?.at));
  return { id: entry.id, format: entry.format, inputs: { ...files, parameters, roots: pinnedRoots(), now } };
}
