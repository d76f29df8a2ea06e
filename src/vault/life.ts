/** That a process of the vault began and ended, and with which configuration: every record states its digest, these two are there to state it. */
import type { Digest } from '../domain/ids.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'stores' | 'accessLog'>;

export async function recordStart({ stores, accessLog }: Ports, vaultDocument: Digest): Promise<void> {
  const document = { kind: 'vault', digest: vaultDocument } as const;
  await stores.unitOfWork.run((tx) =>
    accessLog.append(tx, { type: 'vault.started', outcome: 'success', actor: { kind: 'system' }, document }),
  );
}

/** A process that was killed has none; the next one's start, and `release.unknown`, are what tells of it. */
export async function recordStop({ stores, accessLog }: Ports): Promise<void> {
  await stores.unitOfWork.run((tx) => accessLog.append(tx, { type: 'vault.stopped', outcome: 'success', actor: { kind: 'system' } }));
}
