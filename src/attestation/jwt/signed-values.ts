/** Reference values that somebody signed: a compact JWS of a type of its own, so that no token is ever taken for one (RFC 8725, 3.11). */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { compactVerify, errors } from 'jose';
import { sha256Hex } from '../../domain/bytes.ts';
import { parseStrictObject } from '../strict-json.ts';

export const VALUES_TYPE = 'weight-vault-reference-values+jws';
const ALGORITHMS = ['ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'EdDSA'];

export interface SignedValues {
  readonly payload: Readonly<Record<string, unknown>>;
  /** SHA-256 of the signer's SubjectPublicKeyInfo, hex. */
  readonly signer: string;
}

/** `signer`: PEM of a public key or certificate. A text says why the file is not signed by it. */
export async function readSignedValues(bytes: Uint8Array, signer: Uint8Array): Promise<SignedValues | string> {
  const key = keyOf(signer);
  if (key === undefined) return 'the signer is neither a public key nor a certificate in PEM';
  try {
    const { payload, protectedHeader } = await compactVerify(Buffer.from(bytes).toString('latin1').trim(), key, { algorithms: ALGORITHMS });
    if (protectedHeader.typ !== VALUES_TYPE) return `its typ is not ${VALUES_TYPE}`;
    const values = parseStrictObject(payload);
    const spki = key.export({ type: 'spki', format: 'der' });
    return typeof values === 'string' ? `what is signed ${values}` : { payload: values, signer: sha256Hex(spki) };
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) return 'the signature is not of this signer';
    throw error;
  }
}

function keyOf(pem: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey(Buffer.from(pem));
  } catch {
    return undefined; // OpenSSL's own words help nobody here
  }
}
