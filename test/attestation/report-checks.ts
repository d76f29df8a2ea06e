/** The real checks of hardware reports, for verifiers of evidence that carries one inside. */
import type { ReportChecks } from '../../src/attestation/port.ts';
import { createSnpReportCheck } from '../../src/attestation/sev-snp/verifier.ts';
import { createTdxReportCheck } from '../../src/attestation/tdx/verifier.ts';

export const reportChecks = (): ReportChecks => ({ 'sev-snp': createSnpReportCheck(), tdx: createTdxReportCheck() });
