/** X.509-SVID (SPIFFE X509-SVID, sections 2 to 5): a certificate whose one URI is the workload, and whose key made the TLS connection. */
import { createHash } from 'node:crypto';
import { fromBase64 } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { type Endorsement, failedClaim, type Refusal, refuse, type SpiffeAnchor } from '../../domain/evidence.ts';
import { certificateEndorsements } from '../endorsements.ts';
import { type Certificate, readCertificate } from '../x509/certificate.ts';
import { Malformed, parseDer } from '../x509/der.ts';
import { nameText } from '../x509/names.ts';
import { type IssuerMemo, pathToRoot } from '../x509/path.ts';
import { isoSeconds, standing } from '../x509/validity.ts';
import { parseSpiffeId, type SpiffeId } from './spiffe-id.ts';

const SUBJECT_ALT_NAME = '2.5.29.17';
const EXTENDED_KEY_USAGE = '2.5.29.37';
/** GeneralName uniformResourceIdentifier (RFC 5280, 4.2.1.6). */
const URI = 0x86;

export interface VerifiedSvid {
  readonly spiffeId: SpiffeId;
  readonly endorsements: readonly Endorsement[];
}

export interface SvidContext {
  readonly anchors: readonly SpiffeAnchor[];
  readonly spki: Uint8Array;
  readonly now: Date;
  readonly memo: IssuerMemo;
}

/** `chain`: DER, the workload's certificate first. */
export function verifyX509Svid(chain: readonly Uint8Array[], context: SvidContext): VerifiedSvid | Refusal {
  const read = readChain(chain);
  if (read === undefined) return refuse('evidence_malformed', 'the certificates cannot be read');
  const [leaf, ...issuers] = read;
  const spiffeId = spiffeIdOf(leaf);
  if (spiffeId === undefined || leaf.issuesCertificates)
    return refuse('evidence_malformed', 'the certificate is not that of one workload: exactly one URI, a SPIFFE ID with a path');
  const anchor = context.anchors.find(({ trustDomain }) => trustDomain === spiffeId.trustDomain);
  if (anchor === undefined) {
    const domains = context.anchors.map(({ trustDomain }) => trustDomain).slice(0, 8);
    return refuse('endorsement_untrusted', 'the trust domain is no trust anchor', {
      failed: failedClaim('trustDomain', domains, spiffeId.trustDomain),
    });
  }
  const roots = authoritiesOf(anchor);
  const path = pathToRoot(leaf, { issuers, roots, memo: context.memo, knownCritical: [SUBJECT_ALT_NAME, EXTENDED_KEY_USAGE] });
  if (path === undefined) {
    const failed = failedClaim('issuer of the SVID', `an authority of ${anchor.trustDomain}`, nameText(leaf.issuer));
    return refuse('endorsement_untrusted', 'the certificate leads to no authority of its trust domain', { failed });
  }
  const late = path.find(({ notBefore, notAfter }) => standing({ from: notBefore, until: notAfter }, context.now) !== 'current');
  if (late !== undefined) {
    const period = `${isoSeconds(late.notBefore)} to ${isoSeconds(late.notAfter)}`;
    const failed = failedClaim('validity of a certificate', period, context.now.toISOString());
    return refuse('evidence_expired', 'a certificate on the way to the authority is not valid now', { failed });
  }
  const [ours, theirs] = [digestOf(context.spki), digestOf(leaf.publicKey.export({ type: 'spki', format: 'der' }))];
  if (ours !== theirs) {
    const failed = failedClaim('key of the SVID', ours, theirs);
    return refuse('evidence_binding_mismatch', 'the certificate is of another key than the one on the connection', { failed });
  }
  return { spiffeId, endorsements: certificateEndorsements(['X.509-SVID'], path) };
}

function readChain(chain: readonly Uint8Array[]): readonly [Certificate, ...Certificate[]] | undefined {
  try {
    const [leaf, ...issuers] = chain.map(readCertificate);
    return leaf && [leaf, ...issuers];
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

/** Exactly one URI, whatever other names stand beside it (section 2). */
function spiffeIdOf({ extensions }: Certificate): SpiffeId | undefined {
  try {
    const names = extensions.get(SUBJECT_ALT_NAME)?.value;
    const uris = names === undefined ? [] : parseDer(names, { maxBytes: 8192, maxNodes: 64 }).children.filter(({ tag }) => tag === URI);
    const [only, ...more] = uris;
    return only === undefined || more.length > 0 ? undefined : parseSpiffeId(Buffer.from(only.contents).toString('latin1'));
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

/** Throws `document_invalid` when an authority of ours cannot be read. */
function authoritiesOf({ name, x509Authorities = [] }: SpiffeAnchor): readonly Certificate[] {
  try {
    return x509Authorities.map((der) => readCertificate(fromBase64(der)));
  } catch (cause) {
    throw new VaultError('document_invalid', `an authority of ${name} is not a certificate this vault can read`, { cause });
  }
}

/** As keys are written everywhere. */
function digestOf(spki: Uint8Array): string {
  return createHash('sha256').update(spki).digest('hex');
}
