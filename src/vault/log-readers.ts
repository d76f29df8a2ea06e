/** What reads the log while the vault serves, beside the releases and never in their way. */
import { createFollower, type Follower, type FollowerEvent } from '../audit/follower.ts';
import { INDEX_BATCH, INDEX_BEHIND, searchReader } from '../audit/search/indexer.ts';
import { type AlertPorts, createAlertReader } from './alert-watch.ts';
import type { Vault } from './vault.ts';

export function searchFollower({ stores, node }: Pick<Vault, 'stores' | 'node'>, onEvent?: (event: FollowerEvent) => void): Follower {
  const { unitOfWork, log, cursors, search } = stores;
  return createFollower({
    unitOfWork,
    log,
    cursors,
    node,
    name: 'search',
    from: 'first',
    batch: INDEX_BATCH,
    behind: INDEX_BEHIND,
    reader: searchReader(search),
    onEvent,
  });
}

/** From the record after those that are there when it runs first: what was before, `wv alerts backtest` tells. */
export function alertFollower(
  vault: AlertPorts & Pick<Vault, 'node'>,
  onEvent?: (event: FollowerEvent) => void,
  onRaised?: () => void,
): Follower {
  const { unitOfWork, log, cursors } = vault.stores;
  return createFollower({
    unitOfWork,
    log,
    cursors,
    node: vault.node,
    name: 'alerts',
    from: 'next',
    reader: createAlertReader(vault, onRaised),
    onEvent,
  });
}

export interface LogReaders {
  /** New records have their index: the rules look at them now. */
  wake(): void;
  stop(): Promise<void>;
}

/** A reader that fails tries again, and releases go on. */
export function startLogReaders(
  vault: AlertPorts & Pick<Vault, 'node'>,
  events: { readonly failed: (name: string, error: unknown) => void; readonly raised: () => void },
): LogReaders {
  const failed = (event: FollowerEvent) => {
    if (event.kind === 'failed') events.failed(event.name, event.error);
  };
  const search = searchFollower(vault, failed);
  const alerts = alertFollower(vault, failed, events.raised);
  search.start();
  alerts.start();
  return {
    wake: alerts.wake,
    async stop() {
      await search.stop();
      await alerts.stop();
    },
  };
}
