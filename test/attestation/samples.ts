/** The evidence captured once from a software TPM (test/vectors/attestation/tpm2-swtpm.json), as the tests of this folder use it. */
import { readFileSync } from 'node:fs';
import type { VerificationContext } from '../../src/attestation/port.ts';
import type { EnrolmentRequest } from '../../src/attestation/tpm2/enrolment.ts';
import type { Tpm2Body } from '../../src/attestation/tpm2/evidence.ts';
import { fromHex } from '../../src/domain/bytes.ts';
import type { ErrorCode } from '../../src/domain/errors.ts';
import { type EnrolledTpm2, type Tpm2Anchor, tpm2AttesterKey } from '../../src/domain/evidence.ts';
import type { Digest, Namespace, SubjectId } from '../../src/domain/ids.ts';

interface Captured {
  readonly namespace: Namespace;
  readonly binding: string;
  readonly at: string;
  readonly rootCertificate: string;
  readonly enrolment: EnrolmentRequest;
  readonly enrolledAkNames: readonly string[];
  readonly strangerAkName: string;
  readonly genuine: Readonly<Record<'ecc' | 'rsa' | 'rsapss' | 'p384' | 'second', Tpm2Body>>;
  readonly damaged: ReadonlyArray<{ name: string; code: ErrorCode; body: Record<string, unknown> }>;
}

interface WindowsQuote {
  readonly quote: string;
  readonly signature: string;
  /** TPMT_PUBLIC. */
  readonly akPublic: string;
  /** SubjectPublicKeyInfo. */
  readonly akPublicKey: string;
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** Published by others: the file says by whom. Base64. */
export const windows: WindowsQuote = JSON.parse(
  readFileSync(new URL('../vectors/attestation/tpm2-windows-sha1.json', import.meta.url), 'utf8'),
);
export const captured: Captured = JSON.parse(readFileSync(new URL('../vectors/attestation/tpm2-swtpm.json', import.meta.url), 'utf8'));

export const at = new Date(captured.at);
export const root: Tpm2Anchor = { kind: 'tpm2', name: 'lab-root', certificate: captured.rootCertificate };

export function enrolled(akName: string): EnrolledTpm2 {
  return {
    subjectId: '0192f3a4-5b6c-7d8e-9fa0-000000000001' as SubjectId,
    namespace: captured.namespace,
    name: 'gpu-17',
    kind: 'tpm2',
    akName,
    ekCertificateDigest: 'e'.repeat(64) as Digest,
    attributes: {},
  };
}

/** Every captured key is enrolled, except the ones in `strangers`. */
export function contextWithout(...strangers: readonly string[]): VerificationContext {
  const names = captured.enrolledAkNames.filter((name) => !strangers.includes(name));
  return {
    role: 'primary',
    binding: fromHex(captured.binding),
    challengeNonce: new Uint8Array(32), // inside the binding
    collateral: { find: async () => undefined },
    now: at,
    namespace: captured.namespace,
    anchors: [root],
    attester: async (key) => names.map(enrolled).find(({ akName }) => tpm2AttesterKey(akName) === key),
    spki: new Uint8Array(0), // a quote is compared with the binding alone
    spendTokenId: () => Promise.reject(new Error('a quote is no token')),
  };
}
