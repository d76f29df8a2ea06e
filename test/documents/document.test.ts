import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BODY_SCHEMAS, type Bodies } from '../../src/documents/bodies.ts';
import { documentMessage, signDocument, verifyDocument } from '../../src/documents/document.ts';
import { DOCUMENT_KINDS, type DocumentKind, type SignedDocument } from '../../src/documents/port.ts';
import { fromBase64, fromHex, sha256Hex, toBase64, toHex, utf8 } from '../../src/domain/bytes.ts';
import type { Digest } from '../../src/domain/ids.ts';
import { canonicalJson } from '../../src/domain/json.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { floeAad, objectKey } from '../../src/sealed/object-key.ts';
import { openStream } from '../../src/sealed/stream.ts';
import { formatVectors, pageBlocks } from '../domain/format-vectors.ts';

interface Vectors {
  readonly key: { readonly seed: string; readonly spki: string };
  readonly documents: ReadonlyArray<{
    readonly kind: DocumentKind;
    readonly bytes: string;
    readonly digest: Digest;
    readonly message: string;
    readonly signature: string;
  }>;
}
const vectors = formatVectors<Vectors>('documents.json');
const PKCS8_ED25519 = '302e020100300506032b657004220420'; // RFC 8410: what stands before the 32 bytes of an Ed25519 key
const privateKey = createPrivateKey({ key: Buffer.from(PKCS8_ED25519 + vectors.key.seed, 'hex'), format: 'der', type: 'pkcs8' });
const publicKey = createPublicKey({ key: Buffer.from(fromBase64(vectors.key.spki)), format: 'der', type: 'spki' });

const documents: readonly SignedDocument[] = vectors.documents.map(({ kind, bytes, digest, signature }) => {
  return { kind, digest, bytes: utf8(bytes), signature: fromBase64(signature) };
});
const signWith = (key: KeyObject) => async (message: Uint8Array) => new Uint8Array(sign(null, message, key));
const documentOf = (kind: DocumentKind): SignedDocument => {
  const found = documents.find((one) => one.kind === kind);
  if (found === undefined) throw new Error(`no vector of kind ${kind}`);
  return found;
};
const invalid = expect.objectContaining({ code: 'document_invalid' });
const check = (document: SignedDocument, kind = document.kind, key: KeyObject = publicKey) =>
  verifyDocument(document, { kind, digest: sha256Hex(document.bytes) as Digest }, key);

/** Members whose absence says something: an administrator without an authenticator may set one up. */
const OPTIONAL = new Set(['administrator authenticator']);

/** A document that is signed properly, whatever its bytes say. */
function signedBytes(kind: DocumentKind, bytes: Uint8Array): SignedDocument {
  const signature = new Uint8Array(sign(null, documentMessage(kind, bytes), privateKey));
  return { kind, digest: sha256Hex(bytes) as Digest, bytes, signature };
}
const bodyOf = (kind: DocumentKind) => JSON.parse(Buffer.from(documentOf(kind).bytes).toString()) as Record<string, unknown>;

/** With vectors of their own: key-documents.test.ts, log-documents.test.ts. */
const ELSEWHERE: readonly string[] = [
  ...['recovery-key', 'version-destruction'],
  ...['log-retention', 'closed-log', 'log-sinks', 'alert-rules', 'alert-delivery', 'decoy'],
];

describe('the vectors', () => {
  test('have one document of every kind', () => {
    expect(documents.map((one) => one.kind).sort()).toEqual(DOCUMENT_KINDS.filter((kind) => !ELSEWHERE.includes(kind)).sort());
  });

  test.each(vectors.documents)(
    '$kind: message, digest and signature are reproduced',
    async ({ kind, bytes, digest, message, signature }) => {
      expect(sha256Hex(documentMessage(kind, utf8(bytes)))).toBe(message);
      const body = verifyDocument(documentOf(kind), { kind, digest }, publicKey);
      const again = await signDocument(kind, body, signWith(privateKey));
      expect([again.digest, Buffer.from(again.bytes).toString(), toBase64(again.signature)]).toEqual([digest, bytes, signature]);
    },
  );
});

describe('the pages', () => {
  test('docs/formats/documents.md shows every kind, and each example is the vector', () => {
    const shown = pageBlocks('documents.md')
      .filter((block) => block.startsWith('{'))
      .map((block) => sha256Hex(canonicalJson(JSON.parse(block))));
    const watch = formatVectors<Vectors>('documents-watch.json').documents.filter((one) => one.kind === 'log-sinks');
    const digests = [...documents.filter((one) => one.kind !== 'manifest'), ...watch].map((one) => one.digest);
    expect(shown.sort()).toEqual(digests.sort());
  });

  test('docs/formats/manifest.md begins with the vector, and states its digest and signature', () => {
    const [example = '', facts = ''] = pageBlocks('manifest.md');
    const { bytes, digest, signature } = documentOf('manifest');
    expect(Buffer.from(canonicalJson(JSON.parse(example))).toString()).toBe(Buffer.from(bytes).toString());
    expect(facts).toContain(digest);
    expect(facts).toContain(toBase64(signature));
  });

  test('the object of the example manifest is a real one: stored, it opens to the size and digest the manifest names', async () => {
    const stored = formatVectors<{ dek: string; plaintext: string; objectKey: string; aad: string; object: string }>(
      'sealed-manifest-object.json',
    );
    const manifest = check(documentOf('manifest')) as Bodies['manifest'];
    const [object] = manifest.objects;
    if (object === undefined) throw new Error('the example has no object');
    using dek = new SecretBytes(fromHex(stored.dek));
    using key = objectKey(dek, manifest.versionId, object.path);
    const aad = floeAad(manifest.namespace, manifest.versionId, object.path);
    expect([key.expose(toHex), toHex(aad)]).toEqual([stored.objectKey, stored.aad]);
    const ciphertext = fromHex(stored.object);
    expect(object.units).toEqual([{ ciphertextSha256: sha256Hex(ciphertext), bytes: ciphertext.length }]);
    expect(toBase64(ciphertext.slice(0, 74))).toBe(object.header);
    const plain: Uint8Array[] = [];
    for await (const chunk of openStream([ciphertext], { key, aad })) plain.push(Uint8Array.from(chunk));
    const all = Buffer.concat(plain);
    expect([all.toString(), all.length, createHash('sha256').update(all).digest('hex')]).toEqual([
      stored.plaintext,
      object.size,
      object.sha256,
    ]);
  });
});

describe.each(documents)('a document of kind $kind', (document) => {
  test('is refused as any other kind', () => {
    for (const kind of DOCUMENT_KINDS.filter((one) => one !== document.kind)) {
      expect(() => check(document, kind)).toThrow(invalid);
      expect(() => check({ ...document, kind }, kind)).toThrow(invalid); // relabelled: the kind is inside what is signed
    }
  });

  test('is refused when another digest was asked for', () => {
    const digest = sha256Hex(utf8('another')) as Digest;
    expect(() => verifyDocument(document, { kind: document.kind, digest }, publicKey)).toThrow(invalid);
    expect(() => verifyDocument({ ...document, digest }, { kind: document.kind, digest }, publicKey)).toThrow(invalid);
  });

  test('is refused with any byte altered, even when the digest is made to fit', () => {
    fc.assert(
      fc.property(fc.nat({ max: document.bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = Uint8Array.from(document.bytes, (byte, index) => (index === at ? byte ^ flip : byte));
        expect(() => check({ ...document, bytes })).toThrow(invalid);
      }),
      { numRuns: 50 },
    );
  });

  test('is refused cut short, or with something behind it', () => {
    expect(() => check({ ...document, bytes: document.bytes.slice(0, -1) })).toThrow(invalid);
    expect(() => check({ ...document, bytes: Uint8Array.of(...document.bytes, 0x20) })).toThrow(invalid);
    expect(() => check({ ...document, bytes: new Uint8Array(0) })).toThrow(invalid);
  });

  test('is refused with another signature: altered, cut, empty, of another document, by another key', async () => {
    const other = generateKeyPairSync('ed25519');
    const message = documentMessage(document.kind, document.bytes);
    const elsewhere = documents.find((one) => one.kind !== document.kind)?.signature ?? new Uint8Array(64);
    const signatures = [
      Uint8Array.from(document.signature, (byte, at) => (at === 63 ? byte ^ 1 : byte)),
      document.signature.slice(0, 63),
      Uint8Array.of(...document.signature, 0),
      new Uint8Array(0),
      new Uint8Array(64),
      elsewhere,
      await signWith(other.privateKey)(message),
      await signWith(privateKey)(document.bytes), // the bare bytes, without label and kind
    ];
    for (const signature of signatures) expect(() => check({ ...document, signature })).toThrow(invalid);
    expect(() => check(document, document.kind, other.publicKey)).toThrow(invalid);
  });

  test('is refused, though properly signed, with a member more, a member less, another version, or not canonical', () => {
    const body = bodyOf(document.kind);
    const spellings = [
      canonicalJson({ ...body, more: 1 }),
      canonicalJson({ ...body, v: 2 }),
      canonicalJson({ ...body, vaultId: 'not an id' }),
      ...Object.keys(body)
        .filter((member) => !OPTIONAL.has(`${document.kind} ${member}`))
        .map((member) => canonicalJson({ ...body, [member]: undefined })),
      utf8(JSON.stringify(body, null, 1)),
      utf8(`${JSON.stringify({ v: 1 }).slice(0, -1)},${Buffer.from(document.bytes).toString().slice(1)}`), // `v` twice
    ];
    for (const bytes of spellings) expect(() => check(signedBytes(document.kind, bytes))).toThrow(invalid);
  });
});

describe('a manifest', () => {
  test.each(['../a', 'a\\b', 'a//b', '/a', 'a\u0000'])('with the object path %j is refused, though properly signed', (path) => {
    const body = bodyOf('manifest') as unknown as Bodies['manifest'];
    const bytes = canonicalJson({ ...body, objects: body.objects.map((object) => ({ ...object, path })) });
    expect(() => check(signedBytes('manifest', bytes))).toThrow(invalid);
  });

  test('without objects, or of an unknown class or suite, is refused', () => {
    const body = bodyOf('manifest');
    for (const change of [{ objects: [] }, { class: 'secret' }, { suite: { id: 'none', segmentBytes: 1, rotationMask: 0 } }]) {
      expect(() => check(signedBytes('manifest', canonicalJson({ ...body, ...change })))).toThrow(invalid);
    }
  });
});

describe('signing', () => {
  test('signs nothing that could not be read back', async () => {
    const signed: Uint8Array[] = [];
    const body = { ...bodyOf('release'), expiresAt: 'tomorrow' } as unknown as Bodies['release'];
    const sign = async (message: Uint8Array) => {
      signed.push(message);
      return new Uint8Array(64);
    };
    await expect(signDocument('release', body, sign)).rejects.toThrow();
    expect(signed).toEqual([]);
  });

  test('has a schema for every kind', () => {
    expect(Object.keys(BODY_SCHEMAS).sort()).toEqual([...DOCUMENT_KINDS].sort());
  });

  test('the messages of two documents never coincide', () => {
    const kind = fc.constantFrom(...DOCUMENT_KINDS);
    const bytes = fc.uint8Array({ maxLength: 8 });
    fc.assert(
      fc.property(kind, kind, bytes, bytes, (a, b, x, y) => {
        expect(toHex(documentMessage(a, x)) === toHex(documentMessage(b, y))).toBe(a === b && toHex(x) === toHex(y));
      }),
    );
  });
});
