/** AttestationStore: what attestation keeps. Results by digest, when reference values last matched, and what makers publish. Suite: test/contract/attestation-store.ts. */
import type { Digest, Namespace } from '../../domain/ids.ts';
import type { Tx } from '../../domain/unit-of-work.ts';
import type { Collateral, CollateralType } from '../port.ts';

/** `issuedAt` and `expiresAt` are the maker's. */
export interface CollateralRow extends Collateral {
  readonly issuedAt: Date;
  /** Absent for what does not expire. */
  readonly expiresAt?: Date | undefined;
  readonly importedAt: Date;
}

export type CollateralSummary = Omit<CollateralRow, 'bytes'>;

export interface AttestationStore {
  /** Keeps the bytes of a result for ever. Putting the same digest again is no change. */
  putResult(tx: Tx, digest: Digest, bytes: Uint8Array): Promise<void>;
  result(tx: Tx, digest: Digest): Promise<Uint8Array | undefined>;
  /** Notes that these reference values matched now. */
  noteMatched(tx: Tx, namespace: Namespace, ids: readonly string[]): Promise<void>;
  /** When each last matched; one that is not there never did. */
  lastMatched(tx: Tx, namespace: Namespace): Promise<ReadonlyMap<string, Date>>;
  /** False, and no change, when the same bytes are there under that type and key. Older ones stay: records name them by digest. */
  putCollateral(tx: Tx, row: CollateralRow): Promise<boolean>;
  /** The one its maker issued last. */
  newestCollateral(tx: Tx, type: CollateralType, key: string): Promise<CollateralRow | undefined>;
  /** The newest of every type and key, by type and key. */
  listCollateral(tx: Tx): Promise<readonly CollateralSummary[]>;
}
