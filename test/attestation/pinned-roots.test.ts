/** The shipped roots of makers: exactly the certificates the table names, and none that only looks like one. */

import { X509Certificate } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ekRoots, pinnedRoots, readRoots } from '../../src/attestation/pinned-roots.ts';
import { readAnchors } from '../../src/cli/anchor-files.ts';
import { sha256Hex } from '../../src/domain/bytes.ts';
import { withVectors } from '../shared-vectors.ts';

const folder = new URL('../../policies/anchors/vendor-roots/', import.meta.url);
const FOLDERS = [
  ['vendor-roots', pinnedRoots],
  ['ek-roots', ekRoots],
] as const;

test.each(FOLDERS)('every PEM of %s is in its table, and every row is a root that signed itself', (name, roots) => {
  const names = readdirSync(new URL(`../${name}/`, folder)).filter((file) => file.endsWith('.pem'));
  expect(
    roots()
      .map(({ name }) => `${name}.pem`)
      .toSorted(),
  ).toEqual(names.toSorted());
  for (const { certificate, title } of roots()) {
    const parsed = new X509Certificate(certificate);
    expect([title, parsed.verify(parsed.publicKey)]).toEqual([title, true]);
  }
});

test.each(FOLDERS)('the dates of the table of %s are those of the certificates', (_name, roots) => {
  for (const { certificate, name, notBefore, notAfter } of roots()) {
    const { validFromDate, validToDate } = new X509Certificate(certificate);
    expect([name, validFromDate, validToDate]).toEqual([name, new Date(notBefore), new Date(notAfter)]);
  }
});

test('a maker of TPM chips is proposed for endorsement keys, and a cloud for attestation keys', async () => {
  const files = ['ek-roots/infineon-optiga-ecc-root-ca.pem', 'vendor-roots/azure-virtual-tpm-root-2023.pem'];
  const [infineon, azure, ...more] = await readAnchors(files.map((file) => fileURLToPath(new URL(`../${file}`, folder))));
  expect(infineon).toMatchObject({ kind: 'tpm2', name: 'Infineon OPTIGA(TM) ECC Root CA' });
  expect(infineon).not.toHaveProperty('use');
  expect(azure).toMatchObject({ kind: 'tpm2', use: 'attestation-keys' });
  expect(more).toEqual([]);
  const google = await readAnchors([fileURLToPath(new URL('google-ek-ak-ca-root.pem', folder))]);
  expect(google.map((anchor) => 'use' in anchor && anchor.use)).toEqual([false, 'attestation-keys']);
});

describe('a table that somebody changed', () => {
  let copy = '';
  beforeAll(() => {
    copy = mkdtempSync(join(tmpdir(), 'wv-roots-'));
    cpSync(folder, copy, { recursive: true });
  });
  afterAll(() => rmSync(copy, { recursive: true }));
  const read = () => readRoots(pathToFileURL(`${copy}/`));

  test('by exchanging a certificate is not read', () => {
    const milan = join(copy, 'amd-ark-milan.pem');
    const whole = readFileSync(milan);
    cpSync(join(copy, 'amd-ark-genoa.pem'), milan);
    expect(read).toThrow('amd-ark-milan.pem is not the certificate');
    writeFileSync(milan, whole);
    expect(read()).toHaveLength(pinnedRoots().length);
  });

  test.each(['sha256', 'spkiSha256'])('by another %s is not read', (member) => {
    const file = join(copy, 'roots.json');
    const whole = readFileSync(file, 'utf8');
    const table = JSON.parse(whole);
    table.roots[0][member] = '0'.repeat(64);
    writeFileSync(file, JSON.stringify(table));
    expect(read).toThrow('is not the certificate of roots.json');
    writeFileSync(file, whole);
  });
});

type Collected = Record<'roots' | 'lookalikes', ReadonlyArray<{ readonly sha256: string }>>;
withVectors<Collected>('the roots that others collected', 'attestation/roots/ROOTS.json', ({ roots, lookalikes }) => {
  test('are ours, and no lookalike is', () => {
    const ours = pinnedRoots().map(({ certificate }) => sha256Hex(certificate));
    expect(ours.toSorted()).toEqual(roots.map(({ sha256 }) => sha256).toSorted());
    for (const { sha256 } of lookalikes) expect(ours).not.toContain(sha256);
  });
});
