/** A virtual TPM of a SEV-SNP or TDX guest as Azure's paravisor shows it: HCL report, quote, certificates, from keys of our own. */
import { createHash } from 'node:crypto';
import type { Tpm2Body } from '../../src/attestation/tpm2/evidence.ts';
import { concat, fromHex, toBase64 } from '../../src/domain/bytes.ts';
import { tpm2ExtraData } from '../../src/domain/evidence.ts';
import { attest, publicArea, type TestAk, tpmSignature } from './quote-maker.ts';
import { makeReport, type ReportWishes, type SnpLine, TCB } from './snp-maker.ts';
import { type IntelWorld, makeQuote, type QuoteWishes } from './tdx-maker.ts';
import type { Issued } from './test-ca.ts';

export interface HclWishes {
  /** Whose key the text names. */
  readonly ak: Pick<TestAk, 'publicKey'>;
  readonly report?: Partial<ReportWishes>;
  /** Over the text after its digest was taken. */
  readonly otherText?: (text: string) => string;
  readonly type?: number;
}

/** HCL report and the certificate of its chip. */
export async function makeHcl(line: SnpLine, { report = {}, type = 2, ...wishes }: HclWishes) {
  const { raw: tcb, extensions } = TCB.Genoa;
  const { der: certificate, keys } = await line.key({ tcb: extensions });
  const { reportData, envelope } = textOf(wishes);
  const signed = makeReport({ tcb, reportData, ...report }, keys.privateKey);
  return { report: toBase64(envelope(signed, type)), certificate: toBase64(certificate), intermediate: toBase64(line.ask) };
}

export interface TdHclWishes extends Pick<HclWishes, 'ak' | 'otherText'> {
  readonly quote?: QuoteWishes;
}

/** HCL report with a TDREPORT, and a quote with the same report data. */
export function makeTdHcl(world: IntelWorld, pck: Issued, { quote = {}, ...wishes }: TdHclWishes) {
  const { reportData, envelope } = textOf(wishes);
  const tdReport = new Uint8Array(1184);
  tdReport.set([0x81], 0);
  tdReport.set(reportData, 128);
  return { report: toBase64(envelope(tdReport, 4)), quote: toBase64(makeQuote(world, pck, { reportData, ...quote })) };
}

/** The text that names the key, its digest, and what stands around it. */
function textOf({ ak, otherText = (text) => text }: Pick<HclWishes, 'ak' | 'otherText'>) {
  const jwk = { kid: 'HCLAkPub', key_ops: ['sign'], ...ak.publicKey.export({ format: 'jwk' }) };
  const text = JSON.stringify({ keys: [jwk], 'vm-configuration': { 'secure-boot': true } });
  const reportData = concat(createHash('sha256').update(text).digest(), new Uint8Array(32));
  const shown = Buffer.from(otherText(text));
  const u32 = (value: number) => Uint8Array.from(Buffer.from(Uint32Array.of(value).buffer));
  const envelope = (hardware: Uint8Array, type: number) => {
    const header = concat(u32(shown.length + 20), u32(1), u32(type), u32(1), u32(shown.length));
    return concat(Buffer.from('HCLA'), new Uint8Array(28), hardware, header, shown, new Uint8Array(64));
  };
  return { reportData, envelope };
}

/** A quote by that key, for that binding. */
export function quoteOf(ak: TestAk, binding: Uint8Array, pcrs: Tpm2Body['pcrs'] = { sha256: { '7': '07'.repeat(32) } }): Tpm2Body {
  const quote = attest({ nonce: tpm2ExtraData(binding), pcrs });
  return { quote: toBase64(quote), signature: toBase64(tpmSignature(quote, ak)), akPublic: toBase64(publicArea(ak)), pcrs };
}

/** The extension that Google puts into such certificates, of a published one (shared vectors, gce-cos85). */
export const GCE_INSTANCE = fromHex(
  '306a0c0d75732d63656e7472616c312d6102051b5a475c690c1c676f6f676c652e636f6d3a7775616c652d6763702d74657374696e6702085e53e3fbbf8306c50c08636f732d74657374a020301ea003020100a1030101ffa203010100a303010100a403010100a503010100',
);
