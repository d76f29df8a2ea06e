import { signDocument } from '../../documents/document.ts';
import { VaultError } from '../../domain/errors.ts';
import { SYSTEM } from '../../domain/ids.ts';
import type { OperationSpec, SetLogRetention } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

/** How long records of the access log, and the personal data they commit to, are kept at least. Below a year nobody could look back. */
export const RECORD_DAYS = { least: 365, most: 36_500 } as const;
export const DISCLOSURE_DAYS = { least: 1, most: 36_500 } as const;

/** From now on prune-log.ts removes what is older, and records it. Without a number: kept for ever. */
export const setLogRetention: OperationSpec<SetLogRetention> = {
  action: 'setPolicy',
  async check(operation, tx, vault) {
    if (operation.namespace !== SYSTEM) throw new VaultError('request_invalid', `the log is of the namespace ${SYSTEM}`);
    await assertNext(target(operation), tx, vault);
    assertDays('recordDays', operation.recordDays, RECORD_DAYS);
    assertDays('disclosureDays', operation.disclosureDays, DISCLOSURE_DAYS);
  },
  sign(operation, { head, consents }, vault) {
    const body = { ...head, counter: operation.counter, ...saidIn(operation), consents };
    return signDocument('log-retention', body, vault.catalogueKey.sign);
  },
  apply: (operation, document, tx, vault) => putInForce(target(operation), document, tx, vault),
  record: (operation, document) => activated(target(operation), document),
};

const target = ({ namespace, counter }: SetLogRetention) => ({ kind: 'log-retention' as const, namespace, counter });

export type Kept = Pick<SetLogRetention, 'recordDays' | 'disclosureDays' | 'requireArchive'>;

/** Only what is said: an absent member is one spelling of its own. */
export function saidIn({ recordDays, disclosureDays, requireArchive }: { readonly [K in keyof Kept]?: Kept[K] | undefined }): Kept {
  return {
    ...(recordDays !== undefined && { recordDays }),
    ...(disclosureDays !== undefined && { disclosureDays }),
    ...(requireArchive === true && { requireArchive }),
  };
}

function assertDays(what: string, days: number | undefined, { least, most }: { readonly least: number; readonly most: number }): void {
  if (days !== undefined && (!Number.isInteger(days) || days < least || days > most)) {
    throw new VaultError('request_invalid', `${what}: ${least} to ${most}`);
  }
}
