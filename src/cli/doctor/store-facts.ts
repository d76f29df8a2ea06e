/** Reads what the probes of database, log, people and policies need. Read-only, and without the HSM: also of a vault that is stopped. */
import { openCheckpoint } from '../../audit/checkpoint.ts';
import { type VerifierKey, verifierKey } from '../../audit/vkey.ts';
import type { Config } from '../../config/config.ts';
import { systemClock } from '../../domain/clock.ts';
import { codeOf, VaultError } from '../../domain/errors.ts';
import { type KeyName, type Namespace, SYSTEM } from '../../domain/ids.ts';
import { type Connection, openDatabase } from '../../stores/sqlite/database.ts';
import { openSqliteStores } from '../../stores/sqlite/sqlite-stores.ts';
import { activeAdministrators } from '../../vault/administrators.ts';
import { inForce } from '../../vault/documents.ts';
import { keyRings } from '../../vault/key-ring.ts';
import { type SinkState, sinkStates } from '../../vault/sink-lag.ts';
import { knownStops } from '../../vault/stops.ts';
import { type StoredVault, storedVault, verifyStoredLog } from '../../vault/stored-vault.ts';
import type { Collateral, KeptPublication } from './collateral.ts';
import type { Facts } from './facts.ts';
import type { KeysRead } from './keys.ts';
import type { Person } from './people.ts';
import type { StoredFacts } from './stored.ts';

/** How far back somebody's last deed is looked for. */
const RECORDS_LOOKED_AT = 100_000;

export interface StoreReading {
  readonly stored: StoredFacts;
  /** Undefined when the vault document that vault.json names is not there, or does not verify: then nothing signed can be believed. */
  readonly people: readonly Person[] | undefined;
  readonly collateral: readonly Collateral[] | undefined;
  readonly logKey: VerifierKey | undefined;
  readonly keys: KeysRead | undefined;
  readonly sinks: readonly SinkState[] | undefined;
  readonly publications: readonly KeptPublication[] | undefined;
}

/** Rejects as `openSqliteStores` does: `store_unavailable`, `store_schema_newer`, `configuration_invalid`. */
export async function readStore(config: Config, facts: Facts): Promise<StoreReading> {
  const connection = openDatabase({ file: config.database, clock: systemClock, readOnly: true });
  try {
    const stores = await openSqliteStores({ file: config.database, clock: systemClock, readOnly: true });
    try {
      const vault = await storedVault(stores, config).catch((error: unknown) => problemOf(error));
      if ('code' in vault) return { stored: readRows(connection, facts, vault, undefined), ...NOT_BELIEVED };
      const logProblem = (await verifyStoredLog(vault))?.problems[0];
      return {
        stored: readRows(connection, facts, logProblem, keptHead(config, facts, vault)),
        people: await readPeople(connection, vault).catch(() => undefined),
        collateral: await readCollateral(connection, vault).catch(() => undefined),
        logKey: logKeyOf(vault),
        keys: await readKeys(vault).catch(() => undefined),
        sinks: await sinkStates(vault).catch(() => undefined),
        publications: await stores.unitOfWork.run((tx) => stores.attestation.listCollateral(tx)).catch(() => undefined),
      };
    } finally {
      await stores.close();
    }
  } finally {
    connection.close();
  }
}

const NOT_BELIEVED = {
  logKey: undefined,
  people: undefined,
  collateral: undefined,
  keys: undefined,
  sinks: undefined,
  publications: undefined,
};

interface Problem {
  readonly code: string;
  readonly detail: string;
}

function problemOf(error: unknown): Problem {
  return { code: codeOf(error), detail: error instanceof VaultError ? error.detail : 'the vault document cannot be read' };
}

function readRows(connection: Connection, facts: Facts, logProblem: Problem | undefined, kept: StoredFacts['kept']): StoredFacts {
  const one = <T>(sql: string, ...values: number[]) => connection.prepared(sql).get(...values) as T | undefined;
  const checkpointSize = one<{ size: number }>('SELECT size FROM log_head')?.size ?? 0;
  const uncovered = 'SELECT leaf FROM log_leaves WHERE leaf_index IS NULL OR leaf_index >= ? ORDER BY position LIMIT 1';
  return {
    integrity: connection.prepared('PRAGMA quick_check').pluck().all().map(String),
    newestRecord: timeOf(one<Row>('SELECT leaf FROM log_leaves ORDER BY position DESC LIMIT 1')),
    records: one<{ n: number }>('SELECT count(*) AS n FROM log_leaves')?.n ?? 0,
    checkpointSize,
    oldestUncovered: timeOf(one<Row>(uncovered, checkpointSize)),
    serving: one('SELECT 1 FROM nodes WHERE lease_until > ?', facts.now.getTime()) !== undefined,
    logProblem,
    kept,
  };
}

function keptHead({ logHead }: Config, facts: Facts, vault: StoredVault): StoredFacts['kept'] {
  try {
    const note = logHead === undefined ? undefined : facts.text(logHead);
    if (logHead === undefined) return undefined;
    if (note === undefined) return { code: 'log_head_missing' };
    if (note === '') return 0; // made by `wv init`, and nothing was signed yet
    return openCheckpoint(Buffer.from(note), logKeyOf(vault)).size;
  } catch (error) {
    return { code: codeOf(error) }; // the vault does not start with it either
  }
}

const logKeyOf = ({ identity }: StoredVault) => verifierKey(identity.origin, Buffer.from(identity.logKey.publicKey, 'base64'));

async function readPeople(connection: Connection, vault: StoredVault): Promise<readonly Person[]> {
  const active = await vault.stores.unitOfWork.run((tx) => activeAdministrators(tx, vault));
  const lastSeen = lastDeeds(connection, new Set(active.map(({ administratorId }) => administratorId)));
  return active.map(({ administratorId, name, roles, authenticator, workstations, createdAt }) => ({
    name,
    roles,
    authenticator,
    workstations,
    since: new Date(createdAt),
    lastSeen: lastSeen.get(administratorId),
  }));
}

function lastDeeds(connection: Connection, wanted: ReadonlySet<string>): ReadonlyMap<string, Date> {
  const found = new Map<string, Date>();
  const newestFirst = connection.prepared('SELECT leaf FROM log_leaves ORDER BY position DESC LIMIT ?');
  for (const row of newestFirst.iterate(RECORDS_LOOKED_AT) as IterableIterator<Row>) {
    const { actor } = parsed(row);
    const time = timeOf(row);
    const who = actor?.administratorId;
    if (who !== undefined && time !== undefined && wanted.has(who) && !found.has(who)) found.set(who, time);
    if (found.size === wanted.size) break;
  }
  return found;
}

async function readCollateral(connection: Connection, vault: StoredVault): Promise<readonly Collateral[]> {
  const names = connection.prepared(NAMESPACES).pluck().all() as Namespace[];
  return vault.stores.unitOfWork.run(async (tx) => {
    const all: Collateral[] = [];
    for (const namespace of names.filter((name) => name !== SYSTEM)) {
      const values = await inForce('reference-values', namespace, tx, vault);
      all.push({
        namespace,
        policies: (await inForce('policy-set', namespace, tx, vault))?.body.policies,
        referenceValues: values?.body.values,
        referenceValuesSince: values && new Date(values.body.createdAt),
        lastMatched: await vault.stores.attestation.lastMatched(tx, namespace),
        trustAnchors: (await inForce('trust-anchors', namespace, tx, vault))?.body.anchors,
      });
    }
    return all;
  });
}

function readKeys(vault: StoredVault): Promise<KeysRead> {
  return vault.stores.unitOfWork.run(async (tx) => {
    const rings = await keyRings(tx, { ...vault, kek: vault.identity.kek });
    const stops = (await knownStops(tx, vault)).filter((stop) => stop.scope === 'key' && !stop.lifted);
    return { rings, suspended: stops.map(({ target }) => target as KeyName) }; // of a stop of that scope
  });
}

const NAMESPACES = `
  SELECT namespace FROM models UNION SELECT namespace FROM subjects UNION SELECT namespace FROM document_slots ORDER BY namespace`;

interface Row {
  readonly leaf: Uint8Array;
}

/** Whatever a leaf holds, it does not stop the doctor; whether it is what was logged, `log_verifies` says. */
function parsed(row: Row): { readonly time?: string; readonly actor?: { readonly administratorId?: string } } {
  try {
    return JSON.parse(Buffer.from(row.leaf).toString('utf8')) ?? {};
  } catch {
    return {};
  }
}

function timeOf(row: Row | undefined): Date | undefined {
  const time = new Date(String(row && parsed(row).time));
  return Number.isNaN(time.getTime()) ? undefined : time;
}
