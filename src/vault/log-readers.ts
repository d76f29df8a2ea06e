/** What reads the log while the vault serves, beside the releases and never in their way. */
import { createFollower, type Follower, type FollowerEvent } from '../audit/follower.ts';
import { INDEX_BATCH, searchReader } from '../audit/search/indexer.ts';
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
    reader: searchReader(search),
    onEvent,
  });
}

/** From the record after those that are there when it runs first: what was before, `wv alerts backtest` tells. */
export function alertFollower(vault: AlertPorts & Pick<Vault, 'node'>, onEvent?: (event: FollowerEvent) => void): Follower {
  const { unitOfWork, log, cursors } = vault.stores;
  return createFollower({
    unitOfWork,
    log,
    cursors,
    node: vault.node,
    name: 'alerts',
    from: 'next',
    reader: createAlertReader(vault),
    onEvent,
  });
}

/** Call what it returns to stop. A reader that fails tries again, and releases go on. */
export function startLogReaders(
  vault: AlertPorts & Pick<Vault, 'node'>,
  onFailure: (name: string, error: unknown) => void,
): () => Promise<void> {
  const search = searchFollower(vault, (event) => {
    if (event.kind === 'failed') onFailure(event.name, event.error);
  });
  search.start();
  const alerts = alertFollower(vault, (event) => {
    if (event.kind === 'failed') onFailure(event.name, event.error);
  });
  alerts.start();
  return async () => {
    await search.stop();
    await alerts.stop();
  };
}
