/** An NVIDIA device with our own authority above it: reports and RIMs as its firmware and its vendor write them, and as nobody should. */
import 'reflect-metadata';
import { createHash, sign, webcrypto } from 'node:crypto';
import { Extension, KeyUsageFlags } from '@peculiar/x509';
import { C14nCanonicalization, SignedXml } from 'xml-crypto';
import type { PinnedRoot } from '../../src/attestation/examination.ts';
import { ca, digitalSignature, type Issued, issue, keyUsage } from './test-ca.ts';

const P384 = { curve: 'P-384', hash: 'SHA-384' } as const;
const FOREVER = { notBefore: new Date('2022-03-01T00:00:00Z'), notAfter: new Date('9999-12-31T23:59:59Z') };
export const NVIDIA_NOW = new Date('2026-01-15T00:00:00Z');
export const GPU_NONCE = Buffer.alloc(32, 0x5a);
export const FWID = Buffer.alloc(48, 0xf1);

const SHA384_OID = Buffer.from('0609608648016503040202', 'hex');
const der = (tag: number, ...parts: readonly Uint8Array[]) => {
  const body = Buffer.concat(parts);
  return Buffer.concat([body.length < 128 ? Buffer.of(tag, body.length) : Buffer.of(tag, 0x81, body.length), body]);
};
const fwidOf = (digest: Uint8Array) => der(0x30, SHA384_OID, der(0x04, digest));
/** Hopper: version, a key, the FWID last. */
export const compositeDeviceId = (digest: Uint8Array = FWID) =>
  new Extension('2.23.133.5.4.1', false, der(0x30, Buffer.from('020101', 'hex'), der(0x30), fwidOf(digest)));
/** Blackwell: a TcbInfo with two FWIDs, of which the first counts. */
export const tcbInfo = (digest: Uint8Array = FWID) =>
  new Extension(
    '2.23.133.5.4.1.1',
    false,
    der(0x30, der(0x80, Buffer.from('NVIDIA')), der(0xa6, fwidOf(digest), fwidOf(Buffer.alloc(48)))),
  );

/** Leaf first, as in the chain file. */
export interface Device {
  readonly chain: readonly Issued[];
}

export interface DeviceWishes {
  readonly chip?: string;
  readonly fwid?: readonly Extension[];
  readonly curve?: 'P-256' | 'P-384';
  readonly notAfter?: Date;
}

export async function buildDevice(wishes: DeviceWishes = {}): Promise<Device> {
  const { chip = 'GH100', fwid = [compositeDeviceId()], curve = 'P-384', notAfter = FOREVER.notAfter } = wishes;
  const issuer = { ...P384, ...FOREVER, extensions: [ca(), keyUsage(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign)] };
  const root = await issue({ name: 'NVIDIA Device Identity CA', ...issuer });
  const identity = await issue({ name: `NVIDIA ${chip} Identity`, issuer: root, ...issuer });
  const provisioner = await issue({ name: `NVIDIA ${chip} Provisioner ICA 1`, issuer: identity, ...issuer });
  const rom = await issue({ name: `${chip} A01 GSP BROM`, issuer: provisioner, ...issuer });
  const extensions = [digitalSignature, ...fwid];
  const leaf = await issue({ name: `${chip} A01 GSP FMC LF`, issuer: rom, ...P384, ...FOREVER, curve, notAfter, extensions });
  return { chain: [leaf, rom, provisioner, identity, root] };
}

export const pemOf = (...chain: readonly Issued[]) => new Uint8Array(Buffer.from(chain.map(({ der: bytes }) => pem(bytes)).join('')));
const pem = (bytes: Uint8Array) =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(bytes).toString('base64').replaceAll(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`.replaceAll(
    '\n\n',
    '\n',
  );

export const rootsOf = (device: Device, name = 'nvidia-device-identity-ca'): readonly PinnedRoot[] => {
  const root = device.chain.at(-1);
  return root === undefined ? [] : [{ name, vendor: 'nvidia', certificate: root.der }];
};

export const little = (value: number, bytes: number) => Buffer.from(Array.from({ length: bytes }, (_, at) => (value >> (8 * at)) & 0xff));
export const opaqueField = (type: number, value: Uint8Array) => Buffer.concat([little(type, 2), little(value.length, 2), value]);
export const measurementOf = (index: number) => createHash('sha384').update(`measurement ${index}`).digest();
export const block = (index: number, value: Uint8Array = measurementOf(index)) =>
  Buffer.concat([Buffer.of(index, 1), little(value.length + 3, 2), Buffer.of(1), little(value.length, 2), value]);

export const OPAQUE: readonly Buffer[] = [
  opaqueField(6, Buffer.from('00a5009601000000', 'hex')),
  opaqueField(15, Buffer.from('885\0\0')),
  opaqueField(17, Buffer.from('G520\0')),
  opaqueField(18, Buffer.from('0200\0')),
  opaqueField(3, Buffer.from('590.12\0')),
  opaqueField(11, Buffer.of(0x55)),
  opaqueField(20, FWID),
  opaqueField(21, Buffer.of(0x55)),
  opaqueField(36, Buffer.of(0, 0)),
];

export interface ReportWishes {
  readonly request?: Buffer;
  readonly nonce?: Uint8Array;
  readonly responseHead?: Buffer;
  readonly blocks?: readonly Buffer[];
  readonly blockCount?: number;
  readonly opaque?: readonly Buffer[];
  readonly signature?: (honest: Buffer) => Buffer;
}

export async function makeReport({ chain: [leaf] }: Device, wishes: ReportWishes = {}): Promise<Uint8Array> {
  if (leaf === undefined) throw new Error('a device without certificates');
  const { blocks = Array.from({ length: 8 }, (_, at) => block(at + 1)), nonce = GPU_NONCE } = wishes;
  const [record, opaque] = [Buffer.concat(blocks), Buffer.concat(wishes.opaque ?? OPAQUE)];
  const signed = Buffer.concat([
    wishes.request ?? Buffer.from('11e001ff', 'hex'),
    nonce,
    Buffer.of(0),
    wishes.responseHead ?? Buffer.from('11600000', 'hex'),
    Buffer.of(wishes.blockCount ?? blocks.length),
    little(record.length, 3),
    record,
    Buffer.alloc(32, 0x33),
    little(opaque.length, 2),
    opaque,
  ]);
  const honest = sign('sha384', signed, { ...(await privateKeyOf(leaf)), dsaEncoding: 'ieee-p1363' });
  return new Uint8Array(Buffer.concat([signed, wishes.signature?.(honest) ?? honest]));
}

async function privateKeyOf({ keys }: Issued) {
  return { key: Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)), format: 'der', type: 'pkcs8' } as const;
}

export interface GoldenWishes {
  readonly index: number;
  readonly values: readonly string[];
  readonly active?: boolean;
}

const SWID = 'http://standards.iso.org/iso/19770/-2/2015/schema.xsd';

export function rimText(golden: readonly GoldenWishes[], version = '590.12', id = 'GH100'): string {
  const resources = golden.map(({ index, values, active = true }) => {
    const hashes = values.map((value, at) => `ns2:Hash${at}="${value}"`).join(' ');
    const flag = active ? 'True' : 'False';
    return `<ns0:Resource type="Measurement" index="${index}" active="${flag}" alternatives="${values.length}" ${hashes} name="Measurement_${index}" size="48"/>`;
  });
  return [
    `<SoftwareIdentity xmlns="${SWID}" xmlns:ns0="${SWID}" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" name="${id}" tagId="t">`,
    `<ns0:Meta colloquialVersion="${version}" product="${id}"/>`,
    `<ns0:Payload>${resources.join('\n')}</ns0:Payload>`,
    '</SoftwareIdentity>',
  ].join('\n');
}

const C14N_11 = 'http://www.w3.org/2006/12/xml-c14n11';
const DSIG = 'http://www.w3.org/2000/09/xmldsig#';
const MORE = 'http://www.w3.org/2001/04/xmldsig-more#';

/** Signed as NVIDIA's tool does it: enveloped, Canonical XML 1.1, ECDSA P-384. `signers`: leaf first. */
export async function signRim(xml: string, signers: readonly Issued[]): Promise<string> {
  const [signer] = signers;
  if (signer === undefined) throw new Error('nobody signs');
  const { key } = await privateKeyOf(signer);
  const signed = new SignedXml({ signatureAlgorithm: `${MORE}ecdsa-sha384`, canonicalizationAlgorithm: C14N_11, privateKey: key });
  signed.CanonicalizationAlgorithms[C14N_11] = class extends C14nCanonicalization {
    override getAlgorithmName = () => C14N_11;
  };
  signed.HashAlgorithms[`${MORE}sha384`] = class {
    getAlgorithmName = () => `${MORE}sha384`;
    getHash = (text: string) => createHash('sha384').update(text).digest('base64');
  };
  signed.SignatureAlgorithms[`${MORE}ecdsa-sha384`] = class {
    getAlgorithmName = () => `${MORE}ecdsa-sha384`;
    getSignature = (info: unknown) =>
      sign('sha384', Buffer.from(String(info)), { key, format: 'der', type: 'pkcs8', dsaEncoding: 'ieee-p1363' }).toString('base64');
    verifySignature = () => false;
  };
  signed.addReference({
    xpath: '/*',
    uri: '',
    isEmptyUri: true,
    digestAlgorithm: `${MORE}sha384`,
    transforms: [`${DSIG}enveloped-signature`, C14N_11],
  });
  const certificates = signers.map(({ der: bytes }) => `<ds:X509Certificate>${Buffer.from(bytes).toString('base64')}</ds:X509Certificate>`);
  signed.getKeyInfoContent = () => `<ds:X509Data>${certificates.join('')}</ds:X509Data>`;
  signed.computeSignature(xml, { prefix: 'ds' });
  return signed.getSignedXml();
}

/** The signer of RIMs, leaf first; its own root. */
export async function rimAuthority(): Promise<readonly Issued[]> {
  const validity = { notBefore: new Date('2025-01-01T00:00:00Z'), notAfter: new Date('2027-01-01T00:00:00Z') };
  const root = await issue({ name: 'NVIDIA CoRIM signing Root CA', ...P384 });
  const middle = await issue({ name: 'NVIDIA Reference Value GH100 CA', issuer: root, ...P384 });
  const signer = await issue({ name: 'HCC RIM L4 Signer', issuer: middle, ...P384, ...validity, extensions: [digitalSignature] });
  return [signer, middle, root];
}

export const rimRoots = (signers: readonly Issued[]) => rootsOf({ chain: signers }, 'nvidia-corim-signing-root-ca');
