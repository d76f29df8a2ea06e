/** Attester of kind `sev-snp`: asks the secure processor for a report through configfs-tsm. */
import { toBase64 } from '../../domain/bytes.ts';
import { teeReportData } from '../../domain/evidence.ts';
import type { Attester } from '../port.ts';
import { readTsmReport, type TsmOptions } from '../tsm/report.ts';
import { orUndefined } from '../x509/der.ts';
import { derOrPem } from '../x509/pem.ts';
import { readCertificateTable } from './certificate-table.ts';
import type { SnpBody } from './evidence.ts';

export interface SnpAttester extends Attester {
  readonly kind: 'sev-snp';
  attest(binding: Uint8Array): Promise<SnpBody>;
}

export function createSnpAttester(options: TsmOptions = {}): SnpAttester {
  return {
    kind: 'sev-snp',
    attest: async (binding) => {
      const { output, auxiliary } = await readTsmReport(teeReportData(binding), 'sev_guest', options);
      const { key, intermediate } = readCertificateTable(auxiliary);
      return { report: toBase64(output), ...member('certificate', key), ...member('intermediate', intermediate) };
    },
  };
}

/** The host's word is not needed: what it did not give, or gave in a form that nobody reads, the vault has. */
function member(name: 'certificate' | 'intermediate', certificate: Uint8Array | undefined) {
  const [der] = (certificate && orUndefined(() => derOrPem(certificate, 'CERTIFICATE', 1))) ?? [];
  return der === undefined ? {} : { [name]: toBase64(der) };
}
