/** How far a chain in its sender's order holds (RFC 5280 section 6.1). Whether its end is one of ours is asked elsewhere. */
import { type Certificate, unknownCritical } from './certificate.ts';
import type { IssuerMemo } from './path.ts';
import { overlap, standing, type Validity } from './validity.ts';

export interface FollowedChain {
  /** The first certificate and all that are linked to it without a gap. */
  readonly linked: readonly Certificate[];
  /** Every certificate is linked. */
  readonly isWhole: boolean;
  /** When all linked certificates are valid. */
  readonly validity: Validity;
}

/** `certificates`: from the one that signed up to the root, nothing skipped, nothing searched for. */
export function followChain([first, ...issuers]: readonly [Certificate, ...Certificate[]], memo: IssuerMemo): FollowedChain {
  const linked = [first];
  for (const issuer of issuers) {
    if (!isNext(issuer, linked, memo)) break;
    linked.push(issuer);
  }
  const periods = linked.map(({ notBefore, notAfter }) => ({ from: notBefore, until: notAfter }));
  const validity = overlap(periods) ?? { from: first.notBefore, until: first.notAfter };
  return { linked, isWhole: linked.length === 1 + issuers.length, validity };
}

function isNext(issuer: Certificate, linked: readonly Certificate[], memo: IssuerMemo): boolean {
  const subject = linked.at(-1);
  if (subject === undefined || [subject, issuer].some((one) => unknownCritical(one).length > 0)) return false;
  const below = linked.length - 1; // CA certificates between the issuer and the leaf
  if (issuer.pathLength !== undefined && below > issuer.pathLength) return false;
  return below === 0 ? memo.isLeafIssuedBy(subject, issuer) : memo.isIssuedBy(subject, issuer);
}

/** The word for a time outside the period, where one is needed. */
export function outsideValidity({ validity }: FollowedChain, now: Date): 'certificate_expired' | 'certificate_not_yet_valid' | undefined {
  const where = standing(validity, now);
  return where === 'late' ? 'certificate_expired' : where === 'early' ? 'certificate_not_yet_valid' : undefined;
}
