/**
 * What evidence can say, under names that do not change: policies, reference values and records use these. One table per kind; the Cedar
 * schema and docs/evidence-kinds.md repeat it, and a test keeps them equal. Bytes are lower-case hex.
 */
import type { EvidenceKind } from './evidence.ts';

/** A verified fact. Cedar sees text, numbers and flags as String, Long and Bool, and lists as Set<String>. */
export type FactValue = string | number | boolean | readonly string[];
export type Facts = Readonly<Record<string, FactValue>>;

export interface FactSpec {
  readonly type: 'text' | 'hex' | 'number' | 'flag' | 'texts';
  /** For the pages and for whoever reads a refusal. */
  readonly says: string;
  /** Not every piece of evidence of the kind has it. */
  readonly optional?: true;
  /** A requester may be enrolled by it (domain/attester.ts). */
  readonly identifies?: true;
  /** It is of what runs there: a reference value must name at least one of these. */
  readonly measures?: true;
  /** What a reference value means that does not name the fact. Where the fact is optional: when the evidence states it. */
  readonly unlessNamed?: readonly string[];
}

/** Kinds whose facts have a fixed form. Those of `jwt` are named by the anchor of the issuer. */
export type FixedKind = Exclude<EvidenceKind, 'jwt'>;
type FactTable = Readonly<Record<string, FactSpec>>;

const text = (says: string, more: Partial<FactSpec> = {}): FactSpec => ({ type: 'text', says, ...more });
const hex = (says: string, more: Partial<FactSpec> = {}): FactSpec => ({ type: 'hex', says, ...more });
const number = (says: string, more: Partial<FactSpec> = {}): FactSpec => ({ type: 'number', says, ...more });
const flag = (says: string, more: Partial<FactSpec> = {}): FactSpec => ({ type: 'flag', says, ...more });
const texts = (says: string, more: Partial<FactSpec> = {}): FactSpec => ({ type: 'texts', says, ...more });

const OPTIONAL = { optional: true } as const;
const IDENTITY = { identifies: true } as const;
const NEVER = { unlessNamed: ['false'] };

/** Without network the vault can know that a certificate is revoked, that a list says it is not, or neither. */
const revocation = text('"good": a list that is in date does not name the certificates; "unknown": there is no such list');
const collateralStale = flag('something the verdict needed was past its date: the last known was used');

const TPM2: FactTable = {
  akName: hex('TPM name of the key that quoted: algorithm and digest of its public area', IDENTITY),
  akTrust: text(
    'why that key counts: "activation" (at enrolment a certified TPM showed that it holds it), "certificate" (its cloud certifies it), "tee" (a hardware report of the guest names it)',
    { unlessNamed: ['activation', 'certificate'] },
  ),
  akRevocation: text(
    'of its certificate: "good": lists of all its authorities are in date and do not name it; "unknown": not all are there',
    OPTIONAL,
  ),
  gceProjectId: text('by the certificate of the key: the Google Cloud project', { ...IDENTITY, ...OPTIONAL }),
  gceInstanceId: text('by the certificate: the instance', { ...IDENTITY, ...OPTIONAL }),
  gceInstanceName: text('by the certificate', OPTIONAL),
  gceZone: text('by the certificate', OPTIONAL),
  clock: text('milliseconds the TPM has been powered', OPTIONAL),
  resetCount: text('TPM resets', OPTIONAL),
  restartCount: text('TPM restarts and resumes', OPTIONAL),
  safe: text('"true": the clock never went back', OPTIONAL),
  firmwareVersion: text('of the TPM, hex', OPTIONAL),
  logBank: text('"sha256" or "sha384": a boot log came along, and these quoted PCRs say the same', OPTIONAL),
  secureBoot: flag('the firmware measured that secure boot is on; from the boot log', OPTIONAL),
  bootApplications: texts('Authenticode digests of what the firmware started, hex; from the boot log', { ...OPTIONAL, measures: true }),
  commandLines: texts('what the boot loader handed to the kernel; from the boot log', OPTIONAL),
  debug: flag('by the hardware report: the host may read the guest', OPTIONAL),
  teeProduct: text('by the hardware report of the guest, as all that begin with "tee": "Milan", "Genoa", "Turin" or "TDX"', OPTIONAL),
  teeMeasurement: hex('launch measurement: of the firmware that the TPM is in, 48 bytes', OPTIONAL),
  teeIdKeyDigest: hex('SHA-384 of the key that signed that firmware, zeros without one', OPTIONAL),
  teeChipId: hex('64 bytes, zeros when masked or under a VLEK', OPTIONAL),
  teeGuestSvn: number('of the identity block', OPTIONAL),
  teeTcbBootLoader: number('reported security version of the boot loader', OPTIONAL),
  teeTcbTee: number('reported security version of the TEE', OPTIONAL),
  teeTcbSnp: number('reported security version of the SNP firmware', OPTIONAL),
  teeTcbMicrocode: number('reported security version of the microcode', OPTIONAL),
  teeTcbStatus: text('as tcbStatus of tdx; of a TDX guest alone, as the two below', { ...OPTIONAL, unlessNamed: ['UpToDate'] }),
  teeAdvisoryIds: texts('as advisoryIds of tdx', OPTIONAL),
  teeFmspc: hex('as fmspc of tdx', OPTIONAL),
  teeRevocation: text('as revocation of sev-snp and tdx', OPTIONAL),
  collateralStale: flag('something the verdict needed was past its date: the last known was used', OPTIONAL),
};

const SEV_SNP: FactTable = {
  product: text('"Milan", "Genoa" or "Turin"'),
  reportVersion: number('2, 3 or 5'),
  measurement: hex('launch measurement, 48 bytes', { ...IDENTITY, measures: true }),
  hostData: hex('what the host gave at launch, 32 bytes', IDENTITY),
  idKeyDigest: hex('SHA-384 of the key that signed the identity block, zeros without one', IDENTITY),
  authorKeyDigest: hex('SHA-384 of the key that signed that key, zeros without one', IDENTITY),
  chipId: hex('64 bytes, zeros when masked or under a VLEK', IDENTITY),
  familyId: hex('of the identity block, 16 bytes'),
  imageId: hex('of the identity block, 16 bytes'),
  guestSvn: number('of the identity block'),
  vmpl: number('privilege level that asked for the report', { unlessNamed: ['0'] }),
  debug: flag('the host may read the guest', NEVER),
  migrationAgent: flag('the guest may be migrated', NEVER),
  smtAllowed: flag('the guest may run with SMT'),
  singleSocket: flag('the guest runs on one socket only'),
  endorsementKey: text('"VCEK" or "VLEK"'),
  cspId: text('cloud provider of a VLEK', OPTIONAL),
  tcbBootLoader: number('reported security version of the boot loader'),
  tcbTee: number('reported security version of the TEE'),
  tcbSnp: number('reported security version of the SNP firmware'),
  tcbMicrocode: number('reported security version of the microcode'),
  tcbFmc: number('reported security version of the FMC, Turin only', OPTIONAL),
  platformSmt: flag('SMT is on'),
  platformTsme: flag('transparent memory encryption is on'),
  platformEcc: flag('memory has ECC'),
  platformRaplDisabled: flag('running average power limit is off'),
  platformCiphertextHiding: flag('ciphertext hiding is on'),
  platformAliasCheckComplete: flag('memory was checked for aliases since the last reset'),
  revocation,
  collateralStale,
};

const TDX: FactTable = {
  quoteVersion: number('4 or 5'),
  mrtd: hex('launch measurement, 48 bytes', { ...IDENTITY, measures: true }),
  rtmr0: hex('run-time measurement 0: firmware configuration, 48 bytes'),
  rtmr1: hex('run-time measurement 1: boot loader and kernel'),
  rtmr2: hex('run-time measurement 2: kernel command line and initial file system'),
  rtmr3: hex('run-time measurement 3: the application'),
  mrConfigId: hex('configuration the host gave at launch, 48 bytes', IDENTITY),
  mrOwner: hex('owner the host gave at launch, 48 bytes', IDENTITY),
  mrOwnerConfig: hex('owner configuration the host gave at launch, 48 bytes'),
  mrSeam: hex('measurement of the TDX module, 48 bytes'),
  mrSignerSeam: hex('signer of the TDX module, 48 bytes, zeros for Intel'),
  tdAttributes: hex('8 bytes'),
  xfam: hex('extended features the guest may use, 8 bytes'),
  debug: flag('the host may read the guest', NEVER),
  septVeDisable: flag('pages that the host takes away are fatal, not an exception'),
  performanceCounters: flag('the guest may use the performance counters'),
  teeTcbSvn: hex('security versions of the TDX module that launched the guest, 16 bytes'),
  teeTcbSvn2: hex('of the module that runs now, after an update under the running guest; TD 1.5 only', OPTIONAL),
  relaunchAdvised: flag('the module was updated under the guest: only a guest launched anew is up to date; TD 1.5 only', OPTIONAL),
  tcbStatus: text(
    'the worst of platform, TDX module and QE, as Intel spells it, such as "UpToDate", "OutOfDate"; "NoMatchingLevel" when Intel judges none that old',
    {
      unlessNamed: ['UpToDate'],
    },
  ),
  platformTcbStatus: text('of the platform alone'),
  moduleTcbStatus: text('of the TDX module alone', OPTIONAL),
  qeTcbStatus: text('of the quoting enclave alone'),
  tcbDate: text('date of the TCB level that matched, ISO 8601', OPTIONAL),
  tcbEvaluationDataNumber: number("of Intel's TCB information: grows with each recovery"),
  advisoryIds: texts('advisories that apply to the level that matched'),
  fmspc: hex('family, model, stepping, platform type and custom SKU, 6 bytes'),
  ppid: hex('of the processor package, 16 bytes', { ...IDENTITY, optional: true }),
  secureBoot: flag('by an event log that equals the registers: the firmware started only what is signed', OPTIONAL),
  bootApplications: texts('by such a log: SHA-384 (Authenticode) of what the firmware started', OPTIONAL),
  commandLines: texts('by such a log: what the boot loader handed to the kernel', OPTIONAL),
  revocation,
  collateralStale,
};

const NITRO: FactTable = {
  moduleId: text('of the enclave'),
  timestampMs: number('when the document was made, milliseconds since 1970'),
  pcr0: hex('the enclave image, 48 bytes', { ...IDENTITY, measures: true }),
  pcr1: hex('kernel and boot file system'),
  pcr2: hex('application'),
  pcr3: hex('IAM role of the parent instance', { ...IDENTITY, optional: true }),
  pcr4: hex('id of the parent instance', { ...IDENTITY, optional: true }),
  pcr8: hex('certificate that signed the image', { ...IDENTITY, optional: true }),
  ...Object.fromEntries(
    [5, 6, 7, ...Array.from({ length: 23 }, (_, at) => at + 9)].map((at) => [`pcr${at}`, hex('of the owner', OPTIONAL)]),
  ),
  debug: flag('the enclave runs with a console: PCR 0 to 2 are zero', NEVER),
};

const NVIDIA_GPU: FactTable = {
  deviceId: hex('SHA-256 of the public key that the device was made with'),
  architecture: text('"HOPPER", "BLACKWELL", "LS10" (a switch), or "unknown"'),
  model: text('"H100", "H200" or "B200"; "unknown" when the board is not in our table'),
  driverVersion: text('a switch has none', { measures: true, optional: true }),
  vbiosVersion: text('', { measures: true }),
  project: text('with the two below: the board', OPTIONAL),
  projectSku: text('', OPTIONAL),
  chipSku: text('', OPTIONAL),
  mode: text('"single", "multi", "protected-pcie"; "legacy" of firmware that does not say; "unknown"'),
  confidentialMode: flag("both lists below match: NVIDIA's released firmware makes reports in confidential mode alone", {
    unlessNamed: ['true'],
  }),
  debug: flag('stated, as false, only when both lists match: debug firmware measures differently', OPTIONAL),
  driverRimMatched: flag("every measurement of the driver is in NVIDIA's signed list; true of a switch, which has no driver", {
    unlessNamed: ['true'],
  }),
  vbiosRimMatched: flag("every measurement of the VBIOS is in NVIDIA's signed list", { unlessNamed: ['true'] }),
  revocation,
  collateralStale,
};

const SPIFFE: FactTable = {
  spiffeId: text('spiffe://trust-domain/path', { ...IDENTITY, measures: true }),
  trustDomain: text('', { measures: true }),
  document: text('"X.509-SVID" or "JWT-SVID"'),
};

export const FACTS: Readonly<Record<FixedKind, FactTable>> = {
  tpm2: TPM2,
  'sev-snp': SEV_SNP,
  tdx: TDX,
  nitro: NITRO,
  'nvidia-gpu': NVIDIA_GPU,
  spiffe: SPIFFE,
};

const MAX_TEXT_CHARS = 2048;
const IS: Readonly<Record<FactSpec['type'], (value: FactValue) => boolean>> = {
  text: (value) => typeof value === 'string' && value.length <= MAX_TEXT_CHARS,
  hex: (value) => typeof value === 'string' && value.length <= MAX_TEXT_CHARS && /^(?:[0-9a-f]{2})*$/.test(value),
  number: (value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0,
  flag: (value) => typeof value === 'boolean',
  texts: (value) => Array.isArray(value) && value.every((one) => typeof one === 'string' && one.length <= MAX_TEXT_CHARS),
};

/** What is wrong with facts that a verifier states: a fault of ours, since the form of each kind is fixed. Empty for `jwt`. */
export function problemsOfFacts(kind: EvidenceKind, facts: Facts): readonly string[] {
  if (kind === 'jwt') return [];
  const table = FACTS[kind];
  const missing = Object.keys(table).filter((name) => !table[name]?.optional && !Object.hasOwn(facts, name));
  const wrong = Object.entries(facts).flatMap(([name, value]) => {
    const spec = Object.hasOwn(table, name) ? table[name] : undefined;
    if (spec === undefined) return [`${name} is not in the table`];
    return IS[spec.type](value) ? [] : [`${name} is no ${spec.type}`];
  });
  return [...missing.map((name) => `${name} is missing`), ...wrong];
}

/**
 * A fact as tags, reference values and records write it. A list is its members, sorted, with commas between; a comma or backslash of a member
 * has a backslash in front, as command lines need.
 */
export function factText(value: FactValue): string {
  if (typeof value !== 'object') return String(value);
  return [...value]
    .sort()
    .map((one) => one.replace(/[\\,]/g, '\\$&'))
    .join(',');
}
