/** The shipped roots of makers: exactly the certificates the table names, and none that only looks like one. */

import { X509Certificate } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { pinnedRoots, readRoots } from '../../src/attestation/pinned-roots.ts';
import { sha256Hex } from '../../src/domain/bytes.ts';
import { withVectors } from '../shared-vectors.ts';

const folder = new URL('../../policies/anchors/vendor-roots/', import.meta.url);

test('every PEM of the folder is in the table, and every row is a root that signed itself', () => {
  const names = readdirSync(folder).filter((file) => file.endsWith('.pem'));
  expect(
    pinnedRoots()
      .map(({ name }) => `${name}.pem`)
      .toSorted(),
  ).toEqual(names.toSorted());
  for (const { certificate, title } of pinnedRoots()) {
    const parsed = new X509Certificate(certificate);
    expect([title, parsed.verify(parsed.publicKey)]).toEqual([title, true]);
  }
});

test('the dates of the table are those of the certificates', () => {
  for (const { certificate, name, notBefore, notAfter } of pinnedRoots()) {
    const { validFromDate, validToDate } = new X509Certificate(certificate);
    expect([name, validFromDate, validToDate]).toEqual([name, new Date(notBefore), new Date(notAfter)]);
  }
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
