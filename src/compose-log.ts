/** The access log of a running vault, put together: who signs it, who witnesses it, and how far its records have come. */
import { type AccessLog, createAccessLog } from './audit/access-log.ts';
import { parseWitnessVkey } from './audit/cosignature.ts';
import { createHeadFile } from './audit/head-file/head-file.ts';
import { createHsmHead } from './audit/head-hsm/head-hsm.ts';
import { createLevels, type Levels } from './audit/levels.ts';
import { createLogRoom, type LogRoom } from './audit/room.ts';
import { createRoomFile } from './audit/room-file/room-file.ts';
import { createSequencer, type Sequencer, type SequencerEvent } from './audit/sequencer.ts';
import { createTrailingHead, type TrailingHead } from './audit/trailing-head.ts';
import { type VerifierKey, verifierKey } from './audit/vkey.ts';
import { postToWitness } from './audit/witness-http/post.ts';
import { createWitnesses, type Witness, type WitnessEvent, type Witnesses } from './audit/witnesses.ts';
import type { Config } from './config/config.ts';
import type { Bodies } from './documents/bodies.ts';
import type { Clock } from './domain/clock.ts';
import { codeOf, VaultError } from './domain/errors.ts';
import type { Incarnation } from './domain/ids.ts';
import type { KeyProvider } from './keys/port.ts';
import type { Stores } from './stores/port.ts';
import type { Logger } from './telemetry/logger.ts';
import type { Metrics } from './telemetry/metrics.ts';
import { recordStop } from './vault/life.ts';
import { measuredLog } from './vault/measure.ts';
import { noteRoom } from './vault/room-notes.ts';
import type { Vault } from './vault/vault.ts';
import { noteWitnesses } from './vault/witness-notes.ts';

export interface LogParts {
  readonly keys: Pick<KeyProvider, 'sign' | 'heads'>;
  readonly stores: Stores;
  readonly identity: Pick<Bodies['vault'], 'origin' | 'logKey'>;
  readonly node: Incarnation;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly onSequencer: (event: SequencerEvent) => void;
}

export interface ComposedLog {
  readonly accessLog: AccessLog;
  readonly logKey: VerifierKey;
  readonly levels: Levels;
  readonly sequencer: Sequencer;
  readonly room: LogRoom;
  /** Absent where nobody watches. */
  readonly witnesses: Witnesses | undefined;
}

/** Nothing runs yet. Throws `configuration_invalid` for witnesses that are none. */
export function composeLog(config: Config, parts: LogParts): ComposedLog {
  const { keys, stores, identity, node, clock, log, metrics, onSequencer } = parts;
  const { vaultId, digest: configDigest } = config;
  const publicKey = Buffer.from(identity.logKey.publicKey, 'base64');
  const logKey = verifierKey(identity.origin, publicKey);
  const on = { unitOfWork: stores.unitOfWork, log: stores.log };
  const accessLog = measuredLog(createAccessLog({ log: stores.log, vaultId, node, configDigest }), metrics);
  const watching = watchersOf(config);
  const notes = noteWitnesses({ stores, accessLog }, (error) => log.error('not on record: what a witness said', { code: codeOf(error) }));
  const onWitness = (event: WitnessEvent) => {
    tellWitness(event, log);
    notes.event(event);
  };
  const monotonicMs = () => clock.monotonicMs();
  const witnesses =
    watching && createWitnesses({ ...on, ...watching, post: postToWitness, monotonicMs, onEvent: onWitness, onLag: notes.lag });
  const sequencer = createSequencer({
    ...on,
    origin: identity.origin,
    publicKey,
    sign: (text) => keys.sign(identity.logKey, text),
    node,
    clock,
    heads: config.logHead === undefined ? undefined : createHeadFile(config.logHead, stores.giveUp),
    trailing: keptInHsm(config, parts, logKey),
    onEvent: (event) => {
      onSequencer(event);
      if (event.kind === 'published') witnesses?.published(event.size);
      else tellSequencer(event, log);
    },
  });
  const room = createLogRoom({
    disk: createRoomFile(config.database),
    onChange: (now, before) => {
      log[now === 'ample' ? 'info' : 'error']('room for the access log', { now, before });
      noteRoom(now, before, { stores, accessLog }, (error) => log.error('not on record: room for the log', { code: codeOf(error) }));
    },
    onError: (error) => log.error('the disk of the access log does not say how much is free', { code: codeOf(error) }),
  });
  const policy = watching && { quorum: watching.quorum, witnesses: watching.witnesses.map(({ key }) => key) };
  return { accessLog, logKey, levels: createLevels({ ...on, key: logKey, witnesses: policy }), sequencer, room, witnesses };
}

/** A provider that keeps no data is noticed at the first write, said once, and the file goes on alone. */
function keptInHsm({ logHeadInHsm }: Config, { keys, log }: LogParts, logKey: VerifierKey): TrailingHead | undefined {
  if (logHeadInHsm === false || keys.heads === undefined) return undefined;
  return createTrailingHead(createHsmHead(keys.heads, logKey), (error) =>
    log.warn('the HSM does not keep the checkpoint', { code: codeOf(error) }),
  );
}

/** A witness whose key is not the one that was pinned would be none. */
function watchersOf({ witnesses }: Config): { readonly witnesses: readonly Witness[]; readonly quorum: number } | undefined {
  if (witnesses === undefined) return undefined;
  const { quorum, list } = witnesses;
  const invalid = (why: string, cause?: unknown) => new VaultError('configuration_invalid', `witnesses: ${why}`, { cause });
  if (new Set(list.map(({ vkey }) => vkey)).size < list.length) throw invalid('one of them is named twice');
  try {
    return { quorum, witnesses: list.map(({ url, vkey }) => ({ url, key: parseWitnessVkey(vkey) })) };
  } catch (cause) {
    throw invalid(cause instanceof VaultError ? cause.detail : 'a key cannot be read', cause);
  }
}

function tellWitness({ severity, witness, state, detail }: WitnessEvent, log: Logger): void {
  const say = { info: log.info, warning: log.warn, critical: log.error }[severity];
  say.call(log, 'witness', { witness, state, detail });
}

function tellSequencer(event: Exclude<SequencerEvent, { kind: 'published' }>, log: Logger): void {
  const code = 'code' in event ? event.code : undefined;
  if (event.severity === 'critical') log.error('the access log is halted', { code });
  else log.warn(`access log: ${event.kind}`, { code });
}

/** A log that is not the one this vault signed stops the start, and so does one that cannot be compared with what was signed. */
export async function firstRound(sequencer: Sequencer): Promise<void> {
  await sequencer.tick();
  const halted = sequencer.halted();
  if (halted !== undefined) throw halted;
  if (!sequencer.compared()) throw new VaultError('log_unavailable', 'the checkpoint that is kept apart cannot be read');
}

/** The end of this process is under a checkpoint, where the store and the HSM still answer. */
export async function lastRound(vault: Vault, sequencer: Sequencer, log: Logger): Promise<void> {
  await recordStop(vault).catch((error) => log.error('not on record: the end of this process', { code: codeOf(error) }));
  await sequencer.tick();
}
