/** The document about the access log: its vector, and the page. */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { documentMessage, signDocument, verifyDocument } from '../../src/documents/document.ts';
import { fromBase64, sha256Hex, toBase64, utf8 } from '../../src/domain/bytes.ts';
import type { Digest } from '../../src/domain/ids.ts';
import { canonicalJson } from '../../src/domain/json.ts';
import { formatVectors, pageBlocks } from '../domain/format-vectors.ts';

interface Vectors {
  readonly key: { readonly seed: string; readonly spki: string };
  readonly documents: ReadonlyArray<{ kind: 'log-retention'; bytes: string; digest: Digest; message: string; signature: string }>;
}
const vectors = formatVectors<Vectors>('documents-log.json');
const pkcs8 = Buffer.from(`302e020100300506032b657004220420${vectors.key.seed}`, 'hex');
const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
const publicKey = createPublicKey({ key: Buffer.from(fromBase64(vectors.key.spki)), format: 'der', type: 'spki' });
const signWith = async (text: Uint8Array) => new Uint8Array(sign(null, text, privateKey));

function read(body: object) {
  const bytes = canonicalJson(body);
  const digest = sha256Hex(bytes) as Digest;
  const signature = new Uint8Array(sign(null, documentMessage('log-retention', bytes), privateKey));
  return verifyDocument({ kind: 'log-retention', digest, bytes, signature }, { kind: 'log-retention', digest }, publicKey);
}

test.each(vectors.documents)('a $kind has the message, digest and signature of the vector, and the form of its kind', async (one) => {
  const { kind, bytes, digest, message, signature } = one;
  expect(sha256Hex(documentMessage(kind, utf8(bytes)))).toBe(message);
  const said = verifyDocument({ kind, digest, bytes: utf8(bytes), signature: fromBase64(signature) }, { kind, digest }, publicKey);
  const again = await signDocument(kind, said, signWith);
  expect([again.digest, Buffer.from(again.bytes).toString(), toBase64(again.signature)]).toEqual([digest, bytes, signature]);
  const body = JSON.parse(bytes) as Record<string, unknown>;
  const invalid = expect.objectContaining({ code: 'document_invalid' });
  for (const changed of [{ more: 1 }, { v: 2 }, { recordDays: 0 }, { disclosureDays: '90' }]) {
    expect(() => read({ ...body, ...changed })).toThrow(invalid);
  }
  for (const name of Object.keys(body)) {
    const { [name]: _, ...less } = body;
    if (name === 'recordDays' || name === 'disclosureDays')
      read(less); // kept for ever
    else expect(() => read(less)).toThrow(invalid);
  }
});

test('docs/formats/log-retention.md shows it, byte for byte', () => {
  const shown = pageBlocks('log-retention.md').filter((block) => block.startsWith('{'));
  expect(sha256Hex(canonicalJson(JSON.parse(shown[0] ?? '')))).toBe(vectors.documents[0]?.digest);
});
