/** The whole examination: every probe once, in the order of FINDINGS. A probe that fails is a finding too. */
import { existsSync } from 'node:fs';
import { type Config, loadConfig } from '../../config/config.ts';
import { codeOf, VaultError } from '../../domain/errors.ts';
import { createKeeperClient } from '../../keys/keeper/client.ts';
import type { KeyProvider, KeyProviderHealth } from '../../keys/port.ts';
import { policySet, publications, referenceUnmatched, referenceUnnamed, referenceValues, trustAnchors } from './collateral.ts';
import type { Facts } from './facts.ts';
import { diskSpace, extractableKeks, fileModes, keysApart, logHeadApart, softwareKeys } from './files.ts';
import { type Finding, type FindingId, finding } from './findings.ts';
import { clockSync, coreDumps, kernelLockdown, nodeVersion, openFiles, ptrace, runAsRoot, swap } from './host.ts';
import { keyStates } from './keys.ts';
import { approvers, dormant, roles, secondFactor, sharedWorkstation } from './people.ts';
import { adminListener, tlsCertificates } from './planes.ts';
import { keeperSockets, runningProcesses } from './processes.ts';
import { askHsmHead, rollbackWindows } from './rollback.ts';
import { readStore, type StoreReading } from './store-facts.ts';
import { checkpointAge, clockRegressed, databaseIntegrity, logRolledBack, logSinks, logVerifies } from './stored.ts';

type Probed = Finding | readonly Finding[];

/** Never rejects. */
export async function examine(configFile: string, facts: Facts): Promise<readonly Finding[]> {
  const config = configOf(configFile);
  const running = config instanceof Error ? [] : runningProcesses(facts, config);
  const host = await all([
    ['run_as_root', () => runAsRoot(facts)],
    ['node_version', () => nodeVersion(facts)],
    ['core_dumps', () => coreDumps(facts, running)],
    ['swap', () => swap(facts, running)],
    ['ptrace', () => ptrace(facts, running)],
    ['kernel_lockdown', () => kernelLockdown(facts)],
    ['clock_sync', () => clockSync(facts)],
    ['open_files', () => openFiles(facts, running)],
  ]);
  if (config instanceof Error) return [finding('configuration', 'critical', inWords(config)), ...host];
  return [finding('configuration', 'ok', `vault ${config.vaultId}`), ...host, ...(await examineVault(config, configFile, facts))];
}

function configOf(file: string): Config | Error {
  try {
    return loadConfig(file);
  } catch (error) {
    return error instanceof Error ? error : new VaultError('internal');
  }
}

async function examineVault(config: Config, configFile: string, facts: Facts): Promise<readonly Finding[]> {
  const { now } = facts;
  const [health, reading] = await Promise.all([
    atKeeper(config, (keys) => keys.health()),
    readStore(config, facts).catch((error: unknown) => ({ error })),
  ]);
  const store = 'error' in reading ? undefined : reading;
  const hsmHead = await atKeeper(config, (keys) => askHsmHead(config, keys.heads, store?.logKey));
  return all([
    ['file_modes', () => fileModes(facts, config, configFile)],
    ['keys_apart', () => keysApart(facts, config)],
    ['software_keys', () => softwareKeys(config)],
    ['extractable_keks', () => extractableKeks(config)],
    ['log_head_apart', () => logHeadApart(facts, config)],
    ['disk_space', () => diskSpace(facts, config)],
    ['tls_certificate', () => tlsCertificates(facts, config)],
    ['admin_listener', () => adminListener(config)],
    ['keeper', () => keeperFinding(health, config.keeper.mode, store?.stored.serving === true)],
    ['key_states', () => keyStates(believed(read(store).keys), now)],
    ['database_schema', () => schemaFinding(reading)],
    ['database_integrity', () => databaseIntegrity(read(store).stored)],
    ['clock_regressed', () => clockRegressed(read(store).stored, now)],
    ['log_verifies', () => logVerifies(read(store).stored)],
    ['log_rolled_back', () => logRolledBack(read(store).stored)],
    ['rollback_windows', () => rollbackWindows(config, hsmHead, read(store).stored)],
    ['checkpoint_age', () => checkpointAge(read(store).stored, now)],
    ['log_sinks', () => logSinks(read(store).sinks)],
    ['second_factor', () => secondFactor(believed(read(store).people))],
    ['approvers', () => approvers(believed(read(store).people))],
    ['roles', () => roles(believed(read(store).people))],
    ['shared_workstation', () => sharedWorkstation(believed(read(store).people))],
    ['dormant', () => dormant(believed(read(store).people), now)],
    ['policy_set', () => policySet(believed(read(store).collateral))],
    ['reference_values', () => referenceValues(believed(read(store).collateral), now)],
    ['reference_unnamed', () => referenceUnnamed(believed(read(store).collateral))],
    ['reference_unmatched', () => referenceUnmatched(believed(read(store).collateral), now)],
    ['collateral', () => publications(believed(read(store).publications), now)],
    ['trust_anchors', () => trustAnchors(believed(read(store).collateral), now)],
  ]);
}

async function all(probes: ReadonlyArray<readonly [id: FindingId, probe: () => Probed | Promise<Probed>]>): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const [id, probe] of probes) {
    try {
      findings.push(...[await probe()].flat());
    } catch (error) {
      findings.push(finding(id, 'unknown', inWords(error)));
    }
  }
  return findings;
}

function read(store: StoreReading | undefined): StoreReading {
  if (store === undefined) throw new VaultError('store_unavailable', 'the database was not read');
  return store;
}

function believed<T>(value: T | undefined): T {
  if (value === undefined) throw new VaultError('document_invalid', 'what the database holds was not signed for this vault');
  return value;
}

function schemaFinding(reading: StoreReading | { readonly error: unknown }): Finding {
  if (!('error' in reading)) return finding('database_schema', 'ok', 'current');
  return finding('database_schema', 'critical', inWords(reading.error));
}

/** With one plane a process, each has its own child keeper: the first that is there answers for all. */
async function atKeeper<T>(config: Config, ask: (keys: KeyProvider) => Promise<T>): Promise<T> {
  const client = createKeeperClient({ socket: keeperSockets(config).find(existsSync) ?? config.keeperSocket });
  try {
    return await ask(client);
  } finally {
    await client.close();
  }
}

/** A child keeper is there only while its vault serves; the lease of one that was just stopped lasts some seconds longer. */
export function keeperFinding({ ok, code }: KeyProviderHealth, mode: Config['keeper']['mode'], serving: boolean): Finding {
  if (ok) return finding('keeper', 'ok', 'answers, self-test passed');
  if (code !== 'keeper_unavailable' || mode === 'external') return finding('keeper', 'critical', String(code));
  return serving
    ? finding('keeper', 'warning', 'a vault serves, or did a moment ago, and its keeper does not answer')
    : finding('keeper', 'unknown', 'no vault serves, so there is none');
}

function inWords(error: unknown): string {
  const system = (error as NodeJS.ErrnoException | undefined)?.code;
  if (error instanceof VaultError) return error.detail === '' ? error.code : `${error.code}: ${error.detail}`;
  return typeof system === 'string' ? system : codeOf(error);
}
