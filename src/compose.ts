/** The composition root: the only server file that names concrete adapters. Puts a Vault together from its configuration, or refuses. */
import { createPublicKey } from 'node:crypto';
import { createTpm2Verifier } from './attestation/tpm2/verifier.ts';
import { createAccessLog } from './audit/access-log.ts';
import { createSequencer, type Sequencer } from './audit/sequencer.ts';
import { createFsBlobStore } from './blobs/fs/fs-blob-store.ts';
import type { Config } from './config/config.ts';
import type { Bodies } from './documents/bodies.ts';
import { toBase64 } from './domain/bytes.ts';
import { type Clock, systemClock } from './domain/clock.ts';
import { codeOf, VaultError } from './domain/errors.ts';
import { type Incarnation, newId } from './domain/ids.ts';
import { createDekLeases } from './keys/dek-leases.ts';
import { createKeeperClient } from './keys/keeper/client.ts';
import { type KeeperEvent, startKeeper } from './keys/keeper/supervisor.ts';
import type { KeyProvider } from './keys/port.ts';
import type { Stores } from './stores/port.ts';
import { openSqliteStores } from './stores/sqlite/sqlite-stores.ts';
import type { Logger } from './telemetry/logger.ts';
import { readDocument } from './vault/documents.ts';
import { CATALOGUE_KEY, type CeremonyInputs, type CeremonyResult, ceremony } from './vault/init.ts';
import { createReleaseMeter } from './vault/meter.ts';
import { keepHouse } from './vault/outcome.ts';
import { createRevocations } from './vault/revoke.ts';
import type { CatalogueKey, Vault } from './vault/vault.ts';

const HOUSEKEEPING_MS = 1_000;

export interface RunningVault {
  readonly vault: Vault;
  /** Cuts what still streams, records what can be recorded, stops the keeper. */
  stop(): Promise<void>;
}

/** The keeper and a client to it. `ceremony` lets it make keys. */
async function startKeys(
  config: Pick<Config, 'token' | 'keeperSocket'>,
  log: Logger,
  ceremony = false,
): Promise<{ readonly keys: KeyProvider; readonly stop: () => Promise<void> }> {
  const { token, keeperSocket } = config;
  const keeper = await startKeeper({
    module: token.module,
    tokenLabel: token.label,
    pinFile: token.pinFile,
    socket: keeperSocket,
    ceremony,
    ...(token.serial === undefined ? {} : { tokenSerial: token.serial }),
    env: token.softhsmConf === undefined ? {} : { SOFTHSM2_CONF: token.softhsmConf },
    onEvent: (event) => logKeeperEvent(event, log),
  });
  const keys = createKeeperClient({ socket: keeperSocket });
  return {
    keys,
    stop: async () => {
      await keys.close();
      await keeper.stop();
    },
  };
}

/** Runs the ceremony with a keeper that may make keys, for as long as that takes. */
export async function startCeremony(
  config: Pick<Config, 'token' | 'keeperSocket' | 'database'>,
  inputs: CeremonyInputs,
  log: Logger,
): Promise<CeremonyResult> {
  const { keys, stop } = await startKeys(config, log, true);
  try {
    const stores = await openSqliteStores({ file: config.database, clock: systemClock });
    try {
      return await ceremony(inputs, { keys, stores });
    } finally {
      await stores.close();
    }
  } finally {
    await stop();
  }
}

/** Opens everything a vault needs and checks that it belongs together. Rejects, with nothing left running, when it does not. */
export async function startVault(config: Config, log: Logger, clock: Clock = systemClock): Promise<RunningVault> {
  const closers: Array<() => Promise<void> | void> = [];
  const closeAll = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const { keys, stop: stopKeys } = await startKeys(config, log);
    closers.push(stopKeys);
    const stores = await openSqliteStores({ file: config.database, clock });
    closers.push(() => stores.close());
    const { identity, catalogueKey } = await verifyIdentity(config, keys, stores);
    const running = await assemble(config, { keys, stores, catalogueKey, identity, clock, log });
    closers.push(() => running.vault.deks.dispose());
    await running.vault.revocations.start();
    closers.push(() => running.vault.revocations.stop());
    await recordStart(running.vault, config);
    running.sequencer.start();
    closers.push(() => running.sequencer.stop());
    const housekeeping = startHousekeeping(running.vault, log);
    closers.push(housekeeping);
    return { vault: running.vault, stop: closeAll };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** The signed vault document must be this configuration's, and its keys must be the ones the HSM really holds. */
async function verifyIdentity(config: Config, keys: KeyProvider, stores: Stores) {
  const catalogue = await keys.describe(CATALOGUE_KEY);
  if (catalogue.publicKey === undefined) throw new VaultError('key_unknown', 'the catalogue key has no public key');
  const catalogueKey: CatalogueKey = {
    publicKey: createPublicKey({ key: Buffer.from(catalogue.publicKey), format: 'der', type: 'spki' }),
    sign: (message) => keys.sign(CATALOGUE_KEY, message),
  };
  const ports = { vaultId: config.vaultId, stores, catalogueKey };
  const identity = await stores.unitOfWork.run((tx) => readDocument('vault', config.vaultDocument, tx, ports));
  const log = await keys.describe(identity.logKey);
  const same =
    identity.catalogueKey.publicKey === toBase64(catalogue.publicKey) &&
    log.publicKey &&
    identity.logKey.publicKey === toBase64(log.publicKey);
  if (!same) throw new VaultError('document_invalid', 'the HSM holds other keys than this vault was made with');
  await keys.describe(identity.kek);
  return { identity, catalogueKey };
}

interface Parts {
  readonly keys: KeyProvider;
  readonly stores: Stores;
  readonly catalogueKey: CatalogueKey;
  readonly identity: Bodies['vault'];
  readonly clock: Clock;
  readonly log: Logger;
}

async function assemble(config: Config, parts: Parts): Promise<{ readonly vault: Vault; readonly sequencer: Sequencer }> {
  const { keys, stores, catalogueKey, identity, clock, log } = parts;
  const node = newId<Incarnation>(clock.now());
  const deks = createDekLeases({ provider: keys });
  const verifier = createTpm2Verifier();
  const sequencer = createSequencer({
    unitOfWork: stores.unitOfWork,
    log: stores.log,
    origin: identity.origin,
    publicKey: Buffer.from(identity.logKey.publicKey, 'base64'),
    sign: (text) => keys.sign(identity.logKey, text),
    node,
    clock,
    onEvent: (event) => {
      if (event.severity === 'critical') log.error('the access log is halted', { code: event.code });
      else if (event.severity === 'warning') log.warn(`access log: ${event.kind}`, { code: 'code' in event ? event.code : undefined });
    },
  });
  const vault: Vault = {
    vaultId: config.vaultId,
    node,
    stores,
    blobs: await createFsBlobStore({ folder: config.blobs }),
    keys,
    kek: identity.kek,
    catalogueKey,
    accessLog: createAccessLog({ log: stores.log, vaultId: config.vaultId, node, configDigest: config.digest }),
    logHalted: () => sequencer.halted(),
    deks,
    verifiers: new Map([[verifier.kind, verifier]]),
    revocations: createRevocations({
      stores,
      clock,
      onCut: () => deks.wipeIdle(),
      onStale: (error) => log.error('the block list cannot be read', { code: codeOf(error) }),
    }),
    meter: createReleaseMeter(stores, node),
  };
  return { vault, sequencer };
}

async function recordStart(vault: Vault, config: Config): Promise<void> {
  await vault.stores.unitOfWork.run((tx) =>
    vault.accessLog.append(tx, {
      type: 'vault.started',
      outcome: 'success',
      actor: { kind: 'system' },
      document: { kind: 'vault', digest: config.vaultDocument },
    }),
  );
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

function logKeeperEvent(event: KeeperEvent, log: Logger): void {
  const fields = { event: event.event, detail: event.detail, code: event.code };
  if (event.event === 'connected' || event.event === 'ready' || event.event === 'started' || event.event === 'login')
    log.info('keeper', fields);
  else log.warn('keeper', fields);
}
