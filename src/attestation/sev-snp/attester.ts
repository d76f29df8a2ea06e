/** Attester of kind `sev-snp`: asks the secure processor for a report through configfs-tsm. */
import { toBase64, toHex } from '../../domain/bytes.ts';
import { teeReportData } from '../../domain/evidence.ts';
import type { Attester, CapturedState } from '../port.ts';
import { readTsmReport, type TsmOptions } from '../tsm/report.ts';
import { orUndefined } from '../x509/der.ts';
import { derOrPem } from '../x509/pem.ts';
import { readCertificateTable } from './certificate-table.ts';
import type { SnpBody } from './evidence.ts';
import { productOfCpuid, readTcb } from './product.ts';
import { readReport, type SnpReport } from './report.ts';

export interface SnpAttester extends Attester {
  readonly kind: 'sev-snp';
  attest(binding: Uint8Array): Promise<SnpBody>;
  capture(binding: Uint8Array): Promise<CapturedState>;
}

export function createSnpAttester(options: TsmOptions = {}): SnpAttester {
  return {
    kind: 'sev-snp',
    attest: async (binding) => {
      const { output, auxiliary } = await readTsmReport(teeReportData(binding), 'sev_guest', options);
      const { key, intermediate } = readCertificateTable(auxiliary);
      return { report: toBase64(output), ...member('certificate', key), ...member('intermediate', intermediate) };
    },
    capture: async (binding) => stateOf(readReport((await readTsmReport(teeReportData(binding), 'sev_guest', options)).output)),
  };
}

/** The launch measurement, and the firmware as old as it is now. Reports of version 2 do not say which product's TCB it is. */
function stateOf({ measurement, cpuid, reportedTcb, guestSvn }: SnpReport): CapturedState {
  const product = cpuid && productOfCpuid(cpuid);
  const { bl, tee, snp, microcode, fmc } = product === undefined ? {} : readTcb(reportedTcb, product);
  const parts = Object.entries({ tcbBootLoader: bl, tcbTee: tee, tcbSnp: snp, tcbMicrocode: microcode, tcbFmc: fmc });
  const known = parts.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
  return { kind: 'sev-snp', claims: { measurement: [toHex(measurement)] }, atLeast: { guestSvn, ...Object.fromEntries(known) } };
}

/** The host's word is not needed: what it did not give, or gave in a form that nobody reads, the vault has. */
function member(name: 'certificate' | 'intermediate', certificate: Uint8Array | undefined) {
  const [der] = (certificate && orUndefined(() => derOrPem(certificate, 'CERTIFICATE', 1))) ?? [];
  return der === undefined ? {} : { [name]: toBase64(der) };
}
