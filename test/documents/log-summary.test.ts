/** The signed summary of the access log: its vector, its page, and what is none. */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { documentMessage } from '../../src/documents/document.ts';
import { logSummaryMessage, openLogSummary, signLogSummary } from '../../src/documents/log-summary.ts';
import { fromBase64, sha256Hex, toBase64, utf8 } from '../../src/domain/bytes.ts';
import { canonicalJson } from '../../src/domain/json.ts';
import { formatVectors, pageBlocks } from '../domain/format-vectors.ts';

const { key, summary } = formatVectors<{
  readonly key: { readonly seed: string; readonly spki: string };
  readonly summary: { readonly bytes: string; readonly message: string; readonly signature: string };
}>('log-summary.json');
const pkcs8 = Buffer.from(`302e020100300506032b657004220420${key.seed}`, 'hex');
const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
const publicKey = createPublicKey({ key: Buffer.from(fromBase64(key.spki)), format: 'der', type: 'spki' });
const signWith = async (text: Uint8Array) => new Uint8Array(sign(null, text, privateKey));
const invalid = expect.objectContaining({ code: 'document_invalid' });
const body = JSON.parse(summary.bytes);

async function read(changed: object) {
  const bytes = canonicalJson({ ...body, ...changed });
  return openLogSummary({ bytes, signature: await signWith(logSummaryMessage(bytes)) }, publicKey);
}

test('it has the message and the signature of the vector, and the page shows it', async () => {
  expect(sha256Hex(logSummaryMessage(utf8(summary.bytes)))).toBe(summary.message);
  const said = openLogSummary({ bytes: utf8(summary.bytes), signature: fromBase64(summary.signature) }, publicKey);
  const again = await signLogSummary(said, signWith);
  expect([Buffer.from(again.bytes).toString(), toBase64(again.signature)]).toEqual([summary.bytes, summary.signature]);
  const [shown] = pageBlocks('log-summary.md');
  expect(canonicalJson(JSON.parse(shown ?? ''))).toEqual(canonicalJson(said));
});

test.each([
  ...[{ more: 1 }, { v: 2 }, { size: 0 }, { size: '9' }, { root: 7 }, { origin: '' }, { slots: {} }, { slots: [{ counter: 1 }] }],
  ...[{ slots: [{ ...body.slots[0], counter: 0 }] }, { stops: [{ ...body.stops[0], createdAtMs: -1 }] }, { stops: undefined }],
])('with %j it is none, also when it is signed', async (changed) => {
  await expect(read(changed)).rejects.toEqual(invalid);
});

test('neither a changed byte, nor another key, nor the signature of a document of the same bytes is believed', async () => {
  const bytes = utf8(summary.bytes);
  const open = (over: object) => () => openLogSummary({ bytes, signature: fromBase64(summary.signature), ...over }, publicKey);
  expect(open({})).not.toThrow();
  for (const at of [0, bytes.length >> 1, bytes.length - 1])
    expect(open({ bytes: bytes.map((byte, where) => (where === at ? byte ^ 1 : byte)) })).toThrow(invalid);
  expect(open({ signature: await signWith(documentMessage('log-retention', bytes)) })).toThrow(invalid);
  expect(open({ signature: new Uint8Array(0) })).toThrow(invalid);
});
