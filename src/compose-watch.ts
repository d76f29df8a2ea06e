/** What runs beside the releases to notice and to tell: the watch, and the sending of alerts. Part of the composition root. */
import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createKeptFile } from './audit/head-file/kept-file.ts';
import type { SequencerEvent } from './audit/sequencer.ts';
import type { Config } from './config/config.ts';
import type { Clock } from './domain/clock.ts';
import { codeOf, type ErrorCode } from './domain/errors.ts';
import { type Rounds, startRounds } from './domain/rounds.ts';
import type { Logger } from './telemetry/logger.ts';
import { createDeliveryKeeper, type KeptForRefusal, type RefusalTold, tellOutsideOfLog } from './vault/alert-at-start.ts';
import { createAlertDelivery, type SecretOf } from './vault/alert-delivery.ts';
import { raiseAtOnce } from './vault/alert-watch.ts';
import { cryptoperiods } from './vault/keys.ts';
import type { Vault } from './vault/vault.ts';
import { createWatch, type Expiring, type Watch } from './vault/watch.ts';

const ROUND_MS = 1_000;

/** What a keeper says of itself (keys/keeper). */
interface KeeperEvent {
  readonly event: string;
  readonly detail: string;
  readonly code?: ErrorCode;
}

type Halted = Extract<SequencerEvent, { kind: 'halted' }>;

export interface Watching {
  /** Of the sequencer and the keeper, which may speak before there is a vault to record it. */
  onSequencer(event: SequencerEvent): void;
  onKeeper(event: KeeperEvent): void;
  unwrapped(): void;
  /** An alert was raised, and waits to be sent. */
  raised(): void;
  /** Does `check`; tells the receivers of alerts when it finds another log than was signed, and throws then what it threw. */
  checked<T>(vault: Vault, check: () => Promise<T>): Promise<T>;
  /** `indexed` is called when records have got their index. Call what it returns to stop. */
  start(vault: Vault, indexed: () => void): () => Promise<void>;
}

export function createWatching(config: Config, clock: Clock, log: Logger): Watching {
  let watch: Watch | undefined;
  let vault: Vault | undefined;
  let sending: Rounds | undefined;
  let onIndexed: () => void = () => undefined;
  let early: Halted | undefined;

  const outside = async (error: unknown, when: 'start' | 'serving', of: Vault) => {
    const outcome = await tellOutsideOfLog(error, when, of, keptBeside(config), secretsIn(config.alertSecrets)).catch(codeOf);
    if (outcome !== undefined) log.error('told outside of the access log', { code: codeOf(error), ...said(outcome) });
  };
  const halted = async (event: Halted) => {
    if (vault === undefined) {
      early = event; // there is no vault yet that could raise anything
      return;
    }
    try {
      await raiseAtOnce('log.halted', event.code, vault);
      sending?.wake();
    } catch (error) {
      log.error('no alert', { code: codeOf(error) });
      await outside(event.error, 'serving', vault);
    }
  };

  return {
    onSequencer(event) {
      if (event.kind === 'published') onIndexed();
      if (event.kind === 'conflict') void watch?.note('log.conflict', { detail: 'another signer published first' });
      if (event.kind === 'halted') void halted(event);
    },
    onKeeper({ event, detail, code }) {
      if (!QUIET.has(event)) void watch?.note('hsm.event', { reason: code, detail: `${event}: ${detail}` });
    },
    unwrapped: () => watch?.unwrapped(),
    raised: () => sending?.wake(),
    async checked(unproven, check) {
      try {
        return await check();
      } catch (error) {
        await outside(error, 'start', unproven);
        throw error;
      }
    },
    start(running, indexed) {
      vault = running;
      onIndexed = indexed;
      const onFailure = (error: unknown) => log.warn('the watch could not write', { code: codeOf(error) });
      watch = createWatch(running, {
        clock,
        expiring: async () => [...(await certificatesOf(config)), ...(await cryptoperiods(running))],
        synchronized: synchronizedBy(config),
        onFailure,
      });
      const delivery = createAlertDelivery(running, secretsIn(config.alertSecrets), { onSettled: () => sending?.wake(), onFailure });
      const watching = startRounds(watch.tick, { everyMs: ROUND_MS, onFailure });
      const keep = createDeliveryKeeper(running, keptBeside(config)?.delivery);
      const round = async () => {
        await delivery.round();
        await keep();
      };
      sending = startRounds(round, { everyMs: ROUND_MS, onFailure });
      if (early !== undefined) void halted(early);
      return async () => {
        await Promise.all([watching.stop(), sending?.stop()]);
        await delivery.idle();
      };
    },
  };
}

/** What a keeper says when all is well. */
const QUIET: ReadonlySet<string> = new Set(['connected', 'ready', 'started', 'login', 'line']);

/** Beside the kept checkpoint, apart from the database like it. */
function keptBeside({ logHead }: Config): KeptForRefusal | undefined {
  return logHead === undefined
    ? undefined
    : { delivery: createKeptFile(`${logHead}.alert-delivery`), told: createKeptFile(`${logHead}.told`) };
}

const said = (outcome: RefusalTold | ErrorCode) => (typeof outcome === 'string' ? { alert: outcome } : { ...outcome });

function synchronizedBy({ timeSynchronized: file }: Config): (() => Promise<boolean>) | undefined {
  if (file === undefined) return undefined;
  return () =>
    stat(file).then(
      () => true,
      () => false,
    );
}

async function certificatesOf({ dataPlane, adminPlane }: Config): Promise<readonly Expiring[]> {
  const planes = [
    ['certificate of the data plane', dataPlane.certificate],
    ['certificate of the admin plane', adminPlane.certificate],
  ] as const;
  return Promise.all(
    planes.map(async ([name, file]) => {
      const { validFromDate: from, validToDate: to } = new X509Certificate(await readFile(file));
      return { name, from, to };
    }),
  );
}

/** One file for each target: `<name>.secret`. Read each time, so that a secret can be changed while the vault serves. */
function secretsIn(folder: string | undefined): SecretOf {
  return async (target) => {
    if (folder === undefined) return undefined;
    const text = await readFile(join(folder, `${target}.secret`), 'utf8').catch(() => undefined); // absent, or not ours to read
    if (text === undefined) return undefined;
    const secret = text.trim();
    // Standard Webhooks writes its secrets in this form.
    return secret.startsWith('whsec_') ? Buffer.from(secret.slice('whsec_'.length), 'base64') : Buffer.from(secret, 'utf8');
  };
}

export function logKeeperEvent(event: KeeperEvent, log: Logger): void {
  const fields = { event: event.event, detail: event.detail, code: event.code };
  if (event.event === 'connected' || event.event === 'ready' || event.event === 'started' || event.event === 'login')
    log.info('keeper', fields);
  else log.warn('keeper', fields);
}
