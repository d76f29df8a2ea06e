/** Enrolment of a TPM, vault side (docs/formats/enrolment.md): a certified TPM is asked to prove that it holds the attestation key. */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { fromBase64, fromHex, sha256Hex, toBase64 } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { isRefusal, type Refusal, refuse, type TrustAnchor } from '../../domain/evidence.ts';
import { type Digest, parseDigest } from '../../domain/ids.ts';
import { SecretBytes } from '../../domain/secret.ts';
import { MAX_CERTIFICATE_BYTES } from './certificate.ts';
import { type Credential, makeCredential } from './credential.ts';
import { verifyEndorsement } from './endorsement.ts';
import { base64Bytes, describeIssue, MAX_INTERMEDIATES } from './evidence.ts';
import { MAX_PUBLIC_BYTES, type PublicArea, parsePublicArea } from './public-area.ts';
import { orRefusal } from './reader.ts';
import { checkAttestationKey } from './verifier.ts';

/** Length of the secret in a credential, bytes. */
export const ACTIVATION_SECRET_BYTES = 32;

const requestSchema = z.strictObject({
  v: z.literal(1),
  kind: z.literal('tpm2'),
  /** base64 DER. */
  ekCertificate: base64Bytes(MAX_CERTIFICATE_BYTES),
  /** base64 DER. */
  ekIntermediates: z.array(base64Bytes(MAX_CERTIFICATE_BYTES)).max(MAX_INTERMEDIATES),
  /** base64 TPM2B_PUBLIC. */
  ekPublic: base64Bytes(MAX_PUBLIC_BYTES),
  /** base64 TPM2B_PUBLIC. */
  akPublic: base64Bytes(MAX_PUBLIC_BYTES),
});

export type EnrolmentRequest = Readonly<z.infer<typeof requestSchema>>;

/** What the vault sends back: base64 TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET. Not secret; only the right TPM can open it. */
export interface EnrolmentCredential {
  readonly idObject: string;
  readonly secret: string;
}

export interface Activation {
  readonly akName: string;
  readonly ekCertificateDigest: Digest;
  readonly credential: EnrolmentCredential;
  /** What the TPM must answer. The caller keeps its SHA-256 only, and disposes it. */
  readonly secret: SecretBytes;
}

/** The request of a stranger, in shape and size. Throws `request_invalid`, as every parser of a request body does. */
export function parseEnrolmentRequest(value: unknown): EnrolmentRequest {
  const parsed = requestSchema.safeParse(value);
  if (!parsed.success) throw new VaultError('request_invalid', `enrolment request: ${describeIssue(parsed.error)}`);
  return parsed.data;
}

/**
 * Checks the keys and the endorsement, then makes a credential for exactly this pair: who answers with the secret has shown that the
 * attestation key (with its attributes, which are in its name) lives in the TPM that the certificate is about.
 */
export function beginActivation(request: EnrolmentRequest, trust: { anchors: readonly TrustAnchor[]; now: Date }): Activation | Refusal {
  const keys = orRefusal('request_invalid', () => ({
    ek: parsePublicArea(fromBase64(request.ekPublic)),
    ak: parsePublicArea(fromBase64(request.akPublic)),
  }));
  if (isRefusal(keys)) return keys;
  const unsuitable = checkAttestationKey(keys.ak);
  if (unsuitable !== undefined) return unsuitable;
  const certificate = fromBase64(request.ekCertificate);
  const endorsement = verifyEndorsement({
    certificate,
    intermediates: request.ekIntermediates.map(fromBase64),
    ekPublic: keys.ek,
    ...trust,
  });
  if (isRefusal(endorsement)) return endorsement;
  return activate(keys.ek, keys.ak.name, parseDigest(sha256Hex(certificate)));
}

function activate(ek: PublicArea, akName: string, ekCertificateDigest: Digest): Activation | Refusal {
  const { aesBits } = ek;
  if (aesBits === undefined) return refuse('endorsement_untrusted', 'the endorsement key names no AES for its credentials');
  const secret = randomBytes(ACTIVATION_SECRET_BYTES);
  const credential = makeCredential({ ...ek, aesBits }, fromHex(akName), secret);
  return { akName, ekCertificateDigest, credential: encode(credential), secret: new SecretBytes(secret) };
}

function encode({ idObject, encryptedSecret }: Credential): EnrolmentCredential {
  return { idObject: toBase64(idObject), secret: toBase64(encryptedSecret) };
}
