/** Quotes of real cloud TPMs, and published credentials (../shared/vectors/README.md). Read in place; skipped visibly when absent. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { matchReferenceValues } from '../../src/attestation/reference-values.ts';
import { makeCredential } from '../../src/attestation/tpm2/credential.ts';
import { parseTpmtPublic } from '../../src/attestation/tpm2/public-area.ts';
import { parseQuote } from '../../src/attestation/tpm2/quote.ts';
import { parseSignature } from '../../src/attestation/tpm2/signature.ts';
import { checkAttestationKey } from '../../src/attestation/tpm2/verifier.ts';
import { verifyExtraData, verifyPcrs, verifyQuoteSignature } from '../../src/attestation/tpm2/verify-quote.ts';
import { fromHex, toHex } from '../../src/domain/bytes.ts';
import { isRefusal, type PcrBanks } from '../../src/domain/evidence.ts';
import { enrolled } from './samples.ts';

const folder = resolve(import.meta.dirname, '../../../shared/vectors');

interface QuoteCase {
  readonly id: string;
  readonly format: string;
  readonly file: string;
  readonly companions: {
    readonly signature: string;
    readonly ak_public_key: string;
    readonly pcrs: string;
    readonly ak_public_tpmt?: string;
  };
  readonly expected: {
    readonly valid: boolean;
    readonly accept: boolean;
    readonly reason: string;
    readonly expected_nonce: string | null;
    readonly nonce: string;
    readonly pcr_selection: ReadonlyArray<readonly [string, readonly number[]]>;
    readonly pcr_digest: string;
    readonly signature_scheme: string;
    readonly signature_hash: string;
    readonly clock: { readonly clock: number; readonly reset: number; readonly restart: number; readonly safe: number };
    readonly firmware_version: string;
    readonly qualified_signer: string;
    readonly ak_name?: string;
  };
}

/** Our code for each reason of REASONS.md that a quote alone can have. */
const CODES: Readonly<Record<string, string>> = {
  nonce_mismatch: 'evidence_binding_mismatch',
  pcr_digest_mismatch: 'evidence_signature_invalid',
  quote_signature_invalid: 'evidence_signature_invalid',
};

if (!existsSync(folder)) {
  test.skip(`published TPM vectors: ${folder} is not on this machine`, () => undefined);
} else {
  const manifest: QuoteCase[] = JSON.parse(readFileSync(resolve(folder, 'attestation/MANIFEST.json'), 'utf8'));
  const quotes = manifest.filter(({ format }) => format === 'tpm2-quote');
  const read = (path: string) => new Uint8Array(readFileSync(resolve(folder, 'attestation', path)));
  const readPcrs = (entry: QuoteCase): PcrBanks => JSON.parse(readFileSync(resolve(folder, 'attestation', entry.companions.pcrs), 'utf8'));
  const readKey = (entry: QuoteCase): KeyObject =>
    createPublicKey({ key: Buffer.from(read(entry.companions.ak_public_key)), format: 'der', type: 'spki' });

  describe('published quotes', () => {
    test('there are some', () => expect(quotes.length).toBeGreaterThanOrEqual(10));

    test.each(quotes)('$id is read field by field', (entry) => {
      const quote = parseQuote(read(entry.file));
      const { scheme } = parseSignature(read(entry.companions.signature));
      const { clock } = entry.expected;
      expect({
        nonce: toHex(quote.extraData),
        pcr_selection: quote.selection.map(({ bank, indexes }) => [bank, indexes]),
        pcr_digest: toHex(quote.pcrDigest),
        signature_scheme: scheme.name,
        signature_hash: scheme.hash,
        clock: { clock: Number(quote.clock), reset: quote.resetCount, restart: quote.restartCount, safe: Number(quote.safe) },
        firmware_version: quote.firmwareVersion,
        qualified_signer: quote.qualifiedSigner,
      }).toEqual({
        nonce: entry.expected.nonce,
        pcr_selection: entry.expected.pcr_selection,
        pcr_digest: entry.expected.pcr_digest,
        signature_scheme: entry.expected.signature_scheme,
        signature_hash: entry.expected.signature_hash,
        clock,
        firmware_version: entry.expected.firmware_version,
        qualified_signer: entry.expected.qualified_signer,
      });
    });

    test.each(quotes)('$id has the published verdict: valid $expected.valid, $expected.reason', (entry) => {
      const refusal = verify(entry);
      expect(refusal === undefined).toBe(entry.expected.valid);
      if (refusal !== undefined) expect(refusal.code).toBe(CODES[entry.expected.reason]);
    });

    test.each(quotes.filter(({ companions }) => companions.ak_public_tpmt !== undefined))(
      '$id: name and attributes of its key',
      (entry) => {
        const ak = parseTpmtPublic(read(entry.companions.ak_public_tpmt ?? ''));
        expect(ak.name).toBe(entry.expected.ak_name);
        expect(ak.key.equals(readKey(entry))).toBe(true);
        expect(checkAttestationKey(ak)).toBe(undefined);
      },
    );

    // Enrolment is this product's only reason to trust a key, so `accept` can be compared where it hangs on the measurements alone.
    const measured = quotes.filter(({ expected }) => expected.valid && ['ok', 'sha1_bank'].includes(expected.reason));
    test.each(measured)('$id: its own PCRs as reference values are accepted: $expected.accept', (entry) => {
      const pcrs = readPcrs(entry);
      const accepted = Object.fromEntries(
        Object.entries(pcrs).map(([bank, values]) => [bank, Object.fromEntries(Object.entries(values).map(([i, value]) => [i, [value]]))]),
      );
      const claims = { kind: 'tpm2', attester: enrolled('000b'), pcrs, facts: { akName: '000b', akTrust: 'activation' } } as const;
      const matched = matchReferenceValues(claims, [{ id: 'self', kind: 'tpm2', pcrs: accepted }], new Date());
      expect(!isRefusal(matched)).toBe(entry.expected.accept);
    });

    function verify(entry: QuoteCase) {
      const quote = parseQuote(read(entry.file));
      const signature = parseSignature(read(entry.companions.signature));
      const { expected_nonce: nonce } = entry.expected;
      const extraData = nonce === null ? quote.extraData : fromHex(nonce);
      const signed = { quote, signature };
      return verifyQuoteSignature(signed, readKey(entry)) ?? verifyExtraData(quote, extraData) ?? verifyPcrs(signed, readPcrs(entry));
    }
  });

  describe('published credentials', () => {
    interface CredentialCase {
      readonly ek_type: string;
      readonly ek_public_pem: string;
      readonly aik_name_hex: string;
      readonly secret_hex: string;
      readonly symmetric_block_bytes: number;
      readonly credential_blob_hex: string;
      readonly encrypted_secret_hex: string;
    }
    const file: { vectors: CredentialCase[] } = JSON.parse(readFileSync(resolve(folder, 'tpm-makecredential/vectors.json'), 'utf8'));
    // "All zero bytes" through Go's elliptic.GenerateKey, which flips 0x42 into the second byte so that zero is not a private key.
    const ephemeral = Uint8Array.from({ length: 32 }, (_, at) => (at === 1 ? 0x42 : 0));

    test.each(file.vectors)('$ek_type: TPM2_MakeCredential gives the published bytes', (vector) => {
      const curve = vector.ek_type === 'ecc-p256' ? ({ curve: 'P-256' } as const) : {};
      const ek = { key: createPublicKey(vector.ek_public_pem), nameAlg: 'sha256', aesBits: 128, ...curve } as const;
      const zeros = {
        seed: () => new Uint8Array(vector.symmetric_block_bytes),
        oaep: (length: number) => new Uint8Array(length),
        ephemeral,
      };
      const credential = makeCredential(ek, fromHex(vector.aik_name_hex), fromHex(vector.secret_hex), zeros);
      expect(toHex(credential.idObject)).toBe(vector.credential_blob_hex);
      expect(toHex(credential.encryptedSecret)).toBe(vector.encrypted_secret_hex);
    });
  });
}
