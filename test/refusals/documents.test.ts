/**
 * Every kind of signed document, damaged in every way a database writer can: altered, deleted, another one in its place, of another
 * vault. The use that matters refuses; who does not need that document is served on, and everybody is once it is what it was.
 */
import { generateKeyPairSync, sign } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { RecordType } from '../../src/audit/record.ts';
import { documentMessage } from '../../src/documents/document.ts';
import { DOCUMENT_KINDS, type DocumentKind } from '../../src/documents/port.ts';
import { sha256Hex, toBase64 } from '../../src/domain/bytes.ts';
import type { ErrorCode } from '../../src/domain/errors.ts';
import { type Digest, type KeyId, SYSTEM } from '../../src/domain/ids.ts';
import { canonicalJson, type Json, parseCanonicalJson } from '../../src/domain/json.ts';
import { newRecoveryKey } from '../../src/keys/recovery-wrap.ts';
import { approve } from '../../src/vault/approve.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { readSlot } from '../../src/vault/catalogue.ts';
import { pruneLog } from '../../src/vault/prune-log.ts';
import { startVersion } from '../../src/vault/publish.ts';
import type { Granted } from '../../src/vault/release.ts';
import { readSinks } from '../../src/vault/sink-lag.ts';
import { requestLift } from '../../src/vault/stop.ts';
import { storedVault } from '../../src/vault/stored-vault.ts';
import { shippedRules } from '../alerts/shipped.ts';
import { codeFrom, type Machine, type Node, PROD, type Published, starterPolicies, TestVault } from '../vault/test-vault.ts';
import { type Bystander, bystanderOf, outcomeOf } from './bystander.ts';

let vault: TestVault;
let bystander: Bystander;
let machine: Machine;
let stopped: Machine;
let version: Published;
let waiting: Published;
let granted: Granted;

beforeAll(async () => {
  vault = await TestVault.ready();
  bystander = await bystanderOf(vault);
  machine = await vault.machine('gpu-1');
  stopped = await vault.machine('gpu-2');
  await vault.publish('falcon', 'restricted');
  version = await vault.publish('falcon', 'restricted');
  waiting = await vault.upload('falcon', 'restricted');
  await vault.upload('falcon', 'restricted');
  const { namespace, modelId, versionId, versionDigest } = version;
  for (const name of ['production', 'canary'])
    await vault.twoPeople({ kind: 'alias', namespace, modelId, name, versionId, versionDigest, counter: 1 });
  const heron = await vault.publish('heron', 'internal');
  await vault.twoPeople({ kind: 'class-change', namespace, modelId, class: 'critical', counter: 1 });
  await vault.twoPeople({ kind: 'class-change', namespace, modelId: heron.modelId, class: 'restricted', counter: 1 });
  await vault.twoPeople({ kind: 'class-change', namespace, modelId, class: 'restricted', counter: 2 });
  await vault.twoPeople({ kind: 'policy-set', namespace, counter: 2, policies: starterPolicies('restricted', 'internal') });
  await vault.twoPeople({ kind: 'rotate-key', namespace: SYSTEM, counter: 1, keyId: 'kek-default' as KeyId, version: 2 });
  for (const counter of [1, 2]) {
    const { keyId, publicKey } = await newRecoveryKey();
    const key = { keyId, publicKey: toBase64(publicKey), shares: 3, needed: 2, state: 'active' as const };
    await vault.twoPeople({ kind: 'recovery-key', namespace: SYSTEM, counter, ...key });
  }
  await vault.twoPeople({ kind: 'decoy', namespace, counter: 1, modelId, state: 'decoy' });
  await vault.twoPeople({ kind: 'decoy', namespace, counter: 2, modelId, state: 'ordinary' });
  for (const counter of [1, 2]) {
    await vault.twoPeople({ kind: 'alert-rules', namespace: SYSTEM, counter, rules: shippedRules() });
    await vault.twoPeople({ kind: 'alert-delivery', namespace: SYSTEM, counter, targets: [], heartbeatSeconds: 60 });
    await vault.twoPeople({ kind: 'log-retention', namespace: SYSTEM, counter, recordDays: 365 * counter, requireArchive: true });
    await vault.twoPeople(await vault.closing(counter));
  }
  for (const counter of [1, 2]) await vault.twoPeople({ kind: 'log-sinks', namespace: SYSTEM, counter, sinks: [] });
  for (const [at, state] of (['decided', 'kept'] as const).entries())
    await vault.twoPeople({ kind: 'destroy-version', namespace, counter: at + 1, modelId, versionId, versionDigest, state });
  for (const one of [stopped, await vault.machine('gpu-3')]) {
    const stop = await blockSubject(await vault.as('bob'), PROD, one.name, vault.vault);
    await vault.stepUp('alice');
    await vault.approve('bob', await requestLift(await vault.as('alice'), { namespace: PROD, stop: stop.stopId }, vault.vault));
  }
  granted = await vault.granted({ machine, version });
  await vault.stepUp('bob', waiting.operationDigest);
  vault.dropTriggers();
  vault.database.pragma('foreign_keys = OFF');
});
afterAll(() => vault.remove());

/** Where the document of a kind that the use below needs is pointed at. */
interface Pointer {
  readonly table: string;
  readonly column: string;
  readonly where: string;
  readonly of: () => string;
}

interface Decided {
  /** `vault.json` names the vault document itself, so no row points at it. */
  readonly pointer: Pointer | (() => string);
  /** Undisturbed it answers `granted` or `nothing thrown`. By a process that has not read the document yet. */
  readonly use: (node: Node) => Promise<string>;
  readonly refused: ErrorCode;
  /** What says so in the access log; absent where nobody asked for anything that is recorded. */
  readonly record?: RecordType;
  /** The bystander needs it too: every release asks what state the version of the KEK is in. */
  readonly everybody?: true;
}

const slot = (kind: string, item: () => string = () => kind, namespace: string = PROD): Pointer => ({
  table: 'document_slots',
  column: 'digest',
  where: `namespace = '${namespace}' AND slot = ?`,
  of: item,
});
const row = (table: string, column: string, id: string, of: () => string): Pointer => ({ table, column, where: `${id} = ?`, of });
const asked = (version_ = () => version.versionId as string) => ({
  use: (node: Node) => outcomeOf(vault.ask({ machine, version: { model: 'falcon', versionId: version_() as never }, node })),
  refused: 'document_invalid' as const,
  record: 'release.denied' as const,
});
const alice = async () => (await vault.as('alice')).administratorId;
let aliceId = '';
beforeAll(async () => {
  aliceId = await alice();
});

/** A new kind of document fails this file until it is decided here what its damage must do. */
const DECIDED: Readonly<Record<DocumentKind, Decided>> = {
  vault: {
    pointer: () => vault.site.made.vaultDocument,
    use: ({ vault: { stores, vaultId } }) => codeFrom(storedVault(stores, { vaultId, vaultDocument: vault.site.made.vaultDocument })),
    refused: 'document_invalid',
  },
  manifest: { pointer: row('versions', 'version_digest', 'version_id', () => version.versionId), ...asked() },
  promotion: { pointer: row('versions', 'promotion_digest', 'version_id', () => version.versionId), ...asked() },
  release: {
    pointer: row('releases', 'document_digest', 'release_id', () => granted.permit.releaseId),
    use: () => inFreshProcess((fresh) => outcomeOf(fresh.open(machine, granted))),
    refused: 'document_invalid',
    record: 'object.denied',
  },
  request: {
    pointer: row('approvals', 'document_digest', 'request_id', () => waiting.requestId),
    // By the wrong digest, so that it waits on: what was signed is looked at before.
    use: async (node) => {
      const code = await codeFrom(approve(await vault.as('bob'), waiting.requestId, 'd'.repeat(64) as Digest, node.vault));
      return code === 'approval_changed' ? 'nothing thrown' : code;
    },
    refused: 'document_invalid',
    record: 'admin.denied',
  },
  'policy-set': { pointer: slot('policy-set'), ...asked() },
  'reference-values': { pointer: slot('reference-values'), ...asked() },
  'trust-anchors': { pointer: slot('trust-anchors'), ...asked() },
  administrator: {
    pointer: slot('administrator', () => `administrator:${aliceId}`, SYSTEM),
    use: (node) => codeFrom(vault.login('alice', node)),
    refused: 'login_refused', // such a person is nobody, and keeps nobody else from logging in
    record: 'admin.denied',
  },
  attester: { pointer: row('subjects', 'document_digest', 'subject_id', () => machine.subjectId), ...asked() },
  alias: { pointer: slot('alias', () => `alias:${version.modelId}:production`), ...asked(() => 'production') },
  'class-change': { pointer: slot('class-change', () => `class-change:${version.modelId}`), ...asked() },
  'key-ring': {
    pointer: slot('key-ring', () => 'key-ring', SYSTEM),
    use: async (node) => codeFrom(startVersion(await vault.as('alice'), PROD, 'falcon', node.vault)),
    refused: 'document_invalid',
    everybody: true,
  },
  'recovery-key': {
    pointer: slot('recovery-key', () => 'recovery-key', SYSTEM),
    use: async (node) => codeFrom(startVersion(await vault.as('alice'), PROD, 'falcon', node.vault)),
    refused: 'document_invalid',
  },
  // Whether it is one could not be told, and a touch would go unseen.
  decoy: { pointer: slot('decoy', () => `decoy:${version.modelId}`), ...asked() },
  'alert-rules': {
    pointer: slot('alert-rules', () => 'alert-rules', SYSTEM),
    use: async (node) => codeFrom(readSlot(await vault.as('alice'), SYSTEM, 'alert-rules', node.vault)),
    refused: 'document_invalid',
  },
  'log-retention': {
    pointer: slot('log-retention', () => 'log-retention', SYSTEM),
    use: async (node) => codeFrom(pruneLog(node.vault)),
    refused: 'document_invalid',
  },
  // Nothing is pruned while nobody can tell what is archived.
  'closed-log': {
    pointer: slot('closed-log', () => 'closed-log', SYSTEM),
    use: async (node) => codeFrom(pruneLog(node.vault)),
    refused: 'document_invalid',
  },
  'alert-delivery': {
    pointer: slot('alert-delivery', () => 'alert-delivery', SYSTEM),
    use: async (node) => codeFrom(readSlot(await vault.as('alice'), SYSTEM, 'alert-delivery', node.vault)),
    refused: 'document_invalid',
  },
  'log-sinks': {
    pointer: slot('log-sinks', () => 'log-sinks', SYSTEM),
    use: async (node) => codeFrom(readSinks(await vault.as('alice'), node.vault)),
    refused: 'document_invalid',
    everybody: true, // nobody knows then which sinks releases must not outrun
  },
  // Decided and taken back: without it nobody could tell which.
  'version-destruction': { pointer: slot('version-destruction', () => `version-destruction:${version.versionId}`), ...asked() },
  // What does not verify lifts nothing: the machine is stopped as before.
  lift: {
    pointer: row('stops', 'lift_digest', 'target', () => stopped.subjectId),
    use: (node) => outcomeOf(vault.ask({ machine: stopped, version, node })),
    refused: 'subject_blocked',
    record: 'release.denied',
  },
};

interface Stored {
  readonly digest: string;
  readonly kind: string;
  readonly bytes: Buffer;
  readonly signature: Buffer;
}

const stranger = generateKeyPairSync('ed25519').privateKey;
const signedBy = (key: typeof stranger) => (kind: string, bytes: Uint8Array) =>
  sign(null, documentMessage(kind as DocumentKind, bytes), key);
const ours = async (kind: string, bytes: Uint8Array) =>
  Buffer.from(await vault.vault.catalogueKey.sign(documentMessage(kind as DocumentKind, bytes)));
const bodyOf = ({ bytes }: Stored) => parseCanonicalJson(new Uint8Array(bytes), 'document_invalid') as Record<string, Json>;
const flipped = (bytes: Buffer, at: number) => Buffer.from(bytes.map((byte, index) => (index === at ? byte ^ 1 : byte)));
const anotherOf = (kind: string, not: string) =>
  vault.database.prepare('SELECT * FROM documents WHERE (kind = ?) AND digest <> ? ORDER BY digest').get(kind, not) as Stored | undefined;

/** What stands in its row afterwards; undefined: nothing. */
const IN_PLACE: Record<string, (true_: Stored) => Promise<Stored | undefined>> = {
  'altered in one byte': async (one) => ({ ...one, bytes: flipped(one.bytes, one.bytes.length >> 1) }),
  'with a byte more': async (one) => ({ ...one, bytes: Buffer.concat([one.bytes, Buffer.of(0x20)]) }),
  emptied: async (one) => ({ ...one, bytes: Buffer.alloc(0) }),
  'with a bit of its signature altered': async (one) => ({ ...one, signature: flipped(one.signature, 10) }),
  'without a signature': async (one) => ({ ...one, signature: Buffer.alloc(0) }),
  deleted: async () => undefined,
  'replaced by another of its kind, properly signed': async (one) => {
    const bytes = Buffer.from(canonicalJson({ ...bodyOf(one), createdAt: '2026-11-30T00:00:00.000Z' }));
    return { ...one, bytes, signature: await ours(one.kind, bytes) };
  },
  'replaced by a document of another kind': async (one) => {
    const kind = one.kind === 'manifest' ? 'promotion' : 'manifest';
    const found = anotherOf(kind, one.digest);
    if (found === undefined) throw new Error(`no ${kind} is stored`);
    return { ...found, digest: one.digest };
  },
};

/** A document of its own digest that the row is made to point at. */
const POINTED_AT: Record<string, (true_: Stored) => Promise<Omit<Stored, 'digest'>>> = {
  'altered, its digest made to fit': async (one) => {
    const bytes = Buffer.from(canonicalJson({ ...bodyOf(one), createdAt: '2026-11-30T00:00:00.000Z' }));
    return { ...one, bytes };
  },
  'signed by the key of another vault': async (one) => ({ ...one, signature: signedBy(stranger)(one.kind, one.bytes) }),
  'altered and signed by the key of another vault': async (one) => {
    const bytes = Buffer.from(canonicalJson({ ...bodyOf(one), createdAt: '2026-11-30T00:00:00.000Z' }));
    return { kind: one.kind, bytes, signature: signedBy(stranger)(one.kind, bytes) };
  },
  'of another vault whose key is the same': async (one) => {
    const bytes = Buffer.from(canonicalJson({ ...bodyOf(one), vaultId: '019bc0de-0000-7000-8000-000000000000' }));
    return { kind: one.kind, bytes, signature: await ours(one.kind, bytes) };
  },
  'of another kind, properly signed': async (one) => {
    const body = bodyOf(one);
    const bytes = Buffer.from(canonicalJson({ ...body, createdAt: '2026-11-30T00:00:00.000Z' }));
    const kind = one.kind === 'manifest' ? 'promotion' : 'manifest';
    return { kind, bytes, signature: await ours(kind, bytes) };
  },
};

const put = ({ digest, kind, bytes, signature }: Stored) =>
  vault.sql('INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)', digest, kind, bytes, signature);
const remove = (digest: string) => vault.sql('DELETE FROM documents WHERE digest = ?', digest);

describe.each(DOCUMENT_KINDS)('a document of kind %s', (kind) => {
  const decided = DECIDED[kind];
  const digest = (): string => {
    const { pointer } = decided;
    if (typeof pointer === 'function') return pointer();
    return String(vault.row(`SELECT ${pointer.column} AS d FROM ${pointer.table} WHERE ${pointer.where}`, pointer.of())['d']);
  };
  const stored = (): Stored => vault.row('SELECT * FROM documents WHERE digest = ?', digest()) as unknown as Stored;

  test('is what its use needs: undisturbed it is not refused', async () => {
    expect(stored().kind).toBe(kind);
    expect(['granted', 'nothing thrown']).toContain(await decided.use(await vault.addNode()));
  });

  test.each(Object.entries(IN_PLACE))('%s is refused', async (_how, damage) => {
    const true_ = stored();
    const damaged = await damage(true_);
    if (damaged === undefined) remove(true_.digest);
    else put(damaged);
    await expectRefused(() => put(true_));
  });

  const { pointer } = decided;
  if (typeof pointer === 'function') return;
  test.each(Object.entries(POINTED_AT))('%s is refused', async (_how, make) => {
    const true_ = stored();
    const made = await make(true_);
    const at = made.bytes.equals(true_.bytes) ? true_.digest : sha256Hex(made.bytes);
    put({ ...made, digest: at });
    const point = (to: string) => vault.sql(`UPDATE ${pointer.table} SET ${pointer.column} = ? WHERE ${pointer.where}`, to, pointer.of());
    expect(point(at)).toBe(1);
    await expectRefused(() => {
      point(true_.digest);
      remove(at);
      put(true_);
    });
  });

  async function expectRefused(restore: () => void): Promise<void> {
    const node = await vault.addNode();
    const before = vault.records().length;
    try {
      expect(await decided.use(node)).toBe(decided.refused);
      const [said] = vault.records().slice(before);
      if (decided.record !== undefined) expect(said).toMatchObject({ type: decided.record, outcome: 'deny', reason: decided.refused });
      else expect(said).toBeUndefined();
      expect(await codeFrom(bystander.served(node))).toBe(decided.everybody ? decided.refused : 'nothing thrown');
    } finally {
      restore();
    }
    expect(['granted', 'nothing thrown']).toContain(await decided.use(node));
  }
});

/** The same database, HSM and people, in modules that remember nothing: as a process that has just started. */
async function inFreshProcess(work: (fresh: TestVault) => Promise<string>): Promise<string> {
  jest.resetModules();
  const { TestVault: Fresh } = await import('../vault/test-vault.ts');
  const fresh = new Fresh(vault.site);
  try {
    await fresh.addNode();
    const code = await work(fresh);
    const records = fresh.records().length;
    const theirs = await fresh.granted(bystander);
    expect(await fresh.fetch(bystander.machine, theirs)).toHaveLength(777);
    expect(fresh.records().slice(records)).toMatchObject([{ type: 'release.begin' }]);
    return code;
  } finally {
    await fresh.leave();
  }
}
