/**
 * The XML signature of a RIM (XML Signature 1.1, enveloped). Only the one shape that NVIDIA signs: the whole document, ECDSA P-384 with
 * SHA-384, certificates in KeyInfo. xml-crypto canonicalizes and compares; what counts afterwards is the text it says was signed.
 */
import { createHash, KeyObject } from 'node:crypto';
import { C14nCanonicalization, type HashAlgorithm, type SignatureAlgorithm, SignedXml } from 'xml-crypto';
import { toBase64 } from '../../domain/bytes.ts';
import { Malformed } from '../x509/der.ts';
import { curveOf, ecdsaVerifies } from '../x509/signature.ts';
import { everyElement, type XmlElement } from './xml-tree.ts';

const DSIG = 'http://www.w3.org/2000/09/xmldsig#';
const ENVELOPED = `${DSIG}enveloped-signature`;
const C14N_11 = 'http://www.w3.org/2006/12/xml-c14n11';
const ECDSA_SHA384 = 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384';
const SHA384 = 'http://www.w3.org/2001/04/xmldsig-more#sha384';
const SIGNATURE_BYTES = 96;
/** Real ones have four. */
const MAX_CERTIFICATES = 8;

/** Names and attributes below Signature, written down: any other element, attribute, order or algorithm is another shape. */
const SHAPE = [
  'Signature',
  '(SignedInfo',
  `(CanonicalizationMethod[Algorithm=${C14N_11}]()`,
  `SignatureMethod[Algorithm=${ECDSA_SHA384}]()`,
  `Reference[URI=](Transforms(Transform[Algorithm=${ENVELOPED}]()Transform[Algorithm=${C14N_11}]())`,
  `DigestMethod[Algorithm=${SHA384}]()DigestValue()))`,
  'SignatureValue()KeyInfo(X509Data(',
].join('');
const CERTIFICATE_SHAPE = 'X509Certificate()';

export interface RimSignature {
  /** DER, the signer's first, as KeyInfo has them: not signed, and believed only through their own signatures. */
  readonly certificates: readonly Uint8Array[];
  /** The canonical text that the key signed, or undefined when it did not sign this document. */
  signedText(key: KeyObject): string | undefined;
}

/** `root`: of `text`. Throws Malformed for a document without exactly one signature of the known shape. */
export function readRimSignature(text: string, root: XmlElement): RimSignature {
  const signatures = everyElement(root).filter(({ name }) => name === 'Signature');
  const [signature, ...more] = signatures;
  // Directly below the root, once: else what is signed and what is read could be two things.
  if (signature === undefined || more.length > 0 || !root.children.includes(signature)) throw new Malformed('not exactly one signature');
  const keyInfo = signature.children[2];
  const certificates = keyInfo?.children[0]?.children ?? [];
  if (shapeOf(signature) !== `${SHAPE}${CERTIFICATE_SHAPE.repeat(certificates.length)})))` || certificates.length === 0) {
    throw new Malformed('a signature of another shape');
  }
  if (certificates.length > MAX_CERTIFICATES) throw new Malformed('too many certificates');
  return {
    certificates: certificates.map(({ text: base64 }) => strictBase64(base64)),
    signedText: (key) => verifiedText(text, signature.source, key),
  };
}

function shapeOf({ namespace, name, attributes, children }: XmlElement): string {
  if (namespace !== DSIG) return `{${namespace}}`;
  const written = [...attributes].map(([attribute, value]) => `[${attribute}=${value}]`).join('');
  return `${name}${written}(${children.map(shapeOf).join('')})`;
}

/** White space apart, the one encoding of these bytes: spare bits and padding would be room for changes that nothing notices. */
function strictBase64(text: string): Uint8Array {
  const dense = text.replaceAll(/[ \t\r\n]/g, '');
  const bytes = new Uint8Array(Buffer.from(dense, 'base64'));
  if (toBase64(bytes) !== dense) throw new Malformed('not base64');
  return bytes;
}

function verifiedText(text: string, signature: string, key: KeyObject): string | undefined {
  const signed = new SignedXml({ publicCert: key });
  const enveloped = signed.CanonicalizationAlgorithms[ENVELOPED];
  if (enveloped === undefined) throw new Error('xml-crypto has no enveloped-signature transform');
  signed.CanonicalizationAlgorithms = { [C14N_11]: Canonical11, [ENVELOPED]: enveloped };
  signed.HashAlgorithms = { [SHA384]: Sha384 };
  signed.SignatureAlgorithms = { [ECDSA_SHA384]: EcdsaSha384 };
  try {
    signed.loadSignature(signature);
    if (!signed.checkSignature(text)) return undefined;
  } catch {
    return undefined; // it throws for a wrong signature, and where it meets what it does not know
  }
  const [only, ...more] = signed.getSignedReferences();
  return more.length === 0 ? only : undefined;
}

/**
 * Canonical XML 1.1 differs from 1.0 only in how attributes named `xml:` travel into parts of documents (section 2.4). Here the whole
 * document is signed; SignedInfo, the only part, would take none along but by declaring them above, and then no signature verifies.
 */
class Canonical11 extends C14nCanonicalization {
  override getAlgorithmName = () => C14N_11;
}

class Sha384 implements HashAlgorithm {
  getAlgorithmName = () => SHA384;
  getHash = (xml: string) => createHash('sha384').update(xml, 'utf8').digest('base64');
}

class EcdsaSha384 implements SignatureAlgorithm {
  getAlgorithmName = () => ECDSA_SHA384;
  getSignature = () => {
    throw new Error('RIMs are not signed here');
  };
  verifySignature = (material: unknown, key: unknown, value: unknown): boolean => {
    if (typeof material !== 'string' || !(key instanceof KeyObject) || typeof value !== 'string') return false;
    const bytes = strictBase64(value);
    if (curveOf(key) !== 'secp384r1' || bytes.length !== SIGNATURE_BYTES) return false;
    const [r, s] = [bytes.subarray(0, SIGNATURE_BYTES / 2), bytes.subarray(SIGNATURE_BYTES / 2)];
    return ecdsaVerifies('sha384', Buffer.from(material, 'utf8'), { r, s }, key);
  };
}
