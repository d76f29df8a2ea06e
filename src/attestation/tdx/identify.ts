/** Intel's collateral of a platform, known when it is imported. Nothing counts that does not lead to a root. */
import type { IdentifiedCollateral } from '../port.ts';
import { orUndefined } from '../x509/der.ts';
import { IssuerMemo } from '../x509/path.ts';
import { overlap } from '../x509/validity.ts';
import { type Collateral, verifyCollateral } from './collateral.ts';

/** A bundle as docs/formats/evidence-tdx.md has it; `pck_crl_issuer_chain` must be in it, because no quote is here that has the authority. */
export function identifyTdxCollateral(bytes: Uint8Array, roots: readonly Uint8Array[]): IdentifiedCollateral | undefined {
  const memo = new IssuerMemo();
  const pinned = roots.flatMap((root) => orUndefined(() => memo.certificates(root)) ?? []);
  const found = orUndefined(() => verifyCollateral(bytes, { roots: pinned, pckAuthority: undefined, memo }));
  const life = found && overlap(found.periods.map(([period]) => period));
  if (found?.info === undefined || life === undefined || found.findings.length > 0) return undefined;
  return {
    type: 'tdx-collateral',
    key: found.info.fmspc,
    issuedAt: found.info.issueDate,
    expiresAt: life.until,
    counters: countersOf(found),
  };
}

function countersOf({ info, identity, rootCrl, pckCrl }: Collateral): Readonly<Record<string, number>> {
  const counted = {
    tcbInfo: info?.tcbEvaluationDataNumber,
    qeIdentity: identity?.tcbEvaluationDataNumber,
    rootCrl: rootCrl?.number,
    pckCrl: pckCrl?.number,
  };
  return Object.fromEntries(Object.entries(counted).flatMap(([name, count]) => (count === undefined ? [] : [[name, count]])));
}
