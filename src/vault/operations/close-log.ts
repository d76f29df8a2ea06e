import { saidBy, textAt } from '../../audit/said.ts';
import { rootFromTiles } from '../../audit/tiles.ts';
import { signDocument } from '../../documents/document.ts';
import { toHex } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { SYSTEM } from '../../domain/ids.ts';
import type { Tx } from '../../domain/unit-of-work.ts';
import { inForce } from '../documents.ts';
import type { CloseLog, OperationPorts, OperationSpec } from './operation.ts';
import { assertNext, putInForce } from './slot.ts';

/**
 * Closes a period of the access log. The vault sees that the period is over and that tree and root are its own; that an archive has the records, the
 * person who consents has verified. Nothing else changes: the log goes on in the same tree.
 */
export const closeLog: OperationSpec<CloseLog> = {
  action: 'readLog',
  async check(operation, tx, vault) {
    if (operation.namespace !== SYSTEM) throw new VaultError('request_invalid', `the log is of the namespace ${SYSTEM}`);
    await assertNext(target(operation), tx, vault);
    await assertLater(operation, tx, vault);
    await assertOurTree(operation, tx, vault);
    await assertOver(operation, tx, vault);
  },
  sign({ counter, until, size, root }, { head, consents }, vault) {
    return signDocument('closed-log', { ...head, counter, until, size, root, consents }, vault.catalogueKey.sign);
  },
  apply: (operation, document, tx, vault) => putInForce(target(operation), document, tx, vault),
  record: ({ counter, until, size, root }, { digest }) => ({
    type: 'log.closed',
    document: { kind: 'closed-log', digest, counter },
    closed: { until: new Date(until), size, root },
  }),
};

const target = ({ namespace, counter }: CloseLog) => ({ kind: 'closed-log' as const, namespace, counter });

async function assertLater({ until, size }: CloseLog, tx: Tx, vault: OperationPorts): Promise<void> {
  const before = (await inForce('closed-log', SYSTEM, tx, vault))?.body;
  if (Number.isNaN(Date.parse(until)) || new Date(until).toISOString() !== until)
    throw new VaultError('request_invalid', 'until: a time like 2027-01-01T00:00:00.000Z');
  if (before !== undefined && (Date.parse(until) <= Date.parse(before.until) || size <= before.size))
    throw new VaultError('request_invalid', `closed until ${before.until} at ${before.size} records: a period comes after the one before`);
}

async function assertOurTree({ size, root }: CloseLog, tx: Tx, { stores }: OperationPorts): Promise<void> {
  const head = await stores.log.head(tx);
  if (head === undefined || size > head.size) throw new VaultError('log_incomplete', `${size} records are not under a checkpoint`);
  const found = await rootFromTiles(size, head.size, (path) => stores.log.tile(tx, path));
  if (toHex(found) !== root) throw new VaultError('log_root_mismatch', `the log does not have that root at ${size} records`);
}

/** The record after the archive is of a later time, so none of the period is still to come. */
async function assertOver({ until, size }: CloseLog, tx: Tx, { stores }: OperationPorts): Promise<void> {
  if (Date.parse(until) > tx.now.getTime()) throw new VaultError('request_invalid', `${until} is still to come`);
  const [next] = await stores.log.leaves(tx, size, size + 1);
  const time = Date.parse(textAt(next && saidBy(next.leaf), 'time') ?? '');
  if (Number.isNaN(time)) throw new VaultError('log_incomplete', `no record after the first ${size} says that ${until} is over`);
  if (time < Date.parse(until)) throw new VaultError('log_incomplete', `record ${size} is of before ${until}: a larger checkpoint has it`);
}
