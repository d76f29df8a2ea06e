import { describe, expect, test } from '@jest/globals';
import { parsePublicArea } from '../../src/attestation/tpm2/public-area.ts';
import { parseQuote } from '../../src/attestation/tpm2/quote.ts';
import { createTpm2Verifier } from '../../src/attestation/tpm2/verifier.ts';
import { fromBase64, toBase64 } from '../../src/domain/bytes.ts';
import { isRefusal } from '../../src/domain/evidence.ts';
import type { Namespace } from '../../src/domain/ids.ts';
import { evidenceVerifierContract } from '../contract/evidence-verifier.ts';
import { reportChecks } from './report-checks.ts';
import { captured, contextWithout, enrolled } from './samples.ts';

const verifier = createTpm2Verifier(reportChecks());
const { ecc, rsa } = captured.genuine;

evidenceVerifierContract('tpm2 (ECC)', () => ({ verifier, body: ecc, context: contextWithout() }));
evidenceVerifierContract('tpm2 (RSA)', () => ({ verifier, body: rsa, context: contextWithout() }));

describe('genuine quotes of a software TPM', () => {
  test.each(Object.entries(captured.genuine))('verifies %s and reports the PCRs and the facts of the quote', async (_name, body) => {
    const claims = await verifier.verify(body, contextWithout());
    if (isRefusal(claims)) throw new Error(`${claims.code}: ${claims.detail}`);
    const quote = parseQuote(fromBase64(body.quote));
    expect(claims.pcrs).toEqual(body.pcrs);
    expect(claims.facts).toEqual({
      akName: parsePublicArea(fromBase64(body.akPublic)).name,
      akTrust: 'activation',
      clock: String(quote.clock),
      resetCount: String(quote.resetCount),
      restartCount: '0',
      safe: 'true',
      firmwareVersion: '2019102300163636',
    });
  });
});

describe('damaged twins', () => {
  test.each(captured.damaged)('refuses $name with $code', async ({ code, body }) => {
    const answer = await verifier.verify(body, contextWithout(captured.strangerAkName));
    expect(isRefusal(answer) && answer.code).toBe(code);
  });

  test('refuses the quote with any one byte changed', async () => {
    for (const body of [ecc, rsa]) await expectEveryFlipRefused(body, 'quote');
  });
  test('refuses the signature with any one byte changed', async () => {
    for (const body of [ecc, rsa]) await expectEveryFlipRefused(body, 'signature');
  });
  test('refuses the public area with any one byte changed', async () => {
    for (const body of [ecc, rsa]) await expectEveryFlipRefused(body, 'akPublic');
  });
  test('refuses the quote and the signature cut at any length', async () => {
    for (const member of ['quote', 'signature', 'akPublic'] as const) {
      const bytes = fromBase64(ecc[member]);
      for (let length = 0; length < bytes.length; length++) {
        expect(await codeOf({ ...ecc, [member]: toBase64(bytes.slice(0, length)) })).toBe('evidence_malformed');
      }
    }
  });
});

describe('who the attester is', () => {
  test('names the attester in a refusal only after its signature verified', async () => {
    const borrowed = await verifier.verify({ ...ecc, signature: captured.genuine.second.signature }, contextWithout());
    expect(isRefusal(borrowed) && borrowed.subject).toBe(undefined);
    const replayed = await verifier.verify(ecc, { ...contextWithout(), binding: new Uint8Array(1) });
    expect(isRefusal(replayed) && replayed.subject?.name).toBe('gpu-17');
  });

  test("does not say that another namespace's attester exists", async () => {
    const attester = async (akName: string) => ({ ...enrolled(akName), namespace: 'other' as Namespace });
    const answer = await verifier.verify(ecc, { ...contextWithout(), attester });
    const stranger = await verifier.verify(ecc, { ...contextWithout(), attester: async () => undefined });
    expect(answer).toEqual(stranger);
  });

  test('refuses when the store answers with another key', async () => {
    const answer = await verifier.verify(ecc, { ...contextWithout(), attester: async () => enrolled('000b00') });
    expect(isRefusal(answer) && answer.code).toBe('attester_key_unknown');
  });
});

async function codeOf(body: Record<string, unknown>): Promise<string> {
  const answer = await verifier.verify(body, contextWithout());
  return isRefusal(answer) ? answer.code : 'verified';
}

async function expectEveryFlipRefused(body: typeof ecc, member: 'quote' | 'signature' | 'akPublic'): Promise<void> {
  const bytes = fromBase64(body[member]);
  for (let at = 0; at < bytes.length; at++) {
    const changed = Uint8Array.from(bytes, (byte, i) => (i === at ? byte ^ (1 << (at % 8)) : byte));
    expect([at, await codeOf({ ...body, [member]: toBase64(changed) })]).not.toEqual([at, 'verified']);
  }
}
