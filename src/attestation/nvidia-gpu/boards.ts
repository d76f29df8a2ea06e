/**
 * What a board is sold as, by project, project SKU and chip SKU of its report; the chip SKU alone says nothing (886 is of an H100 NVL and of a
 * B200). From NVIDIA's names of RIMs and from what nvidia-smi prints of such boards: image version of the InfoROM, GPU part number.
 */
import type { ReportFacts } from './opaque.ts';

const MODELS: Readonly<Record<string, string>> = {
  '1010/0200/882': 'H100', // PCIe
  '1010/0205/862': 'H100',
  '1010/0210/886': 'H100', // NVL, part 2321-886
  '1010/0230/894': 'H200', // NVL
  'G520/0200/885': 'H100', // SXM
  'G520/0280/895': 'H200', // SXM, part 2335-895
  'G525/0220/886': 'B200', // SXM, part 2901-886
  'G525/0225/886': 'B200',
};

/** `unknown` for a board that is not in the table: nothing is guessed from a part of its name. */
export function modelOf({ project, projectSku, chipSku }: Pick<ReportFacts, 'project' | 'projectSku' | 'chipSku'>): string {
  const board = `${project}/${projectSku}/${chipSku}`;
  return (Object.hasOwn(MODELS, board) ? MODELS[board] : undefined) ?? 'unknown';
}
