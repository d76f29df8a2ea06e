/** The attestation key as it came beside a quote: a bare public key, and the TPM's own description of it. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { equalBytes } from '../../domain/bytes.ts';
import type { ExaminationInputs } from '../examination.ts';
import { shownHashName } from './algorithms.ts';
import type { Findings } from './findings.ts';
import { ATTRIBUTES, hasAttributes, MAX_PUBLIC_BYTES, type PublicArea, parseTpmtPublic } from './public-area.ts';
import { Malformed } from './reader.ts';

/** The keys that were sent; what cannot be used as one is a finding. */
export function readAttestationKeys(companions: ExaminationInputs['companions'], findings: Findings): KeyObject[] {
  const spki = companions['ak_public_key'];
  const tpmt = companions['ak_public_tpmt'];
  const keys: KeyObject[] = [];
  if (spki !== undefined) {
    const key = readSpki(spki);
    if (key === undefined) findings.found('malformed', 'quote_signature_invalid');
    else keys.push(key);
  }
  const area = tpmt && readArea(tpmt, findings);
  if (area !== undefined) keys.push(area.key);
  return keys;
}

/** DER, exactly, of a key a TPM makes: RSA from 2048 bits or a NIST curve. */
function readSpki(bytes: Uint8Array): KeyObject | undefined {
  if (bytes.length > MAX_PUBLIC_BYTES) return undefined;
  try {
    const key = createPublicKey({ key: Buffer.from(bytes), format: 'der', type: 'spki' });
    return equalBytes(key.export({ format: 'der', type: 'spki' }), bytes) && isTpmKey(key) ? key : undefined;
  } catch {
    return undefined; // whatever a foreign parser says of foreign bytes: no key
  }
}

function isTpmKey({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  const { modulusLength = 0, publicExponent, namedCurve = '' } = asymmetricKeyDetails ?? {};
  if (asymmetricKeyType === 'rsa') return modulusLength >= 2048 && modulusLength <= 4096 && publicExponent === 65_537n;
  return asymmetricKeyType === 'ec' && ['prime256v1', 'secp384r1'].includes(namedCurve);
}

/** A key that is not restricted signs whatever it is given, also bytes that look like a quote. */
function readArea(bytes: Uint8Array, findings: Findings): PublicArea | undefined {
  try {
    const area = parseTpmtPublic(bytes, shownHashName);
    findings.read({
      ak_attributes: `0x${area.attributes.toString(16)}`,
      ak_restricted: (area.attributes & ATTRIBUTES.restricted) !== 0,
      ak_name: area.name,
    });
    const fit = hasAttributes(area, ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'sign'], ['decrypt']);
    if (!fit) findings.found('ak_unsuitable');
    return area;
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    findings.found('malformed', 'quote_signature_invalid');
    return undefined;
  }
}
