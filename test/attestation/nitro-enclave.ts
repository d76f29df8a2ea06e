/** A Nitro Security Module with our own authority above it: documents as NSM writes them, and as nobody should. */
import { sign, webcrypto } from 'node:crypto';
import { ca, certSign, digitalSignature, type Issued, issue, notCa } from './test-ca.ts';

const P384 = { curve: 'P-384', hash: 'SHA-384' } as const;
const AFTER = new Date('2025-06-01T00:00:00Z');

/** Root first, as in `cabundle`; the leaf of three hours signs. */
export interface Enclave {
  readonly bundle: readonly Issued[];
  readonly leaf: Issued;
}

export const NITRO_NOW = new Date('2026-01-15T10:30:00Z');
const LEAF_FROM = new Date('2026-01-15T10:00:00Z');
const LEAF_UNTIL = new Date('2026-01-15T13:00:00Z');

export async function startEnclave(leafCurve: 'P-256' | 'P-384' = 'P-384', from = LEAF_FROM, until = LEAF_UNTIL): Promise<Enclave> {
  const root = await issue({ name: 'aws.nitro-enclaves', notBefore: AFTER, ...P384 });
  const region = await issue({ name: 'region.aws.nitro-enclaves', issuer: root, ...P384, extensions: [ca(2), certSign] });
  const zone = await issue({ name: 'zone.aws.nitro-enclaves', issuer: region, ...P384, extensions: [ca(1), certSign] });
  const instance = await issue({ name: 'i-0123456789.aws.nitro-enclaves', issuer: zone, ...P384, extensions: [ca(0), certSign] });
  const bundle = [root, region, zone, instance];
  return { bundle, leaf: await leafUnder(bundle, { curve: leafCurve, from, until }) };
}

/** Signs documents in those hours. */
export function leafUnder(
  bundle: Enclave['bundle'],
  { curve, from, until }: { curve: 'P-256' | 'P-384'; from: Date; until: Date },
): Promise<Issued> {
  const issuer = bundle.at(-1);
  return issue({
    name: 'i-0123456789-enc01',
    ...(issuer && { issuer }),
    ...P384,
    curve,
    notBefore: from,
    notAfter: until,
    extensions: [notCa, digitalSignature],
  });
}

/** CBOR, spelled out so that a test can misspell it. */
export const head = (major: number, length: number): Buffer =>
  length < 24
    ? Buffer.of((major << 5) | length)
    : length < 256
      ? Buffer.of((major << 5) | 24, length)
      : length < 65_536
        ? Buffer.of((major << 5) | 25, length >> 8, length & 0xff)
        : Buffer.concat([Buffer.of((major << 5) | 27), bigEndian(length)]);
const bigEndian = (value: number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
};
export const uint = (value: number) => head(0, value);
export const bstr = (bytes: Uint8Array) => Buffer.concat([head(2, bytes.length), bytes]);
export const tstr = (text: string) => Buffer.concat([head(3, Buffer.byteLength(text)), Buffer.from(text)]);
export const array = (...items: readonly Uint8Array[]) => Buffer.concat([head(4, items.length), ...items]);
export const map = (...pairs: ReadonlyArray<readonly [Uint8Array, Uint8Array]>) => Buffer.concat([head(5, pairs.length), ...pairs.flat()]);
export const endlessMap = (...pairs: ReadonlyArray<readonly [Uint8Array, Uint8Array]>) =>
  Buffer.concat([Buffer.of(0xbf), ...pairs.flat(), Buffer.of(0xff)]);
export const NULL = Buffer.of(0xf6);

export const pcr = (fill: number) => Buffer.alloc(48, fill);
/** PCR 0 to 2 of a production enclave, a locked PCR 16. */
const PCRS = [0, 1, 2, 3, 4, 16].map((index) => [uint(index), bstr(pcr(index + 1))] as const);

export type Members = Readonly<Record<string, Buffer | undefined>>;

/** What NSM answers, by member; `undefined` in a change leaves the member out. */
export function membersOf({ bundle, leaf }: Enclave, change: Members = {}): ReadonlyArray<readonly [Buffer, Buffer]> {
  const members: Members = {
    module_id: tstr('i-0123456789-enc01'),
    digest: tstr('SHA384'),
    timestamp: uint(NITRO_NOW.getTime()),
    pcrs: map(...PCRS),
    certificate: bstr(leaf.der),
    cabundle: array(...bundle.map(({ der }) => bstr(der))),
    public_key: NULL,
    user_data: bstr(Buffer.from('hello')),
    nonce: bstr(Buffer.alloc(32, 7)),
    ...change,
  };
  return Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : [[tstr(name), value] as const]));
}

const ES384 = Buffer.from('a1013822', 'hex');

export interface DocumentWishes {
  readonly payload?: Buffer;
  readonly protectedHeader?: Buffer;
  readonly unprotected?: Buffer;
  readonly signature?: (honest: Buffer) => Buffer;
}

export async function makeDocument(enclave: Enclave, wishes: DocumentWishes = {}): Promise<Uint8Array> {
  const { payload = map(...membersOf(enclave)), protectedHeader = ES384, unprotected = Buffer.of(0xa0) } = wishes;
  const signed = array(tstr('Signature1'), bstr(protectedHeader), bstr(Buffer.alloc(0)), bstr(payload));
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', enclave.leaf.keys.privateKey));
  const key = { key: pkcs8, format: 'der', type: 'pkcs8', dsaEncoding: 'ieee-p1363' } as const;
  const honest = sign('sha384', signed, key);
  const signature = wishes.signature?.(honest) ?? honest;
  return new Uint8Array(array(bstr(protectedHeader), unprotected, bstr(payload), bstr(signature)));
}
