/** TCB status of platform, TDX module and quoting enclave (Intel PCS API v4, "Get TDX TCB Info", with its matching algorithm). */
import type { QeIdentity, TcbInfo, TcbLevel } from './collateral-form.ts';
import type { Pck } from './pck.ts';
import type { QeReport, TdReport } from './quote.ts';

/** `NoMatchingLevel` is an answer of its own: older than everything that Intel still judges, so never up to date. */
export type TcbStatus =
  | 'UpToDate'
  | 'SWHardeningNeeded'
  | 'ConfigurationNeeded'
  | 'ConfigurationAndSWHardeningNeeded'
  | 'OutOfDate'
  | 'OutOfDateConfigurationNeeded'
  | 'Revoked'
  | 'NoMatchingLevel'
  | 'Unknown';

export interface Judged {
  readonly status: TcbStatus;
  /** As Intel writes it. Absent when no level matched. */
  readonly date?: string;
  readonly advisories: readonly string[];
}

export interface TcbVerdict {
  readonly status: TcbStatus;
  readonly platform: Judged;
  /** Undefined when the module has no version of its own (TDX 1.0), or the platform matched nothing. */
  readonly module: Judged | undefined;
  readonly qe: Judged;
  /** Of all three, sorted. */
  readonly advisories: readonly string[];
  /** The module's signer or attributes are not the ones that Intel names. */
  readonly moduleMismatch: boolean;
  /** The module was updated under the running guest, and a relaunch would cure what is behind. Undefined when the report cannot say. */
  readonly relaunchAdvised: boolean | undefined;
}

/** First level, from the top, of which every part is at most the platform's. */
export function matchPlatform(info: TcbInfo, pck: Pick<Pck, 'components' | 'pceSvn'>, teeTcbSvn: Uint8Array): Judged {
  // A module with a version of its own is judged by its own levels: here its first two numbers do not count.
  const from = (teeTcbSvn[1] ?? 0) > 0 ? 2 : 0;
  const reaches = ({ tcb }: TcbLevel) =>
    pck.pceSvn >= tcb.pcesvn &&
    tcb.sgxtcbcomponents.every((needed, at) => (pck.components[at] ?? -1) >= needed) &&
    tcb.tdxtcbcomponents?.every((needed, at) => at < from || (teeTcbSvn[at] ?? -1) >= needed) === true;
  return judge(info.tcbLevels.find(reaches));
}

interface ModuleVerdict {
  readonly judged: Judged | undefined;
  readonly mismatch: boolean;
}

function judgeModule(info: TcbInfo, report: TdReport): ModuleVerdict {
  const found = judgeModuleVersion(info, report.teeTcbSvn);
  if (found === undefined) return { judged: undefined, mismatch: info.tdxModule === undefined || !isModule(info.tdxModule, report) };
  return { judged: found.judged, mismatch: found.identity === undefined || !isModule(found.identity, report) };
}

/** Undefined for a module without a version of its own. */
function judgeModuleVersion(info: TcbInfo, [isvSvn = 0, version = 0]: Uint8Array) {
  if (version === 0) return undefined;
  const id = `TDX_${version.toString(16).padStart(2, '0')}`;
  const identity = info.tdxModuleIdentities?.find((one) => one.id.toLowerCase() === id.toLowerCase());
  return { identity, judged: judge(identity?.tcbLevels.find(({ tcb }) => isvSvn >= tcb.isvsvn)) };
}

type Module = Readonly<Record<'mrsigner' | 'attributes' | 'attributesMask', string>>;

function isModule({ mrsigner, attributes, attributesMask }: Module, report: TdReport): boolean {
  return Buffer.from(report.mrSignerSeam).toString('hex') === mrsigner && sameUnder(attributesMask, attributes, report.seamAttributes);
}

/** Hex, in the order of the bytes. */
export function sameUnder(mask: string, wanted: string, found: Uint8Array): boolean {
  const [masked, want] = [Buffer.from(mask, 'hex'), Buffer.from(wanted, 'hex')];
  return masked.every((bits, at) => ((found[at] ?? 0) & bits) === ((want[at] ?? 0) & bits)) && masked.length === found.length;
}

export function judgeTcb({ info, identity, pck, report, qe }: TcbInputs): TcbVerdict {
  const { platform, module, mismatch } = judgeLaunched(info, pck, report);
  const enclave = judge(identity.tcbLevels.find(({ tcb }) => qe.isvSvn >= tcb.isvsvn));
  const says = report.teeTcbSvn2?.some((part) => part !== 0) === true;
  const now = report.teeTcbSvn2 && says ? statusWith(info, pck, report.teeTcbSvn2) : undefined;
  // What runs now counts too, where it is older than what launched the guest: an update never goes that way.
  const running: readonly Judged[] =
    now === undefined || worse(now, launched(platform, module)) !== now ? [] : [{ status: now, advisories: [] }];
  const all = [platform, ...(module === undefined ? [] : [module]), enclave, ...running];
  return {
    status: all.map(({ status }) => status).reduce(worse),
    platform,
    module,
    qe: enclave,
    advisories: [...new Set(all.flatMap(({ advisories }) => advisories))].sort(),
    moduleMismatch: mismatch,
    relaunchAdvised: now === undefined ? undefined : isBehind(launched(platform, module)) && !isBehind(now),
  };
}

function judgeLaunched(info: TcbInfo, pck: Pck, report: TdReport) {
  const platform = matchPlatform(info, pck, report.teeTcbSvn);
  const { judged, mismatch } = judgeModule(info, report);
  return { platform, module: platform.status === 'NoMatchingLevel' ? undefined : judged, mismatch };
}

function launched(platform: Judged, module: Judged | undefined): TcbStatus {
  return module === undefined ? platform.status : worse(platform.status, module.status);
}

/** Of platform and module with these versions. Whose module it is, is asked of the one that launched the guest: the report names that. */
function statusWith(info: TcbInfo, pck: Pck, teeTcbSvn: Uint8Array): TcbStatus {
  const platform = matchPlatform(info, pck, teeTcbSvn);
  const module = platform.status === 'NoMatchingLevel' ? undefined : judgeModuleVersion(info, teeTcbSvn)?.judged;
  return launched(platform, module);
}

/** An update would cure it. */
function isBehind(status: TcbStatus): boolean {
  return status === 'OutOfDate' || status === 'OutOfDateConfigurationNeeded' || status === 'NoMatchingLevel';
}

export interface TcbInputs {
  readonly info: TcbInfo;
  readonly identity: QeIdentity;
  readonly pck: Pck;
  readonly report: TdReport;
  readonly qe: QeReport;
}

interface Level {
  readonly tcbStatus: string;
  readonly tcbDate: string;
  readonly advisoryIDs?: readonly string[] | undefined;
}

function judge(level: Level | undefined): Judged {
  if (level === undefined) return { status: 'NoMatchingLevel', advisories: [] };
  const status = Object.keys(NEEDS).find((known): known is keyof typeof NEEDS => known === level.tcbStatus);
  return { status: status ?? 'Unknown', date: level.tcbDate, advisories: level.advisoryIDs ?? [] };
}

/** What each status says is needed. Two statuses together need what either needs; that is how Intel's library converges them. */
const NEEDS = {
  UpToDate: [],
  SWHardeningNeeded: ['software'],
  ConfigurationNeeded: ['configuration'],
  ConfigurationAndSWHardeningNeeded: ['configuration', 'software'],
  OutOfDate: ['update'],
  OutOfDateConfigurationNeeded: ['configuration', 'update'],
  Revoked: ['all'],
} as const satisfies Partial<Record<TcbStatus, readonly string[]>>;

function worse(a: TcbStatus, b: TcbStatus): TcbStatus {
  for (const last of ['Revoked', 'NoMatchingLevel', 'Unknown'] as const) if (a === last || b === last) return last;
  const needs = new Set([a, b].flatMap((status): readonly string[] => NEEDS[status as keyof typeof NEEDS])); // the others returned above
  if (needs.has('update')) return needs.has('configuration') ? 'OutOfDateConfigurationNeeded' : 'OutOfDate';
  if (needs.has('configuration')) return needs.has('software') ? 'ConfigurationAndSWHardeningNeeded' : 'ConfigurationNeeded';
  return needs.has('software') ? 'SWHardeningNeeded' : 'UpToDate';
}
