/** Intel's collateral: who signed it, over which exact bytes, and when it counts. What it says about a quote is in tcb.ts. */
import { sha256Hex } from '../../domain/bytes.ts';
import type { Certificate } from '../x509/certificate.ts';
import { type Crl, isCrlOf, readCrl } from '../x509/crl.ts';
import { orUndefined } from '../x509/der.ts';
import { nameText, partOf } from '../x509/names.ts';
import { type IssuerMemo, pathToRoot } from '../x509/path.ts';
import { ecdsaVerifies } from '../x509/signature.ts';
import { standing, type Validity } from '../x509/validity.ts';
import { type CollateralBundle, type QeIdentity, readBundle, readQeIdentity, readTcbInfo, type TcbInfo } from './collateral-form.ts';
import type { CollateralWord } from './words.ts';

const TCB_SIGNING = 'Intel SGX TCB Signing';
const SIGNATURE_HEX = /^[0-9a-fA-F]{128}$/;

type Dated = readonly [period: Validity, early: CollateralWord, late: CollateralWord];

/** What does not change with time: verified once a bundle. */
export interface Collateral {
  readonly info: TcbInfo | undefined;
  readonly identity: QeIdentity | undefined;
  readonly rootCrl: Crl | undefined;
  readonly pckCrl: Crl | undefined;
  readonly findings: readonly CollateralWord[];
  readonly periods: readonly Dated[];
}

export interface CollateralTrust {
  readonly roots: readonly Certificate[];
  /** The authority that issued the quote's PCK certificate, on a way to a pinned root; undefined when there is none. */
  readonly pckAuthority: Certificate | undefined;
  readonly memo: IssuerMemo;
}

/** Reads and verifies a bundle; the same bytes under the same trust are verified once per memo. Throws Malformed. */
export function verifyCollateral(bytes: Uint8Array, trust: CollateralTrust): Collateral {
  const trusted = [trust.pckAuthority, ...trust.roots].map((one) => one?.fingerprint ?? '').join();
  return trust.memo.once(`tdx collateral ${sha256Hex(bytes)} under ${trusted}`, () => verifyBundle(readBundle(bytes), trust));
}

function verifyBundle(bundle: CollateralBundle, trust: CollateralTrust): Collateral {
  const info = verifySigned(bundle.tcb_info, bundle.tcb_info_signature, bundle.tcb_info_issuer_chain, 'tcb_info', trust);
  const identity = verifySigned(bundle.qe_identity, bundle.qe_identity_signature, bundle.qe_identity_issuer_chain, 'qe_identity', trust);
  const rootCrl = orUndefined(() => readCrl(bundle.root_ca_crl));
  const pckCrl = orUndefined(() => readCrl(bundle.pck_crl));
  const tcbInfo = orUndefined(() => readTcbInfo(bundle.tcb_info));
  const qeIdentity = orUndefined(() => readQeIdentity(bundle.qe_identity));
  const signers = [...info.path, ...identity.path];
  return {
    info: tcbInfo,
    identity: qeIdentity,
    rootCrl,
    pckCrl,
    findings: [
      ...info.findings,
      ...identity.findings,
      ...([rootCrl, pckCrl, tcbInfo, qeIdentity].includes(undefined) ? (['malformed'] as const) : []),
      // Version 3 is the first that judges TDX; of the quoting enclave version 2 is the first of API v4.
      ...(tcbInfo === undefined || (tcbInfo.id === 'TDX' && tcbInfo.version === 3) ? [] : (['tcb_info_of_another_kind'] as const)),
      ...(qeIdentity === undefined || (qeIdentity.id === 'TD_QE' && qeIdentity.version === 2)
        ? []
        : (['qe_identity_of_another_kind'] as const)),
      ...checkRootCrl(rootCrl, signers, trust),
      ...checkPckCrl(pckCrl, bundle.pck_crl_issuer_chain, trust),
    ],
    periods: [
      ...dated(lifeOf(tcbInfo), 'tcb_info_not_yet_issued', 'tcb_info_expired'),
      ...dated(lifeOf(qeIdentity), 'qe_identity_not_yet_issued', 'qe_identity_expired'),
      ...dated(rootCrl, 'root_crl_not_yet_valid', 'root_crl_expired'),
      ...dated(pckCrl, 'pck_crl_not_yet_valid', 'pck_crl_expired'),
      ...signers.flatMap(({ notBefore: from, notAfter: until }) =>
        dated({ from, until }, 'tcb_signing_not_yet_valid', 'tcb_signing_expired'),
      ),
    ],
  };
}

function dated(period: Validity | undefined, early: CollateralWord, late: CollateralWord): readonly Dated[] {
  return period === undefined ? [] : [[period, early, late]];
}

function lifeOf(signed: TcbInfo | QeIdentity | undefined): Validity | undefined {
  return signed && { from: signed.issueDate, until: signed.nextUpdate };
}

export function dateFindings({ periods }: Collateral, now: Date): readonly CollateralWord[] {
  return periods.flatMap(([period, early, late]) => {
    const found = standing(period, now);
    return found === 'current' ? [] : [found === 'early' ? early : late];
  });
}

/** The signature is r and s in hex over the text exactly as it came: no white space added, nothing written anew. */
function verifySigned(
  text: string,
  signature: string,
  chain: string,
  what: 'tcb_info' | 'qe_identity',
  { roots, memo }: CollateralTrust,
): { readonly path: readonly Certificate[]; readonly findings: readonly CollateralWord[] } {
  const sent = orUndefined(() => memo.certificates(Buffer.from(chain)));
  const [leaf, ...issuers] = sent ?? [];
  const path = leaf && pathToRoot(leaf, { issuers, roots, memo });
  const onPath = path !== undefined && [leaf, ...issuers].every((one) => path.some(({ fingerprint }) => fingerprint === one?.fingerprint));
  const trusted = onPath && leaf !== undefined && !leaf.issuesCertificates && partOf(leaf.subject, 'CN') === TCB_SIGNING;
  const raw = SIGNATURE_HEX.test(signature) ? new Uint8Array(Buffer.from(signature, 'hex')) : undefined;
  const signed = leaf && raw && ecdsaVerifies('sha256', Buffer.from(text), { r: raw.subarray(0, 32), s: raw.subarray(32) }, leaf.publicKey);
  return {
    path: path ?? [],
    findings: [
      ...(sent === undefined || raw === undefined ? (['malformed'] as const) : []),
      ...(trusted ? [] : ([`${what}_untrusted_root`] as const)),
      ...(signed ? [] : ([`${what}_signature_invalid`] as const)),
    ],
  };
}

/** The root signs it, and it names authorities and signers. */
function checkRootCrl(crl: Crl | undefined, signers: readonly Certificate[], { roots }: CollateralTrust): readonly CollateralWord[] {
  if (crl === undefined || !roots.some((root) => isCrlOf(crl, root))) return ['root_crl_signature_invalid'];
  return signers.some((signer) => crl.revoked.has(signer.serial)) ? ['tcb_signing_revoked'] : [];
}

/** It must be of the authority that issued this very PCK certificate: there are two, and each knows only its own. */
function checkPckCrl(crl: Crl | undefined, chain: string, trust: CollateralTrust): readonly CollateralWord[] {
  if (crl === undefined) return ['pck_crl_signature_invalid'];
  const { pckAuthority, roots, memo } = trust;
  const sent = orUndefined(() => memo.certificates(Buffer.from(chain))) ?? [];
  const leading = sent.filter((one) => pathToRoot(one, { issuers: sent, roots, memo }) !== undefined);
  const signers = [...(pckAuthority === undefined ? [] : [pckAuthority]), ...leading];
  const mismatch = pckAuthority !== undefined && nameText(pckAuthority.subject) !== nameText(crl.issuer);
  return [
    ...(mismatch ? (['pck_crl_issuer_mismatch'] as const) : []),
    ...(signers.some((signer) => isCrlOf(crl, signer)) ? [] : (['pck_crl_signature_invalid'] as const)),
  ];
}
