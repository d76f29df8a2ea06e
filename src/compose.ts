/** The composition root: the only server file that names concrete adapters. Puts a Vault together from its configuration, or refuses. */
import { createPublicKey } from 'node:crypto';
import { fetchKeySet } from './attestation/jwt/fetch-key-set.ts';
import { createKeySets } from './attestation/jwt/key-sets.ts';
import { createJwtVerifier } from './attestation/jwt/verifier.ts';
import { createNitroVerifier } from './attestation/nitro/verifier.ts';
import { createNvidiaVerifier } from './attestation/nvidia-gpu/verifier.ts';
import { createSnpReportCheck, createSnpVerifier } from './attestation/sev-snp/verifier.ts';
import { createSpiffeVerifier } from './attestation/spiffe/verifier.ts';
import { createTdxReportCheck, createTdxVerifier } from './attestation/tdx/verifier.ts';
import { createTpm2Verifier } from './attestation/tpm2/verifier.ts';
import { createAccessLog } from './audit/access-log.ts';
import { beginHeadFile } from './audit/head-file/head-file.ts';
import { createFsBlobStore } from './blobs/fs/fs-blob-store.ts';
import { type ComposedLog, composeLog, firstRound, lastRound } from './compose-log.ts';
import { startReaders, startTending } from './compose-readers.ts';
import { createWatching, logKeeperEvent, type Watching } from './compose-watch.ts';
import type { Config } from './config/config.ts';
import { siteFinder } from './config/sites.ts';
import type { Bodies } from './documents/bodies.ts';
import { toBase64 } from './domain/bytes.ts';
import { type Clock, systemClock } from './domain/clock.ts';
import { codeOf, VaultError } from './domain/errors.ts';
import { type Incarnation, newId, SYSTEM } from './domain/ids.ts';
import { wrapsAsRecorded } from './domain/kek-wrap.ts';
import { createDekLeases } from './keys/dek-leases.ts';
import { createKeeperClient } from './keys/keeper/client.ts';
import { awsEnvironment, pkcs11Environment } from './keys/keeper/environment.ts';
import { type KeeperEvent, startKeeper } from './keys/keeper/supervisor.ts';
import type { KeyProvider } from './keys/port.ts';
import type { Stores } from './stores/port.ts';
import { openSqliteStores } from './stores/sqlite/sqlite-stores.ts';
import { endProcess } from './telemetry/end-process.ts';
import type { Logger } from './telemetry/logger.ts';
import { createMetrics, type Metrics } from './telemetry/metrics.ts';
import { type CeremonyInputs, type CeremonyResult, ceremony } from './vault/init.ts';
import { activeVersion, keyRing } from './vault/key-ring.ts';
import { recordStart } from './vault/life.ts';
import { measuredKeys, measuredMeter } from './vault/measure.ts';
import { createReleaseMeter } from './vault/meter.ts';
import { keepHouse } from './vault/outcome.ts';
import { startPruning } from './vault/prune-log.ts';
import { recollect } from './vault/recollect.ts';
import { createRevocations } from './vault/revoke.ts';
import { createRewrapper } from './vault/rewrap.ts';
import { startRewrapping } from './vault/rewrapping.ts';
import { storedVault } from './vault/stored-vault.ts';
import type { CatalogueKey, Vault } from './vault/vault.ts';

const HOUSEKEEPING_MS = 1_000;

export interface RunningVault {
  readonly vault: Vault;
  /** Cuts what still streams, records what can be recorded, stops the keeper. */
  stop(): Promise<void>;
}

/** The keeper and a client to it. `ceremony` lets it make keys; an external one must have been started for it. */
export async function startKeys(
  config: Pick<Config, 'keeper' | 'keeperSocket'>,
  log: Logger,
  ceremony = false,
  onKeeper: (event: KeeperEvent) => void = () => undefined,
): Promise<{ readonly keys: KeyProvider; readonly stop: () => Promise<void> }> {
  const { keeperSocket } = config;
  if (config.keeper.mode === 'external') {
    const keys = createKeeperClient({ socket: config.keeper.socket }); // connects on first use, and again after a loss
    return { keys, stop: () => keys.close() };
  }
  const keeper = await startKeeper({
    ...keeperSettings(config.keeper),
    ...(config.keeper.formerKeeper !== undefined && { formerKeeper: config.keeper.formerKeeper }),
    socket: keeperSocket,
    ceremony,
    onEvent: (event) => {
      logKeeperEvent(event, log);
      onKeeper(event);
    },
  });
  const keys = createKeeperClient({
    socket: keeperSocket,
    deadlineMs: 'token' in config.keeper ? config.keeper.token.deadlineMs : undefined,
  });
  return {
    keys,
    stop: async () => {
      await keys.close();
      await keeper.stop();
    },
  };
}

type ChildKeeper = Extract<Config['keeper'], { mode: 'child' }>;

function keeperSettings(keeper: ChildKeeper) {
  if ('kms' in keeper) return { provider: 'aws-kms', ...keeper.kms, env: awsEnvironment() } as const;
  const { label: tokenLabel, serial: tokenSerial, uri: tokenUri, softhsmConf, ...others } = keeper.token;
  return { ...others, tokenLabel, tokenSerial, tokenUri, env: pkcs11Environment(softhsmConf) };
}

/** Runs the ceremony with a keeper that may make keys, for as long as that takes. */
export async function startCeremony(
  config: Pick<Config, 'keeper' | 'keeperSocket' | 'database' | 'logHead'>,
  inputs: CeremonyInputs,
  log: Logger,
): Promise<CeremonyResult> {
  const { keys, stop } = await startKeys(config, log, true);
  try {
    const stores = await openSqliteStores({ file: config.database, clock: systemClock });
    try {
      const made = await ceremony(inputs, { keys, stores });
      if (config.logHead !== undefined) await beginHeadFile(config.logHead);
      return made;
    } finally {
      await stores.close();
    }
  } finally {
    await stop();
  }
}

/** What `wv keys erase` works with: the stored vault, and a keeper that may destroy what the signed key ring calls destroyed. */
export async function withCeremonyKeys<T>(
  config: Config,
  log: Logger,
  work: (vault: CeremonyVault) => Promise<T>,
  clock: Clock = systemClock,
): Promise<T> {
  const { keys, stop } = await startKeys(config, log, true);
  try {
    const stores = await openSqliteStores({ file: config.database, clock });
    try {
      const { identity, catalogueKey } = await verifyIdentity(config, keys, stores);
      const { vaultId } = config;
      const node = newId<Incarnation>(clock.now());
      const accessLog = createAccessLog({ log: stores.log, vaultId, node, configDigest: config.digest });
      return await work({ vaultId, stores, catalogueKey, kek: identity.kek, keys, accessLog });
    } finally {
      await stores.close();
    }
  } finally {
    await stop();
  }
}

type CeremonyVault = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'kek' | 'keys' | 'accessLog'>;

/** Opens everything a vault needs and checks that it belongs together. Rejects, with nothing left running, when it does not. */
export async function startVault(
  config: Config,
  log: Logger,
  clock: Clock = systemClock,
  metrics: Metrics = createMetrics(),
  onDiskFailure: (error: unknown) => void = endProcess(log),
): Promise<RunningVault> {
  const closers: Array<() => Promise<void> | void> = [];
  const closeAll = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const watching = createWatching(config, clock, log);
    const { keys: provider, stop: stopKeys } = await startKeys(config, log, false, watching.onKeeper);
    const keys = measuredKeys(provider, metrics, watching.unwrapped);
    closers.push(stopKeys);
    const stores = await openSqliteStores({ file: config.database, clock, onDiskFailure });
    closers.push(() => stores.close());
    const { identity, catalogueKey } = await verifyIdentity(config, keys, stores);
    const running = await assemble(config, { watching, keys, stores, catalogueKey, identity, clock, log, metrics });
    closers.push(() => running.vault.deks.dispose());
    const known = await watching.checked(running.vault, async () => {
      await firstRound(running.sequencer);
      return recollect(running.vault, running.vault.logKey);
    });
    await running.vault.revocations.start();
    closers.push(() => running.vault.revocations.stop());
    await running.room.start();
    closers.push(() => running.room.stop());
    await recordStart(running.vault, config.vaultDocument);
    running.witnesses?.start();
    closers.push(() => running.witnesses?.stop());
    running.sequencer.start();
    closers.push(() => running.sequencer.stop());
    closers.push(() => lastRound(running.vault, running.sequencer, log));
    const housekeeping = startHousekeeping(running.vault, log);
    closers.push(housekeeping);
    closers.push(rewrapInTheBackground(running.vault, log));
    const readers = startReaders(running.vault, config, log, metrics, watching.raised);
    closers.push(readers.stop);
    closers.push(startTending(known, running.vault, running.sequencer, log));
    closers.push(startPruning(running.vault, (error) => log.warn('pruning the access log waits', { code: codeOf(error) })));
    closers.push(watching.start(running.vault, readers.wake));
    return { vault: running.vault, stop: closeAll };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** The signed vault document must be this configuration's, and its keys must be the ones the HSM really holds. */
async function verifyIdentity(config: Config, keys: KeyProvider, stores: Stores) {
  const { identity } = await storedVault(stores, config); // vault.json names it by its digest
  const { id, version } = identity.catalogueKey;
  const catalogue = await keys.describe({ id, version });
  if (catalogue.publicKey === undefined) throw new VaultError('key_unknown', 'the catalogue key has no public key');
  const catalogueKey: CatalogueKey = {
    publicKey: createPublicKey({ key: Buffer.from(catalogue.publicKey), format: 'der', type: 'spki' }),
    sign: (message) => keys.sign({ id, version }, message),
  };
  const ports = { vaultId: config.vaultId, stores, catalogueKey };
  const log = await keys.describe(identity.logKey);
  const same =
    identity.catalogueKey.publicKey === toBase64(catalogue.publicKey) &&
    log.publicKey &&
    identity.logKey.publicKey === toBase64(log.publicKey);
  if (!same) throw new VaultError('document_invalid', 'the HSM holds other keys than this vault was made with');
  const active = activeVersion(await stores.unitOfWork.run((tx) => keyRing(SYSTEM, tx, { ...ports, kek: identity.kek })));
  if (active !== undefined && !wrapsAsRecorded((await keys.describe(active)).wrap, active.wrap))
    throw new VaultError('document_invalid', 'the HSM holds another KEK under that name than the key ring recorded');
  return { identity, catalogueKey };
}

interface Parts {
  readonly watching: Watching;
  readonly keys: KeyProvider;
  readonly stores: Stores;
  readonly catalogueKey: CatalogueKey;
  readonly identity: Bodies['vault'];
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

interface Assembled extends Pick<ComposedLog, 'sequencer' | 'room' | 'witnesses'> {
  readonly vault: Vault;
}

async function assemble(config: Config, parts: Parts): Promise<Assembled> {
  const { watching, keys, stores, catalogueKey, identity, clock, log, metrics } = parts;
  const node = newId<Incarnation>(clock.now());
  const deks = createDekLeases({ provider: keys });
  const verifiers = [
    createTpm2Verifier({ 'sev-snp': createSnpReportCheck(), tdx: createTdxReportCheck() }),
    createJwtVerifier(createKeySets({ fetch: fetchKeySet, clock })),
    createSnpVerifier(),
    createTdxVerifier(),
    createNitroVerifier(),
    createNvidiaVerifier(),
    createSpiffeVerifier(),
  ];
  const composed = composeLog(config, { keys, stores, identity, node, clock, log, metrics, onSequencer: watching.onSequencer });
  const { accessLog, logKey, levels, sequencer, room, witnesses } = composed;
  const vault: Vault = {
    vaultId: config.vaultId,
    node,
    stores,
    blobs: await createFsBlobStore({ folder: config.blobs }),
    keys,
    kek: identity.kek,
    catalogueKey,
    accessLog,
    logKey,
    levels,
    recordLevels: config.recordLevels ?? {},
    witnessLagMs: () => witnesses?.lagMs(),
    logHalted: () => sequencer.halted(),
    logRoom: () => room.now(),
    siteOf: config.sites && siteFinder(config.sites),
    deks,
    verifiers: new Map(verifiers.map((verifier) => [verifier.kind, verifier])),
    revocations: createRevocations({
      vaultId: config.vaultId,
      stores,
      catalogueKey,
      clock,
      deks,
      onStale: (error) => log.error('the stops cannot be read', { code: codeOf(error) }),
      mustCut: () => (room.now() === 'gone' ? 'log_space_low' : undefined),
    }),
    meter: measuredMeter(createReleaseMeter(stores, node), metrics),
  };
  return { vault, ...composed };
}

function rewrapInTheBackground(vault: Vault, log: Logger): () => Promise<void> {
  const rewrapper = createRewrapper(vault, (what, error) => log.error('a key cannot be rewrapped', { what, code: codeOf(error) }));
  return startRewrapping(rewrapper, (error) => log.warn('rewrapping waits', { code: codeOf(error) }));
}

function startHousekeeping(vault: Vault, log: Logger): () => Promise<void> {
  let round: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    round = round.then(() => keepHouse(vault)).catch((error) => log.error('housekeeping failed', { code: codeOf(error) }));
  }, HOUSEKEEPING_MS);
  return async () => {
    clearInterval(timer);
    await round;
    await keepHouse(vault).catch((error) => log.error('the last figures were not written', { code: codeOf(error) }));
  };
}
