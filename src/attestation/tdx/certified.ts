/** The PCK chain inside a quote: whose platform key it is, and whether it leads to Intel's pinned root. */
import type { ClaimValue } from '../examination.ts';
import type { Certificate } from '../x509/certificate.ts';
import { readCertificate } from '../x509/certificate.ts';
import { orUndefined } from '../x509/der.ts';
import { type IssuerMemo, pathToRoot } from '../x509/path.ts';
import { readPemParts } from '../x509/pem.ts';
import { standing, type Validity } from '../x509/validity.ts';
import { type Pck, readPck } from './pck.ts';
import type { TdxWord } from './words.ts';

/** Leaf, authority, root. */
const MAX_CHAIN = 4;

export interface Certified {
  readonly pck: Pck | undefined;
  /** Who issued the PCK certificate, when it leads to a pinned root. */
  readonly authority: Certificate | undefined;
  /** From the PCK certificate up, as far as there is a way. */
  readonly certificates: readonly Certificate[];
  readonly periods: readonly Validity[];
  readonly findings: readonly TdxWord[];
  readonly claims: Readonly<Record<string, ClaimValue>>;
}

export interface PckTrust {
  readonly roots: readonly Certificate[];
  readonly memo: IssuerMemo;
  readonly now: Date;
}

/** `pem`: leaf first, as in the quote. */
export function certify(pem: Uint8Array, { roots, memo, now }: PckTrust): Certified {
  const blocks = orUndefined(() => readPemParts(Buffer.from(pem).toString('latin1'), 'CERTIFICATE', MAX_CHAIN)) ?? [];
  const [leaf, ...issuers] = blocks.map(
    (der, at) => der && orUndefined(() => (at === 0 ? readCertificate(der) : memo.certificates(der)[0])),
  );
  const pck = leaf && orUndefined(() => readPck(leaf));
  const sent = issuers.filter((one) => one !== undefined);
  const path = leaf && pathToRoot(leaf, { issuers: sent, roots, memo });
  const readable = pck !== undefined && sent.length === issuers.length;
  const linked = leaf !== undefined && readable && (isStartOf([leaf, ...sent], path) || isLinked([leaf, ...sent], roots, memo));
  const onPath = readable && path !== undefined && sent.every(({ fingerprint }) => path.some((one) => one.fingerprint === fingerprint));
  const certificates = path ?? [...(leaf === undefined ? [] : [leaf])];
  const periods = certificates.map(({ notBefore: from, notAfter: until }) => ({ from, until }));
  return {
    pck,
    authority: path?.[1],
    certificates,
    periods,
    findings: [
      ...(readable ? [] : (['malformed'] as const)),
      ...(linked ? [] : (['chain_invalid'] as const)),
      ...(onPath ? [] : (['untrusted_root'] as const)),
      ...periods.flatMap((period) => dateOf(period, now)),
    ],
    claims: {
      pck_issuer: pck?.issuer ?? null,
      fmspc: pck?.fmspc ?? null,
      pce_id: pck?.pceId ?? null,
      ppid: pck?.ppid ?? null,
      pck_tcb_components: pck?.components ?? null,
      pcesvn: pck?.pceSvn ?? null,
    },
  };
}

/** The way to a root is the chain as it was sent: it was verified just now. */
function isStartOf(chain: readonly Certificate[], path: readonly Certificate[] | undefined): boolean {
  return chain.every(({ fingerprint }, at) => fingerprint === path?.[at]?.fingerprint);
}

/** Each is signed by the next, and the last by itself or by a pinned root: a chain of somebody's, if not of ours. */
function isLinked(chain: readonly Certificate[], roots: readonly Certificate[], memo: IssuerMemo): boolean {
  return chain.every((one, at) => {
    const next = chain[at + 1];
    if (next !== undefined) return at === 0 ? memo.isLeafIssuedBy(one, next) : memo.isIssuedBy(one, next);
    return [one, ...roots].some((issuer) => memo.isIssuedBy(one, issuer));
  });
}

function dateOf(period: Validity, now: Date): readonly TdxWord[] {
  const found = standing(period, now);
  return found === 'current' ? [] : [found === 'late' ? 'pck_chain_expired' : 'pck_chain_not_yet_valid'];
}
