/** Documents of a vault whose HSM has no Ed25519. */
import { createPublicKey } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { verifyDocument } from '../../src/documents/document.ts';
import { fromBase64, utf8 } from '../../src/domain/bytes.ts';
import type { Digest } from '../../src/domain/ids.ts';
import { formatVectors } from '../domain/format-vectors.ts';

const vectors = formatVectors<{
  readonly key: { readonly spki: string };
  readonly document: { readonly bytes: string; readonly digest: Digest; readonly signature: string };
  readonly refused: ReadonlyArray<{ readonly why: string; readonly signature: string }>;
}>('documents-p256.json');
const key = createPublicKey({ key: Buffer.from(vectors.key.spki, 'base64'), format: 'der', type: 'spki' });
const { bytes, digest } = vectors.document;
const read = (signature: string) =>
  verifyDocument({ kind: 'alias', digest, bytes: utf8(bytes), signature: fromBase64(signature) }, { kind: 'alias', digest }, key);

describe('a document signed with P-256', () => {
  test('is believed', () => {
    expect(read(vectors.document.signature)).toMatchObject(JSON.parse(bytes));
  });

  test.each(vectors.refused)('is refused: $why', ({ signature }) => {
    expect(() => read(signature)).toThrow(expect.objectContaining({ code: 'document_invalid' }));
  });

  test('is refused with any one bit of its signature changed', () => {
    const good = fromBase64(vectors.document.signature);
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = good.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
      expect(() => read(Buffer.from(bad).toString('base64'))).toThrow('document_invalid');
    }
  });
});
