/**
 * A whole vault in one process: real SQLite, blobs, Cedar, access log and ceremony; a key provider in memory, a clock that tests move, and a
 * verifier that believes a body which names its attestation key, its PCRs and the binding it was made for. Several nodes share one database.
 */
import { createPublicKey, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import Database from 'better-sqlite3';
import { generate } from 'otplib';
import type { EvidenceVerifier } from '../../src/attestation/port.ts';
import { createAccessLog } from '../../src/audit/access-log.ts';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import type { WitnessPolicy } from '../../src/audit/cosignature.ts';
import { createLevels } from '../../src/audit/levels.ts';
import { createSequencer, type Sequencer } from '../../src/audit/sequencer.ts';
import { verifierKey } from '../../src/audit/vkey.ts';
import { createFsBlobStore } from '../../src/blobs/fs/fs-blob-store.ts';
import { signDocument } from '../../src/documents/document.ts';
import { sha256, sha256Hex, toBase64, toHex } from '../../src/domain/bytes.ts';
import type { ClassName } from '../../src/domain/classes.ts';
import type { Clock } from '../../src/domain/clock.ts';
import type { ErrorCode } from '../../src/domain/errors.ts';
import {
  type EnrolledTpm2,
  type Evidence,
  evidenceBinding,
  type PcrBanks,
  type ReferenceValue,
  refuse,
  type SpkiDigest,
  type TrustAnchor,
  tpm2AttesterKey,
} from '../../src/domain/evidence.ts';
import {
  type AdministratorId,
  type ChallengeId,
  type Digest,
  type Incarnation,
  type ModelId,
  type Namespace,
  newId,
  type ObjectPath,
  type RequestId,
  type SubjectId,
  SYSTEM,
  type VersionId,
} from '../../src/domain/ids.ts';
import { canonicalJson } from '../../src/domain/json.ts';
import type { SecretBytes } from '../../src/domain/secret.ts';
import { spkiDigestOf } from '../../src/identity/certificates.ts';
import { createDekLeases } from '../../src/keys/dek-leases.ts';
import type { KeyProvider } from '../../src/keys/port.ts';
import { splitPolicies } from '../../src/policy/policy-set.ts';
import type { Stores } from '../../src/stores/port.ts';
import { openSqliteStores } from '../../src/stores/sqlite/sqlite-stores.ts';
import { type ApprovalAnswer, approve, requestApproval } from '../../src/vault/approve.ts';
import { type AdminActor, authenticate } from '../../src/vault/authorize.ts';
import { issueChallenge } from '../../src/vault/challenge.ts';
import { beginClaim, confirmClaim } from '../../src/vault/claim.ts';
import { CATALOGUE_KEY, type CeremonyResult, ceremony, LOG_KEY } from '../../src/vault/init.ts';
import { login } from '../../src/vault/login.ts';
import { createReleaseMeter } from '../../src/vault/meter.ts';
import type { OpenedObject } from '../../src/vault/open-object.ts';
import { openObject } from '../../src/vault/open-object.ts';
import type { CloseLog, Operation } from '../../src/vault/operations/operation.ts';
import { createModel, finishVersion, putObject, startVersion } from '../../src/vault/publish.ts';
import type { Denied } from '../../src/vault/record.ts';
import { type Granted, release } from '../../src/vault/release.ts';
import { createRevocations } from '../../src/vault/revoke.ts';
import type { Vault } from '../../src/vault/vault.ts';
import { createMemoryKeyProvider } from '../doubles/memory-key-provider.ts';

export const PROD = 'prod' as Namespace;
export const RESEARCH = 'research' as Namespace;
export const ORIGIN = 'log.example.org/test';
export const ALL_ROLES = ['publisher', 'approver', 'policy-author', 'enroller', 'responder', 'registrar', 'key-custodian', 'reviewer'];
export const GOOD_PCRS: PcrBanks = { sha256: { '7': '07'.repeat(32) } };
export const GOOD_VALUE: ReferenceValue = { id: 'golden', kind: 'tpm2', pcrs: { sha256: { '7': ['07'.repeat(32)] } } };
export const ANCHOR: TrustAnchor = { kind: 'tpm2', name: 'lab-root', certificate: 'AAAA' };

/** Wall time and monotonic time, both moved by hand. */
export class TestClock implements Clock {
  #wallMs = Date.parse('2026-12-01T12:00:00.000Z');
  #monotonicMs = 1_000_000;
  now = () => new Date(this.#wallMs);
  monotonicMs = () => this.#monotonicMs;
  advance(seconds: number): void {
    this.#wallMs += seconds * 1000;
    this.#monotonicMs += seconds * 1000;
  }
  /** The process waited, the database's time did not move noticeably. */
  wait(milliseconds: number): void {
    this.#monotonicMs += milliseconds;
  }
}

/** The provider double, counted, with the secrets it saw (to search for afterwards) and a fault that a test can switch on. */
export interface WatchedKeys extends KeyProvider {
  unwraps: number;
  /** Every secret that `unwrap` handed out, to see whether it was wiped. */
  readonly opened: SecretBytes[];
  /** Plain bytes of every DEK and seed that was ever wrapped. */
  readonly plain: Uint8Array[];
  failUnwrap: Error | undefined;
}

export function watchedKeys(inner: KeyProvider = createMemoryKeyProvider()): WatchedKeys {
  const watched: WatchedKeys = {
    ...inner,
    unwraps: 0,
    opened: [],
    plain: [],
    failUnwrap: undefined,
    async wrap(kek, secret, aad) {
      watched.plain.push(secret.expose((bytes) => Uint8Array.from(bytes)));
      return inner.wrap(kek, secret, aad);
    },
    async unwrap(wrapped, aad) {
      watched.unwraps++;
      if (watched.failUnwrap !== undefined) throw watched.failUnwrap;
      const secret = await inner.unwrap(wrapped, aad);
      watched.opened.push(secret);
      return secret;
    },
  };
  return watched;
}

/** Believes a body that says which key made it, over which PCRs and for which binding. */
export function believingVerifier(): EvidenceVerifier {
  return {
    kind: 'tpm2',
    async verify(body, context) {
      const { akName, pcrs, binding } = body as { akName: string; pcrs: PcrBanks; binding: string };
      const attester = await context.attester(tpm2AttesterKey(akName));
      if (attester?.kind !== 'tpm2') return refuse('attester_key_unknown', akName);
      if (binding !== toBase64(context.binding)) return refuse('evidence_binding_mismatch', 'another binding', { subject: attester });
      return { kind: 'tpm2', attester, pcrs, facts: { akName, akTrust: 'activation', firmwareVersion: '1' } };
    },
  };
}

export interface Node {
  readonly vault: Vault;
  readonly sequencer: Sequencer;
}

export interface Person {
  readonly name: string;
  readonly workstation: SpkiDigest;
  /** base32, out of the enrolment link. */
  readonly seed: string;
}

/** A requester's machine: its TLS key, its attestation key and what it measured. */
export interface Machine {
  readonly name: string;
  readonly namespace: Namespace;
  readonly spki: Uint8Array;
  readonly akName: string;
  readonly subjectId: SubjectId;
  readonly pcrs: PcrBanks;
}

export interface Published {
  readonly namespace: Namespace;
  readonly model: string;
  readonly modelId: ModelId;
  readonly versionId: VersionId;
  readonly versionDigest: Digest;
  /** Of the promotion that still waits, for classes that need two people. */
  readonly requestId: RequestId;
  readonly operationDigest: Digest;
}

export interface LogRecord {
  readonly recordId: string;
  readonly type: string;
  readonly outcome: string;
  readonly reason?: string;
  readonly detail?: string;
  readonly namespace?: string;
  readonly actor: Readonly<Record<string, string>>;
  readonly release?: { readonly releaseId: string; readonly begin?: string; readonly outcome?: string; readonly bytes?: number } & Readonly<
    Record<string, unknown>
  >;
  readonly object?: Readonly<Record<string, string>>;
  readonly document?: Readonly<Record<string, unknown>>;
}

export interface Asking {
  readonly node?: Node;
  readonly machine: Machine;
  readonly version: Pick<Published, 'model' | 'versionId'>;
  readonly namespace?: Namespace;
  /** Default: a fresh one for the machine's TLS key; null: none. */
  readonly challengeId?: ChallengeId | null;
  readonly evidence?: readonly Evidence[];
  /** What the evidence is bound to instead. */
  readonly binding?: Uint8Array;
  readonly aliasCounter?: number;
  readonly remoteAddress?: string;
}

const ADMINISTRATION = splitPolicies(readFileSync(new URL('../../policies/administrators.cedar', import.meta.url), 'utf8'));

export function starterPolicies(...names: readonly string[]): Record<string, string> {
  const read = (name: string) => splitPolicies(readFileSync(new URL(`../../policies/${name}.cedar`, import.meta.url), 'utf8'));
  return Object.assign({}, ...names.map(read));
}

/** What outlives a process: the files, the HSM, the people. */
export interface Site {
  readonly folder: string;
  readonly file: string;
  readonly clock: TestClock;
  readonly keys: WatchedKeys;
  readonly made: CeremonyResult;
  readonly kek: Vault['kek'];
  readonly people: Record<string, Person>;
}

export class TestVault {
  readonly site: Site;
  readonly nodes: Node[] = [];
  /** Who the nodes that are added from now on believe to be witnesses. */
  witnesses: WitnessPolicy | undefined;
  readonly #closers: Array<() => Promise<void>> = [];
  #database: Database.Database | undefined;

  constructor(site: Site) {
    this.site = site;
  }

  /** A ceremony with alice, bob and carol (a reviewer without any other role), and one node. */
  static async make(): Promise<TestVault> {
    const clock = new TestClock();
    const keys = watchedKeys();
    const folder = mkdtempSync(join(tmpdir(), 'wv-vault-'));
    mkdirSync(join(folder, 'blobs'));
    const file = join(folder, 'vault.db');
    const stores = await openSqliteStores({ file, clock });
    const administrators = [
      { name: 'alice', roles: ALL_ROLES, workstation: workstationOf('alice') },
      { name: 'bob', roles: ALL_ROLES, workstation: workstationOf('bob') },
      { name: 'carol', roles: ['reviewer'], workstation: workstationOf('carol') },
    ];
    const made = await ceremony({ origin: ORIGIN, administrators, policies: ADMINISTRATION, now: clock.now() }, { keys, stores });
    const kek = await recordedKek(stores, made); // before any test damages that document
    await stores.close();
    const people = made.enrolments.map(({ administrator, uri }) => {
      const seed = new URL(uri).searchParams.get('secret') ?? '';
      return [administrator, { name: administrator, workstation: workstationOf(administrator), seed }] as const;
    });
    const vault = new TestVault({ folder, file, clock, keys, made, kek, people: Object.fromEntries(people) });
    await vault.addNode();
    return vault;
  }

  /** A vault in which machines can already be served: policies, reference values and anchors are in force in `prod`. */
  static async ready(): Promise<TestVault> {
    const vault = await TestVault.make();
    await vault.putInForce();
    return vault;
  }

  get clock(): TestClock {
    return this.site.clock;
  }
  get keys(): WatchedKeys {
    return this.site.keys;
  }
  get node(): Node {
    const [first] = this.nodes;
    if (first === undefined) throw new Error('no node runs');
    return first;
  }
  get vault(): Vault {
    return this.node.vault;
  }
  get stores(): Stores {
    return this.vault.stores;
  }

  /** Another process on the same database, as far as one process can be two: its own connection, node id, documents, leases and streams. */
  async addNode(over: Partial<Vault> = {}): Promise<Node> {
    const { clock, keys, made, kek, file, folder } = this.site;
    const stores = await openSqliteStores({ file, clock });
    const node = newId<Incarnation>(clock.now());
    const { vaultId } = made;
    const catalogue = await keys.describe(CATALOGUE_KEY);
    const sequencer = createSequencer({
      unitOfWork: stores.unitOfWork,
      log: stores.log,
      origin: ORIGIN,
      publicKey: made.logPublicKey,
      sign: (text) => keys.sign(LOG_KEY, text),
      node,
      clock,
    });
    const deks = createDekLeases({ provider: keys });
    const catalogueKey = {
      publicKey: createPublicKey({ key: Buffer.from(catalogue.publicKey ?? []), format: 'der', type: 'spki' }),
      sign: (message: Uint8Array) => keys.sign(CATALOGUE_KEY, message),
    };
    const logKey = verifierKey(ORIGIN, made.logPublicKey);
    const vault: Vault = {
      vaultId,
      node,
      stores,
      blobs: await createFsBlobStore({ folder: join(folder, 'blobs') }),
      keys,
      kek,
      catalogueKey,
      accessLog: createAccessLog({ log: stores.log, vaultId, node, configDigest: made.vaultDocument }),
      logKey,
      levels: createLevels({ unitOfWork: stores.unitOfWork, log: stores.log, key: logKey, witnesses: this.witnesses }),
      recordLevels: {},
      logHalted: () => sequencer.halted(),
      logRoom: () => 'ample',
      deks,
      verifiers: new Map([['tpm2', believingVerifier()]]),
      revocations: createRevocations({
        ...{ vaultId, stores, catalogueKey, clock, deks },
        onStale: () => undefined,
        mustCut: () => (vault.logRoom() === 'gone' ? 'log_space_low' : undefined),
      }),
      meter: createReleaseMeter(stores, node),
      ...over,
    };
    await vault.revocations.refresh(); // tests move the clock and refresh by hand: no timer runs
    this.#closers.push(async () => {
      vault.revocations.stop();
      deks.dispose();
      await stores.close();
    });
    const added = { vault, sequencer };
    this.nodes.push(added);
    return added;
  }

  /** Stops the nodes; the site stays. */
  async leave(): Promise<void> {
    this.#database?.close();
    this.#database = undefined;
    for (const close of this.#closers.splice(0)) await close();
  }

  async remove(): Promise<void> {
    await this.leave();
    rmSync(this.site.folder, { recursive: true, force: true });
  }

  // People

  person(name: string): Person {
    const person = this.site.people[name];
    if (person === undefined) throw new Error(`nobody is called ${name}`);
    return person;
  }

  code(name: string): Promise<string> {
    return generate({ secret: this.person(name).seed, epoch: Math.floor(this.clock.now().getTime() / 1000) });
  }

  /** Six digits that are not a code of theirs, neither now nor a step early or late. */
  async wrongCode(name: string): Promise<string> {
    const now = Math.floor(this.clock.now().getTime() / 1000);
    const secret = this.person(name).seed;
    const right = await Promise.all([-30, 0, 30].map((seconds) => generate({ secret, epoch: now + seconds })));
    return ['111111', '222222', '333333', '444444'].find((one) => !right.includes(one)) ?? '';
  }

  async login(name: string, node = this.node): Promise<string> {
    this.clock.advance(30); // a code is good once
    const { workstation } = this.person(name);
    const request = { administrator: name, code: await this.code(name), workstation, requestId: 'login', remoteAddress: '192.0.2.1' };
    return (await login(request, node.vault)).token;
  }

  async actor(name: string, node = this.node): Promise<AdminActor> {
    const token = await this.login(name, node);
    return authenticate(
      { token, workstation: this.person(name).workstation, requestId: `by-${name}`, remoteAddress: '192.0.2.1' },
      node.vault,
    );
  }

  readonly #actors = new Map<string, Promise<AdminActor>>();
  /** The same actor each time: a use case asks what the person may do, not whether the session lives. */
  as(name: string): Promise<AdminActor> {
    const known = this.#actors.get(name) ?? this.actor(name);
    this.#actors.set(name, known);
    return known;
  }

  /** As a right code would, which test/vault/step-up.test.ts gives: no test waits for the next time step. */
  async stepUp(name: string, operationDigest?: Digest, node = this.node): Promise<void> {
    const { unitOfWork, identity } = node.vault.stores;
    const given = async () => {
      const { session } = await this.as(name);
      return unitOfWork.run((tx) => identity.stepUp(tx, session, operationDigest));
    };
    if (await given()) return;
    this.#actors.delete(name); // the session was forgotten in a round: another login
    if (!(await given())) throw new Error(`${name} has no session`);
  }

  /** Consents after the step-up it takes. */
  async approve(name: string, asked: Pick<ApprovalAnswer, 'requestId' | 'operationDigest'>, node = this.node): Promise<ApprovalAnswer> {
    await this.stepUp(name, asked.operationDigest, node);
    return approve(await this.as(name), asked.requestId, asked.operationDigest, node.vault);
  }

  /** Lets a person in by two people, and has them set up their authenticator on their own workstation. */
  async addPerson(name: string, roles: readonly string[] = ALL_ROLES): Promise<Person> {
    const administratorId = newId<AdministratorId>(this.clock.now());
    await this.twoPeople({
      kind: 'administrator',
      namespace: SYSTEM,
      counter: 1,
      administratorId,
      name,
      state: 'active',
      roles,
      workstations: [workstationOf(name)],
      authenticator: 'reset',
    });
    return this.claim(name);
  }

  async claim(name: string): Promise<Person> {
    const workstation = workstationOf(name);
    const attempt = { administrator: name, workstation, requestId: 'claim', remoteAddress: '192.0.2.1' };
    const { uri } = await beginClaim(attempt, this.vault);
    const person = { name, workstation, seed: new URL(uri).searchParams.get('secret') ?? '' };
    this.site.people[name] = person;
    await confirmClaim({ ...attempt, code: await this.code(name) }, this.vault);
    return person;
  }

  /** The actor of a new approver. */
  async approver(name: string): Promise<AdminActor> {
    await this.addPerson(name, ['approver']);
    return this.as(name);
  }

  /** alice asks and bob approves. */
  async twoPeople(operation: Operation): Promise<void> {
    await this.stepUp('alice', sha256Hex(canonicalJson(operation)) as Digest);
    await this.approve('bob', await requestApproval(await this.as('alice'), operation, this.vault));
  }

  async putInForce(namespace = PROD, policies = starterPolicies('public', 'internal', 'restricted', 'critical')): Promise<void> {
    await this.twoPeople({ kind: 'policy-set', namespace, counter: 1, policies });
    await this.twoPeople({ kind: 'reference-values', namespace, counter: 1, values: [GOOD_VALUE] });
    await this.twoPeople({ kind: 'trust-anchors', namespace, counter: 1, anchors: [ANCHOR] });
  }

  // Machines

  /** Enrolled through the real signing path; credential activation itself is tested with a TPM. */
  async machine(name: string, over: Partial<Machine> & { attributes?: Record<string, string> } = {}): Promise<Machine> {
    const { attributes = { owner: 'us', fleet: 'production' }, ...rest } = over;
    const machine: Machine = {
      name,
      namespace: PROD,
      spki: sha256(Buffer.from(`tls key of ${name}`)),
      akName: `000b${sha256Hex(Buffer.from(`attestation key of ${name}`))}`,
      subjectId: newId<SubjectId>(this.clock.now()),
      pcrs: GOOD_PCRS,
      ...rest,
    };
    const alice = await this.as('alice');
    const attester: EnrolledTpm2 = {
      subjectId: machine.subjectId,
      namespace: machine.namespace,
      name,
      kind: 'tpm2',
      akName: machine.akName,
      ekCertificateDigest: 'e'.repeat(64) as Digest,
      attributes,
    };
    const head = {
      v: 1 as const,
      vaultId: this.vault.vaultId,
      createdAt: this.clock.now().toISOString(),
      enrolledBy: alice.administratorId,
    };
    const body = { ...head, ...attester, attributes: { ...attributes } };
    const document = await signDocument('attester', body, this.vault.catalogueKey.sign);
    await this.stores.unitOfWork.run(async (tx) => {
      await this.stores.documents.put(tx, document);
      await this.stores.identity.insertSubject(tx, {
        ...machine,
        attesterKey: tpm2AttesterKey(machine.akName),
        documentDigest: document.digest,
      });
    });
    return machine;
  }

  // Weights

  /** Published by alice and not yet promoted where the class needs two people. */
  async upload(
    model: string,
    classOf: ClassName,
    objects: Readonly<Record<string, Uint8Array>> = { 'weights.bin': marker(1000) },
    namespace = PROD,
    attributes: Readonly<Record<string, string>> = {},
  ): Promise<Published> {
    const alice = await this.as('alice');
    const { modelId } = await createModel(alice, { namespace, name: model, class: classOf }, this.vault);
    const { versionId } = await startVersion(alice, namespace, model, this.vault);
    const announced = [];
    for (const [path, bytes] of Object.entries(objects)) {
      const { size, sha256: digest } = await putObject(
        alice,
        { namespace, versionId, path: path as ObjectPath },
        chunksOf(bytes),
        this.vault,
      );
      announced.push({ path: path as ObjectPath, size, sha256: digest });
    }
    const { versionDigest, approval } = await finishVersion(
      alice,
      { namespace, versionId },
      { class: classOf, objects: announced, attributes },
      this.vault,
    );
    const { requestId, operationDigest } = approval;
    return { namespace, model, modelId, versionId, versionDigest, requestId, operationDigest };
  }

  /** Published and promoted. */
  async publish(model: string, classOf: ClassName, objects?: Readonly<Record<string, Uint8Array>>, namespace = PROD): Promise<Published> {
    const published = await this.upload(model, classOf, objects, namespace);
    if (classOf === 'restricted' || classOf === 'critical') await this.approve('bob', published);
    return published;
  }

  // Requests

  async evidenceFor(machine: Machine, challenge: { readonly nonce: Uint8Array }): Promise<Evidence> {
    const binding = evidenceBinding({ vaultId: this.vault.vaultId, challengeNonce: challenge.nonce, spki: machine.spki });
    return { kind: 'tpm2', body: { akName: machine.akName, pcrs: machine.pcrs, binding: toBase64(binding) } };
  }

  async ask(asking: Asking): Promise<Granted | Denied> {
    const { machine, version, node = this.node } = asking;
    const challenge = await issueChallenge(machine.spki, node.vault);
    const honest = await this.evidenceFor(machine, challenge);
    const bound = asking.binding === undefined ? honest : { ...honest, body: { ...honest.body, binding: toBase64(asking.binding) } };
    return release(
      {
        requestId: 'ask',
        namespace: asking.namespace ?? machine.namespace,
        challengeId: asking.challengeId === null ? undefined : (asking.challengeId ?? challenge.challengeId),
        model: version.model,
        version: version.versionId,
        aliasCounter: asking.aliasCounter,
        evidence: asking.evidence ?? [bound],
        delivery: 'stream',
        spki: machine.spki,
        remoteAddress: asking.remoteAddress ?? '198.51.100.7',
      },
      node.vault,
    );
  }

  async granted(asking: Asking): Promise<Granted> {
    const answer = await this.ask(asking);
    if (answer.refused) throw Object.assign(new Error(`refused: ${answer.code} ${answer.detail}`), { code: answer.code });
    return answer;
  }

  open(machine: Machine, granted: Pick<Granted, 'permit'>, path = 'weights.bin', node = this.node) {
    const { namespace, releaseId } = granted.permit;
    return openObject({ requestId: 'open', namespace, releaseId, path, spki: machine.spki, remoteAddress: '198.51.100.7' }, node.vault);
  }

  /** The block list is fresh, as it is in a process whose timer runs. */
  async opened(machine: Machine, granted: Pick<Granted, 'permit'>, path = 'weights.bin', node = this.node): Promise<OpenedObject> {
    await node.vault.revocations.refresh();
    const answer = await this.open(machine, granted, path, node);
    if (answer.refused) throw new Error(`refused: ${answer.code}`);
    return answer;
  }

  /** All the plaintext of an object. */
  async fetch(machine: Machine, granted: Pick<Granted, 'permit'>, path = 'weights.bin', node = this.node): Promise<Uint8Array> {
    const opened = await this.opened(machine, granted, path, node);
    return collect(opened.read({ start: 0, end: opened.object.size }, new AbortController().signal, () => undefined));
  }

  // The database, as someone who can write it sees it

  get database(): Database.Database {
    this.#database ??= new Database(this.site.file, { timeout: 5000 });
    return this.#database;
  }

  sql(text: string, ...params: readonly unknown[]): number {
    return this.database.prepare(text).run(...params).changes;
  }

  row(text: string, ...params: readonly unknown[]): Record<string, unknown> {
    return this.database.prepare(text).get(...params) as Record<string, unknown>;
  }

  /** The writer owns the file, so triggers do not stop them. */
  dropTriggers(): void {
    for (const name of [
      'documents_stay',
      'documents_never_change',
      'log_leaves_stay',
      'log_leaves_never_change',
      'stops_stay',
      'stops_never_change',
    ])
      this.database.exec(`DROP TRIGGER IF EXISTS ${name}`);
  }

  // The access log

  records(type?: string): LogRecord[] {
    const rows = this.database.prepare('SELECT leaf FROM log_leaves ORDER BY position').all() as Array<{ leaf: Buffer }>;
    const all = rows.map(({ leaf }) => JSON.parse(leaf.toString('utf8')) as LogRecord);
    return type === undefined ? all : all.filter((record) => record.type === type);
  }

  lastRecord(): LogRecord {
    const last = this.records().at(-1);
    if (last === undefined) throw new Error('the log is empty');
    return last;
  }

  /** Everything that waits is under a signed checkpoint. */
  async commit(): Promise<void> {
    for (let rounds = 0; (await this.node.sequencer.tick()) === 'published'; rounds++) expect(rounds).toBeLessThan(100);
  }

  /** Closes the period until now: at a checkpoint that has all of it, with a record after it that says that it is over. */
  async closing(counter: number): Promise<CloseLog> {
    await this.commit();
    const head = await this.stores.unitOfWork.run((tx) => this.stores.log.head(tx));
    const { size, root } = openCheckpoint(head?.checkpoint ?? new Uint8Array(0), this.vault.logKey);
    this.clock.advance(1);
    const until = this.clock.now().toISOString();
    await this.login('carol');
    await this.commit();
    return { kind: 'close-log', namespace: SYSTEM, counter, until, size, root: toHex(root) as Digest }; // a SHA-256
  }

  /** Refused with `code`, and the record of exactly this refusal is in the log. */
  expectDenied(answer: Granted | Denied, code: ErrorCode): Denied {
    if (!answer.refused) throw new Error('it was granted');
    expect(answer.code).toBe(code);
    const record = this.records().find((one) => one.recordId === answer.recordId);
    expect(record).toMatchObject({ type: 'release.denied', outcome: 'deny', reason: code, actor: { kind: 'requester' } });
    return answer;
  }
}

export function workstationOf(name: string): SpkiDigest {
  return spkiDigestOf(Buffer.from(`workstation of ${name}`));
}

/** Bytes that are easy to find again wherever they should not be. */
export function marker(length: number, text = 'PLAINTEXT-MARKER-'): Uint8Array {
  return new Uint8Array(Buffer.alloc(length, text));
}

export function noise(length: number): Uint8Array {
  return new Uint8Array(randomBytes(length));
}

export async function* chunksOf(bytes: Uint8Array, size = 1 << 18): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(Uint8Array.from(chunk));
  return new Uint8Array(Buffer.concat(parts));
}

/** The code of the VaultError that `promise` rejects with. By `code` and not by class: another module registry has another class. */
export async function codeFrom(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'nothing thrown';
  } catch (error) {
    if (typeof error === 'object' && error !== null && 'code' in error) return String(error.code);
    throw error;
  }
}

/** As the vault document has it, with how it wraps. */
async function recordedKek(stores: Stores, { vaultDocument }: CeremonyResult): Promise<Vault['kek']> {
  const document = await stores.unitOfWork.run((tx) => stores.documents.get(tx, vaultDocument));
  return JSON.parse(Buffer.from(document?.bytes ?? []).toString('utf8')).kek;
}
