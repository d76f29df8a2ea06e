/** The three signatures below the PCK certificate: it signs the QE report, that names the attestation key, and this signs the quote. */
import { concat, equalBytes, sha256 } from '../../domain/bytes.ts';
import { orUndefined } from '../x509/der.ts';
import { ecdsaVerifies, readP256Point } from '../x509/signature.ts';
import type { Pck } from './pck.ts';
import type { QeReport, QuotedReport, QuoteSignature } from './quote.ts';
import type { TdxWord } from './words.ts';

export function checkQuoteSignatures(
  quoted: QuotedReport,
  signature: QuoteSignature,
  qe: QeReport,
  pck: Pick<Pck, 'certificate'> | undefined,
): readonly TdxWord[] {
  const key = orUndefined(() => readP256Point(signature.attestationKey));
  const qeSigned =
    pck !== undefined && ecdsaVerifies('sha256', signature.qeReport, halves(signature.qeReportSignature), pck.certificate.publicKey);
  const quoteSigned = key !== undefined && ecdsaVerifies('sha256', quoted.signed, halves(signature.signature), key);
  const bound = concat(sha256(signature.attestationKey, signature.authenticationData), new Uint8Array(32));
  return [
    ...(qeSigned ? [] : (['qe_sig_invalid'] as const)),
    ...(equalBytes(qe.reportData, bound) ? [] : (['qe_binding_invalid'] as const)),
    ...(quoteSigned ? [] : (['quote_sig_invalid'] as const)),
  ];
}

function halves(signature: Uint8Array): { r: Uint8Array; s: Uint8Array } {
  return { r: signature.subarray(0, 32), s: signature.subarray(32) };
}
