/** The relational stores of one engine: they share transactions. */
import type { AttestationStore } from '../attestation/kept/port.ts';
import type { AlertStore } from '../audit/alerts/port.ts';
import type { CursorStore, LogStore } from '../audit/port.ts';
import type { SearchStore } from '../audit/search/port.ts';
import type { CatalogStore } from '../catalog/port.ts';
import type { DocumentStore } from '../documents/port.ts';
import type { UnitOfWork } from '../domain/unit-of-work.ts';
import type { ApprovalStore, IdentityStore } from '../identity/port.ts';
import type { ReleaseStore } from '../releases/port.ts';

export interface Stores {
  readonly unitOfWork: UnitOfWork;
  readonly catalog: CatalogStore;
  readonly documents: DocumentStore;
  readonly identity: IdentityStore;
  readonly approvals: ApprovalStore;
  readonly releases: ReleaseStore;
  readonly attestation: AttestationStore;
  readonly log: LogStore;
  readonly cursors: CursorStore;
  readonly alerts: AlertStore;
  readonly search: SearchStore;
  /**
   * What was deleted is gone from the files too when it resolves: overwritten, and no longer in the write-ahead log. `store_unavailable` while another
   * process reads; then it is gone once that one is done and a vault starts again, or this is called again.
   */
  purgeDeleted(): Promise<void>;
  /** Another disk that this process stands on failed: from now on nothing is committed or acknowledged, and `onDiskFailure` is called. */
  giveUp(error: unknown): void;
  close(): Promise<void>;
}
