/** Quotes as a TPM would sign them, by keys of our own: any PCR values, nonce, scheme, and what no TPM would sign. */
import { constants, createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { sized, u16, u32 } from '../../src/attestation/tpm2/reader.ts';
import { concat, fromHex } from '../../src/domain/bytes.ts';

export type Scheme = 'rsassa' | 'rsapss' | 'ecdsa';
const SCHEMES: Readonly<Record<Scheme, number>> = { rsassa: 0x14, rsapss: 0x16, ecdsa: 0x18 };
const BANKS: Readonly<Record<string, number>> = { sha1: 0x04, sha256: 0x0b, sha384: 0x0c };

export interface TestAk {
  readonly scheme: Scheme;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly spki: Uint8Array;
}

export function makeAk(scheme: Scheme = 'ecdsa'): TestAk {
  const pair =
    scheme === 'ecdsa' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { scheme, ...pair, spki: new Uint8Array(pair.publicKey.export({ type: 'spki', format: 'der' })) };
}

export interface QuoteWishes {
  readonly nonce?: Uint8Array;
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly magic?: number;
  readonly type?: number;
}

/** TPMS_ATTEST. */
export function attest({ nonce = Uint8Array.of(0x90, 0x09), pcrs, magic = 0xff544347, type = 0x8018 }: QuoteWishes): Uint8Array {
  const digest = createHash('sha256');
  const banks = Object.entries(pcrs).map(([bank, values]) => {
    const bitmap = new Uint8Array(3);
    for (const [index, value] of Object.entries(values)) {
      digest.update(fromHex(value));
      bitmap[Number(index) >> 3] = (bitmap[Number(index) >> 3] ?? 0) | (1 << (Number(index) & 7));
    }
    return concat(u16(BANKS[bank] ?? 0), Uint8Array.of(3), bitmap);
  });
  const state = concat(u32(0), u32(1000), u32(2), u32(3), Uint8Array.of(1), new Uint8Array(8)); // clock, resets, safe, firmware
  return concat(
    u32(magic),
    u16(type),
    sized(Uint8Array.of(0, 11)),
    sized(nonce),
    state,
    u32(banks.length),
    ...banks,
    sized(digest.digest()),
  );
}

/** TPMT_SIGNATURE with SHA-256. */
export function tpmSignature(bytes: Uint8Array, { scheme, privateKey: key }: TestAk): Uint8Array {
  const head = concat(u16(SCHEMES[scheme]), u16(0x0b));
  if (scheme === 'ecdsa') {
    const rs = sign('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' });
    return concat(head, sized(rs.subarray(0, 32)), sized(rs.subarray(32)));
  }
  const padding = scheme === 'rsassa' ? constants.RSA_PKCS1_PADDING : constants.RSA_PKCS1_PSS_PADDING;
  return concat(head, sized(sign('sha256', bytes, { key, padding, saltLength: 32 })));
}

/** TPM2B_PUBLIC of an ECDSA key on P-256: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign. */
export function publicArea({ publicKey }: TestAk): Uint8Array {
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const point = [x, y].map((one) => sized(Buffer.from(one, 'base64url')));
  const algorithms = concat(u16(0x10), u16(0x18), u16(0x0b), u16(0x03), u16(0x10)); // no symmetric, ECDSA with SHA-256, P-256, no KDF
  return sized(concat(u16(0x23), u16(0x0b), u32(0x0005_0072), u16(0), algorithms, ...point));
}
