/** Structures no honest TPM makes, built by hand: each would be accepted by a reader that skips one rule. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { parseTpm2Evidence } from '../../src/attestation/tpm2/evidence.ts';
import { ATTRIBUTES, parsePublicArea } from '../../src/attestation/tpm2/public-area.ts';
import { parseQuote, type Quote } from '../../src/attestation/tpm2/quote.ts';
import { sized, u16, u32 } from '../../src/attestation/tpm2/reader.ts';
import { parseSignature, signatureVerifies } from '../../src/attestation/tpm2/signature.ts';
import { checkAttestationKey } from '../../src/attestation/tpm2/verifier.ts';
import { verifyExtraData, verifyQuoteSignature } from '../../src/attestation/tpm2/verify-quote.ts';
import { concat, fromBase64 } from '../../src/domain/bytes.ts';
import { isRefusal } from '../../src/domain/evidence.ts';
import { captured } from './samples.ts';

describe('a quote', () => {
  const quote = parseQuote(fromBase64(captured.genuine.ecc.quote));
  const head = quote.bytes.slice(0, -(4 + 6 + 2 + 32)); // count, one bank of three bytes, digest
  const bank = (id: number, ...bitmap: number[]) => concat(u16(id), Uint8Array.of(bitmap.length, ...bitmap));
  const build = (count: number, ...banks: Uint8Array[]) => concat(head, u32(count), ...banks, sized(new Uint8Array(32)));

  test('is read when built honestly', () =>
    expect(parseQuote(build(1, bank(0x0b, 1, 0, 0))).selection).toEqual([{ bank: 'sha256', indexes: [0] }]));
  test.each([
    ['the same bank twice', 2, [bank(0x0b, 1, 0, 0), bank(0x0b, 2, 0, 0)], 'twice'],
    ['PCR 24', 1, [bank(0x0b, 0, 0, 0, 1)], 'above 23'],
    ['a bitmap of five bytes', 1, [bank(0x0b, 1, 0, 0, 0, 0)], 'longer than'],
    ['an unknown bank', 1, [bank(0x12, 1, 0, 0)], 'PCR bank'],
    ['more banks than there are', 4, [], 'more PCR banks'],
    ['a count of four thousand million', 0xffffffff, [], 'more PCR banks'],
  ] as const)('is refused with %s', (_name, count, banks, message) => expect(() => parseQuote(build(count, ...banks))).toThrow(message));

  test('of another type is refused, whatever follows', () => {
    const certify = Uint8Array.from(quote.bytes, (byte, at) => (at === 5 ? 0x17 : byte));
    expect(() => parseQuote(certify)).toThrow('not a quote');
  });

  test('signed by another scheme than the key is made for is refused, although it verifies', () => {
    const { akPublic, signature } = captured.genuine.ecc;
    const signed = { quote, signature: parseSignature(fromBase64(signature)) };
    const { key } = parsePublicArea(fromBase64(akPublic));
    expect(verifyQuoteSignature(signed, key, { name: 'ecdsa', hash: 'sha256' })).toBe(undefined);
    for (const scheme of [
      { name: 'ecdsa', hash: 'sha384' },
      { name: 'rsapss', hash: 'sha256' },
    ] as const) {
      expect(verifyQuoteSignature(signed, key, scheme)?.code).toBe('evidence_signature_invalid');
    }
  });

  test('without extraData never verifies, not even where nothing is expected', () => {
    const empty: Quote = { ...quote, extraData: new Uint8Array(0) };
    expect(verifyExtraData(empty, new Uint8Array(0))?.code).toBe('evidence_binding_mismatch');
  });
});

describe('a public area', () => {
  const genuine = fromBase64(captured.genuine.rsa.akPublic);
  const parameters = genuine.length - 2 - 256 - 4 - 2; // key bits, exponent, then the modulus behind its size
  const patch = (at: number, ...bytes: number[]) => Uint8Array.from(genuine, (byte, i) => bytes[i - at] ?? byte);

  test('may state its exponent', () => expect(parsePublicArea(patch(parameters + 2, 0, 1, 0, 1)).type).toBe('rsa'));
  test.each([
    ['exponent 3', patch(parameters + 2, 0, 0, 0, 3), 'exponent'],
    ['1024 bits', patch(parameters, 4, 0), 'RSA of 1024 bits'],
    ['3072 bits and a modulus of 2048', patch(parameters, 12, 0), 'not as long as stated'],
    ['a modulus with a zero in front', patch(genuine.length - 256, 0), 'not as long as stated'],
    ['a SHA-1 name', patch(4, 0, 4), 'hash algorithm'],
    ['another key type', patch(2, 0, 8), 'neither'],
  ] as const)('is refused with %s', (_name, bytes, message) => expect(() => parsePublicArea(bytes)).toThrow(message));

  test('is refused with a point that is not on its curve', () => {
    const ecc = fromBase64(captured.genuine.ecc.akPublic);
    const off = Uint8Array.from(ecc, (byte, at) => (at === ecc.length - 1 ? byte ^ 1 : byte));
    expect(() => parsePublicArea(off)).toThrow('not a valid public key');
  });

  test('lacking any one attribute, or with decrypt, is no attestation key', () => {
    const ak = parsePublicArea(genuine);
    expect(checkAttestationKey(ak)).toBe(undefined);
    for (const name of ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'sign'] as const) {
      expect([name, checkAttestationKey({ ...ak, attributes: ak.attributes & ~ATTRIBUTES[name] })?.code]).toEqual([
        name,
        'attester_key_unsuitable',
      ]);
    }
    expect(checkAttestationKey({ ...ak, attributes: ak.attributes | ATTRIBUTES.decrypt })?.code).toBe('attester_key_unsuitable');
    const { scheme: _, ...open } = ak;
    expect(checkAttestationKey(open)?.code).toBe('attester_key_unsuitable');
  });
});

describe('a signature', () => {
  const data = new Uint8Array(10);
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ecdsa = (r: Uint8Array, s: Uint8Array) => parseSignature(concat(u16(0x18), u16(0x0b), sized(r), sized(s)));
  const withoutZeros = (bytes: Uint8Array) => bytes.slice(bytes.findIndex((byte) => byte !== 0));

  test('verifies with r or s shorter than the field, as TPMs may send them', () => {
    for (let short = 0; short < 2; ) {
      const p1363 = new Uint8Array(sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' }));
      const [r, s] = [withoutZeros(p1363.slice(0, 32)), withoutZeros(p1363.slice(32))];
      expect(signatureVerifies(data, ecdsa(r, s), publicKey)).toBe(true);
      if (r.length < 32 || s.length < 32) short++;
    }
  });
  test('does not verify with r or s longer than the field, zero, or of another key type', () => {
    const p1363 = new Uint8Array(sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' }));
    const [r, s] = [p1363.slice(0, 32), p1363.slice(32)];
    expect(signatureVerifies(data, ecdsa(concat(new Uint8Array(1), r), s), publicKey)).toBe(false);
    expect(signatureVerifies(data, ecdsa(new Uint8Array(32), s), publicKey)).toBe(false);
    expect(signatureVerifies(data, ecdsa(r, s), generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)).toBe(false);
    expect(() => ecdsa(new Uint8Array(0), s)).toThrow('empty');
    expect(() => ecdsa(new Uint8Array(49), s)).toThrow('at most 48');
  });
});

test('a "__proto__" member is an unknown member at every depth', () => {
  const text = JSON.stringify(captured.genuine.ecc);
  for (const place of ['{"quote"', '"pcrs":{', '"sha256":{']) {
    const spot = text.indexOf(place) + place.indexOf('{') + 1;
    const body = JSON.parse(`${text.slice(0, spot)}"__proto__":{"0":"00"},${text.slice(spot)}`);
    const answer = parseTpm2Evidence(body);
    expect([place, isRefusal(answer) && answer.code]).toEqual([place, 'evidence_malformed']);
  }
});
