/** Lists of revoked certificates, examined by themselves (`x509-crl`) and asked about one certificate (`x509-crl-check`). */
import { type ClaimValue, conclude, type Examination, type ExaminationInputs } from '../examination.ts';
import { type Certificate, isIssuedBy, readCertificate, unknownCritical } from './certificate.ts';
import { type Crl, isCrlOf, readCrl } from './crl.ts';
import { Malformed } from './der.ts';
import { intelPckAuthorities } from './intel-pck-authorities.ts';
import { nameText } from './names.ts';
import { IssuerMemo, pathToRoot } from './path.ts';
import { isoSeconds, overlap, standing, type Validity } from './validity.ts';

export type CrlWord =
  | 'malformed'
  | 'issuer_unknown'
  | 'crl_signature_invalid'
  | 'crl_expired'
  | 'crl_not_yet_valid'
  | 'issuer_mismatch'
  | 'certificate_signature_invalid'
  | 'certificate_expired'
  | 'certificate_not_yet_valid'
  | 'certificate_revoked';

/**
 * Its signer must be a pinned root or lead to one: through the companion `issuer_chain` (DER, or PEM), or, for Intel's two lists of PCK
 * certificates, through the authorities that are known here.
 */
export function examineCrl({ evidence, companions, roots, now }: ExaminationInputs): Examination<CrlWord> {
  return orMalformed(() => {
    const crl = readCrl(evidence);
    const memo = new IssuerMemo();
    const pinned = roots.flatMap(({ certificate }) => memo.certificates(certificate));
    const sent = Object.hasOwn(companions, 'issuer_chain') ? companions['issuer_chain'] : undefined;
    const issuers = [...(sent === undefined ? [] : memo.certificates(sent)), ...intelPckAuthorities().map(readCertificate)];
    const named = [...pinned, ...issuers].filter((issuer) => nameText(issuer.subject) === nameText(crl.issuer));
    const trusted = named.filter((issuer) => pathToRoot(issuer, { issuers, roots: pinned, memo }) !== undefined);
    const signed = trusted.some((issuer) => isCrlOf(crl, issuer));
    return conclude(
      [
        ...(trusted.length === 0 ? (['issuer_unknown'] as const) : signed ? [] : (['crl_signature_invalid'] as const)),
        ...dateOf(crl, now, 'crl'),
      ],
      [],
      { ...claimsOf(crl), ...periodOf([crl]), signature_ok: trusted.length === 0 ? null : signed },
    );
  });
}

/** A certificate against the list of its own issuer. The companions `root` and `crl` come from whoever asks: he says whom he trusts. */
export function examineAgainstCrl({ evidence, companions, now }: ExaminationInputs): Examination<CrlWord> {
  return orMalformed(() => {
    const memo = new IssuerMemo();
    const [certificate, ...more] = memo.certificates(evidence);
    if (certificate === undefined || more.length > 0) throw new Malformed('not exactly one certificate');
    const authority = issuerOf(certificate, memo.certificates(companions['root'] ?? new Uint8Array(0)));
    const crl = readCrl(companions['crl'] ?? new Uint8Array(0));
    const period = [crl, ...[certificate, authority].flatMap((one) => (one === undefined ? [] : [lifeOf(one)]))];
    return conclude(
      [...checkIssuer(certificate, crl, authority), ...periodFindings(certificate, authority, crl, now), ...revokedBy(crl, certificate)],
      [],
      { serial: `0x${certificate.serial}`, ...periodOf(period) },
    );
  });
}

function issuerOf(certificate: Certificate, authorities: readonly Certificate[]): Certificate | undefined {
  return authorities.find((authority) => nameText(authority.subject) === nameText(certificate.issuer));
}

function checkIssuer(certificate: Certificate, crl: Crl, authority: Certificate | undefined): readonly CrlWord[] {
  if (authority === undefined) return ['issuer_mismatch'];
  const issued = isIssuedBy(certificate, authority) && unknownCritical(authority).length === 0;
  const listed = nameText(crl.issuer) === nameText(authority.subject);
  return [
    ...(issued ? [] : (['certificate_signature_invalid'] as const)),
    ...(listed ? [] : (['issuer_mismatch'] as const)),
    ...(isCrlOf(crl, authority) ? [] : (['crl_signature_invalid'] as const)),
  ];
}

function periodFindings(certificate: Certificate, authority: Certificate | undefined, crl: Crl, now: Date): readonly CrlWord[] {
  const lives = [certificate, ...(authority === undefined ? [] : [authority])].map(lifeOf);
  return [...lives.flatMap((life) => dateOf(life, now, 'certificate')), ...dateOf(crl, now, 'crl')];
}

function revokedBy(crl: Crl, { serial }: Certificate): readonly CrlWord[] {
  return crl.revoked.has(serial) ? ['certificate_revoked'] : [];
}

function lifeOf({ notBefore, notAfter }: Certificate): Validity {
  return { from: notBefore, until: notAfter };
}

function dateOf<What extends 'crl' | 'certificate'>(period: Validity, now: Date, what: What): readonly CrlWord[] {
  const found = standing(period, now);
  return found === 'current' ? [] : [found === 'late' ? `${what}_expired` : `${what}_not_yet_valid`];
}

function periodOf(periods: readonly Validity[]): Readonly<Record<string, ClaimValue>> {
  const period = overlap(periods);
  return period === undefined ? {} : { valid_from: isoSeconds(period.from), valid_until: isoSeconds(period.until) };
}

function claimsOf(crl: Crl): Readonly<Record<string, ClaimValue>> {
  const serials = [...crl.revoked].map((serial) => `0x${serial}`);
  return {
    issuer: nameText(crl.issuer),
    revoked_serials: serials,
    revoked_count: serials.length,
    first_revoked: serials[0] ?? null,
    crl_number: crl.number ?? null,
  };
}

function orMalformed(examine: () => Examination<CrlWord>): Examination<CrlWord> {
  try {
    return examine();
  } catch (error) {
    if (error instanceof Malformed) return { valid: false, accept: false, reasons: ['malformed'], claims: {} };
    throw error;
  }
}
