/** Which format bytes are of, by how they begin. A guess for people: the examination says whether it was right. */

const MAX_TOKEN_CHARS = 65_537;

interface Sign {
  readonly format: string;
  fits(bytes: Uint8Array, text: string): boolean;
}

const u16 = (bytes: Uint8Array, at: number) => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
const u32 = (bytes: Uint8Array, at: number) => (u16(bytes, at) | (u16(bytes, at + 2) << 16)) >>> 0;
const begins = (bytes: Uint8Array, ...start: readonly number[]) => start.every((byte, at) => bytes[at] === byte);

/** What is in the sequence that is first in a DER sequence: a small list has shorter lengths than a certificate. */
function signedPart(bytes: Uint8Array): Uint8Array {
  const inSequence = (der: Uint8Array) => der.subarray(der[0] === 0x30 ? 2 + Math.max(0, (der[1] ?? 0) - 0x80) : der.length);
  return inSequence(inSequence(bytes));
}

/** The first that fits. */
const SIGNS: readonly Sign[] = [
  { format: 'tpm2-quote', fits: (bytes) => begins(bytes, 0xff, 0x54, 0x43, 0x47) },
  { format: 'tdx-quote', fits: (bytes) => [4, 5].includes(u16(bytes, 0)) && u32(bytes, 4) === 0x81 },
  { format: 'snp-report', fits: (bytes) => bytes.length >= 1184 && bytes.length < 1300 && u32(bytes, 0) >= 2 && u32(bytes, 0) <= 9 },
  { format: 'nitro-cose-sign1', fits: (bytes) => begins(bytes, 0xd2, 0x84) || begins(bytes, 0x84, 0x44) },
  { format: 'nvidia-spdm', fits: (bytes) => begins(bytes, 0x11, 0xe0) },
  {
    format: 'tcg2-eventlog',
    fits: (bytes, text) => text.startsWith('Spec ID Event', 32) || (bytes.length > 64 && u32(bytes, 0) < 24 && u32(bytes, 4) < 32),
  },
  { format: 'x509-crl', fits: (_, text) => text.startsWith('-----BEGIN X509 CRL') },
  { format: 'x509-crl-check', fits: (_, text) => text.startsWith('-----BEGIN CERTIFICATE') },
  // A list is version 2 (INTEGER 1) at its top; a certificate has its version in a tag of its own, [0].
  { format: 'x509-crl', fits: (bytes) => begins(signedPart(bytes), 2, 1, 1) },
  { format: 'x509-crl-check', fits: (bytes) => begins(signedPart(bytes), 0xa0, 3, 2, 1) },
  { format: 'nvidia-rim-xml', fits: (_, text) => /^\s*<(?:\?xml|(?:\w+:)?SoftwareIdentity)/.test(text) },
  { format: 'jwk-x5c-trust', fits: (_, text) => /^\s*\{/.test(text) && text.includes('"kty"') },
  { format: 'jwt-eat', fits: (_, text) => /^\s*\[\s*\[\s*"JWT"/.test(text) || /^[\w-]+\.[\w-]+\.[\w-]*\r?\n?$/.test(text) },
];

export function detectFormat(bytes: Uint8Array): string | undefined {
  const text = Buffer.from(bytes.subarray(0, MAX_TOKEN_CHARS)).toString('latin1');
  return SIGNS.find(({ fits }) => fits(bytes, text))?.format;
}
