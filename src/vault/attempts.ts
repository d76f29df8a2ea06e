/**
 * How often someone may try to get in. The lock after wrong codes is in the database and per person and workstation (second-factor.ts); this
 * bounds the work of one process: the HSM is asked, and a record written, only so often. A key that is nobody's workstation is counted by
 * its address and together with all such keys; never together with a workstation, so that no stranger can aim it at an administrator.
 */
import { loggable } from '../audit/record.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { type ErrorCode, VaultError } from '../domain/errors.ts';
import type { SpkiDigest } from '../domain/evidence.ts';
import { LruMap } from '../domain/lru-map.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { activeAdministrators } from './administrators.ts';
import { assertRoomForStrangers } from './last-room.ts';
import type { CatalogueKey, Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog' | 'logRoom'>;

/** Someone without a session, as far as anything is known of them. */
export interface Attempt {
  /** The name they gave. */
  readonly administrator: string;
  /** The TLS key they hold. */
  readonly workstation: SpkiDigest;
  readonly requestId: string;
  readonly remoteAddress: string;
}

interface Window {
  readonly startedAt: number;
  readonly count: number;
}

interface Windows {
  readonly workstations: LruMap<string, Window>;
  readonly addresses: LruMap<string, Window>;
  readonly strangers: LruMap<string, Window>;
}

const windows = new WeakMap<CatalogueKey, Windows>();

/**
 * Resolves for a workstation of an active administrator, whoever that is and whatever name was given. Anything else is refused here, before
 * the HSM is asked and in the same way for every name: `login_locked` when it comes too often (of those only the first in a minute is
 * recorded), else `refused`, recorded; `log_space_low` when no stranger can be.
 */
export async function admitAttempt(attempt: Attempt, what: string, refused: ErrorCode, vault: Ports): Promise<void> {
  const { workstation, remoteAddress } = attempt;
  const { known, now } = await vault.stores.unitOfWork.run(async (tx) => ({
    known: await isWorkstation(workstation, tx, vault),
    now: tx.now,
  }));
  if (!known) assertRoomForStrangers(vault);
  const kept = windowsOf(vault.catalogueKey);
  const overdrawn = known
    ? overdraw(kept.workstations, workstation, DEFAULTS.loginAttempts, now)
    : Math.max(
        overdraw(kept.addresses, remoteAddress, DEFAULTS.loginAttempts, now),
        overdraw(kept.strangers, 'all', DEFAULTS.strangerAttempts, now),
      );
  if (overdrawn > 1) throw new VaultError('login_locked');
  if (overdrawn === 1) return refuseAttempt(attempt, what, 'login_locked', vault);
  if (!known) return refuseAttempt(attempt, what, refused, vault);
}

/** Records the refusal, and throws it without a word about what was wrong. */
export async function refuseAttempt(attempt: Attempt, what: string, code: ErrorCode, vault: Ports): Promise<never> {
  await vault.stores.unitOfWork.run((tx) =>
    vault.accessLog.append(tx, {
      type: 'admin.denied',
      outcome: 'deny',
      reason: code,
      detail: loggable(what, 32),
      actor: { kind: 'administrator', workstation: attempt.workstation },
      request: { requestId: loggable(attempt.requestId, 64) },
      personal: { administratorName: attempt.administrator, remoteAddress: attempt.remoteAddress },
    }),
  );
  throw new VaultError(code);
}

/** The same for someone with a session: at most so many codes a minute are tried from one workstation. */
export function admitCode(workstation: SpkiDigest, now: Date, vault: Pick<Vault, 'catalogueKey'>): void {
  const { workstations } = windowsOf(vault.catalogueKey);
  if (overdraw(workstations, workstation, DEFAULTS.loginAttempts, now) > 0) throw new VaultError('login_locked');
}

/** All documents are looked at, found or not: the time it takes tells nothing. */
async function isWorkstation(workstation: SpkiDigest, tx: Tx, vault: Ports): Promise<boolean> {
  return (await activeAdministrators(tx, vault)).some((person) => person.workstations.includes(workstation));
}

/** How far above `limit` this attempt is: 0 when it is not. Counted in windows that begin with their first attempt. */
function overdraw(kept: LruMap<string, Window>, key: string, limit: number, now: Date): number {
  const window = kept.get(key);
  const runs = window !== undefined && now.getTime() < window.startedAt + DEFAULTS.loginAttemptWindowSeconds * 1000;
  const next = runs ? { ...window, count: window.count + 1 } : { startedAt: now.getTime(), count: 1 };
  kept.set(key, next);
  return Math.max(0, next.count - limit);
}

function windowsOf(key: CatalogueKey): Windows {
  const made = () => new LruMap<string, Window>(10_000);
  const kept = windows.get(key) ?? { workstations: made(), addresses: made(), strangers: made() };
  windows.set(key, kept);
  return kept;
}
