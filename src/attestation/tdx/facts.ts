/** The facts of a verified quote (domain/facts.ts). */
import { toHex } from '../../domain/bytes.ts';
import type { Facts } from '../../domain/facts.ts';
import { bootFacts } from '../event-log/boot-facts.ts';
import type { LogFacts } from '../event-log/facts.ts';
import type { Pck } from './pck.ts';
import type { QuotedReport } from './quote.ts';
import type { TcbVerdict } from './tcb.ts';

export interface Known {
  readonly pck: Pick<Pck, 'fmspc' | 'ppid'>;
  readonly verdict: TcbVerdict;
  readonly tcbEvaluationDataNumber: number;
  readonly revocation: 'good' | 'unknown';
  readonly collateralStale: boolean;
  /** Of an event log that equals the registers. */
  readonly log: LogFacts | undefined;
}

export function tdxFacts({ version, report }: QuotedReport, known: Known): Facts {
  const { pck, verdict, tcbEvaluationDataNumber, revocation, collateralStale, log } = known;
  const attributes = Buffer.from(report.tdAttributes).readBigUInt64LE();
  const bit = (at: bigint) => ((attributes >> at) & 1n) === 1n;
  const [rtmr0, rtmr1, rtmr2, rtmr3] = report.rtmr.map(toHex);
  return {
    quoteVersion: version,
    mrtd: toHex(report.mrTd),
    rtmr0: rtmr0 ?? '',
    rtmr1: rtmr1 ?? '',
    rtmr2: rtmr2 ?? '',
    rtmr3: rtmr3 ?? '',
    mrConfigId: toHex(report.mrConfigId),
    mrOwner: toHex(report.mrOwner),
    mrOwnerConfig: toHex(report.mrOwnerConfig),
    mrSeam: toHex(report.mrSeam),
    mrSignerSeam: toHex(report.mrSignerSeam),
    tdAttributes: toHex(report.tdAttributes),
    xfam: toHex(report.xfam),
    debug: report.tdAttributes[0] !== 0, // the low byte as a whole: bit 0 and what is reserved for more of it
    septVeDisable: bit(28n),
    performanceCounters: bit(63n),
    teeTcbSvn: toHex(report.teeTcbSvn),
    ...(report.teeTcbSvn2 !== undefined && { teeTcbSvn2: toHex(report.teeTcbSvn2) }),
    ...(verdict.relaunchAdvised !== undefined && { relaunchAdvised: verdict.relaunchAdvised }),
    tcbStatus: verdict.status,
    platformTcbStatus: verdict.platform.status,
    ...(verdict.module !== undefined && { moduleTcbStatus: verdict.module.status }),
    qeTcbStatus: verdict.qe.status,
    ...(verdict.platform.date !== undefined && { tcbDate: verdict.platform.date }),
    tcbEvaluationDataNumber,
    advisoryIds: verdict.advisories,
    fmspc: pck.fmspc,
    ppid: pck.ppid,
    revocation,
    collateralStale,
    ...(log !== undefined && bootFacts(log)),
  };
}
