/** The vault's one way to say that something happened. */
import type { Digest, Incarnation, RecordId, VaultId } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { buildLeaf } from './leaf.ts';
import type { LogStore } from './port.ts';
import type { RecordDraft } from './record.ts';

export interface AccessLog {
  /**
   * Appends inside the caller's transaction: the record is durable exactly when that transaction commits, together with
   * what it records. Throws `log_leaf_too_large`, or what the store throws; the caller lets both end the transaction.
   */
  append(tx: Tx, draft: RecordDraft): Promise<RecordId>;
}

export interface AccessLogOptions {
  readonly log: LogStore;
  readonly vaultId: VaultId;
  readonly node: Incarnation;
  /** SHA-256 of the configuration this process runs with. */
  readonly configDigest: Digest;
  readonly random?: ((length: number) => Uint8Array) | undefined;
}

export function createAccessLog({ log, ...ambient }: AccessLogOptions): AccessLog {
  return {
    async append(tx, draft) {
      const { recordId, leaf, disclosures } = buildLeaf(draft, { ...ambient, now: tx.now });
      await log.append(tx, recordId, leaf, disclosures);
      return recordId;
    },
  };
}
