/** Lists of revoked certificates that came beside a quote: does one of its key's authorities name a certificate on the way to the root? */
import type { Certificate } from '../x509/certificate.ts';
import { type Crl, isCrlOf, readCrl } from '../x509/crl.ts';
import { orUndefined } from '../x509/der.ts';
import { derOrPem } from '../x509/pem.ts';
import { standing } from '../x509/validity.ts';

export type AkListProblem = 'crl_invalid' | 'crl_expired' | 'crl_not_yet_valid' | 'certificate_revoked';

export interface AkLists {
  readonly problems: readonly AkListProblem[];
  /** `good`: a list in date of every authority on the way. */
  readonly revocation: 'good' | 'unknown';
}

const MAX_LISTS = 4;

/** `path`: verified, from the key's certificate to the root. `file`: DER of one list, or PEM of several; undefined when none came. */
export function examineAkLists(file: Uint8Array | undefined, path: readonly Certificate[], now: Date): AkLists {
  if (file === undefined) return { problems: [], revocation: 'unknown' };
  const lists = orUndefined(() => derOrPem(file, 'X509 CRL', MAX_LISTS).map(readCrl));
  if (lists === undefined) return { problems: ['crl_invalid'], revocation: 'unknown' };
  const judged = lists.map((crl) => judge(crl, path, now));
  const problems = judged.flatMap(({ problem }) => problem ?? []);
  const covered = new Set(judged.flatMap(({ authority }) => authority ?? []));
  return { problems, revocation: problems.length === 0 && covered.size === path.length - 1 ? 'good' : 'unknown' };
}

function judge(crl: Crl, path: readonly Certificate[], now: Date): { problem?: AkListProblem; authority?: Certificate } {
  const at = path.findIndex((authority, index) => index > 0 && isCrlOf(crl, authority));
  const [subject, authority] = [path[at - 1], path[at]];
  if (subject === undefined || authority === undefined) return { problem: 'crl_invalid' };
  if (crl.revoked.has(subject.serial)) return { authority, problem: 'certificate_revoked' };
  const where = standing(crl, now);
  return where === 'current' ? { authority } : { authority, problem: where === 'late' ? 'crl_expired' : 'crl_not_yet_valid' };
}
