/** Version 2 of three bodies: vectors, the page, and that neither version says what the other is for. */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { anchorsVersion } from '../../src/documents/anchors.ts';
import type { Bodies } from '../../src/documents/bodies.ts';
import { documentMessage, signDocument, verifyDocument } from '../../src/documents/document.ts';
import { referenceValue, referenceValuesVersion } from '../../src/documents/reference-values.ts';
import { workloadIdentity } from '../../src/documents/workload-identity.ts';
import { fromBase64, sha256Hex, toBase64, utf8 } from '../../src/domain/bytes.ts';
import type { Digest } from '../../src/domain/ids.ts';
import { canonicalJson } from '../../src/domain/json.ts';
import { formatVectors, pageBlocks } from '../domain/format-vectors.ts';

type Kind = 'attester' | 'reference-values' | 'trust-anchors';
interface Vectors {
  readonly key: { readonly seed: string; readonly spki: string };
  readonly documents: ReadonlyArray<{ kind: Kind; bytes: string; digest: Digest; message: string; signature: string }>;
}
const vectors = formatVectors<Vectors>('documents-v2.json');
const before = formatVectors<Vectors>('documents.json');
const pkcs8 = Buffer.from(`302e020100300506032b657004220420${vectors.key.seed}`, 'hex');
const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
const publicKey = createPublicKey({ key: Buffer.from(fromBase64(vectors.key.spki)), format: 'der', type: 'spki' });
const invalid = expect.objectContaining({ code: 'document_invalid' });

const bodyOf = (kind: Kind, { documents } = vectors) =>
  JSON.parse(documents.find((one) => one.kind === kind)?.bytes ?? '') as Record<string, unknown>;
/** Signed properly, whatever it says. */
function read(kind: Kind, body: object): Bodies[Kind] {
  const bytes = canonicalJson(body);
  const digest = sha256Hex(bytes) as Digest;
  const signature = new Uint8Array(sign(null, documentMessage(kind, bytes), privateKey));
  return verifyDocument({ kind, digest, bytes, signature }, { kind, digest }, publicKey);
}

describe('version 2', () => {
  test.each(vectors.documents)(
    'of $kind: message, digest and signature are those of the vector',
    async ({ kind, bytes, digest, message, signature }) => {
      expect(sha256Hex(documentMessage(kind, utf8(bytes)))).toBe(message);
      const body = verifyDocument({ kind, digest, bytes: utf8(bytes), signature: fromBase64(signature) }, { kind, digest }, publicKey);
      const again = await signDocument(kind, body, async (text) => new Uint8Array(sign(null, text, privateKey)));
      expect([again.digest, Buffer.from(again.bytes).toString(), toBase64(again.signature)]).toEqual([digest, bytes, signature]);
    },
  );

  test('is shown by docs/formats/documents-v2.md, byte for byte', () => {
    const shown = pageBlocks('documents-v2.md').map((block) => sha256Hex(canonicalJson(JSON.parse(block))));
    expect(shown).toEqual(vectors.documents.map(({ digest }) => digest));
  });

  test.each<Kind>(['attester', 'reference-values', 'trust-anchors'])('of %s is not read as version 1, nor version 1 as 2', (kind) => {
    expect(() => read(kind, { ...bodyOf(kind), v: 1 })).toThrow(invalid);
    expect(() => read(kind, { ...bodyOf(kind, before), v: 2 })).toThrow(invalid);
    expect(() => read(kind, { ...bodyOf(kind), v: 3 })).toThrow(invalid);
  });

  test('is written only for what version 1 cannot say', () => {
    const values = (version: Vectors) => bodyOf('reference-values', version)['values'] as Parameters<typeof referenceValuesVersion>[0];
    const anchors = (version: Vectors) => bodyOf('trust-anchors', version)['anchors'] as Parameters<typeof anchorsVersion>[0];
    expect([referenceValuesVersion(values(before)), referenceValuesVersion(values(vectors)), referenceValuesVersion([])]).toEqual([
      1, 2, 1,
    ]);
    expect([anchorsVersion(anchors(before)), anchorsVersion(anchors(vectors)), anchorsVersion([])]).toEqual([1, 2, 1]);
    const [first] = values(before);
    if (first === undefined) throw new Error('a value');
    expect(referenceValuesVersion([{ ...first, models: ['019bc0de-0000-7000-8000-000000000003'] }])).toBe(2);
  });
});

describe('a reference value', () => {
  const snp = { id: 'v', kind: 'sev-snp', claims: { measurement: ['aa'] }, atLeast: { tcbSnp: 20 } };
  const accepts = (value: object) => referenceValue.safeParse(value).success;

  test('names facts of its kind, and at least one that measures', () => {
    expect(accepts(snp)).toBe(true);
    for (const claims of [
      {},
      { product: ['Milan'] },
      { ...snp.claims, mrtd: ['aa'] },
      { ...snp.claims, constructor: ['x'] },
      { measurement: [] },
    ]) {
      expect([claims, accepts({ ...snp, claims })]).toEqual([claims, false]);
    }
  });

  test('has a least only for numbers', () => {
    for (const atLeast of [{ product: 1 }, { tcbSnp: -1 }, { tcbSnp: 1.5 }, { tcbSnp: '20' }, { toString: 1 }, { svn: 1 }]) {
      expect([atLeast, accepts({ ...snp, atLeast })]).toEqual([atLeast, false]);
    }
  });

  test('is for models by their ids', () => {
    expect(accepts({ ...snp, models: ['019bc0de-0000-7000-8000-000000000003'] })).toBe(true);
    for (const models of [[], ['llama'], 'llama', ['019BC0DE-0000-7000-8000-000000000003']])
      expect(accepts({ ...snp, models })).toBe(false);
  });
});

describe('what a workload is enrolled by', () => {
  const accepts = (kind: Parameters<typeof workloadIdentity>[0], fact: string, value: string) =>
    workloadIdentity(kind).safeParse({ fact, value }).success;

  test('is a fact of its kind that enrols, in the spelling of evidence', () => {
    expect([
      accepts('tdx', 'mrtd', 'aa'),
      accepts('nitro', 'pcr8', 'aa'),
      accepts('spiffe', 'spiffeId', 'spiffe://prod.example/web'),
    ]).toEqual([true, true, true]);
    for (const [kind, fact, value] of [
      ['tdx', 'rtmr0', 'aa'],
      ['tdx', 'measurement', 'aa'],
      ['sev-snp', 'measurement', 'AA'],
      ['sev-snp', 'measurement', 'a'],
      ['tdx', 'toString', 'aa'],
    ] as const) {
      expect([fact, value, accepts(kind, fact, value)]).toEqual([fact, value, false]);
    }
  });

  test('is never zeros: that is what hardware states that has nothing to say', () => {
    expect(accepts('sev-snp', 'chipId', '00'.repeat(64))).toBe(false);
    expect(accepts('sev-snp', 'chipId', `${'00'.repeat(63)}01`)).toBe(true);
  });
});
