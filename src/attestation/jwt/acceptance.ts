/** What a default production policy refuses in a genuine token: the verifier signed that something is not as it should be. */
import type { ClaimValue } from '../examination.ts';
import type { JsonObject } from '../strict-json.ts';

export const ACCEPTANCE_WORDS = [
  'ear_none',
  'ear_warning',
  'ear_contraindicated',
  'tcb_out_of_date',
  'tcb_not_current',
  'debug_enabled',
  'attestation_failed',
  'policy_denied',
  'claims_not_understood',
] as const;
export type AcceptanceWord = (typeof ACCEPTANCE_WORDS)[number];

/** Statuses of Intel's TCB that say nothing has to be done, in the spelling of `comparable`. */
const CURRENT = ['UPTODATE', 'SWHARDENINGNEEDED', 'OK'];
const EAR_WORDS: Readonly<Record<string, AcceptanceWord>> = { warning: 'ear_warning', contraindicated: 'ear_contraindicated' };

/** `read` is what readProduct found in `claims`. */
export function acceptanceProblems(claims: JsonObject, read: Readonly<Record<string, ClaimValue>>): AcceptanceWord[] {
  const problems: AcceptanceWord[] = [];
  if (read['product'] === null && read['ear_status'] === undefined) problems.push('claims_not_understood'); // EAR says all under any profile
  problems.push(...earProblems(read['ear_status']), ...tcbProblems(read['tcb_status']));
  if (read['debug'] === true) problems.push('debug_enabled');
  const measured = read['measres'] ?? 'success';
  if (read['overall_result'] === false || measured !== 'success') problems.push('attestation_failed');
  if (evaluations(claims).includes(false)) problems.push('policy_denied');
  return problems;
}

/** Affirming means every part, and at least one. */
function earProblems(status: ClaimValue | undefined): AcceptanceWord[] {
  if (status === undefined || status === null) return [];
  const tiers = Object.values(status);
  if (tiers.length === 0) return ['ear_none'];
  return [...new Set(tiers.filter((tier) => tier !== 'affirming').map((tier) => EAR_WORDS[String(tier)] ?? 'ear_none'))];
}

/** OutOfDate or OUT_OF_DATE: one status. Whatever else is not current gets the same word, and one more. */
function tcbProblems(status: ClaimValue | undefined): AcceptanceWord[] {
  if (typeof status !== 'string') return [];
  const comparable = status.toUpperCase().replaceAll(/[^A-Z]/g, '');
  if (comparable.startsWith('OUTOFDATE')) return ['tcb_out_of_date'];
  return CURRENT.includes(comparable) ? [] : ['tcb_out_of_date', 'tcb_not_current'];
}

/**
 * Of the early CoCo service: JSON text inside the token, `{"allow": true}`. What cannot be read did not allow. Later it issued tokens only where its
 * policies allowed, and named them without a result.
 */
function evaluations(claims: JsonObject): boolean[] {
  const reports = claims['evaluation-reports'];
  if (!Array.isArray(reports)) return [];
  return reports.map((report: unknown) => {
    if (typeof report !== 'object' || report === null) return false;
    if (!('evaluation-result' in report)) return 'policy-id' in report;
    const result = report['evaluation-result'];
    return typeof result === 'string' && /"allow"\s*:\s*true/.test(result) && !/"allow"\s*:\s*false/.test(result);
  });
}
