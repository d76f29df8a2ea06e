/** What a quote and its collateral say, under the names that policies and `wv evidence` use; bytes in lower-case hex. */
import { toHex } from '../../domain/bytes.ts';
import type { ClaimValue } from '../examination.ts';
import { isoSeconds } from '../x509/validity.ts';
import type { Collateral } from './collateral.ts';
import type { QuotedReport } from './quote.ts';
import type { TcbVerdict } from './tcb.ts';

type Claims = Readonly<Record<string, ClaimValue>>;

const ATTRIBUTES = { sept_ve_disable: 28, migratable: 29, pks: 30, key_locker: 31, performance_counters: 63 };

export function reportClaims({ version, report }: QuotedReport): Claims {
  const attributes = Buffer.from(report.tdAttributes).readBigUInt64LE();
  return {
    product: 'Intel TDX',
    quote_version: version,
    body_type: report.type,
    td_report: report.type === 3 ? 'TD report 1.5' : 'TD report 1.0',
    measurement: toHex(report.mrTd),
    rtmr: report.rtmr.map(toHex),
    report_data: toHex(report.reportData),
    mr_config_id: toHex(report.mrConfigId),
    mr_owner: toHex(report.mrOwner),
    mr_owner_config: toHex(report.mrOwnerConfig),
    mr_seam: toHex(report.mrSeam),
    mr_signer_seam: toHex(report.mrSignerSeam),
    seam_attributes: toHex(report.seamAttributes),
    td_attributes: toHex(report.tdAttributes),
    ...Object.fromEntries(Object.entries(ATTRIBUTES).map(([name, bit]) => [name, ((attributes >> BigInt(bit)) & 1n) === 1n])),
    xfam: toHex(report.xfam),
    tee_tcb_svn: toHex(report.teeTcbSvn),
    tee_tcb_svn_2: report.teeTcbSvn2 === undefined ? null : toHex(report.teeTcbSvn2),
    mr_service_td: report.mrServiceTd === undefined ? null : toHex(report.mrServiceTd),
    debug: (attributes & 1n) === 1n,
  };
}

/** The verdict moves with the collateral, so its dates and number stand beside it. */
export function judgedClaims(verdict: TcbVerdict | undefined, collateral: Collateral | undefined): Claims {
  const { info, identity } = collateral ?? {};
  return {
    tcb_status: verdict?.status ?? null,
    platform_tcb_status: verdict?.platform.status ?? null,
    tdx_module_status: verdict?.module?.status ?? null,
    qe_status: verdict?.qe.status ?? null,
    td_relaunch_advised: verdict?.relaunchAdvised ?? null,
    tcb_date: verdict?.platform.date ?? null,
    advisories: verdict?.advisories ?? null,
    tcb_evaluation_data_number: info?.tcbEvaluationDataNumber ?? null,
    tcb_info_issued: info === undefined ? null : isoSeconds(info.issueDate),
    tcb_info_next_update: info === undefined ? null : isoSeconds(info.nextUpdate),
    qe_identity_issued: identity === undefined ? null : isoSeconds(identity.issueDate),
    qe_identity_next_update: identity === undefined ? null : isoSeconds(identity.nextUpdate),
  };
}
