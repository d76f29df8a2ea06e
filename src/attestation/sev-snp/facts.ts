/** The facts of a verified report (domain/facts.ts). */
import { toHex } from '../../domain/bytes.ts';
import type { Facts } from '../../domain/facts.ts';
import type { EndorsementKey } from './endorsement-key.ts';
import { type Product, readTcb } from './product.ts';
import { POLICY, policyHas, type SnpReport } from './report.ts';

/** Bits of PLATFORM_INFO (AMD 56860, table "PLATFORM_INFO Field"). */
const PLATFORM = {
  platformSmt: 0,
  platformTsme: 1,
  platformEcc: 2,
  platformRaplDisabled: 3,
  platformCiphertextHiding: 4,
  platformAliasCheckComplete: 5,
};

export interface Known {
  readonly product: Product;
  readonly key: EndorsementKey;
  readonly revocation: 'good' | 'unknown';
  readonly collateralStale: boolean;
}

export function snpFacts(report: SnpReport, { product, key, revocation, collateralStale }: Known): Facts {
  const { bl = 0, tee = 0, snp = 0, microcode = 0, fmc } = readTcb(report.reportedTcb, product);
  return {
    product,
    reportVersion: report.version,
    measurement: toHex(report.measurement),
    hostData: toHex(report.hostData),
    idKeyDigest: toHex(report.idKeyDigest),
    authorKeyDigest: toHex(report.authorKeyDigest),
    chipId: toHex(report.chipId),
    familyId: toHex(report.familyId),
    imageId: toHex(report.imageId),
    guestSvn: report.guestSvn,
    vmpl: report.vmpl,
    debug: policyHas(report, POLICY.debug),
    migrationAgent: policyHas(report, POLICY.migrationAgent),
    smtAllowed: policyHas(report, POLICY.smt),
    singleSocket: policyHas(report, POLICY.singleSocket),
    endorsementKey: key.kind,
    ...(key.cspId !== undefined && { cspId: key.cspId }),
    tcbBootLoader: bl,
    tcbTee: tee,
    tcbSnp: snp,
    tcbMicrocode: microcode,
    ...(fmc !== undefined && { tcbFmc: fmc }),
    ...Object.fromEntries(Object.entries(PLATFORM).map(([name, bit]) => [name, ((report.platformInfo >> BigInt(bit)) & 1n) === 1n])),
    revocation,
    collateralStale,
  };
}
