/** Is this AWS Nitro document authentic, and would a production policy take it? Format: docs/formats/evidence-nitro.md. */
import { toHex } from '../../domain/bytes.ts';
import { type ClaimValue, conclude, type Examination, type ExaminationInputs, type PinnedRoot } from '../examination.ts';
import { type Certificate, readCertificate } from '../x509/certificate.ts';
import { followChain, outsideValidity } from '../x509/chain.ts';
import { Malformed } from '../x509/der.ts';
import { nameText } from '../x509/names.ts';
import { IssuerMemo } from '../x509/path.ts';
import { isoSeconds } from '../x509/validity.ts';
import { type CoseSign1, coseVerifies, readCoseSign1 } from './cose.ts';
import { MAX_DOCUMENT_BYTES, type NitroDocument, type ReadDocument, readDocument } from './document.ts';

export type NitroWord =
  | 'malformed'
  | 'trailing_bytes'
  | 'missing_cabundle'
  | 'certificate_malformed'
  | 'chain_incomplete'
  | 'untrusted_root'
  | 'certificate_expired'
  | 'certificate_not_yet_valid'
  | 'cose_signature_invalid'
  | 'nonce_mismatch'
  | 'debug_enabled';

type Claims = Record<string, ClaimValue>;

export interface ExaminedDocument {
  readonly findings: readonly NitroWord[];
  readonly claims: Claims;
  /** What could be read; believed only without findings. */
  readonly document: Partial<NitroDocument>;
  /** From the signer's certificate up, as far as the links hold. */
  readonly path: readonly Certificate[];
}

export function examineNitroDocument(inputs: ExaminationInputs, memo = new IssuerMemo()): Examination<NitroWord> {
  const { findings, claims, document } = examineParts(inputs, memo);
  const found = new Set(findings);
  if (document.pcrs !== undefined && isDebug(document.pcrs)) found.add('debug_enabled');
  if (!nonceFits(document, inputs.parameters['expected_nonce'])) found.add('nonce_mismatch');
  return conclude(found, ['debug_enabled'], claims);
}

/**
 * Goes on after a finding as far as something can still be said, so that a person sees all that is wrong. What cannot be read at all is
 * signed by nobody, and gets that word too.
 */
export function examineParts(inputs: ExaminationInputs, memo: IssuerMemo): ExaminedDocument {
  const found = new Set<NitroWord>();
  const claims: Claims = { product: 'AWS Nitro Enclaves' };
  try {
    const cose = readEnvelope(inputs.evidence, found, claims);
    const read = readDocument(cose.payload);
    describe(read, found, claims);
    const path = examineKey(cose, read.document, { inputs, memo, found, claims });
    return { findings: [...found], claims, document: read.document, path };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { findings: [...found, 'malformed', 'cose_signature_invalid'], claims, document: {}, path: [] };
  }
}

function readEnvelope(evidence: Uint8Array, found: Set<NitroWord>, claims: Claims): CoseSign1 {
  if (evidence.length > MAX_DOCUMENT_BYTES) throw new Malformed(`longer than ${MAX_DOCUMENT_BYTES} bytes`);
  const cose = readCoseSign1(evidence);
  claims['cose_tag'] = cose.isTagged;
  claims['trailing_bytes'] = cose.trailingBytes;
  if (!cose.isSound) found.add('malformed');
  if (cose.trailingBytes > 0) found.add('trailing_bytes');
  return cose;
}

/** `measurement` and `report_data` are the names that every kind of evidence has for these. */
function describe({ document, wrong, hasBundle, isEndless }: ReadDocument, found: Set<NitroWord>, claims: Claims): void {
  if (!hasBundle) found.add('missing_cabundle');
  if (wrong.some((name) => hasBundle || name !== 'cabundle')) found.add('malformed');
  const { moduleId, timestampMs, pcrs, cabundle, publicKey, userData, nonce } = document;
  const hex = (bytes: Uint8Array | null | undefined) => (bytes instanceof Uint8Array ? toHex(bytes) : null);
  Object.assign(claims, {
    module_id: moduleId ?? null,
    digest: wrong.includes('digest') ? null : 'SHA384',
    timestamp: timestampMs === undefined ? null : isoSeconds(new Date(timestampMs)),
    timestamp_ms: timestampMs ?? null,
    pcrs: pcrs === undefined ? null : Object.fromEntries([...pcrs].map(([index, value]) => [String(index), toHex(value)])),
    measurement: hex(pcrs?.get(0)),
    report_data: hex(userData),
    user_data: hex(userData),
    nonce: hex(nonce),
    public_key: hex(publicKey),
    debug: pcrs === undefined ? null : zeroImagePcrs(pcrs) === IMAGE_PCRS.length,
    payload_map: isEndless ? 'indefinite length (0xbf)' : 'definite length',
    cabundle_certificates: cabundle?.length ?? null,
  });
}

/** The image, its kernel, its applications. */
const IMAGE_PCRS = [0, 1, 2];

/** An enclave in debug mode has zeros in all three; its memory can be read from the host. One alone measures nothing either: refused too. */
export function isDebug(pcrs: ReadonlyMap<number, Uint8Array>): boolean {
  return zeroImagePcrs(pcrs) > 0;
}

function zeroImagePcrs(pcrs: ReadonlyMap<number, Uint8Array>): number {
  return IMAGE_PCRS.filter((index) => pcrs.get(index)?.every((byte) => byte === 0) !== false).length;
}

interface KeyQuestion {
  readonly inputs: ExaminationInputs;
  readonly memo: IssuerMemo;
  readonly found: Set<NitroWord>;
  readonly claims: Claims;
}

/** The signature, and the way from its key to a root of ours. Whatever cannot be asked is a finding too. */
function examineKey(
  cose: CoseSign1,
  { certificate, cabundle }: Partial<NitroDocument>,
  { inputs, memo, found, claims }: KeyQuestion,
): readonly Certificate[] {
  const leaf = certificate && readOrNote(() => readCertificate(certificate), found);
  if (leaf === undefined || !coseVerifies(cose, leaf.publicKey)) found.add('cose_signature_invalid');
  if (leaf === undefined) return [];
  claims['leaf_valid_from'] = isoSeconds(leaf.notBefore);
  claims['leaf_valid_until'] = isoSeconds(leaf.notAfter);
  const issuers = cabundle && readOrNote(() => cabundle.toReversed().map((der) => memo.certificate(der)), found);
  if (issuers === undefined) return [];
  const chain = followChain([leaf, ...issuers], memo);
  claims['valid_from'] = isoSeconds(chain.validity.from);
  claims['valid_until'] = isoSeconds(chain.validity.until);
  const root = issuers.at(-1);
  // A certificate authority among the leaves would let one enclave speak for others.
  if (!chain.isWhole || leaf.issuesCertificates || !isNamedBySelf(root)) found.add('chain_incomplete');
  if (!isPinned(root, inputs.roots)) found.add('untrusted_root');
  const outside = outsideValidity(chain, inputs.now);
  if (outside !== undefined) found.add(outside);
  return chain.linked;
}

function readOrNote<T>(read: () => T, found: Set<NitroWord>): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    found.add('certificate_malformed');
    return undefined;
  }
}

/** What somebody else issued is no root. */
function isNamedBySelf(root: Certificate | undefined): boolean {
  return root !== undefined && nameText(root.subject) === nameText(root.issuer);
}

/** By its bytes: a root with the same name, or even the same key, is another root. */
function isPinned(root: Certificate | undefined, roots: readonly PinnedRoot[]): boolean {
  return roots.some(({ vendor, certificate }) => vendor === 'aws' && root !== undefined && Buffer.compare(root.der, certificate) === 0);
}

/** Fits when nobody asked. What is not hex fits nothing. */
function nonceFits({ nonce }: Partial<NitroDocument>, expected: unknown): boolean {
  if (expected === undefined || expected === null) return true;
  return typeof expected === 'string' && expected !== '' && nonce instanceof Uint8Array && toHex(nonce) === expected.toLowerCase();
}
