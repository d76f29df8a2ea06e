/** Versions by the thousand under a real HSM, a rotation that has just come in force, and processes that rewrap them and are killed. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { WrappedDek } from '../../src/catalog/port.ts';
import { signDocument } from '../../src/documents/document.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { type Incarnation, type ModelId, type Namespace, newId, SYSTEM, type VersionId } from '../../src/domain/ids.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { spkiDigestOf } from '../../src/identity/certificates.ts';
import { decodeWrappedKey, dekWrapAad, encodeWrappedKey } from '../../src/keys/wrapped-key.ts';
import type { Stores } from '../../src/stores/port.ts';
import { openSqliteStores } from '../../src/stores/sqlite/sqlite-stores.ts';
import { CATALOGUE_KEY, type CeremonyResult, ceremony, KEK } from '../../src/vault/init.ts';
import { sameKey } from '../../src/vault/key-ring.ts';
import { startTestKeeper, type TestKeeper } from '../keys/keeper-harness.ts';

const CHILD = fileURLToPath(new URL('./rewrap-child.ts', import.meta.url));
const NAMESPACE = 'prod' as Namespace;
const NEXT = { id: KEK.id, version: 2 };

/** Keys a second, by the product's own throttle: at `SLOW` a process does one batch of 50 and then waits. */
export const SLOW = 40;
export const FAST = 5_000;
/** Until the next batch at the slow rate. */
const PAUSE_MS = 1_000;
/** For a process that never gets the job. */
const LONGEST_MS = 120_000;
/** Until the first whole batch was seen. */
const BATCH_MS = 60;

/** Two kills of three are aimed into a batch, the others at any time until the next one. */
export function killedAfterMs(batchMs: number, random: () => number): number {
  return random() * (random() < 2 / 3 ? batchMs : batchMs + PAUSE_MS);
}

/** What a process was doing when it was killed; `between`: batches, of a job that goes on. */
export type Killed = 'in a batch' | 'between' | 'after the end';

export interface RewrapSite {
  readonly folder: string;
  /** The plain DEK of each version, to search for and to compare with. */
  readonly deks: ReadonlyMap<VersionId, Buffer>;
  /** Starts a process and kills it with -9 so many milliseconds after its first batch began; a round that finds the job leased is no batch. */
  workUntilKilled(afterMs: number, node?: Incarnation): Promise<Killed>;
  /** Lets a process work until the job is done; false when it is not in so many milliseconds. */
  finish(withinMs: number): Promise<boolean>;
  /** How long a whole batch took that was seen last. */
  batchMs(): number;
  /** What is wrong with the database now: a version that two accounts disagree about. */
  disagreements(): Promise<readonly string[]>;
  /** Versions under the next KEK version. */
  moved(): Promise<number>;
  /** As `wv keys rewrap --rate`: how fast the next batch and those after it go. */
  setRate(keysPerSecond: number): Promise<void>;
  /** Versions whose DEK does not come back; of all, or of some that are drawn. */
  unreadable(some?: number): Promise<readonly string[]>;
  /** Files, and output of the processes, that hold a DEK as bytes, hexadecimal or base64. */
  leaks(): readonly string[];
  stop(): Promise<void>;
}

export async function startRewrapSite(versions: number): Promise<RewrapSite> {
  const keeper = await startTestKeeper({ hangMs: 300_000, client: { queue: 4096, deadlineMs: 300_000 } });
  const folder = join(keeper.hsm.folder, 'vault');
  mkdirSync(folder);
  const database = join(folder, 'vault.db');
  const stores = await openSqliteStores({ file: database, clock: systemClock });
  const made = await ceremony(
    {
      origin: 'vault.example/rewrap',
      administrators: ['alice', 'bob'].map((name) => ({ name, roles: ['approver'], workstation: spkiDigestOf(Buffer.from(name)) })),
      policies: {},
      now: new Date(),
    },
    { keys: keeper.client, stores },
  );
  const deks = await insertVersions(versions, made, keeper, stores);
  await rotate(made, keeper, stores);
  const output: string[] = [];
  let batchMs = BATCH_MS;
  /** Ends `killMs` after the first batch began, `withinMs` after its start, or with the job. */
  async function work(killMs: number, withinMs: number, node?: Incarnation): Promise<Killed> {
    const argument = { database, socket: keeper.keeper.socket, vaultId: made.vaultId, vaultDocument: made.vaultDocument, node };
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', CHILD, JSON.stringify(argument)]);
    const gone = new Promise<string | null>((done) => child.once('close', (_, signal) => done(signal)));
    const kill = () => void child.kill('SIGKILL');
    const late = setTimeout(kill, withinMs);
    child.stderr.setEncoding('utf8').on('data', (text: string) => output.push(text));
    let said = '';
    let timer: NodeJS.Timeout | undefined;
    let roundAt = 0;
    createInterface({ input: child.stdout }).on('line', (line) => {
      output.push(line);
      said = line;
      if (line === 'round') {
        roundAt = performance.now();
        if (Number.isFinite(killMs)) timer ??= setTimeout(kill, killMs);
      } else if (line === 'batch') batchMs = performance.now() - roundAt;
      else if (line === 'idle') {
        clearTimeout(timer);
        timer = undefined;
      }
    });
    const signal = await gone;
    for (const one of [timer, late]) clearTimeout(one);
    if (said === 'finished') return 'after the end';
    if (signal !== 'SIGKILL') throw new Error(`the process ended by itself: ${output.slice(-5).join('; ')}`);
    return said === 'round' ? 'in a batch' : 'between';
  }
  const rows = async () => {
    const all: WrappedDek[] = [];
    for (let after: VersionId | undefined; ; ) {
      const page = await stores.unitOfWork.run((tx) => stores.catalog.wrappedDeks(tx, 500, after));
      all.push(...page);
      after = page.at(-1)?.versionId;
      if (page.length < 500) return all;
    }
  };
  return {
    folder,
    deks,
    setRate: (keysPerSecond) => setRate(keysPerSecond, stores),
    moved: async () => (await rows()).filter(({ wrappedDek }) => sameKey(decodeWrappedKey(wrappedDek).kek, NEXT)).length,
    unreadable: async (some) => unreadableOf(drawn(await rows(), some), deks, made, keeper),
    leaks: () => leaksIn(folder, output, deks),
    async disagreements() {
      const recorded = await recordedRewraps(stores);
      return (await rows()).flatMap(({ versionId, wrappedDek }) => {
        const { kek } = decodeWrappedKey(wrappedDek);
        const times = recorded.get(versionId) ?? 0;
        return times === (sameKey(kek, NEXT) ? 1 : 0) ? [] : [`${versionId} is under ${kek.version} and was recorded ${times} times`];
      });
    },
    batchMs: () => batchMs,
    workUntilKilled: (afterMs, node) => work(afterMs, LONGEST_MS, node),
    finish: async (withinMs) => (await work(Number.POSITIVE_INFINITY, withinMs)) === 'after the end',
    async stop() {
      await stores.close();
      await keeper.stop();
    },
  };
}

async function insertVersions(count: number, { vaultId }: CeremonyResult, { client }: TestKeeper, stores: Stores) {
  const deks = new Map<VersionId, Buffer>();
  const model = { namespace: NAMESPACE, modelId: newId<ModelId>(new Date()), name: 'many', class: 'internal' as const };
  await stores.unitOfWork.run((tx) => stores.catalog.insertModel(tx, model));
  for (let at = 0; at < count; at += 200) {
    const made = await Promise.all(
      Array.from({ length: Math.min(200, count - at) }, async () => {
        const [versionId, dek] = [newId<VersionId>(new Date()), randomBytes(32)];
        const context = { vaultId, ...model, versionId };
        using secret = new SecretBytes(new Uint8Array(dek));
        return { versionId, dek, wrapped: await client.wrap(KEK, secret, dekWrapAad(context, KEK)) };
      }),
    );
    await stores.unitOfWork.run(async (tx) => {
      for (const { versionId, dek, wrapped } of made) {
        deks.set(versionId, dek);
        const row = { namespace: NAMESPACE, modelId: model.modelId, versionId, state: 'quarantined' as const, createdAt: tx.now };
        await stores.catalog.insertVersion(tx, { ...row, wrappedDek: encodeWrappedKey(wrapped) });
      }
    });
  }
  return deks;
}

/** As two people would have it. */
async function rotate({ vaultId }: CeremonyResult, { client }: TestKeeper, stores: Stores): Promise<void> {
  await client.generate(NEXT, 'kek');
  const body = {
    v: 2 as const,
    vaultId,
    createdAt: new Date().toISOString(),
    namespace: SYSTEM,
    counter: 1,
    cryptoperiodDays: 365,
    destructionWaitDays: 14,
    keks: [
      { ...KEK, state: 'deactivated' as const },
      { ...NEXT, state: 'active' as const },
    ],
    consents: [],
  };
  const document = await signDocument('key-ring', body, (message) => client.sign(CATALOGUE_KEY, message));
  await stores.unitOfWork.run(async (tx) => {
    await stores.documents.put(tx, document);
    await stores.documents.point(tx, SYSTEM, 'key-ring', { digest: document.digest, counter: 1 });
  });
}

/** Before the first batch there is no job yet: then one of no target, which the real one takes its rate from. */
async function setRate(keysPerSecond: number, { catalog, unitOfWork }: Stores): Promise<void> {
  await unitOfWork.run(async (tx) => {
    const none = { target: '', total: 0, done: 0, rewrapped: 0, failed: 0, waiting: 0, startedAt: tx.now, updatedAt: tx.now };
    const job = (await catalog.rewrapJob(tx)) ?? { ...none, holder: newId<Incarnation>(tx.now), leaseUntil: tx.now };
    await catalog.putRewrapJob(tx, { ...job, keysPerSecond });
  });
}

async function recordedRewraps(stores: Stores): Promise<ReadonlyMap<string, number>> {
  const recorded = new Map<string, number>();
  await stores.unitOfWork.run(async (tx) => {
    while ((await stores.log.assign(tx, 1_000)) > 0); // the sequencer's first step: gives every record its index
    const size = await stores.log.assignedSize(tx);
    for (let at = 0; at < size; at += 1_000) {
      for (const { leaf } of await stores.log.leaves(tx, at, at + 1_000)) {
        const { type, object, key } = JSON.parse(Buffer.from(leaf).toString('utf8'));
        if (type !== 'key.rewrapped' || object === undefined || key.version !== NEXT.version) continue;
        recorded.set(object.versionId, (recorded.get(object.versionId) ?? 0) + 1);
      }
    }
  });
  return recorded;
}

function drawn<T>(all: readonly T[], some = all.length): readonly T[] {
  if (some >= all.length) return all;
  return Array.from({ length: some }, () => all[Math.floor(Math.random() * all.length)] as T);
}

async function unreadableOf(
  rows: readonly WrappedDek[],
  deks: ReadonlyMap<VersionId, Buffer>,
  { vaultId }: CeremonyResult,
  { client }: TestKeeper,
): Promise<readonly string[]> {
  const bad: string[] = [];
  for (let at = 0; at < rows.length; at += 200) {
    await Promise.all(
      rows.slice(at, at + 200).map(async ({ wrappedDek, ...context }) => {
        const wrapped = decodeWrappedKey(wrappedDek);
        using dek = await client.unwrap(wrapped, dekWrapAad({ vaultId, ...context }, wrapped.kek));
        if (!dek.expose((bytes) => deks.get(context.versionId)?.equals(bytes))) bad.push(context.versionId);
      }),
    );
  }
  return bad;
}

/** Every offset of every file is looked at: the first four bytes of each DEK lead to the whole. */
function leaksIn(folder: string, output: readonly string[], deks: ReadonlyMap<VersionId, Buffer>): readonly string[] {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const texts = [...files.map((file) => join(file.parentPath, file.name))].map((path) => [path, readFileSync(path)] as const);
  const all = [...texts, ['output', Buffer.from(output.join('\n'))] as const];
  const forms = [...deks.values()].flatMap((dek) => [
    dek,
    Buffer.from(dek.toString('hex')),
    Buffer.from(dek.toString('base64').slice(0, 40)),
  ]);
  const byStart = new Map<number, Buffer[]>();
  for (const form of forms) {
    const start = form.readUInt32LE(0);
    byStart.set(start, [...(byStart.get(start) ?? []), form]);
  }
  return all.flatMap(([path, bytes]) => {
    for (let at = 0; at + 4 <= bytes.length; at++) {
      const found = byStart.get(bytes.readUInt32LE(at))?.some((form) => bytes.subarray(at, at + form.length).equals(form));
      if (found === true) return [`${path} at ${at}`];
    }
    return [];
  });
}
