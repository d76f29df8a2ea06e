/** The documents about the access log and who watches it: their vectors, and the pages. */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { expect, test } from '@jest/globals';
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
const [first, ...rest] = [
  formatVectors<Vectors>('documents-log.json'),
  formatVectors<Vectors>('documents-watch.json'),
  formatVectors<Vectors>('documents-closing.json'),
] as const;
const documents = [first, ...rest].flatMap((one) => one.documents);
const pkcs8 = Buffer.from(`302e020100300506032b657004220420${first.key.seed}`, 'hex');
const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
const publicKey = createPublicKey({ key: Buffer.from(fromBase64(first.key.spki)), format: 'der', type: 'spki' });
const signWith = async (text: Uint8Array) => new Uint8Array(sign(null, text, privateKey));

/** Members whose absence says something, or whose emptiness does. */
const OPTIONAL = new Set(['recordDays', 'disclosureDays']);
/** Where each is shown. */
const PAGES: Readonly<Record<string, string>> = {
  'log-retention': 'log-retention.md',
  'closed-log': 'log-closing.md',
  'log-sinks': 'documents.md',
  'alert-rules': 'alert-rules.md',
  'alert-delivery': 'alert-rules.md',
  decoy: 'alert-rules.md',
};

function read(kind: DocumentKind, body: object) {
  const bytes = canonicalJson(body);
  const digest = sha256Hex(bytes) as Digest;
  const signature = new Uint8Array(sign(null, documentMessage(kind, bytes), privateKey));
  return verifyDocument({ kind, digest, bytes, signature }, { kind, digest }, publicKey);
}

test.each(documents)('a $kind has the message, digest and signature of the vector, and the form of its kind', async (one) => {
  const { kind, bytes, digest, message, signature } = one;
  expect(sha256Hex(documentMessage(kind, utf8(bytes)))).toBe(message);
  const said = verifyDocument({ kind, digest, bytes: utf8(bytes), signature: fromBase64(signature) }, { kind, digest }, publicKey);
  const again = await signDocument(kind, said, signWith);
  expect([again.digest, Buffer.from(again.bytes).toString(), toBase64(again.signature)]).toEqual([digest, bytes, signature]);
  const body = JSON.parse(bytes) as Record<string, unknown>;
  const invalid = expect.objectContaining({ code: 'document_invalid' });
  for (const changed of [{ more: 1 }, { v: 2 }, { counter: 0 }, { consents: [{}] }, { namespace: '../prod' }]) {
    expect(() => read(kind, { ...body, ...changed })).toThrow(invalid);
  }
  for (const name of Object.keys(body)) {
    const { [name]: _, ...less } = body;
    if (OPTIONAL.has(name)) read(kind, less);
    else expect(() => read(kind, less)).toThrow(invalid);
  }
});

const ARCHIVE = { kind: 'file', name: 'archive', from: 'first', format: 'jsonl', rotateBytes: 65_536 };

test('a sink may be one that releases must not outrun', () => {
  const body = JSON.parse(documents.find((one) => one.kind === 'log-sinks')?.bytes ?? '');
  const sinks = [{ ...ARCHIVE, required: { seconds: 60, records: 1_000 } }];
  expect(read('log-sinks', { ...body, sinks })).toMatchObject({ sinks });
});

test.each([
  ['log-retention', { recordDays: 0 }],
  ['log-retention', { disclosureDays: '90' }],
  ['log-retention', { requireArchive: false }],
  ['closed-log', { until: '2027-01-01' }],
  ['closed-log', { size: 0 }],
  ['closed-log', { root: 'AAAA' }],
  ['log-sinks', { sinks: [{ kind: 'file', name: 'archive', from: 'first', format: 'jsonl', rotateBytes: 1 }] }],
  ['log-sinks', { sinks: [{ ...ARCHIVE, required: { seconds: 4, records: 1_000 } }] }],
  ['log-sinks', { sinks: [{ ...ARCHIVE, required: { seconds: 60 } }] }],
  ['log-sinks', { sinks: [{ ...ARCHIVE, required: true }] }],
  ['log-sinks', { sinks: [{ kind: 'webhook', name: 'soc', from: 'next', host: 'soc.example/x', port: 443, path: '/', format: 'ocsf' }] }],
  ['alert-delivery', { heartbeatSeconds: 1 }],
  ['alert-delivery', { targets: [{ kind: 'webhook', name: 'pager', minimum: 'high', host: 'h.example', port: 443, path: 'no-slash' }] }],
  ['alert-rules', { rules: ['title: no name'] }],
  ['decoy', { state: 'gone' }],
] as const)('a %s with %j is refused', (kind, changed) => {
  const body = JSON.parse(documents.find((one) => one.kind === kind)?.bytes ?? '');
  read(kind, body);
  expect(() => read(kind, { ...body, ...changed })).toThrow(expect.objectContaining({ code: 'document_invalid' }));
});

test.each(documents)('the page of $kind shows it, byte for byte', ({ kind, digest }) => {
  const shown = pageBlocks(PAGES[kind] ?? '').filter((block) => block.startsWith('{'));
  expect(shown.map((block) => sha256Hex(canonicalJson(JSON.parse(block))))).toContain(digest);
});
