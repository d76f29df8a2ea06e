import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fromHex, toHex } from '../../src/domain/bytes.ts';
import {
  additionalEvidenceDigest,
  type BindingInputs,
  type Evidence,
  evidenceBinding,
  gpuNonce,
  jwtNonceHex,
  teeReportData,
  tpm2ExtraData,
} from '../../src/domain/evidence.ts';
import type { VaultId } from '../../src/domain/ids.ts';
import { formatVectors, leadingHex, pageBlocks } from './format-vectors.ts';

interface Case {
  readonly what: string;
  readonly hpkePublicKey?: string;
  readonly additionalEvidenceDigest?: string;
  readonly binding: string;
  readonly tpm2ExtraData: string;
}
const vectors = formatVectors<{ vaultId: VaultId; challengeNonce: string; spki: string; cases: Case[] }>('evidence-binding.json');

const inputsOf = ({ hpkePublicKey, additionalEvidenceDigest }: Partial<Case>): BindingInputs => ({
  vaultId: vectors.vaultId,
  challengeNonce: fromHex(vectors.challengeNonce),
  spki: fromHex(vectors.spki),
  ...(hpkePublicKey !== undefined && { hpkePublicKey: fromHex(hpkePublicKey) }),
  ...(additionalEvidenceDigest !== undefined && { additionalEvidenceDigest: fromHex(additionalEvidenceDigest) }),
});

describe('B, what evidence is bound to', () => {
  test.each(vectors.cases)('has the bytes of the vector: $what', (one) => {
    const binding = evidenceBinding(inputsOf(one));
    expect(toHex(binding)).toBe(one.binding);
    expect(toHex(tpm2ExtraData(binding))).toBe(one.tpm2ExtraData);
  });

  test('is the example that docs/formats/evidence-binding.md begins with', () => {
    const [first] = vectors.cases;
    const [b = '', extraData = ''] = pageBlocks('evidence-binding.md');
    expect(leadingHex(b)).toBe(first?.binding);
    expect(leadingHex(extraData)).toBe(first?.tpm2ExtraData);
  });

  test('differs when any one input differs, and an HPKE key cannot pass for other evidence', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(bytes, bytes, bytes, (challengeNonce, spki, more) => {
        const base = { vaultId: vectors.vaultId, challengeNonce, spki };
        const all = [
          base,
          { ...base, vaultId: '01a0b1c2-d3e4-7000-8000-0000000000ff' as VaultId },
          { ...base, challengeNonce: Uint8Array.of(...challengeNonce, 0) },
          { ...base, spki: Uint8Array.of(...spki, 0) },
          { ...base, challengeNonce: Uint8Array.of(...challengeNonce, ...spki), spki: new Uint8Array(0) },
          { ...base, hpkePublicKey: more },
          { ...base, additionalEvidenceDigest: more },
        ].map((inputs) => toHex(evidenceBinding(inputs)));
        expect(new Set(all).size).toBe(all.length);
      }),
    );
  });
});

describe('what each kind carries', () => {
  interface Carried {
    readonly binding: string;
    readonly teeReportData: string;
    readonly tpm2ExtraData: string;
  }
  const kinds = formatVectors<{
    gpuNonce: string;
    additional: Evidence[];
    additionalEvidenceDigest: string;
    alone: Carried;
    withAdditional: Carried;
  }>('evidence-binding-kinds.json');
  const first: Evidence = { kind: 'tdx', body: { any: 'thing' } };

  test('has the bytes of the vector', () => {
    expect(toHex(gpuNonce(inputsOf({})))).toBe(kinds.gpuNonce);
    expect(toHex(additionalEvidenceDigest([first, ...kinds.additional]) ?? new Uint8Array(0))).toBe(kinds.additionalEvidenceDigest);
    const { additionalEvidenceDigest: digest } = kinds;
    for (const [inputs, carried] of [
      [inputsOf({}), kinds.alone],
      [inputsOf({ additionalEvidenceDigest: digest }), kinds.withAdditional],
    ] as const) {
      const binding = evidenceBinding(inputs);
      expect({
        binding: toHex(binding),
        teeReportData: toHex(teeReportData(binding)),
        tpm2ExtraData: toHex(tpm2ExtraData(binding)),
      }).toEqual(carried);
      expect(jwtNonceHex(binding)).toBe(carried.tpm2ExtraData);
    }
  });

  test('is the example of the page', () => {
    const [nonce, digest] = (pageBlocks('evidence-binding.md').at(-1) ?? '').split('\n').map(leadingHex);
    expect([nonce, digest]).toEqual([kinds.gpuNonce, kinds.additionalEvidenceDigest]);
  });
});
