/** Does an endorsement key certificate lead to a trust anchor of ours? RFC 5280 section 6, with the TCG EK Credential Profile's rules. */
import { equalBytes, fromBase64 } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { isRefusal, type Refusal, refuse, type Tpm2Anchor, type TrustAnchor } from '../../domain/evidence.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import { MAX_INTERMEDIATES } from './evidence.ts';
import { hasAttributes, type PublicArea } from './public-area.ts';
import { orRefusal } from './reader.ts';

/** tcg-kp-EKCertificate. */
const EK_CERTIFICATE_USAGE = '2.23.133.8.1';

export interface EndorsementInputs {
  /** DER. */
  readonly certificate: Uint8Array;
  /** DER, in any order. Nothing in here is trusted; it only helps to find the way. */
  readonly intermediates: readonly Uint8Array[];
  readonly ekPublic: PublicArea;
  readonly anchors: readonly TrustAnchor[];
  readonly now: Date;
}

export interface Endorsement {
  readonly anchor: Tpm2Anchor;
  /** DER, from the endorsement key's certificate to the anchor's. */
  readonly path: readonly Uint8Array[];
}

interface PinnedCertificate {
  readonly anchor: Tpm2Anchor;
  readonly certificate: Certificate;
}

/** A path to an anchor of ours, or a refusal. Throws when one of our own anchors cannot be read. */
export function verifyEndorsement(inputs: EndorsementInputs): Endorsement | Refusal {
  const anchors = inputs.anchors.filter(endorsesTpms).map(readAnchor);
  if (anchors.length === 0) return refuse('endorsement_untrusted', 'this vault has no trust anchor for tpm2');
  if (inputs.intermediates.length > MAX_INTERMEDIATES)
    return refuse('endorsement_untrusted', `more than ${MAX_INTERMEDIATES} intermediate certificates`);
  const chain = orRefusal('endorsement_untrusted', () => ({
    leaf: parseCertificate(inputs.certificate, 'the endorsement certificate'),
    intermediates: inputs.intermediates.map((der, at) => parseCertificate(der, `intermediate certificate ${at}`)),
  }));
  if (isRefusal(chain)) return chain;
  return checkEndorsementKey(chain.leaf, inputs.ekPublic, inputs.now) ?? findPath(chain.leaf, chain.intermediates, anchors, inputs.now);
}

/** Its authorities certify endorsement keys. What certifies attestation keys says nothing about those. */
export function endorsesTpms(anchor: TrustAnchor): anchor is Tpm2Anchor {
  return anchor.kind === 'tpm2' && anchor.use === undefined;
}

/** The certificate is about this very key, and the key is one that only decrypts for its own TPM. */
function checkEndorsementKey(leaf: Certificate, ek: PublicArea, now: Date): Refusal | undefined {
  if (!hasAttributes(ek, ['fixedTPM', 'fixedParent', 'restricted', 'decrypt'], ['sign'])) {
    return refuse('endorsement_untrusted', 'the endorsement key must be fixedTPM, fixedParent, restricted and decrypt, not sign');
  }
  if (!certifies(leaf, ek)) return refuse('endorsement_untrusted', 'the endorsement certificate is about another key');
  if (leaf.issuesCertificates) return refuse('endorsement_untrusted', 'the endorsement certificate is a certificate authority');
  if (leaf.extendedKeyUsage !== undefined && !leaf.extendedKeyUsage.includes(EK_CERTIFICATE_USAGE)) {
    return refuse('endorsement_untrusted', 'the certificate is not for an endorsement key');
  }
  if (!validAt(leaf, now)) return refuse('endorsement_untrusted', 'the endorsement certificate is expired or not yet valid');
  return undefined;
}

/** Node cannot read every public key a certificate may hold; one it cannot read is not this key. */
function certifies(leaf: Certificate, ek: PublicArea): boolean {
  try {
    return leaf.node.publicKey.equals(ek.key);
  } catch {
    return false;
  }
}

/** Depth first; each intermediate at most once, so at most 4! orders of four certificates. */
function findPath(
  leaf: Certificate,
  intermediates: readonly Certificate[],
  anchors: readonly PinnedCertificate[],
  now: Date,
): Endorsement | Refusal {
  const search = (path: readonly Certificate[], unused: readonly Certificate[]): Endorsement | undefined => {
    for (const { anchor, certificate } of anchors) {
      if (mayIssue(certificate, path, now)) return { anchor, path: [...path, certificate].map(({ der }) => der) };
    }
    for (const next of unused) {
      if (!mayIssue(next, path, now)) continue;
      const found = search(
        [...path, next],
        unused.filter((other) => !equalBytes(other.der, next.der)),
      );
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return (
    search([leaf], intermediates) ??
    refuse('endorsement_untrusted', 'no valid path leads from the endorsement certificate to a trust anchor')
  );
}

/** `path` runs from the leaf up to the certificate that needs an issuer. Names are compared first, because signatures cost more. */
function mayIssue(issuer: Certificate, path: readonly Certificate[], now: Date): boolean {
  const subject = path.at(-1);
  if (subject?.soundlySigned !== true || !issuer.issuesCertificates || !validAt(issuer, now)) return false;
  if (issuer.pathLength !== undefined && path.length - 1 > issuer.pathLength) return false;
  try {
    return subject.node.checkIssued(issuer.node) && subject.node.verify(issuer.node.publicKey);
  } catch {
    return false; // a key or signature algorithm Node does not know verifies nothing
  }
}

function validAt(certificate: Certificate, now: Date): boolean {
  return certificate.notBefore.getTime() <= now.getTime() && now.getTime() <= certificate.notAfter.getTime();
}

/** The anchor's certificate comes from our signed document alone: a copy in the request counts for nothing. */
function readAnchor(anchor: Tpm2Anchor): PinnedCertificate {
  try {
    return { anchor, certificate: parseCertificate(fromBase64(anchor.certificate), 'the trust anchor') };
  } catch (cause) {
    throw new VaultError('document_invalid', `trust anchor ${anchor.name} is not a certificate this vault can read`, { cause });
  }
}
