/** The ids under which NVIDIA publishes the RIMs of a device: it names them itself, in what it signs (NVIDIA attestation SDK). */
import type { ReportFacts } from './opaque.ts';

export interface RimNames {
  /** Undefined for a switch, which has no driver. */
  readonly driver: string | undefined;
  readonly vbios: string;
}

/** Undefined when the report lacks a part of a name. A Hopper id for a Blackwell GPU exists too, and is of something else. */
export function rimNamesOf(facts: ReportFacts, architecture: string | undefined): RimNames | undefined {
  const { driverVersion, vbiosVersion, project, projectSku, chipSku } = facts;
  if (vbiosVersion === null) return undefined;
  const compact = vbiosVersion.replaceAll('.', '').toUpperCase();
  if (architecture === 'LS10') return { driver: undefined, vbios: `NV_SWITCH_BIOS_5612_0002_890_${compact}` };
  if (driverVersion === null || project === null || projectSku === null || chipSku === null) return undefined;
  const prefix = DRIVER_PREFIX[architecture ?? '']?.(facts.chip);
  if (prefix === undefined) return undefined;
  return {
    driver: `${prefix}_${driverVersion}`.toUpperCase(),
    vbios: `NV_GPU_VBIOS_${project}_${projectSku}_${chipSku}_${compact}`.toUpperCase(),
  };
}

const DRIVER_PREFIX: Readonly<Record<string, (chip: string | null) => string>> = {
  HOPPER: () => 'NV_GPU_DRIVER_GH100',
  BLACKWELL: (chip) => `NV_GPU_CC_DRIVER_${chip ?? 'GB100'}`,
};
