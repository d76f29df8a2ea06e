/** Composition root of a rotation of the signing keys: a vault that nobody serves, the HSM it goes on with, and the keeper of the one it leaves. */
import { rm } from 'node:fs/promises';
import { type AccessLog, createAccessLog } from './audit/access-log.ts';
import { createHeadFile } from './audit/head-file/head-file.ts';
import { createHsmHead } from './audit/head-hsm/head-hsm.ts';
import { createSequencer, type Sequencer } from './audit/sequencer.ts';
import { createTrailingHead } from './audit/trailing-head.ts';
import { type VerifierKey, verifierKey } from './audit/vkey.ts';
import { startKeys } from './compose.ts';
import { assertSound, putInPlace, refuseServing, withStored } from './compose-successor.ts';
import type { Config, Keeper } from './config/config.ts';
import { equalBytes, toBase64 } from './domain/bytes.ts';
import { systemClock } from './domain/clock.ts';
import { codeOf, VaultError } from './domain/errors.ts';
import { type Digest, type Incarnation, newId } from './domain/ids.ts';
import { createKeeperClient } from './keys/keeper/client.ts';
import type { KeyProvider } from './keys/port.ts';
import { snapshotSqlite } from './stores/sqlite/snapshot.ts';
import type { Logger } from './telemetry/logger.ts';
import { type Announced, announceSigning, signAllAgain } from './vault/rotate-signing.ts';
import type { StoredVault } from './vault/stored-vault.ts';

export interface SigningRotated {
  /** For vault.json. */
  readonly vaultDocument: Digest;
  /** For those who verify the access log from now on. */
  readonly logKey: VerifierKey;
  /** The last one by the key before. Its last record names the key after. */
  readonly lastCheckpoint: Uint8Array;
  readonly checkpoint: Uint8Array | undefined;
  /** KEK versions that stay in the former HSM. */
  readonly left: readonly string[];
}

const working = (config: Config) => `${config.database}.signing`;

/**
 * New signing keys in the HSM of `config.keeper`, without the former keeper that it may name. `former`, the socket of a keeper, has the keys before;
 * absent: the same HSM has. Works on a copy: write vault.json with the new digest first, then call `finishSigning`. Interrupted, the vault is as it was,
 * with one record more.
 */
export async function rotateSigning(config: Config, former: string | undefined, log: Logger): Promise<SigningRotated> {
  await rm(working(config), { force: true });
  await refuseServing(config);
  const { keys, stop } = await startKeys({ ...config, keeper: alone(config.keeper) }, log, true);
  const before = former === undefined ? keys : createKeeperClient({ socket: former });
  try {
    const now = systemClock.now();
    const announced = await withStored(config.database, config, (old) => announce(config, old, { keys, before }, now));
    snapshotSqlite(config.database, working(config), systemClock);
    const signed = await withStored(working(config), config, (copy) =>
      signAllAgain({ copy, keys, accessLog: logOf(config, copy, now) }, announced, now),
    );
    await assertNothingCame(config, announced);
    const { vaultDocument, logKey, checkpoint: lastCheckpoint } = announced;
    return { vaultDocument, logKey, lastCheckpoint, ...signed };
  } finally {
    if (before !== keys) await before.close();
    await stop();
  }
}

/** Puts the copy in place, keeps the database from before beside it, and writes the checkpoint under the new log key. Twice does no harm. */
export function finishSigning(config: Config, { checkpoint }: Pick<SigningRotated, 'checkpoint'>): Promise<void> {
  return putInPlace(config, working(config), { before: 'before-signing', checkpoint });
}

/** Is the database already the one that `config` names, because only vault.json was not put in place? Then its checkpoint. */
export function signingInPlace(config: Config): Promise<Uint8Array | undefined> {
  const head = ({ stores }: StoredVault) => stores.unitOfWork.run((tx) => stores.log.head(tx));
  const sound = async (vault: StoredVault) => {
    await assertSound({ ...config, logHead: undefined }, vault);
    return (await head(vault))?.checkpoint;
  };
  return withStored(config.database, config, sound, true).catch(() => undefined);
}

function alone(keeper: Keeper): Keeper {
  if (keeper.mode === 'external') return keeper;
  const { formerKeeper: _, ...rest } = keeper;
  return rest;
}

function logOf({ vaultId, digest: configDigest }: Config, { stores }: StoredVault, now: Date): AccessLog {
  return createAccessLog({ log: stores.log, vaultId, node: newId<Incarnation>(now), configDigest });
}

interface Hsms {
  readonly keys: KeyProvider;
  /** `keys`, or the former HSM. */
  readonly before: KeyProvider;
}

async function announce(config: Config, old: StoredVault, hsms: Hsms, now: Date): Promise<Announced> {
  await assertSound(config, old);
  await assertWhere(old, hsms);
  const accessLog = logOf(config, old, now);
  const sequencer = sequencerOf(config, old, hsms.before, newId<Incarnation>(now));
  try {
    return await announceSigning({ old, keys: hsms.keys, accessLog, sequencer }, now);
  } finally {
    await sequencer.stop();
  }
}

/** The log key before is where it is said to be, and nowhere else: a keeper that still reaches the former HSM would hide what stays in it. */
async function assertWhere({ identity: { logKey } }: StoredVault, { keys, before }: Hsms): Promise<void> {
  const holds = async (one: KeyProvider) => {
    const found = await one.describe(logKey).catch((error) => {
      if (codeOf(error) !== 'key_unknown') throw error;
    });
    return found?.publicKey !== undefined && toBase64(found.publicKey) === logKey.publicKey;
  };
  if (!(await holds(before)))
    throw new VaultError('usage', 'the key that signs the access log is not in that HSM: give the socket of its keeper');
  if (before !== keys && (await holds(keys)))
    throw new VaultError(
      'usage',
      'the keeper has the key that signs the access log too: start it without the former HSM, and with --ceremony',
    );
}

function sequencerOf(config: Config, { stores, identity }: StoredVault, before: KeyProvider, node: Incarnation): Sequencer {
  const { origin, logKey } = identity;
  const publicKey = Buffer.from(logKey.publicKey, 'base64');
  const kept = config.logHeadInHsm === false ? undefined : before.heads;
  return createSequencer({
    unitOfWork: stores.unitOfWork,
    log: stores.log,
    origin,
    publicKey,
    sign: (text) => before.sign(logKey, text),
    node,
    clock: systemClock,
    heads: config.logHead === undefined ? undefined : createHeadFile(config.logHead),
    trailing: kept && createTrailingHead(createHsmHead(kept, verifierKey(origin, publicKey)), () => undefined),
  });
}

/** A vault that was started meanwhile wrote what the copy does not have. */
async function assertNothingCame(config: Config, { checkpoint, recordId }: Announced): Promise<void> {
  await refuseServing(config);
  const same = ({ stores }: StoredVault) =>
    stores.unitOfWork.run(async (tx) => {
      const [head, leaf] = [await stores.log.head(tx), await stores.log.newestLeaf(tx)];
      if (head === undefined || leaf === undefined || !equalBytes(head.checkpoint, checkpoint)) return false;
      return JSON.parse(Buffer.from(leaf).toString('utf8')).recordId === recordId;
    });
  if (!(await withStored(config.database, config, same, true)))
    throw new VaultError('usage', 'a vault was started meanwhile: stop it, and try again');
}
