/** One X.509 certificate of an endorsement chain. Node checks signatures; @peculiar/x509 reads the extensions Node does not show. */
import 'reflect-metadata'; // @peculiar/x509 throws at import without it
import { X509Certificate as NodeCertificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { equalBytes } from '../../domain/bytes.ts';
import { Malformed } from './reader.ts';

/** EK certificates are about 1 KiB; some vendors' intermediates reach 2 KiB. */
export const MAX_CERTIFICATE_BYTES = 8192;

const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const EXTENDED_KEY_USAGE = '2.5.29.37';
/** Critical in EK certificates because their subject is empty (TCG EK Credential Profile); it names the TPM model and restricts nothing. */
const SUBJECT_ALT_NAME = '2.5.29.17';
/** We ask for no policy, so any will do (RFC 5280, 6.1.1 d). */
const CERTIFICATE_POLICIES = '2.5.29.32';
/** RFC 5280, 4.2: a critical extension that is not processed makes the certificate unusable. */
const PROCESSED = [BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE, SUBJECT_ALT_NAME, CERTIFICATE_POLICIES];
/** Whoever finds a collision in another hash makes a certificate. */
const SOUND_HASHES = ['SHA-256', 'SHA-384', 'SHA-512'];

export interface Certificate {
  readonly der: Uint8Array;
  readonly node: NodeCertificate;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** May sign certificates: basicConstraints cA, and keyCertSign unless there is no keyUsage. */
  readonly issuesCertificates: boolean;
  /** CA certificates that may follow below this one. */
  readonly pathLength?: number;
  /** Absent when any use is allowed. */
  readonly extendedKeyUsage?: readonly string[];
  /** False for SHA-1, MD5 and what is not known here. Does not matter for an anchor, whose own signature nobody asks about. */
  readonly soundlySigned: boolean;
}

/** Parses one DER certificate and nothing behind it. Throws Malformed. */
export function parseCertificate(der: Uint8Array, what: string): Certificate {
  if (der.length > MAX_CERTIFICATE_BYTES) throw new Malformed(`${what} is longer than ${MAX_CERTIFICATE_BYTES} bytes`);
  try {
    return readCertificate(der);
  } catch (cause) {
    // Two foreign parsers ran over foreign bytes: whatever they throw says that this is no certificate of ours.
    throw new Malformed(`${what} cannot be used${cause instanceof Malformed ? `: ${cause.message}` : ''}`, { cause });
  }
}

function readCertificate(der: Uint8Array): Certificate {
  const node = new NodeCertificate(der);
  if (!equalBytes(node.raw, der)) throw new Malformed('it is not exactly one DER certificate'); // PEM, or trailing bytes
  const parsed = new x509.X509Certificate(der.slice());
  refuseUnknownExtensions(parsed);
  const basic = parsed.getExtension(x509.BasicConstraintsExtension);
  const usage = parsed.getExtension(x509.KeyUsagesExtension);
  const extended = parsed.getExtension(x509.ExtendedKeyUsageExtension);
  const mayCertify = usage === null || (usage.usages & x509.KeyUsageFlags.keyCertSign) !== 0;
  return {
    der: der.slice(),
    node,
    notBefore: parsed.notBefore,
    notAfter: parsed.notAfter,
    soundlySigned: SOUND_HASHES.includes(hashOf(parsed)),
    issuesCertificates: basic?.ca === true && mayCertify,
    ...(basic?.pathLength === undefined ? {} : { pathLength: basic.pathLength }),
    ...(extended === null ? {} : { extendedKeyUsage: extended.usages.map(String) }),
  };
}

function refuseUnknownExtensions(certificate: x509.X509Certificate): void {
  const seen = new Set<string>();
  for (const { type, critical } of certificate.extensions) {
    if (seen.has(type)) throw new Malformed(`extension ${type} twice`);
    seen.add(type);
    if (critical && !PROCESSED.includes(type)) throw new Malformed(`critical extension ${type} is not processed here`);
  }
}

/** "" when the algorithm has none of its own or is not known. */
function hashOf(certificate: x509.X509Certificate): string {
  const { hash } = certificate.signatureAlgorithm as { hash?: { name?: string } }; // WebCrypto's type leaves `hash` out
  return hash?.name ?? '';
}
