/**
 * A TPM 2.0 without the TPM, for load: keys of this process in the structures of the TPM 2.0 Library (part 2), an endorsement certificate of
 * our own CA, credential activation, quotes. A real TPM quotes a few times a second, so no vault would ever be busy with one. What it makes is
 * enrolled and verified by the vault exactly as a real one's; that it is worthless as evidence is the benchmark's own secret.
 */
import {
  constants,
  createDecipheriv,
  createHash,
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  sign,
} from 'node:crypto';
import type { Attester } from '../../src/attestation/port.ts';
import type { EnrolmentCredential, EnrolmentRequest } from '../../src/attestation/tpm2/enrolment.ts';
import { ATTRIBUTES, parsePublicArea } from '../../src/attestation/tpm2/public-area.ts';
import { sized, u16, u32 } from '../../src/attestation/tpm2/reader.ts';
import { concat, fromBase64, fromHex, toBase64, utf8 } from '../../src/domain/bytes.ts';
import { type PcrBanks, tpm2ExtraData } from '../../src/domain/evidence.ts';
import { importRsa, issue, notCa, usage } from '../../test/attestation/test-ca.ts';

const ALG = { rsa: 0x0001, aes: 0x0006, sha256: 0x000b, none: 0x0010, ecdsa: 0x0018, ecc: 0x0023, cfb: 0x0043, p256: 0x0003 } as const;
const EK_CERTIFICATE_USAGE = '2.23.133.8.1';
const PCRS = [0, 1, 2, 3, 4, 5, 6, 7];

export interface SoftwareTpm extends Attester {
  /** DER of the CA behind the endorsement certificate. */
  readonly root: Uint8Array;
  readonly pcrs: PcrBanks;
  readonly request: EnrolmentRequest;
  /** TPM2_ActivateCredential (part 3, 12.5). */
  activate(credential: EnrolmentCredential): Uint8Array;
}

export async function createSoftwareTpm(): Promise<SoftwareTpm> {
  const ek = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ak = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const root = await issue({ name: 'benchmark root' });
  const ekSpki = new Uint8Array(ek.publicKey.export({ type: 'spki', format: 'der' }));
  const certificate = await issue({
    name: 'benchmark endorsement key',
    issuer: root,
    publicKey: await importRsa(ekSpki),
    extensions: [notCa, usage(EK_CERTIFICATE_USAGE)],
  });
  const akPublic = sized(akArea(ak.publicKey));
  const { name } = parsePublicArea(akPublic);
  const pcrs = {
    sha256: Object.fromEntries(PCRS.map((index) => [String(index), createHash('sha256').update(`pcr ${index}`).digest('hex')])),
  };
  return {
    kind: 'tpm2',
    root: root.der,
    pcrs,
    request: {
      v: 1,
      kind: 'tpm2',
      ekCertificate: toBase64(certificate.der),
      ekIntermediates: [],
      ekPublic: toBase64(sized(ekArea(ek.publicKey))),
      akPublic: toBase64(akPublic),
    },
    activate: (credential) => openCredential(credential, ek.privateKey, fromHex(name)),
    async attest(binding) {
      const quote = quoteOf(tpm2ExtraData(binding), pcrs.sha256);
      const raw = sign('sha256', quote, { key: ak.privateKey, dsaEncoding: 'ieee-p1363' });
      const signature = concat(u16(ALG.ecdsa), u16(ALG.sha256), sized(raw.subarray(0, 32)), sized(raw.subarray(32)));
      return { quote: toBase64(quote), signature: toBase64(signature), akPublic: toBase64(akPublic), pcrs };
    },
  };
}

/** TPMT_PUBLIC of template L-1 of the EK Credential Profile, without its policy. */
function ekArea(key: KeyObject): Uint8Array {
  const attributes =
    ATTRIBUTES.fixedTPM | ATTRIBUTES.fixedParent | ATTRIBUTES.sensitiveDataOrigin | ATTRIBUTES.restricted | ATTRIBUTES.decrypt;
  const symmetric = concat(u16(ALG.aes), u16(128), u16(ALG.cfb));
  const head = concat(u16(ALG.rsa), u16(ALG.sha256), u32(attributes), sized(new Uint8Array(0)), symmetric, u16(ALG.none));
  return concat(head, u16(2048), u32(0), sized(member(key, 'n')));
}

/** TPMT_PUBLIC of a restricted P-256 signing key. */
function akArea(key: KeyObject): Uint8Array {
  const attributes =
    ATTRIBUTES.fixedTPM | ATTRIBUTES.fixedParent | ATTRIBUTES.sensitiveDataOrigin | ATTRIBUTES.restricted | ATTRIBUTES.sign;
  const scheme = concat(u16(ALG.ecdsa), u16(ALG.sha256));
  const head = concat(u16(ALG.ecc), u16(ALG.sha256), u32(attributes), sized(new Uint8Array(0)), u16(ALG.none), scheme);
  return concat(head, u16(ALG.p256), u16(ALG.none), sized(member(key, 'x')), sized(member(key, 'y')));
}

function member(key: KeyObject, name: 'n' | 'x' | 'y'): Uint8Array {
  return new Uint8Array(Buffer.from(key.export({ format: 'jwk' })[name] ?? '', 'base64url'));
}

/** TPMS_ATTEST of type quote. */
function quoteOf(extraData: Uint8Array, values: Readonly<Record<string, string>>): Uint8Array {
  const digest = createHash('sha256');
  for (const index of PCRS) digest.update(fromHex(values[String(index)] ?? ''));
  const clockInfo = concat(u32(0), u32(1), u32(1), u32(0), Uint8Array.of(1));
  const selection = concat(u32(1), u16(ALG.sha256), Uint8Array.of(3, 0xff, 0, 0));
  const head = concat(u32(0xff544347), u16(0x8018), sized(new Uint8Array(34)), sized(extraData));
  return concat(head, clockInfo, new Uint8Array(8), selection, sized(new Uint8Array(digest.digest())));
}

/** Part 1, 24: the seed under OAEP, then the secret under a key derived from seed and name. The MAC before it is the TPM's own business. */
function openCredential(credential: EnrolmentCredential, ek: KeyObject, name: Uint8Array): Uint8Array {
  const oaep = { key: ek, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256', oaepLabel: Buffer.from('IDENTITY\0') };
  const seed = privateDecrypt(oaep, fromBase64(credential.secret).subarray(2));
  const derived = createHmac('sha256', seed)
    .update(concat(u32(1), utf8('STORAGE\0'), name, u32(128)))
    .digest();
  const encrypted = fromBase64(credential.idObject).subarray(2 + 2 + 32);
  const plain = createDecipheriv('aes-128-cfb', derived.subarray(0, 16), new Uint8Array(16)).update(encrypted);
  return new Uint8Array(plain.subarray(2));
}
