/** What NVIDIA says of the firmware a report names: its signed RIMs as the vault keeps them, held against the measurements. */
import { sha256Hex } from '../../domain/bytes.ts';
import type { Endorsement } from '../../domain/evidence.ts';
import { endorsementOf } from '../endorsements.ts';
import type { PinnedRoot } from '../examination.ts';
import type { CollateralReader } from '../port.ts';
import type { IssuerMemo } from '../x509/path.ts';
import { standing } from '../x509/validity.ts';
import { compareWithRims } from './compare-rims.ts';
import type { ReportFacts } from './opaque.ts';
import type { NvidiaReport } from './report.ts';
import type { Rim } from './rim.ts';
import { rimNamesOf } from './rim-names.ts';
import { readSignedRim } from './signed-rim.ts';

export interface EndorsedState {
  /** Of a switch: true, since it has no driver that could differ. */
  readonly driverMatched: boolean;
  readonly vbiosMatched: boolean;
  /** A signer's certificate is past its date: its RIM was judged as of its last day. */
  readonly isStale: boolean;
  readonly endorsements: readonly Endorsement[];
}

export interface StateQuestion {
  readonly report: NvidiaReport;
  readonly facts: ReportFacts;
  readonly architecture: string | undefined;
  readonly collateral: CollateralReader;
  /** Of RIMs. */
  readonly roots: readonly PinnedRoot[];
  readonly now: Date;
  readonly memo: IssuerMemo;
}

interface KeptRim {
  readonly rim: Rim;
  readonly isStale: boolean;
  readonly endorsement: Endorsement;
}

export async function endorsedState(question: StateQuestion): Promise<EndorsedState> {
  const { report, facts } = question;
  const names = rimNamesOf(facts, question.architecture);
  const driver = names?.driver && (await findRim(names.driver, 'driver RIM', facts.driverVersion, question));
  const vbios = names && (await findRim(names.vbios, 'VBIOS RIM', facts.vbiosVersion, question));
  const kept = [driver, vbios].filter((one) => typeof one === 'object');
  const all = compareWithRims(
    report,
    facts,
    kept.map(({ rim }) => rim),
  );
  const agrees = ({ rim }: KeptRim) => {
    const { isMeaningful } = compareWithRims(report, facts, [rim]);
    return isMeaningful && rim.measurements.every(({ index, isActive }) => !isActive || !all.wrong.includes(index));
  };
  return {
    driverMatched: names !== undefined && (names.driver === undefined || (typeof driver === 'object' && agrees(driver))),
    vbiosMatched: vbios !== undefined && agrees(vbios),
    isStale: kept.some(({ isStale }) => isStale),
    endorsements: kept.map(({ endorsement }) => endorsement),
  };
}

/** Undefined when there is none, or NVIDIA did not sign it, or it is of another version than the report names. */
async function findRim(id: string, what: string, version: string | null, question: StateQuestion): Promise<KeptRim | undefined> {
  const found = await question.collateral.find('nvidia-rim', id);
  if (found === undefined) return undefined;
  const { roots, now, memo } = question;
  const pinned = roots.map(({ certificate }) => sha256Hex(certificate)).join(' ');
  const signed = memo.once(`nvidia-rim ${found.digest} ${pinned}`, () => readSignedRim(found.bytes, roots, memo));
  if (signed.rim === undefined || signed.rim.version.toUpperCase() !== version?.toUpperCase()) return undefined;
  const where = standing(signed.period, now);
  if (where === 'early') return undefined;
  return { rim: signed.rim, isStale: where === 'late', endorsement: endorsementOf(what, found.bytes, signed.period) };
}
