/** What the opaque fields of a report say (NVIDIA nvtrust, spdm_msrt_resp_msg): which firmware runs, and in which mode. */
import { toHex } from '../../domain/bytes.ts';

const TYPE = {
  driverVersion: 3,
  vbiosVersion: 6,
  nvdec0: 11,
  chipSku: 15,
  project: 17,
  projectSku: 18,
  fwid: 20,
  protectedPcie: 21,
  chipInfo: 35,
  featureFlag: 36,
} as const;

/** How a GPU stands towards its neighbours. `legacy`: firmware from before the field, which knows one GPU only. */
export type GpuMode = 'legacy' | 'single' | 'multi' | 'protected-pcie' | 'unknown';
const MODES: readonly GpuMode[] = ['single', 'multi', 'protected-pcie'];

const ON = 0xaa;
const OFF = 0x55;

export interface ReportFacts {
  /** Null for a switch, which has no driver. */
  readonly driverVersion: string | null;
  /** As the name of its RIM has it: `96.00.A5.00.01`. */
  readonly vbiosVersion: string | null;
  readonly project: string | null;
  readonly projectSku: string | null;
  readonly chipSku: string | null;
  /** Blackwell: `GB100`. */
  readonly chip: string | null;
  /** SHA-384 of the firmware that holds the key, hex; early drivers do not report it. */
  readonly fwid: string | null;
  readonly isNvdec0On: boolean | null;
  readonly isPciProtected: boolean | null;
  readonly mode: GpuMode;
}

export function factsOf(opaque: ReadonlyMap<number, Uint8Array>): ReportFacts {
  const fwid = opaque.get(TYPE.fwid);
  return {
    driverVersion: text(opaque.get(TYPE.driverVersion)),
    vbiosVersion: vbiosVersion(opaque.get(TYPE.vbiosVersion)),
    project: text(opaque.get(TYPE.project)),
    projectSku: text(opaque.get(TYPE.projectSku)),
    chipSku: text(opaque.get(TYPE.chipSku)),
    chip: text(opaque.get(TYPE.chipInfo)),
    fwid: fwid === undefined ? null : toHex(fwid),
    isNvdec0On: onOff(opaque.get(TYPE.nvdec0)),
    isPciProtected: onOff(opaque.get(TYPE.protectedPcie)),
    mode: mode(opaque.get(TYPE.featureFlag)),
  };
}

/** Printable ASCII, filled up with zeros. Anything else is no version, and is not shown to people as one. */
function text(field: Uint8Array | undefined): string | null {
  const value = Buffer.from(field ?? [])
    .toString('latin1')
    .replace(/\0+$/, '');
  return /^[\x21-\x7e]{1,64}$/.test(value) ? value : null;
}

/** GPUs write two little-endian words, the version and its last part; switches write text. */
function vbiosVersion(field: Uint8Array | undefined): string | null {
  if (field?.length !== 8) return text(field);
  const [a = 0, b = 0, c = 0, d = 0, last = 0] = field;
  return [d, c, b, a, last].map((part) => part.toString(16).toUpperCase().padStart(2, '0')).join('.');
}

function onOff(field: Uint8Array | undefined): boolean | null {
  if (field?.length !== 1) return null;
  return field[0] === ON ? true : field[0] === OFF ? false : null;
}

function mode(field: Uint8Array | undefined): GpuMode {
  if (field === undefined) return 'legacy';
  const isNumber = field.length >= 1 && field.subarray(1).every((byte) => byte === 0);
  return (isNumber ? MODES[field[0] ?? MODES.length] : undefined) ?? 'unknown';
}
