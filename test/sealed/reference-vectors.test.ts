import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { hkdfExpandSha384 } from '../../src/sealed/kdf.ts';
import { openStream, sealStream } from '../../src/sealed/stream.ts';
import { collect, hex, secret } from './support.ts';

// Origin: ../shared/vectors/README.md (the FLOE reference implementations; C2SP Wycheproof). Read in place, never copied.
const shared = new URL('../../../shared/vectors/', import.meta.url);
const floe = new URL('floe/', shared);
const wycheproof = new URL('wycheproof/', shared);
const aad = new TextEncoder().encode('This is AAD');
const read = (name: string): Uint8Array => hex(readFileSync(new URL(name, floe), 'utf8').trim());

if (!existsSync(floe)) {
  test.skip('opens what the FLOE reference implementations sealed (../shared/vectors is not here)', () => undefined);
} else {
  const names = readdirSync(floe).flatMap((file) => (file.endsWith('_ct.txt') ? [file.slice(0, -'_ct.txt'.length)] : []));
  describe.each(names)('FLOE reference vector %s', (name) => {
    const rotationMask = name.includes('rotation') ? 2 : 20;
    const [sealed, plain] = [read(`${name}_ct.txt`), read(`${name}_pt.txt`)];
    const segmentBytes = Buffer.from(sealed).readUInt32BE(2);
    test('opens to the stated plaintext', async () => {
      expect(await collect(openStream([sealed], { key: secret(new Uint8Array(32)), aad, rotationMask }))).toEqual(plain);
    });
    test('survives our own seal and open at the same parameters', async () => {
      const key = secret(new Uint8Array(32));
      const ours = await collect(sealStream([plain], { key, aad, rotationMask, segmentBytes }));
      expect(ours.subarray(0, 10)).toEqual(sealed.subarray(0, 10));
      expect(await collect(openStream([ours], { key, aad, rotationMask }))).toEqual(plain);
    });
  });
  test('has all eight reference objects', () => expect(names.length).toBeGreaterThanOrEqual(8));
}

interface Wycheproof<T> {
  testGroups: Array<{ keySize: number; ivSize?: number; tagSize?: number; tests: Array<T & { tcId: number; result: string }> }>;
}
const suite = <T>(name: string): Wycheproof<T>['testGroups'] =>
  (JSON.parse(readFileSync(new URL(name, wycheproof), 'utf8')) as Wycheproof<T>).testGroups; // a public, fixed schema

if (!existsSync(wycheproof)) {
  test.skip('agrees with Wycheproof on the primitives used (../shared/vectors is not here)', () => undefined);
} else {
  test('AES-256-GCM with 96-bit IVs agrees with Wycheproof', () => {
    type Case = Record<'key' | 'iv' | 'aad' | 'msg' | 'ct' | 'tag', string>;
    const groups = suite<Case>('aes_gcm_test.json').filter((g) => g.keySize === 256 && g.ivSize === 96 && g.tagSize === 128);
    const cases = groups.flatMap((group) => group.tests);
    expect(cases.length).toBeGreaterThan(50);
    for (const c of cases) {
      const decipher = createDecipheriv('aes-256-gcm', hex(c.key), hex(c.iv), { authTagLength: 16 });
      decipher.setAAD(hex(c.aad)).setAuthTag(hex(c.tag));
      const plain = decipher.update(c.ct, 'hex', 'hex');
      if (c.result !== 'valid') {
        expect(() => decipher.final()).toThrow();
        continue;
      }
      decipher.final();
      const cipher = createCipheriv('aes-256-gcm', hex(c.key), hex(c.iv), { authTagLength: 16 });
      cipher.setAAD(hex(c.aad));
      expect([c.tcId, plain, cipher.update(c.msg, 'hex', 'hex')]).toEqual([c.tcId, c.msg, c.ct]);
      cipher.final();
      expect(cipher.getAuthTag().toString('hex')).toBe(c.tag);
    }
  });

  test('HMAC-SHA-384 agrees with Wycheproof', () => {
    const groups = suite<Record<'key' | 'msg' | 'tag', string>>('hmac_sha384_test.json');
    const cases = groups.flatMap((group) => group.tests);
    expect(cases.length).toBeGreaterThan(50);
    for (const c of cases) {
      const tag = createHmac('sha384', hex(c.key)).update(hex(c.msg)).digest('hex').slice(0, c.tag.length);
      expect([c.tcId, tag === c.tag]).toEqual([c.tcId, c.result === 'valid']);
    }
  });

  test('HKDF-Expand-SHA-384 over an extracted key agrees with Wycheproof', () => {
    const groups = suite<Record<'ikm' | 'salt' | 'info' | 'okm', string> & { size: number }>('hkdf_sha384_test.json');
    const cases = groups.flatMap((group) => group.tests).filter((c) => c.result === 'valid' && c.size <= 48);
    expect(cases.length).toBeGreaterThan(20);
    for (const c of cases) {
      const prk = createHmac('sha384', c.salt === '' ? new Uint8Array(48) : hex(c.salt))
        .update(hex(c.ikm))
        .digest();
      expect([c.tcId, Buffer.from(hkdfExpandSha384(prk, [hex(c.info)], c.size)).toString('hex')]).toEqual([c.tcId, c.okm]);
    }
  });
}

test('expands to 1 to 48 bytes and refuses anything else', () => {
  for (const length of [0, 49, 1.5, -1, Number.NaN]) expect(() => hkdfExpandSha384(new Uint8Array(32), [], length)).toThrow(RangeError);
});
