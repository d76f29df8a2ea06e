/** Erasing who a removed administrator was: nothing of it is left in the files, and every record, proof and receipt is what it was. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { copyLog } from '../../src/audit/export.ts';
import { makeProof, verifyProof } from '../../src/audit/proof.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { formatVkey } from '../../src/audit/vkey.ts';
import { type AdministratorId, type RecordId, SYSTEM } from '../../src/domain/ids.ts';
import { login } from '../../src/vault/login.ts';
import type { Operation } from '../../src/vault/operations/operation.ts';
import { listAdministrators } from '../../src/vault/people.ts';
import { recollect } from '../../src/vault/recollect.ts';
import { readRecord } from '../../src/vault/review.ts';
import { requestErasure, requestRemoval } from '../../src/vault/set-administrator.ts';
import { sourceOf } from '../audit/small-log.ts';
import { codeFrom, type LogRecord, TestVault, workstationOf } from './test-vault.ts';

/** Nothing else is called like this, so every trace of it in a file is a trace of the person. */
const NAME = 'zebulon.quandary';
const ADDRESS = '203.0.113.77';

let vault: TestVault;
let personId: AdministratorId;
beforeEach(async () => {
  vault = await TestVault.make();
  await vault.addPerson(NAME, ['publisher', 'reviewer']);
  await logIn();
  personId = (await vault.as(NAME)).administratorId;
});
afterEach(() => vault.remove());

async function logIn(code?: string): Promise<void> {
  vault.clock.advance(30);
  const attempt = { administrator: NAME, workstation: workstationOf(NAME), requestId: 'r', remoteAddress: ADDRESS };
  await login({ ...attempt, code: code ?? (await vault.code(NAME)) }, vault.vault).catch(() => undefined);
}

const twice = async (ask: typeof requestRemoval | typeof requestErasure) => {
  await vault.stepUp('alice');
  const digest = await ask(await vault.as('alice'), NAME, vault.vault).catch((error) => /operation ([0-9a-f]{64})/.exec(error.detail)?.[1]);
  if (typeof digest === 'string') await vault.stepUp('alice', digest as never);
  const asked = typeof digest === 'object' ? digest : await ask(await vault.as('alice'), NAME, vault.vault);
  return vault.approve('bob', asked);
};
const recordsOfPerson = () =>
  vault.records().filter(({ actor }) => actor['administratorId'] === personId || actor['workstation'] === workstationOf(NAME));
const shown = async ({ recordId }: Pick<LogRecord, 'recordId'>) =>
  readRecord(await vault.as('bob'), recordId as RecordId, undefined, vault.vault);
/** The database and its write-ahead log, as whoever takes the disk reads them. */
const files = () => Buffer.concat(['', '-wal'].map((suffix) => readFileSync(vault.site.file + suffix))).toString('latin1');

describe('a person who still administers', () => {
  test('is not erased, and neither is somebody who does not exist', async () => {
    expect(await codeFrom(requestErasure(await vault.as('alice'), NAME, vault.vault))).toBe('administrator_active');
    expect(await codeFrom(requestErasure(await vault.as('alice'), 'nobody', vault.vault))).toBe('administrator_unknown');
    const [record] = recordsOfPerson();
    expect((await shown(record as LogRecord)).personal).toMatchObject({ administratorName: NAME });
  });
});

describe('a person who was removed', () => {
  beforeEach(async () => {
    await logIn('000000'); // refused: an attempt under the name, of nobody who is known
    await twice(requestRemoval);
  });

  test('is erased by two people: name and addresses leave the database, its write-ahead log and whatever is read from it later', async () => {
    expect(files()).toContain(NAME);
    const before = recordsOfPerson();
    await twice(requestErasure);
    const left = files();
    expect(left).not.toContain(NAME);
    expect(left).not.toContain(ADDRESS);
    expect(left).toContain(personId);
    for (const record of before) {
      const { personal, erased } = await shown(record);
      expect(personal).toEqual({});
      expect(erased?.sort()).toEqual(['administratorName', 'remoteAddress']);
    }
    const { administrators } = await listAdministrators(await vault.as('alice'), vault.vault);
    expect(administrators.find(({ administratorId }) => administratorId === personId)).toMatchObject({ name: personId, state: 'removed' });
    expect(JSON.stringify(administrators)).not.toContain(NAME);
  });

  test('leaves a record of the erasure that names ids and counts, and every disclosure of others as it was', async () => {
    const count = () => vault.row('SELECT count(*) AS count FROM log_disclosures')['count'] as number;
    const others = vault.row('SELECT count(*) AS count FROM log_disclosures WHERE value = ?', 'alice')['count'] as number;
    const before = count();
    await twice(requestErasure);
    const record = vault.lastRecord();
    expect(record).toMatchObject({
      type: 'person.erased',
      detail: expect.stringMatching(/^[0-9]+ disclosures of [0-9]+ records, 3 documents, 2 requests$/),
      document: { kind: 'administrator', item: personId, counter: 4 },
      operation: { kind: 'erase-person' },
    });
    expect(JSON.stringify(vault.records())).not.toContain(NAME);
    expect(count()).toBeLessThan(before + 8);
    expect(vault.row('SELECT count(*) AS count FROM log_disclosures WHERE value = ?', 'alice')['count']).toBeGreaterThan(others);
    expect((await shown(record)).personal).toMatchObject({ administratorName: 'bob' });
  });

  test('proofs made before hold, the whole log verifies, and the log is taken up again after a start', async () => {
    await vault.node.sequencer.tick();
    const { log, unitOfWork } = vault.stores;
    const read = (path: string) => unitOfWork.run((tx) => log.tile(tx, path));
    const head = await unitOfWork.run((tx) => log.head(tx));
    const checkpoint = head?.checkpoint ?? new Uint8Array(0);
    const [record] = recordsOfPerson();
    const found = await unitOfWork.run((tx) => log.leafByRecord(tx, record?.recordId as RecordId));
    const proof = await makeProof(found?.index ?? -1, checkpoint, vault.vault.logKey, read);

    await twice(requestErasure);
    await vault.node.sequencer.tick();
    const vkey = formatVkey(vault.vault.logKey);
    const again = await unitOfWork.run((tx) => log.leafByRecord(tx, record?.recordId as RecordId));
    expect(verifyProof(proof, vkey, again?.leaf ?? new Uint8Array(0)).index).toBe(found?.index);
    const copy = new Map<string, Uint8Array>();
    const newest = async () => (await unitOfWork.run((tx) => log.head(tx)))?.checkpoint ?? new Uint8Array(0);
    await copyLog({ checkpoint: newest, tile: read }, { write: async (path, bytes) => void copy.set(path, bytes) });
    expect(await verifyLog(sourceOf(copy), vkey)).toMatchObject({ ok: true, problems: [] });
    expect(Buffer.concat([...copy.values()]).toString('latin1')).not.toContain(NAME);
    await recollect(vault.vault, vault.vault.logKey);
    expect((await listAdministrators(await vault.as('alice'), vault.vault)).administrators).toHaveLength(4);
  });

  test('is not erased twice, their slot cannot be pointed back, and the name may be given to another', async () => {
    const before = vault.row('SELECT digest, counter FROM document_slots WHERE slot = ?', `administrator:${personId}`);
    await twice(requestErasure);
    expect(await codeFrom(requestErasure(await vault.as('alice'), NAME, vault.vault))).toBe('administrator_unknown');
    const again: Operation = { kind: 'erase-person', namespace: SYSTEM, counter: 5, administratorId: personId };
    await expect(vault.twoPeople(again)).rejects.toMatchObject({ code: 'administrator_unknown' });
    expect(() =>
      vault.sql(`UPDATE document_slots SET digest = '${String(before['digest'])}'  WHERE slot = 'administrator:${personId}'`),
    ).toThrow();
    expect((await vault.addPerson(NAME)).name).toBe(NAME);
  });

  test('an altered disclosure is shown to nobody', async () => {
    const [record] = recordsOfPerson();
    vault.sql("UPDATE log_disclosures SET value = 'mallory' WHERE field = 'administratorName'");
    await expect(shown(record as LogRecord)).rejects.toMatchObject({ code: 'document_invalid' });
  });
});

test('no document is deleted, and no other than an erased one', () => {
  expect(() => vault.sql("DELETE FROM documents WHERE kind = 'policy-set'")).toThrow('kept for ever');
  expect(() => vault.sql("DELETE FROM documents WHERE kind = 'administrator'")).toThrow('kept for ever');
});
