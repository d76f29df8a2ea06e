/** From the certificate of an attestation key to a root, for whoever asks: the vault with its anchors, an examination with the shipped roots. */
import { type Certificate, MAX_CERTIFICATE_BYTES } from '../x509/certificate.ts';
import { expectTag, oidText, parseDer, TAG } from '../x509/der.ts';
import { type IssuerMemo, pathToRoot } from '../x509/path.ts';

const EXTENDED_KEY_USAGE = '2.5.29.37';
/** tcg-kp-EKCertificate, which Google's AK certificates carry as well, and tcg-kp-AIKCertificate. */
const USAGES = ['2.23.133.8.1', '2.23.133.8.3'];
/** Names the TPM model, critical because the subject is empty (TCG EK Credential Profile); policies: we ask for none; usage: looked at here. */
export const KNOWN_CRITICAL = ['2.5.29.17', '2.5.29.32', EXTENDED_KEY_USAGE];

export interface AkPathInputs {
  readonly issuers: readonly Certificate[];
  readonly roots: readonly Certificate[];
  readonly memo: IssuerMemo;
}

/**
 * From `leaf` to one of the roots, whatever the dates; undefined when there is no way, when the leaf is an authority or of another use, and when
 * an issuer came along that leads to none: somebody altered it, or it is a root of one's own. Throws Malformed.
 */
export function pathOfAk(leaf: Certificate, { issuers, roots, memo }: AkPathInputs): readonly Certificate[] | undefined {
  if (!certifiesTpmKey(leaf)) return undefined;
  const inputs = { issuers, roots, memo, knownCritical: KNOWN_CRITICAL };
  const path = pathToRoot(leaf, inputs);
  const isOnPath = (issuer: Certificate) => path?.some(({ fingerprint }) => fingerprint === issuer.fingerprint) === true;
  const stray = issuers.some((issuer) => !isOnPath(issuer) && pathToRoot(issuer, inputs) === undefined);
  return stray ? undefined : path;
}

/** Not an authority, and for a key of a TPM where it says what for. */
function certifiesTpmKey({ issuesCertificates, extensions }: Certificate): boolean {
  if (issuesCertificates) return false;
  const usage = extensions.get(EXTENDED_KEY_USAGE);
  if (usage === undefined) return true;
  const list = expectTag(parseDer(usage.value, { maxBytes: MAX_CERTIFICATE_BYTES, maxNodes: 50 }), TAG.sequence);
  return list.children.some((oid) => USAGES.includes(oidText(oid)));
}
