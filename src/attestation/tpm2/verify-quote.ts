/** Is this quote authentic? Its signature by a given key, its freshness value, its PCR values: undefined, or why not. Whether the key is anyone's is decided in verifier.ts. */
import type { KeyObject } from 'node:crypto';
import { equalBytes } from '../../domain/bytes.ts';
import { failedBytes, failedClaim, type PcrBanks, type Refusal, refuse } from '../../domain/evidence.ts';
import type { SigningScheme } from './algorithms.ts';
import { coversExactly, pcrDigest, type Quote } from './quote.ts';
import { signatureVerifies, type TpmSignature } from './signature.ts';

export interface SignedQuote {
  readonly quote: Quote;
  readonly signature: TpmSignature;
}

/** `scheme` is the only one the key may sign with, when the key says so (part 2, 12.2.3.5 and 12.2.3.6). */
export function verifyQuoteSignature({ quote, signature }: SignedQuote, key: KeyObject, scheme?: SigningScheme): Refusal | undefined {
  if (scheme !== undefined && (scheme.name !== signature.scheme.name || scheme.hash !== signature.scheme.hash)) {
    const failed = failedClaim('signature scheme', `${scheme.name} ${scheme.hash}`, `${signature.scheme.name} ${signature.scheme.hash}`);
    return refuse('evidence_signature_invalid', 'the signature scheme is not the one the attestation key is made for', { failed });
  }
  if (!signatureVerifies(quote.bytes, signature, key)) {
    return refuse('evidence_signature_invalid', 'the attestation key did not sign this quote', {
      failed: failedClaim('signature', 'of the attestation key that was sent'),
    });
  }
  return undefined;
}

/** An empty `expected` is never enough: such a quote can be replayed for ever. */
export function verifyExtraData(quote: Quote, expected: Uint8Array): Refusal | undefined {
  if (quote.extraData.length > 0 && equalBytes(quote.extraData, expected)) return undefined;
  const failed = failedBytes('extraData', expected, quote.extraData);
  return refuse('evidence_binding_mismatch', 'extraData is not SHA-256 of the binding', { failed });
}

/** `pcrs` came with the quote; they are believed only because they hash to what was signed. */
export function verifyPcrs({ quote, signature }: SignedQuote, pcrs: PcrBanks): Refusal | undefined {
  if (!coversExactly(quote.selection, pcrs)) {
    const failed = [{ claim: 'PCRs sent', expected: [quote.selection.map(({ bank, indexes }) => `${bank}:${indexes}`).join(' ')] }];
    return refuse('evidence_malformed', 'the PCR values sent are not exactly the PCRs quoted', { failed });
  }
  const digest = pcrDigest(quote.selection, pcrs, signature.scheme.hash);
  if (digest === undefined || !equalBytes(digest, quote.pcrDigest)) {
    const failed = failedBytes('digest of the PCR values sent', quote.pcrDigest, digest);
    return refuse('evidence_signature_invalid', 'the PCR values sent are not the ones that were signed', { failed });
  }
  return undefined;
}
