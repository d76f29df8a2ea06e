/** Certificates read strictly: one spelling, exact bytes, roots by fingerprint. */
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isIssuedBy, readCertificate } from '../../src/attestation/x509/certificate.ts';
import { Malformed, oidText, parseDer, timeOf } from '../../src/attestation/x509/der.ts';
import { intelPckAuthorities } from '../../src/attestation/x509/intel-pck-authorities.ts';
import { nameText, partOf } from '../../src/attestation/x509/names.ts';
import { IssuerMemo, pathToRoot } from '../../src/attestation/x509/path.ts';
import { derOrPem, readPem } from '../../src/attestation/x509/pem.ts';
import { ecdsaVerifies, readPublicKey } from '../../src/attestation/x509/signature.ts';
import { ca, certSign, issue, notCa, unknownCritical } from './test-ca.ts';

const LIMITS = { maxBytes: 8192, maxNodes: 400 };
const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const root = await issue({ name: 'root', extensions: [ca(1), certSign] });
const middle = await issue({ name: 'middle', issuer: root, extensions: [ca(0), certSign] });
const leaf = await issue({ name: 'leaf', issuer: middle, extensions: [notCa] });
const read = ({ der }: { der: Uint8Array }) => readCertificate(der);

describe('DER', () => {
  test.each([
    ['a length in more bytes than it needs', '30 81 03 02 01 05'],
    ['a length with a leading zero byte', `04 82 00 80 ${'00'.repeat(128)}`],
    ['an indefinite length', '30 80 02 01 05 00 00'],
    ['a constructed octet string', '24 03 04 01 00'],
    ['bytes behind the end', '02 01 05 00'],
    ['a length beyond the end', '30 05 02 01 05'],
    ['an integer with a needless zero', '02 02 00 05'],
    ['an integer with a needless ff', '02 02 ff 85'],
    ['an empty integer', '02 00'],
    ['a boolean that is neither', '01 01 01'],
    ['a null with contents', '05 01 00'],
    ['a bit string whose unused bits are set', '03 02 01 01'],
    ['a bit string with eight unused bits', '03 02 08 00'],
    ['an object identifier with a needless 80', '06 02 80 01'],
    ['an object identifier that ends in the middle', '06 02 2a 86'],
    ['a primitive sequence', '10 03 02 01 05'],
    ['a tag above 30', '1f 21 00'],
    ['end of contents', '00 00'],
    ['nothing', ''],
  ])('refuses %s', (_, bytes) => {
    expect(() => parseDer(hex(bytes), LIMITS)).toThrow(Malformed);
  });

  test('is bounded in depth, in parts and in bytes', () => {
    const nested = (depth: number): Uint8Array => {
      const inner = depth === 0 ? new Uint8Array(0) : nested(depth - 1);
      return inner.length < 128 ? Uint8Array.of(0x30, inner.length, ...inner) : Uint8Array.of(0x30, 0x81, inner.length, ...inner);
    };
    expect(parseDer(nested(20), LIMITS).tag).toBe(0x30);
    expect(() => parseDer(nested(40), LIMITS)).toThrow('nested too deep');
    const flat = Uint8Array.of(0x30, 0x82, 0x04, 0x00, ...Array.from({ length: 512 }, () => [5, 0]).flat());
    expect(() => parseDer(flat, LIMITS)).toThrow('too many parts');
    expect(() => parseDer(new Uint8Array(8193), LIMITS)).toThrow('longer than');
  });

  test('answers any bytes with a tree or Malformed, never with anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          expect(parseDer(bytes, LIMITS).whole).toEqual(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(Malformed);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('reads times only as certificates write them, and only if they exist', () => {
    const time = (tag: number, text: string) => timeOf(parseDer(Uint8Array.of(tag, text.length, ...Buffer.from(text)), LIMITS));
    expect(time(0x17, '491231235959Z').toISOString()).toBe('2049-12-31T23:59:59.000Z');
    expect(time(0x17, '500101000000Z').toISOString()).toBe('1950-01-01T00:00:00.000Z');
    expect(time(0x18, '99991231235959Z').toISOString()).toBe('9999-12-31T23:59:59.000Z');
    for (const wrong of ['2602300000Z', '260230000000Z', '260101240000Z', '260101000000+0100', '26010100000Z']) {
      expect(() => time(0x17, wrong)).toThrow(Malformed);
    }
  });

  test('writes object identifiers of every first arc', () => {
    expect(oidText(parseDer(hex('06 03 55 1d 13'), LIMITS))).toBe('2.5.29.19');
    expect(oidText(parseDer(hex('06 0a 2b 06 01 04 01 9c 78 01 03 08'), LIMITS))).toBe('1.3.6.1.4.1.3704.1.3.8');
    expect(oidText(parseDer(hex('06 01 00'), LIMITS))).toBe('0.0');
  });
});

describe('a certificate', () => {
  test('says who issued it, over the exact bytes', () => {
    expect(nameText(read(leaf).subject)).toBe('CN=leaf');
    expect(partOf(read(leaf).issuer, 'CN')).toBe('middle');
    expect(isIssuedBy(read(leaf), read(middle))).toBe(true);
    expect(isIssuedBy(read(leaf), read(root))).toBe(false);
  });

  test('no single flipped bit, in any byte, leaves a certificate that its issuer signed', () => {
    const issuer = read(middle);
    for (const [at] of leaf.der.entries()) {
      const damaged = leaf.der.slice();
      damaged[at] = (damaged[at] ?? 0) ^ (1 << ((at * 5) % 8));
      let isGood = false;
      try {
        isGood = isIssuedBy(readCertificate(damaged), issuer);
      } catch (error) {
        expect(error).toBeInstanceOf(Malformed);
      }
      expect([at, isGood]).toEqual([at, false]);
    }
  });

  test('cut anywhere, it is malformed', () => {
    for (const [length] of leaf.der.entries()) expect(() => readCertificate(leaf.der.slice(0, length))).toThrow(Malformed);
  });

  test('does not change with the bytes that it was read from', () => {
    const bytes = leaf.der.slice();
    const certificate = readCertificate(bytes);
    bytes.fill(0);
    expect(isIssuedBy(certificate, read(middle))).toBe(true);
  });

  test('signed with SHA-1, it is refused', async () => {
    const weak = await issue({ name: 'weak', issuer: root, hash: 'SHA-1' });
    expect(() => read(weak)).toThrow('not accepted');
  });
});

function rsaWithExponent(exponent: Buffer) {
  const { n = '' } = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });
  return createPublicKey({ format: 'jwk', key: { kty: 'RSA', n, e: exponent.toString('base64url') } });
}

describe('a public key', () => {
  test('on a curve with parameters of its own is refused, even when they are those of P-256', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' });
    expect(() => readPublicKey(new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })))).toThrow(Malformed);
  });

  test.each([
    ['RSA of 1024 bits', () => generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey],
    ['RSA with an exponent of 33 bits', () => rsaWithExponent(Buffer.from('0100000001', 'hex'))],
    ['RSA with an exponent as long as its modulus', () => rsaWithExponent(Buffer.alloc(255, 0xff))],
    ['Ed25519', () => generateKeyPairSync('ed25519').publicKey],
    ['secp256k1', () => generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey],
  ])('of kind %s is refused', (_, make) => {
    expect(() => readPublicKey(new Uint8Array(make().export({ format: 'der', type: 'spki' })))).toThrow('not accepted');
  });

  test('refuses r or s that is zero, not below the order, or of another width', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = createPublicKey(publicKey.export({ format: 'pem', type: 'spki' }));
    const one = hex(`${'00'.repeat(31)}01`);
    const order = hex('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
    for (const wrong of [new Uint8Array(32), order, new Uint8Array(32).fill(0xff), one.slice(1), new Uint8Array(48).fill(1)]) {
      expect(ecdsaVerifies('sha256', hex('00'), { r: wrong, s: one }, key)).toBe(false);
      expect(ecdsaVerifies('sha256', hex('00'), { r: one, s: wrong }, key)).toBe(false);
    }
  });
});

describe('a path', () => {
  const memo = new IssuerMemo();
  const path = (certificate: { der: Uint8Array }, issuers: Array<{ der: Uint8Array }>, roots = [root]) =>
    pathToRoot(read(certificate), { issuers: issuers.map(read), roots: roots.map(read), memo })?.map(({ subject }) => nameText(subject));

  test('leads through the issuers that were sent, in any order, with or without the root among them', () => {
    expect(path(leaf, [middle])).toEqual(['CN=leaf', 'CN=middle', 'CN=root']);
    expect(path(leaf, [root, middle])).toEqual(['CN=leaf', 'CN=middle', 'CN=root']);
    expect(path(root, [])).toEqual(['CN=root']);
    expect(path(leaf, [])).toBeUndefined();
  });

  test('does not lead to a root of the same name with another key', async () => {
    const lookalike = await issue({ name: 'root', extensions: [ca(1), certSign] });
    const impostor = await issue({ name: 'middle', issuer: lookalike, extensions: [ca(0), certSign] });
    const forged = await issue({ name: 'leaf', issuer: impostor, extensions: [notCa] });
    expect(path(forged, [impostor, lookalike])).toBeUndefined();
    expect(path(leaf, [middle, lookalike], [lookalike])).toBeUndefined();
  });

  test('ends at what is no authority, at too long a path, and at what nobody here understands', async () => {
    const below = await issue({ name: 'below', issuer: leaf, extensions: [notCa] });
    expect(path(below, [leaf, middle])).toBeUndefined();
    const third = await issue({ name: 'third', issuer: middle, extensions: [ca(), certSign] });
    const deep = await issue({ name: 'deep', issuer: third, extensions: [notCa] });
    expect(path(deep, [third, middle])).toBeUndefined(); // middle allows no authority below itself
    const strange = await issue({ name: 'strange', issuer: root, extensions: [ca(), certSign, unknownCritical] });
    expect(path(await issue({ name: 'x', issuer: strange, extensions: [notCa] }), [strange])).toBeUndefined();
    const known = await issue({ name: 'y', issuer: middle, extensions: [notCa, unknownCritical] });
    expect(path(known, [middle])).toBeUndefined();
    const inputs = { issuers: [read(middle)], roots: [read(root)], memo, knownCritical: [unknownCritical.type] };
    expect(pathToRoot(read(known), inputs)).toHaveLength(3); // whoever asks understands it
  });
});

describe('PEM', () => {
  const [first = new Uint8Array(0)] = intelPckAuthorities();
  const pem = `-----BEGIN CERTIFICATE-----\n${Buffer.from(first).toString('base64')}\n-----END CERTIFICATE-----\n`;

  test('gives the certificates in their order, with either line end', () => {
    expect(readPem(pem + pem.replaceAll('\n', '\r\n'), 'CERTIFICATE', 2)).toEqual([first, first]);
  });

  test('may be explained in a file, and is still whole there', () => {
    const read = (text: string) => derOrPem(new Uint8Array(Buffer.from(text)), 'CERTIFICATE', 2);
    expect(read(`# from https://example.com/ca\n\n${pem}subject=CN = a, O = b\r\n${pem}the end`)).toEqual([first, first]);
    const [begin = '', body = '', end = ''] = pem.split('\n');
    const damaged = [`${begin.slice(1)}\n${body}\n${end}\n`, `x${begin}\n${body}\n${end}\n`, `${body}\n`, `${body.slice(0, 60)}\n`, '--\n'];
    for (const part of damaged) expect(() => read(`${part}${pem}`)).toThrow(Malformed);
    for (const part of [`${begin}\n${body}\n`, `${begin}\n${body}\nx${end}\n`]) expect(() => read(`${pem}${part}`)).toThrow(Malformed);
    expect(() => read('nothing but text')).toThrow(Malformed);
  });

  test.each([
    ['text before it', `x${pem}`],
    ['text behind it', `${pem}x`],
    ['another label', pem.replaceAll('CERTIFICATE', 'X509 CRL')],
    ['two labels', pem.replace('END CERTIFICATE', 'END X509 CRL')],
    ['more blocks than allowed', pem + pem],
    ['unused bits that are set', '-----BEGIN CERTIFICATE-----\nAB==\n-----END CERTIFICATE-----\n'],
    ['padding in the middle', '-----BEGIN CERTIFICATE-----\nAA==\nAA==\n-----END CERTIFICATE-----\n'],
    ['nothing', ''],
  ])('refuses %s', (_, text) => {
    expect(() => readPem(text, 'CERTIFICATE', 1)).toThrow(Malformed);
  });
});
