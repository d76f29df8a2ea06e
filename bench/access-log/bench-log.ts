/** A log as a vault has it: SQLite with full durability, a sequencer that signs with a key in memory, the search index. Records are of releases. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createAccessLog } from '../../src/audit/access-log.ts';
import { formatVkey, type SignText } from '../../src/audit/note.ts';
import { loggable, type RecordDraft } from '../../src/audit/record.ts';
import { createSequencer } from '../../src/audit/sequencer.ts';
import { type VerifierKey, verifierKey } from '../../src/audit/vkey.ts';
import { sha256Hex, utf8 } from '../../src/domain/bytes.ts';
import { systemClock } from '../../src/domain/clock.ts';
import {
  type Digest,
  type Incarnation,
  type ModelId,
  type Namespace,
  newId,
  type ReleaseId,
  type SubjectId,
  type VaultId,
} from '../../src/domain/ids.ts';
import type { Stores } from '../../src/stores/port.ts';
import { openSqliteStores } from '../../src/stores/sqlite/sqlite-stores.ts';
import { searchFollower } from '../../src/vault/log-readers.ts';

const ORIGIN = 'bench.example/access';
const NODE = newId<Incarnation>(new Date());
const digest = (of: string) => sha256Hex(utf8(of)) as Digest; // a digest by construction
const many = <T extends string>(count: number) => Array.from({ length: count }, () => newId<T>(new Date()));
export const SUBJECTS = many<SubjectId>(1_000);
export const MODELS = many<ModelId>(50);

export interface BenchLog {
  readonly stores: Stores;
  readonly vkey: string;
  readonly key: VerifierKey;
  readonly sign: SignText;
  readonly folder: string;
  /** One record in a transaction of its own; durable when it resolves. */
  append(at: number): Promise<void>;
  /** Many in one transaction. */
  appendAll(from: number, to: number): Promise<void>;
  publishAll(): Promise<void>;
  indexAll(): Promise<void>;
  remove(): Promise<void>;
}

/** Below `parent`, which is on the disk that is measured. */
export async function makeLog(parent: string): Promise<BenchLog> {
  const folder = mkdtempSync(join(parent, 'wv-bench-log-'));
  const stores = await openSqliteStores({ file: join(folder, 'vault.db'), clock: systemClock });
  const { unitOfWork, log } = stores;
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
  const access = createAccessLog({ log, vaultId: newId<VaultId>(new Date()), node: NODE, configDigest: digest('configuration') });
  const signer: SignText = async (text) => new Uint8Array(sign(null, text, privateKey));
  const key = verifierKey(ORIGIN, spki);
  const sequencer = createSequencer({
    unitOfWork,
    log,
    origin: ORIGIN,
    publicKey: spki,
    sign: signer,
    node: NODE,
    clock: systemClock,
    batch: 8_192,
  });
  const follower = searchFollower({ stores, node: NODE });
  return {
    stores,
    folder,
    vkey: formatVkey(key),
    key,
    sign: signer,
    append: (at) => unitOfWork.run(async (tx) => void (await access.append(tx, draft(at)))),
    appendAll: (from, to) =>
      unitOfWork.run(async (tx) => {
        for (let at = from; at < to; at++) await access.append(tx, draft(at));
      }),
    async publishAll() {
      while ((await sequencer.tick()) === 'published');
    },
    async indexAll() {
      while ((await follower.tick()) === 'moved');
    },
    async remove() {
      await stores.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Two of three records are a release's begin and end, the third is a refusal. */
function draft(at: number): RecordDraft {
  const subjectId = SUBJECTS[at % SUBJECTS.length];
  const actor = { kind: 'requester', subjectId, spkiDigest: digest(`key ${at % SUBJECTS.length}`) } as const;
  const common = { namespace: 'production' as Namespace, actor, object: { modelId: MODELS[at % MODELS.length] } };
  if (at % 3 === 2)
    return { ...common, type: 'release.denied', outcome: 'deny', reason: 'measurement_mismatch', evidenceDigest: digest(`${at}`) };
  const release = { releaseId: newId<ReleaseId>(new Date()) };
  if (at % 3 === 1) return { ...common, type: 'release.end', outcome: 'success', release: { ...release, bytes: at * 1_000 } };
  return {
    ...common,
    type: 'release.begin',
    outcome: 'permit',
    decision: { policySetDigest: digest('policies'), determining: [loggable('release-to-known-machines', 128)] },
    attestation: {
      ...{ kinds: ['tpm2'], tier: 'affirming', fresh: true, keyBound: true, hardware: true },
      ...{ evidenceDigest: digest(`evidence ${at}`), referenceValuesDigest: digest('values') },
      matched: [loggable(`host-${at % 20}`, 64)],
      facts: { resetCount: loggable('4', 8) },
    },
    release,
  };
}
