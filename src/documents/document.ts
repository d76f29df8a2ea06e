/** Signing and believing documents (docs/formats/documents.md). A row that points at a document proves nothing; this does. */
import type { KeyObject } from 'node:crypto';
import type { z } from 'zod';
import { lp, sha256Hex } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import type { Digest } from '../domain/ids.ts';
import { canonicalJson, parseCanonicalJson } from '../domain/json.ts';
import { verifySignature } from '../domain/signature.ts';
import { BODY_SCHEMAS, type Bodies } from './bodies.ts';
import type { DocumentKind, SignedDocument } from './port.ts';

/** What the catalogue key signs: LP("weight-vault document v1", kind, bytes). The kind keeps one document from standing in for another. */
export function documentMessage(kind: DocumentKind, bytes: Uint8Array): Uint8Array {
  return lp('weight-vault document v1', kind, bytes);
}

/** Checks `body` against its schema and signs its canonical bytes. */
export async function signDocument<K extends DocumentKind>(
  kind: K,
  body: Bodies[K],
  sign: (message: Uint8Array) => Promise<Uint8Array>,
): Promise<SignedDocument> {
  BODY_SCHEMAS[kind].parse(body); // our own mistake if it throws: nothing is signed that could not be read back
  const bytes = canonicalJson(body);
  return { kind, digest: sha256Hex(bytes) as Digest, bytes, signature: await sign(documentMessage(kind, bytes)) };
}

/**
 * Returns the body of a document that has the digest it was asked for, is of the expected kind, and is signed by the catalogue key.
 * Throws `document_invalid` otherwise: something that was signed here no longer is what it was.
 */
export function verifyDocument<K extends DocumentKind>(
  document: SignedDocument,
  expected: { readonly kind: K; readonly digest: Digest },
  catalogueKey: KeyObject,
): Bodies[K] {
  const invalid = (why: string) => new VaultError('document_invalid', `${expected.kind} ${expected.digest}: ${why}`);
  if (document.kind !== expected.kind) throw invalid(`is a ${document.kind}`);
  if (sha256Hex(document.bytes) !== expected.digest) throw invalid('has another digest');
  const message = documentMessage(expected.kind, document.bytes);
  if (!verifySignature(catalogueKey, message, document.signature)) throw invalid('is not signed by the catalogue key');
  const body = BODY_SCHEMAS[expected.kind].safeParse(parseCanonicalJson(document.bytes, 'document_invalid'));
  if (!body.success) throw invalid('does not have the form of its kind');
  return body.data as z.output<(typeof BODY_SCHEMAS)[K]> as Bodies[K]; // the schema of exactly this kind
}
