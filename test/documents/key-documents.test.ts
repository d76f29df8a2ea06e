/** Documents about keys: vectors, and the page. */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { documentMessage, signDocument, verifyDocument } from '../../src/documents/document.ts';
import type { DocumentKind } from '../../src/documents/port.ts';
import { fromBase64, sha256Hex, toBase64, utf8 } from '../../src/domain/bytes.ts';
import type { Digest } from '../../src/domain/ids.ts';
import { canonicalJson } from '../../src/domain/json.ts';
import { formatVectors, pageBlocks } from '../domain/format-vectors.ts';

interface Vectors {
  readonly key: { readonly seed: string; readonly spki: string };
  readonly documents: ReadonlyArray<{ kind: DocumentKind; bytes: string; digest: Digest; message: string; signature: string }>;
}
const vectors = formatVectors<Vectors>('documents-keys.json');
const pkcs8 = Buffer.from(`302e020100300506032b657004220420${vectors.key.seed}`, 'hex');
const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
const publicKey = createPublicKey({ key: Buffer.from(fromBase64(vectors.key.spki)), format: 'der', type: 'spki' });
const invalid = expect.objectContaining({ code: 'document_invalid' });

/** Signed properly, whatever it says. */
function read(kind: DocumentKind, body: object) {
  const bytes = canonicalJson(body);
  const digest = sha256Hex(bytes) as Digest;
  const signature = new Uint8Array(sign(null, documentMessage(kind, bytes), privateKey));
  return verifyDocument({ kind, digest, bytes, signature }, { kind, digest }, publicKey);
}

describe.each(vectors.documents)('a $kind about keys', ({ kind, bytes, digest, message, signature }) => {
  const body = JSON.parse(bytes) as Record<string, unknown>;

  test('has the message, digest and signature of the vector', async () => {
    expect(sha256Hex(documentMessage(kind, utf8(bytes)))).toBe(message);
    const read = verifyDocument({ kind, digest, bytes: utf8(bytes), signature: fromBase64(signature) }, { kind, digest }, publicKey);
    const again = await signDocument(kind, read, async (text) => new Uint8Array(sign(null, text, privateKey)));
    expect([again.digest, Buffer.from(again.bytes).toString(), toBase64(again.signature)]).toEqual([digest, bytes, signature]);
  });

  test('is refused with one member more, one less, or another version', () => {
    expect(() => read(kind, { ...body, more: 1 })).toThrow(invalid);
    expect(() => read(kind, { ...body, v: 9 })).toThrow(invalid);
    for (const name of Object.keys(body)) {
      const { [name]: _, ...less } = body;
      if (name === 'versionDigest')
        read(kind, less); // of a version that was never finished
      else expect(() => read(kind, less)).toThrow(invalid);
    }
  });
});

test('docs/formats/documents-keys.md shows each, byte for byte', () => {
  const shown = pageBlocks('documents-keys.md')
    .filter((block) => block.startsWith('{'))
    .map((block) => sha256Hex(canonicalJson(JSON.parse(block))));
  expect(shown).toEqual(vectors.documents.map(({ digest }) => digest));
});
