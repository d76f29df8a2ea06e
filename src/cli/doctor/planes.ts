/** Probes of the two listeners: their certificates and addresses. */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { Config } from '../../config/config.ts';
import type { Facts } from './facts.ts';
import { each, type Finding, finding } from './findings.ts';

const DAY_MS = 86_400_000;
const SOON_DAYS = 30;
const RSA_BITS = 3072;

export function tlsCertificates(facts: Facts, { dataPlane, adminPlane }: Config): readonly Finding[] {
  const wrong = [
    ...certificateFindings(facts, 'data', dataPlane.certificate),
    ...certificateFindings(facts, 'admin', adminPlane.certificate),
  ];
  return each('tls_certificate', wrong, `both planes for ${SOON_DAYS} days and more`);
}

function certificateFindings(facts: Facts, plane: string, path: string): readonly Finding[] {
  const pem = facts.text(path);
  if (pem === undefined) return [finding('tls_certificate', 'critical', `${plane} plane: the certificate is missing`)];
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    return [finding('tls_certificate', 'critical', `${plane} plane: this is no certificate`)];
  }
  return [...expiryFindings(facts.now, plane, certificate), ...keyFindings(plane, certificate)];
}

function expiryFindings(now: Date, plane: string, { validToDate, validFromDate }: X509Certificate): readonly Finding[] {
  const left = (validToDate.getTime() - now.getTime()) / DAY_MS;
  if (left <= 0) return [finding('tls_certificate', 'critical', `${plane} plane: expired on ${validToDate.toISOString()}`)];
  if (validFromDate > now)
    return [finding('tls_certificate', 'critical', `${plane} plane: valid from ${validFromDate.toISOString()} only`)];
  return left < SOON_DAYS ? [finding('tls_certificate', 'warning', `${plane} plane: expires in ${Math.floor(left)} days`)] : [];
}

function keyFindings(plane: string, { publicKey }: X509Certificate): readonly Finding[] {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = publicKey;
  const good =
    type === 'ed25519' ||
    (type === 'ec' && ['prime256v1', 'secp384r1', 'secp521r1'].includes(details?.namedCurve ?? '')) ||
    (type === 'rsa' && (details?.modulusLength ?? 0) >= RSA_BITS);
  const size = details?.namedCurve ?? details?.modulusLength ?? '';
  return good
    ? []
    : [finding('tls_certificate', 'warning', `${plane} plane: a weak or unusual key, ${type ?? 'unknown'} ${size}`.trimEnd())];
}

export function adminListener({ adminPlane: { host } }: Config): Finding {
  if (host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))) return finding('admin_listener', 'ok', host);
  const everywhere = host === '0.0.0.0' || host === '::';
  return finding('admin_listener', 'warning', everywhere ? `${host}: every network of this machine` : `${host}: not a loopback address`);
}
