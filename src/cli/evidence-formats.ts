/** Composition root of examining evidence by hand: which format is examined by what. Only what is asked for is loaded. */
import type { Examine } from '../attestation/examination.ts';

export interface EvidenceFormat {
  /** What this format's closed list of reasons calls bytes that are not even of the format. */
  readonly malformed: string;
  load(): Promise<Examine>;
}

/** By the name that manifests use. */
export const EVIDENCE_FORMATS: Readonly<Record<string, EvidenceFormat>> = {
  'snp-report': { malformed: 'malformed', load: async () => (await import('../attestation/sev-snp/examine.ts')).examineSnpReport },
  'tdx-quote': { malformed: 'malformed', load: async () => (await import('../attestation/tdx/examine.ts')).examineTdxQuote },
  'nitro-cose-sign1': { malformed: 'malformed', load: async () => (await import('../attestation/nitro/examine.ts')).examineNitroDocument },
  'nvidia-spdm': { malformed: 'malformed', load: async () => (await import('../attestation/nvidia-gpu/examine.ts')).examineNvidiaReport },
  'nvidia-rim-xml': {
    malformed: 'malformed',
    load: async () => (await import('../attestation/nvidia-gpu/examine-rim.ts')).examineNvidiaRim,
  },
  'x509-crl': { malformed: 'malformed', load: async () => (await import('../attestation/x509/examine-crl.ts')).examineCrl },
  'x509-crl-check': { malformed: 'malformed', load: async () => (await import('../attestation/x509/examine-crl.ts')).examineAgainstCrl },
  'tpm2-quote': { malformed: 'malformed', load: loadTpmQuote },
  'jwt-eat': { malformed: 'malformed', load: async () => (await import('../attestation/jwt/examine.ts')).examineToken },
  'jwk-x5c-trust': { malformed: 'untrusted_key', load: async () => (await import('../attestation/jwt/examine-jwk.ts')).examineJwkTrust },
  'tcg2-eventlog': {
    malformed: 'malformed_event_log',
    load: async () => (await import('../attestation/event-log/examine.ts')).examineEventLog,
  },
};

/** Azure binds its vTPM's key in a hardware report, which is of another kind. */
async function loadTpmQuote(): Promise<Examine> {
  const { createTpmQuoteExamination } = await import('../attestation/tpm2/examine.ts');
  const { examineSnpReport } = await import('../attestation/sev-snp/examine.ts');
  const { examineTdxQuote } = await import('../attestation/tdx/examine.ts');
  return createTpmQuoteExamination({ snp: examineSnpReport, tdx: examineTdxQuote });
}
