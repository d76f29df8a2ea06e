/** The roots of a maker as the trust anchors in force have them, for the examinations. */
import { fromBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import type { TrustAnchor, VendorRootAnchor } from '../domain/evidence.ts';
import type { PinnedRoot } from './examination.ts';
import type { IssuerMemo } from './x509/path.ts';

/** Throws `document_invalid` when an anchor of ours cannot be read: that is no fault of who asks. */
export function rootsOf(
  kind: VendorRootAnchor['kind'],
  vendor: PinnedRoot['vendor'],
  anchors: readonly TrustAnchor[],
  memo: IssuerMemo,
): readonly PinnedRoot[] {
  return anchors.flatMap((anchor) => {
    if (anchor.kind !== kind || anchor.use !== undefined) return [];
    try {
      const certificate = fromBase64(anchor.certificate);
      memo.certificates(certificate);
      return [{ name: anchor.name, vendor, certificate }];
    } catch (cause) {
      throw new VaultError('document_invalid', `trust anchor ${anchor.name} is not a certificate this vault can read`, { cause });
    }
  });
}
