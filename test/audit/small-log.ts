/** A signed log of records in memory, for tests that damage it. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { createAccessLog } from '../../src/audit/access-log.ts';
import { formatVkey, verifierKey } from '../../src/audit/note.ts';
import type { RecordDraft } from '../../src/audit/record.ts';
import { createSequencer, type SequencerEvent, type SequencerOptions } from '../../src/audit/sequencer.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { type Digest, type Incarnation, newId, type RecordId, type VaultId } from '../../src/domain/ids.ts';
import type { SignatureAlgorithm } from '../../src/domain/signature.ts';
import { createMemoryLog, type MemoryLog } from '../doubles/memory-log-store.ts';

export const ORIGIN = 'vault.example/access';
export const DIGEST = 'ab'.repeat(32) as Digest;

export interface LogKey {
  readonly publicKey: Uint8Array;
  readonly vkey: string;
  sign(text: Uint8Array): Promise<Uint8Array>;
}

export function createLogKey(algorithm: SignatureAlgorithm = 'ed25519'): LogKey {
  const ed25519 = algorithm === 'ed25519';
  const pair = ed25519 ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicKey = new Uint8Array(pair.publicKey.export({ format: 'der', type: 'spki' }));
  return {
    publicKey,
    vkey: formatVkey(verifierKey(ORIGIN, publicKey)),
    sign: async (text) => new Uint8Array(sign(ed25519 ? null : 'sha256', text, pair.privateKey)),
  };
}

export function recordOf(type: RecordDraft['type'], more: Partial<RecordDraft> = {}): RecordDraft {
  return { type, outcome: 'success', actor: { kind: 'system' }, ...more };
}

export async function appendRecords(
  memory: MemoryLog,
  count: number,
  draft: RecordDraft = recordOf('vault.started'),
): Promise<readonly RecordId[]> {
  const access = createAccessLog({
    log: memory.log,
    vaultId: newId<VaultId>(memory.now),
    node: newId<Incarnation>(memory.now),
    configDigest: DIGEST,
  });
  return memory.unitOfWork.run(async (tx) => {
    const ids: RecordId[] = [];
    for (let at = 0; at < count; at++) ids.push(await access.append(tx, draft));
    return ids;
  });
}

export function sequencerOn(memory: MemoryLog, key: LogKey, more: Partial<SequencerOptions> = {}) {
  const events: SequencerEvent[] = [];
  const node = newId<Incarnation>(memory.now);
  const { unitOfWork, log } = memory;
  const sequencer = createSequencer({
    unitOfWork,
    log,
    origin: ORIGIN,
    publicKey: key.publicKey,
    sign: key.sign,
    node,
    clock: systemClock,
    periodMs: 5,
    onEvent: (event) => events.push(event),
    ...more,
  });
  return { sequencer, events, node };
}

/** A published log of `count` records as files, the way an export has them. */
export async function publishedFiles(
  count: number,
  key: LogKey,
): Promise<{ readonly files: Map<string, Uint8Array>; readonly ids: readonly RecordId[]; readonly memory: MemoryLog }> {
  const memory = createMemoryLog();
  const ids = await appendRecords(memory, count);
  const { sequencer } = sequencerOn(memory, key, { batch: count });
  await sequencer.tick();
  const files = new Map(memory.state.tiles);
  files.set('checkpoint', memory.state.head?.checkpoint ?? new Uint8Array(0));
  return { files, ids, memory };
}

export function sourceOf(files: ReadonlyMap<string, Uint8Array>) {
  return { checkpoint: async () => files.get('checkpoint') ?? new Uint8Array(0), tile: async (path: string) => files.get(path) };
}

/** Leaves that are only bytes, for tests of the tree alone. */
export function randomLeaves(count: number): readonly Uint8Array[] {
  return Array.from({ length: count }, (_, at) => new Uint8Array(randomBytes(1 + (at % 7))));
}
