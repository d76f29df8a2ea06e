/** A start reads what came after a signed summary, forgets nothing for it, and what it does not look at is looked at soon. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { loggable } from '../../src/audit/record.ts';
import { signLogSummary } from '../../src/documents/log-summary.ts';
import { utf8 } from '../../src/domain/bytes.ts';
import type { VaultError } from '../../src/domain/errors.ts';
import { newId, type RecordId, type StopId, type VaultId } from '../../src/domain/ids.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { recollect } from '../../src/vault/recollect.ts';
import { scrubLog } from '../../src/vault/scrub-log.ts';
import { requestLift } from '../../src/vault/stop.ts';
import { summarizeLog } from '../../src/vault/summarize-log.ts';
import { tendLog } from '../../src/vault/tend-log.ts';
import { codeFrom, type Machine, PROD, type Published, starterPolicies, TestVault } from './test-vault.ts';

let vault: TestVault;
let machine: Machine;
let version: Published;
beforeEach(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('node-1');
  version = await vault.publish('m', 'internal');
});
afterEach(() => vault.remove());

const within = <T>(work: Parameters<typeof vault.stores.unitOfWork.run<T>>[0]) => vault.stores.unitOfWork.run(work);
const tile = (path: string) => within((tx) => vault.stores.log.tile(tx, path));
const scrub = () => scrubLog(vault.vault, vault.vault.logKey, tile);
const kept = () => within((tx) => vault.stores.log.summary(tx));

async function settle(): Promise<void> {
  for (let rounds = 0; (await vault.node.sequencer.tick()) === 'published'; rounds++) expect(rounds).toBeLessThan(20);
}

/** Signed by a process that has read all there is. */
async function summarize(): Promise<number> {
  await settle();
  const known = await recollect(vault.vault, vault.vault.logKey);
  return (await summarizeLog(known, vault.vault, vault.vault.logKey, tile, 1)).size;
}

async function fill(records = 300): Promise<void> {
  await within(async (tx) => {
    for (let at = 0; at < records; at++)
      await vault.vault.accessLog.append(tx, {
        ...{ type: 'log.heartbeat', outcome: 'success', actor: { kind: 'system' }, detail: loggable(`${at}`, 8) },
      });
  });
  await settle();
}

/** A process that starts now, and which bundles of records it read. */
async function started() {
  await settle();
  const node = await vault.addNode();
  const read = jest.spyOn(node.vault.stores.log, 'tile');
  const known = await recollect(node.vault, node.vault.logKey);
  const bundles = read.mock.calls.map(([, path]) => path).filter((path) => path.startsWith('tile/entries/'));
  read.mockRestore();
  return { node, known, bundles };
}

const ask = async () => vault.ask({ node: (await started()).node, machine, version });

async function pointBack(slot = 'policy-set') {
  const old = vault.row(
    'SELECT digest FROM documents WHERE kind = ? AND digest <> (SELECT digest FROM document_slots WHERE namespace = ? AND slot = ?)',
    slot,
    PROD,
    slot,
  );
  vault.sql('UPDATE document_slots SET digest = ?, counter = 1 WHERE namespace = ? AND slot = ?', old['digest'], PROD, slot);
}

test('it reads nothing that the summary covers, and still refuses a slot that was pointed back and a stop whose row is gone', async () => {
  const alice = await vault.as('alice');
  const first = vault.row("SELECT digest FROM document_slots WHERE namespace = ? AND slot = 'policy-set'", PROD)['digest'];
  await vault.twoPeople({ kind: 'policy-set', namespace: PROD, counter: 2, policies: starterPolicies('public', 'internal') });
  await blockSubject(alice, PROD, machine.name, vault.vault);
  await fill();
  const size = await summarize();
  const start = await started();
  expect(start).toMatchObject({ known: { size, summarized: size }, bundles: [] });
  await fill(10);
  expect((await started()).bundles).toHaveLength(1);

  for (const { name } of vault.database.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").all() as Array<{ name: string }>)
    vault.database.exec(`DROP TRIGGER ${name}`);
  vault.sql('DELETE FROM stops');
  vault.expectDenied(await ask(), 'subject_blocked');
  const [stop] = vault.records('stop.placed');
  const { stopId } = (stop as unknown as { stop: { stopId: StopId } }).stop;
  const { requestId, operationDigest } = await requestLift(alice, { namespace: PROD, stop: stopId }, vault.vault);
  await vault.approve('bob', { requestId, operationDigest });
  expect(await ask()).toMatchObject({ refused: false });
  await summarize(); // a lift is remembered as well
  expect(await ask()).toMatchObject({ refused: false });

  vault.sql("UPDATE document_slots SET digest = ?, counter = 1 WHERE namespace = ? AND slot = 'policy-set'", first, PROD);
  vault.expectDenied(await ask(), 'document_invalid');
});

test('a summary that is older, altered, of another key, vault or meaning, or gone makes a start read more, and forget nothing', async () => {
  await fill();
  const older = await summarize();
  const old = await kept();
  await vault.twoPeople({ kind: 'policy-set', namespace: PROD, counter: 2, policies: starterPolicies('public') });
  await summarize();
  const newest = await kept();
  const body = JSON.parse(Buffer.from(newest?.bytes ?? []).toString());
  const document = vault.row("SELECT bytes, signature FROM documents WHERE kind = 'policy-set'");
  const sign = vault.vault.catalogueKey.sign;
  await pointBack();
  const put = async (summary: { bytes: unknown; signature: unknown } | undefined, summarized: number) => {
    vault.sql('DELETE FROM log_summary');
    if (summary !== undefined)
      vault.sql('INSERT INTO log_summary (one, bytes, signature) VALUES (1, ?, ?)', summary.bytes, summary.signature);
    const { node, known } = await started();
    expect(known.summarized).toBe(summarized);
    vault.expectDenied(await vault.ask({ node, machine, version }), 'document_invalid');
  };
  await put(newest, body.size);
  await put(old, older);
  await put({ bytes: utf8(JSON.stringify({ ...body, slots: [] })), signature: newest?.signature }, 0);
  await put({ bytes: newest?.bytes, signature: randomBytes(64) }, 0);
  await put({ bytes: document['bytes'], signature: document['signature'] }, 0);
  await put(await signLogSummary({ ...body, slots: [], vaultId: newId<VaultId>(new Date()) }, sign), 0);
  await put(await signLogSummary({ ...body, slots: [], origin: 'another.example/log' }, sign), 0);
  await put(undefined, 0);
});

test('who writes the database can have leaves of their own signed, and none of them makes a start forget', async () => {
  await vault.twoPeople({ kind: 'policy-set', namespace: PROD, counter: 2, policies: starterPolicies('public') });
  const leaves = [
    `{"namespace":"${PROD}","document":{"kind":"policy-set","counter":"none"}}`,
    `{"namespace":"${PROD}","document":{"kind":"policy-set","counter":-1}}`,
    `{"namespace":"${PROD}","document":{"kind":"policy-set","counter":{}},"stop":{"stopId":7}}`,
    '"counter": no JSON',
    `{"v":1,"size":1,"slots":[{"namespace":"${PROD}","kind":"policy-set","counter":1}],"stops":[]}`,
  ];
  for (const leaf of leaves)
    vault.sql('INSERT INTO log_leaves (record_id, leaf) VALUES (?, ?)', newId<RecordId>(new Date()), Buffer.from(leaf));
  await settle();
  await pointBack();
  const refused = { refused: true, code: 'document_invalid' };
  expect(await ask()).toMatchObject(refused);
  await summarize();
  expect(await ask()).toMatchObject(refused);
});

test('a summary of a longer log, or of another, says that the log was put back: the start ends there; a damaged tile is named', async () => {
  const early = await summarize();
  const signed = await kept();
  await fill();
  const body = JSON.parse(Buffer.from(signed?.bytes ?? []).toString());
  const put = async (over: object) => {
    const summary = await signLogSummary({ ...body, ...over }, vault.vault.catalogueKey.sign);
    await within((tx) => vault.stores.log.putSummary(tx, summary));
    return codeFrom(started());
  };
  expect(await put({ size: early + 10_000 })).toBe('log_rolled_back');
  expect(await put({ root: randomBytes(32).toString('base64') })).toBe('log_conflict');
  expect(await put({ size: early - 1 })).toBe('log_conflict');
  expect(await put({})).toBe('nothing thrown');
  vault.dropTriggers();
  const bytes = Buffer.from((await tile('tile/0/000')) ?? []);
  bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0);
  vault.sql("UPDATE log_tiles SET bytes = ? WHERE path = 'tile/0/000'", bytes);
  expect(await codeFrom(started())).toBe('log_tile_mismatch');
});

test('a record that was changed behind the summary ends the start; one before it is found beside the releases, which end: in its bundle, or in its row', async () => {
  await fill();
  await summarize();
  expect(await scrub()).toBeUndefined();
  vault.dropTriggers();
  const bundle = Buffer.from((await tile('tile/entries/000')) ?? []);
  const at = bundle.indexOf('"outcome":"success"');
  expect(at).toBeGreaterThan(0);
  const row = vault.row('SELECT leaf FROM log_leaves WHERE leaf_index = 7')['leaf'];
  vault.sql("UPDATE log_leaves SET leaf = x'7b7d' WHERE leaf_index = 7");
  expect(await scrub()).toMatchObject({ code: 'log_entry_mismatch', leafIndex: 0 });
  vault.sql('UPDATE log_leaves SET leaf = ? WHERE leaf_index = 7', row);
  expect(await scrub()).toBeUndefined();
  vault.sql(
    "UPDATE log_tiles SET bytes = ? WHERE path = 'tile/entries/000'",
    Buffer.concat([bundle.subarray(0, at), Buffer.from('"outcome":"failure"'), bundle.subarray(at + 19)]),
  );

  const { node, known } = await started();
  expect(known.summarized).toBeGreaterThan(256);
  const found = Promise.withResolvers<VaultError>();
  const stop = tendLog(known, node.vault, { pauseMs: 0, onContradiction: found.resolve, onFailure: found.reject });
  try {
    node.sequencer.halt(await found.promise);
  } finally {
    await stop();
  }
  expect(node.sequencer.halted()).toMatchObject({ code: 'log_entry_mismatch' });
  expect(await codeFrom(vault.ask({ node, machine, version }))).toBe('log_unavailable');
  vault.sql('DELETE FROM log_summary');
  expect(await codeFrom(started())).toBe('log_entry_mismatch');
});

test('a process that serves signs a summary when enough records came, and not sooner', async () => {
  await settle();
  const known = await recollect(vault.vault, vault.vault.logKey);
  const failed: unknown[] = [];
  const tend = (summaryRecords: number) => {
    const note = (error: unknown) => void failed.push(error);
    return tendLog(known, vault.vault, {
      pauseMs: 0,
      everyMs: { summary: 5, scrub: 60_000 },
      summaryRecords,
      onContradiction: note,
      onFailure: note,
    });
  };
  const idle = tend(known.size + 1);
  const stop = tend(known.size);
  for (let looks = 0; (await kept()) === undefined; looks++) {
    expect(looks).toBeLessThan(12_000);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await stop();
  await idle();
  expect(failed).toEqual([]);
  expect((await started()).known).toMatchObject({ size: known.size, summarized: known.size });
});
