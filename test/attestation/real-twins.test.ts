/**
 * Real evidence of the shared vectors with one thing changed: which words come of it, all of them, in their order. Elsewhere one rule is broken at a
 * time and the rest signed again; here nobody can sign again, so a change below a signature is that, and whatever else it is.
 */
import { isDeepStrictEqual } from 'node:util';
import { expect, test } from '@jest/globals';
import type { ExaminationInputs } from '../../src/attestation/examination.ts';
import { EVIDENCE_FORMATS } from '../../src/cli/evidence-formats.ts';
import { describeShared, inputsOf, readShared, sharedEntries } from './shared-evidence.ts';

type Change = (inputs: ExaminationInputs) => Partial<ExaminationInputs>;
type Row = readonly [what: string, change: Change, reasons: string];

const bytes =
  (edit: (evidence: Uint8Array) => Uint8Array): Change =>
  ({ evidence }) => ({ evidence: edit(evidence.slice()) });
/** `at` below zero counts from the end. */
const bit = (at: number, mask = 1) => bytes((evidence) => evidence.with(at < 0 ? evidence.length + at : at, (evidence.at(at) ?? 0) ^ mask));
const zeros = (from: number, to?: number) => bytes((evidence) => evidence.fill(0, from, to));
const cut = bytes((evidence) => evidence.slice(0, -1));
const and = (...more: readonly number[]) => bytes((evidence) => Uint8Array.of(...evidence, ...more));
const at =
  (time: string): Change =>
  () => ({ now: new Date(time) });
const companion =
  (name: string, edit: (file: Uint8Array) => Uint8Array | undefined): Change =>
  ({ companions: { [name]: file = new Uint8Array(0), ...others } }) => {
    const edited = edit(file);
    return { companions: edited === undefined ? others : { ...others, [name]: edited } };
  };
const without = (name: string) => companion(name, () => undefined);
const other = (name: string, file: string) => companion(name, () => readShared(file));
/** A member of a bundle of collateral. */
const member = (name: string, edit: (text: string) => string | undefined) =>
  companion('collateral', (file) => {
    const bundle = JSON.parse(Buffer.from(file).toString('utf8')) as Record<string, string>;
    return new Uint8Array(Buffer.from(JSON.stringify({ ...bundle, [name]: edit(bundle[name] ?? '') })));
  });
const lastDigit = (text: string) => text.slice(0, -1) + (text.endsWith('0') ? '1' : '0');
const memberOf = (name: string, file: string) =>
  member(name, () => (JSON.parse(Buffer.from(readShared(file)).toString('utf8')) as Record<string, string>)[name]);
/** PEM: certificates from 0. */
const withoutCertificate = (name: string, index: number) =>
  companion(name, (file) => {
    const blocks = Buffer.from(file)
      .toString('latin1')
      .split(/(?=-----BEGIN )/);
    return new Uint8Array(Buffer.from(blocks.toSpliced(index, 1).join('')));
  });
const lookalike = (text: string) =>
  text.slice(0, text.indexOf('-----BEGIN', 1)) + Buffer.from(readShared('roots/lookalike/intel-sgx-root-e3f49e85.pem')).toString('latin1');
const asked =
  (name: string, value: string): Change =>
  () => ({ parameters: { [name]: value } });
const noRoots: Change = () => ({ roots: [] });
/** A token: header, payload, signature. */
const token = (edit: (parts: [header: string, payload: string, signature: string]) => readonly string[]) =>
  bytes((evidence) => {
    const [header = '', payload = '', signature = ''] = Buffer.from(evidence).toString('latin1').trim().split('.');
    return new Uint8Array(Buffer.from(edit([header, payload, signature]).join('.')));
  });
const json = (part: string, change: object) =>
  Buffer.from(JSON.stringify({ ...(JSON.parse(Buffer.from(part, 'base64url').toString('utf8')) as object), ...change })).toString(
    'base64url',
  );
const header = (change: object) => token(([head, payload, signature]) => [json(head, change), payload, signature]);
const payload = (change: object) => token(([head, claims, signature]) => [head, json(claims, change), signature]);

/** In the VCEK of milan-v2-vcek-azure: last byte of 1.3.6.1.4.1.3704.1.3.1. */
const BOOTLOADER_OID_END = 553;

const TWINS: Readonly<Record<string, readonly Row[]>> = {
  'snp/milan-v2-vcek-azure': [
    ['a byte less', cut, 'malformed'],
    ['a byte more', and(0), 'malformed'],
    ['another measurement', bit(0x90), 'report_signature_invalid'],
    ['debug allowed', bit(10, 8), 'report_signature_invalid debug_enabled'],
    ['another algorithm', bit(0x34), 'signature_algorithm report_signature_invalid'],
    ['another TCB', bit(0x187), 'report_signature_invalid tcb_mismatch'],
    ['another chip', bit(0x1a0), 'report_signature_invalid chip_id_mismatch'],
    ['signed by a VLEK, it says', bit(0x48, 4), 'report_signature_invalid signing_key_kind_mismatch'],
    ['a version that needs a CPUID', bit(0), 'report_signature_invalid product_mismatch'],
    ['r is zero', zeros(0x2a0, 0x2e8), 'signature_not_canonical report_signature_invalid'],
    ['s is zero', zeros(0x2e8, 0x330), 'signature_not_canonical report_signature_invalid'],
    [
      'r of 48 bytes above the order',
      bytes((evidence) => evidence.fill(0xff, 0x2a0, 0x2d0)),
      'signature_not_canonical report_signature_invalid',
    ],
    ['r is longer than the curve', bit(0x2d0), 'signature_not_canonical report_signature_invalid'],
    ['something behind s', bit(-1), 'malformed signature_not_canonical'],
    ['before the VCEK', at('2023-01-24T17:58:25Z'), 'certificate_not_yet_valid'],
    ['after the VCEK', at('2030-01-24T17:58:27Z'), 'certificate_expired'],
    ['no VCEK', without('endorsement_key_certificate'), 'chain_not_to_trusted_root report_signature_invalid'],
    ['no chain', without('issuer_chain'), 'chain_not_to_trusted_root'],
    ['the chain of VLEKs', other('issuer_chain', 'snp/chain.milan_vlek.pem'), 'chain_not_to_trusted_root'],
    ['the chain of another product', other('issuer_chain', 'snp/chain.genoa.pem'), 'chain_not_to_trusted_root product_mismatch'],
    ['the chain of a product with another TCB', other('issuer_chain', 'snp/chain.turin.pem'), 'chain_not_to_trusted_root product_mismatch'],
    [
      'a VCEK that names no bootloader',
      companion('endorsement_key_certificate', (file) => file.with(BOOTLOADER_OID_END, 0x11)),
      'malformed chain_not_to_trusted_root tcb_mismatch',
    ],
    ['the list of another product', other('crl', 'snp/amd_genoa_crl.pem'), 'crl_invalid'],
    ['a list of its own, before its day', other('crl', 'snp/amd_milan_crl.pem'), 'crl_not_yet_valid'],
    ['no root', noRoots, 'chain_not_to_trusted_root'],
  ],
  'tdx/v4-uptodate': [
    ['cut in its chain', bytes((evidence) => evidence.slice(0, 4900)), 'malformed quote_sig_invalid'],
    ['text behind it', and(0x68, 0x69), 'trailing_bytes'],
    ['another measurement', bit(184), 'quote_sig_invalid'],
    ['debug', bit(168), 'quote_sig_invalid debug_enabled'],
    ['another key type', bit(2), 'malformed quote_sig_invalid'],
    ['r is zero', zeros(636, 668), 'quote_sig_invalid'],
    ['another attestation key', bit(700), 'qe_binding_invalid quote_sig_invalid'],
    ['another quoting enclave', bit(770 + 128), 'qe_sig_invalid qe_mrsigner_mismatch'],
    ['signed by another PCK', bit(1154), 'qe_sig_invalid'],
    ['other authentication data', bit(1220), 'qe_binding_invalid'],
    ['no collateral', without('collateral'), 'tcb_status_unknown'],
    ['another TCB info', member('tcb_info', (text) => text.replace('UpToDate', 'Revoked ')), 'tcb_info_signature_invalid'],
    ['another signature of it', member('tcb_info_signature', lastDigit), 'tcb_info_signature_invalid'],
    ['another signature of the QE identity', member('qe_identity_signature', lastDigit), 'qe_identity_signature_invalid'],
    ['a lookalike above TCB info', member('tcb_info_issuer_chain', lookalike), 'tcb_info_untrusted_root'],
    ['a lookalike above the QE identity', member('qe_identity_issuer_chain', lookalike), 'qe_identity_untrusted_root'],
    [
      'a chain above TCB info that is none',
      member('tcb_info_issuer_chain', (text) => text.slice(0, -3)),
      'malformed tcb_info_untrusted_root tcb_info_signature_invalid',
    ],
    [
      'half a signature of the QE identity',
      member('qe_identity_signature', (text) => text.slice(64)),
      'malformed qe_identity_signature_invalid',
    ],
    ['a damaged list of PCKs', member('pck_crl', lastDigit), 'pck_crl_signature_invalid'],
    ['a damaged list of authorities', member('root_ca_crl', lastDigit), 'root_crl_signature_invalid'],
    ["a later day's list", memberOf('pck_crl', 'tdx/collateral.50806f-2026-03.json'), 'pck_crl_not_yet_valid'],
    ["an earlier day's list", memberOf('pck_crl', 'tdx/collateral.go-tdx-guest-2023-06.json'), 'pck_crl_expired'],
    ['a second before the QE identity', at('2025-06-19T10:32:26Z'), 'qe_identity_not_yet_issued'],
    ['a second after the list', at('2025-07-19T10:00:36Z'), 'pck_crl_expired'],
    [
      'no root',
      noRoots,
      'untrusted_root tcb_info_untrusted_root qe_identity_untrusted_root root_crl_signature_invalid pck_crl_signature_invalid',
    ],
  ],
  'nitro/prod-2025-pcr16': [
    ['a byte less', cut, 'malformed cose_signature_invalid'],
    ['a byte more', and(0), 'trailing_bytes'],
    ['another signature', bit(-1), 'cose_signature_invalid'],
    ['r is zero', zeros(-96, -48), 'cose_signature_invalid'],
    ['another algorithm', bit(5), 'malformed cose_signature_invalid'],
    ['another certificate', bit(1610), 'cose_signature_invalid chain_incomplete'],
    ['a certificate that is none', bit(984, 0x80), 'certificate_malformed cose_signature_invalid'],
    ['another nonce', asked('expected_nonce', '00'), 'nonce_mismatch'],
    ['before its leaf', at('2025-11-10T17:20:06Z'), 'certificate_not_yet_valid'],
    ['after its leaf', at('2025-11-10T20:20:11Z'), 'certificate_expired'],
    ['no root', noRoots, 'untrusted_root'],
  ],
  'nvidia/h100-590': [
    ['a byte less', cut, 'malformed report_signature_invalid'],
    ['a zero more, as buffers leave them', and(0), ''],
    ['a byte more', and(1), 'trailing_bytes'],
    ['another nonce in it', bit(4), 'report_signature_invalid nonce_mismatch'],
    ['another nonce asked for', asked('expected_nonce', '00'.repeat(32)), 'nonce_mismatch'],
    ['another signature', bit(-1), 'report_signature_invalid'],
    ['another measurement', bit(60), 'report_signature_invalid'],
    ['no chain', without('chain'), 'chain_incomplete untrusted_root'],
    ['no leaf', withoutCertificate('chain', 0), 'leaf_without_fwid report_signature_invalid'],
    ['no intermediate', withoutCertificate('chain', 2), 'chain_incomplete'],
    ['no root in the chain', withoutCertificate('chain', 4), 'chain_incomplete untrusted_root'],
    ['the chain of another device', other('chain', 'nvidia/h100-570.chain.pem'), 'fwid_mismatch report_signature_invalid'],
    ['no pinned root', noRoots, 'untrusted_root'],
  ],
  'nvidia/rim/NV_GPU_DRIVER_GH100_550.144.03.xml': [
    ['cut in its last tag', bytes((evidence) => evidence.slice(0, -4)), 'malformed xml_signature_invalid'],
    ['another measurement', bytes(replaced(/Hash0="[1-9a-f]/, 'Hash0="0')), 'xml_signature_invalid'],
    ['no signature', bytes(replaced(/<ds:Signature [\s\S]*<\/ds:Signature>/, '')), 'malformed xml_signature_invalid'],
    [
      'no root in the chain',
      bytes(replaced(/<ds:X509Certificate>(?!.*<ds:X509Certificate>)[^<]*<\/ds:X509Certificate>/s, '')),
      'chain_incomplete',
    ],
    ['after its signer', at('2026-12-30T16:56:51Z'), 'certificate_expired'],
    ['no root', noRoots, 'chain_incomplete'],
  ],
  'tpm/gce-cos85-sha256': [
    ['a byte less', cut, 'malformed quote_signature_invalid'],
    ['another magic', bit(0), 'bad_magic quote_signature_invalid'],
    ['another statement', bit(5), 'not_a_quote quote_signature_invalid'],
    ['another digest', bit(-1), 'quote_signature_invalid pcr_digest_mismatch'],
    ['another nonce', asked('expected_nonce', '9010'), 'nonce_mismatch'],
    ['values of another bank', other('pcrs', 'tpm/gce-cos85-sha384/pcrs.json'), 'pcr_digest_mismatch'],
    ['no values', without('pcrs'), 'pcr_values_missing'],
    ['no certificate', without('ak_certificate'), 'ak_not_certified'],
    ['no chain', without('ak_chain'), 'untrusted_root ak_not_certified'],
    ['no root', noRoots, 'untrusted_root ak_not_certified'],
    ['another key', other('ak_public_key', 'tpm/trustee-uncertified-ak/ak.spki.der'), 'quote_signature_invalid'],
    ['the log of another machine', other('eventlog', 'eventlog/ubuntu-1804-amd-sev.bin'), 'event_log_mismatch'],
    ['a log of old', other('eventlog', 'eventlog/debian-10.bin'), 'malformed event_log_mismatch'],
    ['before the certificate', at('2021-08-31T23:11:04Z'), 'certificate_not_yet_valid untrusted_root ak_not_certified'],
  ],
  'tpm/azure-snp-v1': [
    ['no report', without('hcl_report'), 'ak_not_certified'],
    ['no VCEK', without('vcek'), 'ak_not_bound ak_not_certified'],
    ['the report of another machine', other('hcl_report', 'tpm/azure-tdx-ak-certificate/hcl-report.bin'), 'ak_not_bound ak_not_certified'],
  ],
  'jwt/gcp-cs-2025-09': [
    ['alg none', header({ alg: 'none' }), 'algorithm_not_allowed signature_invalid'],
    ['an HMAC', header({ alg: 'HS256' }), 'algorithm_not_allowed signature_invalid'],
    ['another alg', header({ alg: 'PS256' }), 'signature_invalid'],
    ['a URL for its key', header({ jku: 'https://example.com/keys' }), 'signature_invalid'],
    ['no certificates', header({ x5c: undefined }), 'no_x5c'],
    ['certificates that are none', header({ x5c: ['AAAA'] }), 'malformed untrusted_root'],
    ['another audience in it', payload({ aud: 'https://vault.example' }), 'signature_invalid'],
    ['no exp', payload({ exp: undefined }), 'signature_invalid no_exp'],
    ['no signature', token(([head, claims]) => [head, claims, '']), 'malformed signature_invalid'],
    ['two parts', token(([head, claims]) => [head, claims]), 'malformed'],
    ['the very second of exp', at('2025-09-05T09:17:30Z'), 'token_expired'],
    ['a second too early', at('2025-09-05T08:17:29Z'), 'token_not_yet_valid token_issued_in_future'],
    ['another nonce', asked('expected_nonce', '00'), 'nonce_mismatch'],
    ['another audience asked for', asked('expected_audience', 'https://vault.example'), 'audience_mismatch'],
    ['no root', noRoots, 'untrusted_root'],
  ],
  'jwt/nras-2025-06-overall': [
    ['another kid', header({ kid: 'somebody' }), 'unknown_kid'],
    ['no key set', without('jwks'), 'no_trusted_key'],
    ["another's key set", other('jwks', 'jwt/ita.jwks.json'), 'unknown_kid'],
    ['another issuer in it', payload({ iss: 'https://example.com' }), 'signature_invalid issuer_not_allowed'],
  ],
  'jwt/ear-trustee-2025-07': [
    ['issued a second later', at('2025-07-09T11:05:38Z'), 'token_issued_in_future'],
    ["another's key", other('key', 'jwt/veraison-ear.jwk.json'), 'signature_invalid'],
  ],
};

function replaced(what: string | RegExp, by: string): (evidence: Uint8Array) => Uint8Array {
  return (evidence) => new Uint8Array(Buffer.from(Buffer.from(evidence).toString('utf8').replace(what, by)));
}

describeShared('twins of real evidence', () => {
  for (const [id, rows] of Object.entries(TWINS)) {
    test.each(rows.map(([what, change, reasons]) => [what, change, reasons] as const))(`${id} with %s`, async (_, change, reasons) => {
      const [entry] = Object.keys(EVIDENCE_FORMATS).flatMap((format) => sharedEntries(format).filter((one) => one.id === id));
      const examine = await EVIDENCE_FORMATS[entry?.format ?? '']?.load();
      if (entry === undefined || examine === undefined) throw new Error(`the shared manifest has no ${id}`);
      const inputs = inputsOf(entry);
      const twin = { ...inputs, ...change(inputs) };
      expect(isDeepStrictEqual(twin, inputs)).toBe(false);
      expect((await examine(twin)).reasons.join(' ')).toBe(reasons);
    });
  }
});
