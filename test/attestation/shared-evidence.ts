/** Real evidence of the shared vectors: one test an entry of the manifest, verdict, reason and every value compared as `wv evidence check` does. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import type { ExaminationInputs, Examine, PinnedRoot } from '../../src/attestation/examination.ts';
import { derOrPem } from '../../src/attestation/x509/pem.ts';
import { compare } from '../../src/cli/evidence-check.ts';

export const FOLDER = new URL('../../../shared/vectors/attestation/', import.meta.url);
const isHere = existsSync(FOLDER);

export interface SharedEntry {
  readonly id: string;
  readonly format: string;
  readonly file: string;
  readonly companions: Readonly<Record<string, string>>;
  readonly expected: Readonly<Record<string, unknown>> & { readonly valid: boolean; readonly accept: boolean; readonly at: string };
}

const read = (file: string) => new Uint8Array(readFileSync(new URL(file, FOLDER)));

export { read as readShared };

function sharedRoots(): readonly PinnedRoot[] {
  const { roots } = JSON.parse(Buffer.from(read('roots/ROOTS.json')).toString('utf8')) as { roots: Array<{ file: string }> };
  return roots.map(({ file }) => {
    const name = file.replace(/^roots\/(.*)\.pem$/, '$1');
    const vendor = name.split('-')[0] as PinnedRoot['vendor']; // the folder names its files by vendor
    const [certificate = new Uint8Array(0)] = derOrPem(read(file), 'CERTIFICATE', 1);
    return { name, vendor, certificate };
  });
}

export function inputsOf(entry: SharedEntry): ExaminationInputs {
  return {
    evidence: read(entry.file),
    companions: Object.fromEntries(Object.entries(entry.companions).map(([name, file]) => [name, read(file)])),
    parameters: Object.fromEntries(Object.entries(entry.expected).filter(([name]) => name.startsWith('expected_'))),
    roots: entry.id.includes('-no-trusted-root') ? [] : sharedRoots(), // as docs/evidence-check.md says
    now: new Date(entry.expected.at),
  };
}

export function sharedEntries(format: string): readonly SharedEntry[] {
  if (!isHere) return [];
  const entries = JSON.parse(Buffer.from(read('MANIFEST.json')).toString('utf8')) as SharedEntry[];
  return entries.filter((entry) => entry.format === format);
}

/** Leaves one skipped test that names what is missing when the vectors are not on this machine. */
export function describeShared(title: string, define: () => void): void {
  describe(title, () => {
    if (isHere) define();
    else test.skip(`not run: ${FOLDER.pathname} is not on this machine`, () => undefined);
  });
}

export function agreesOnEverySharedEntry(format: string, examine: Examine): void {
  describeShared(`real ${format} of the shared vectors`, () => {
    test.each(sharedEntries(format).map((entry) => [entry.id, entry] as const))('%s', async (_, entry) => {
      expect(compare(entry.expected as Parameters<typeof compare>[0], await examine(inputsOf(entry)))).toEqual([]);
    });
  });
}
