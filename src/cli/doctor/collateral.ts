/** Probes of what releases are decided by: policies, reference values, trust anchors, namespace by namespace. */
import { X509Certificate } from 'node:crypto';
import type { ReferenceValue, TrustAnchor } from '../../domain/evidence.ts';
import { each, type Finding, finding } from './findings.ts';

/** What is in force in one namespace; undefined where nothing is. */
export interface Collateral {
  readonly namespace: string;
  readonly policies: Readonly<Record<string, string>> | undefined;
  readonly referenceValues: readonly ReferenceValue[] | undefined;
  readonly trustAnchors: readonly TrustAnchor[] | undefined;
  /** Since when the reference values in force are. */
  readonly referenceValuesSince?: Date | undefined;
  /** When each last matched evidence. */
  readonly lastMatched?: ReadonlyMap<string, Date> | undefined;
}

/** A publication of a maker that is kept, the newest of its kind. */
export interface KeptPublication {
  readonly type: string;
  readonly key: string;
  readonly expiresAt?: Date | undefined;
}

const DAY_MS = 86_400_000;
const VALUES_SOON_DAYS = 30;
const ANCHORS_SOON_DAYS = 90;
const PUBLICATIONS_SOON_DAYS = 7;
/** What matched nothing for so long, most likely never will again. */
const UNMATCHED_DAYS = 30;

export function policySet(all: readonly Collateral[]): readonly Finding[] {
  const without = all.filter(({ policies }) => policies === undefined || Object.keys(policies).length === 0);
  return each(
    'policy_set',
    without.map(({ namespace }) => finding('policy_set', 'warning', `${namespace}: no access policy`)),
    everywhere(all),
  );
}

export function referenceValues(all: readonly Collateral[], now: Date): readonly Finding[] {
  const wrong = all.flatMap(({ namespace, referenceValues: values = [] }) => {
    if (values.length === 0) return [finding('reference_values', 'warning', `${namespace}: no reference values`)];
    return values.flatMap(({ id, expires }) => expiry('reference_values', `${namespace}: ${id}`, expires, now, VALUES_SOON_DAYS));
  });
  return each('reference_values', wrong, everywhere(all));
}

/** By its id in quotes: what a policy compares `context.evidence.matched` with. */
export function referenceUnnamed(all: readonly Collateral[]): readonly Finding[] {
  const wrong = all.flatMap(({ namespace, policies = {}, referenceValues: values = [] }) => {
    const text = Object.values(policies).join('\n');
    const unnamed = values.filter(({ id }) => !text.includes(`"${id}"`)).map(({ id }) => id);
    return unnamed.length === 0 ? [] : [finding('reference_unnamed', 'warning', `${namespace}: no policy names ${unnamed.join(', ')}`)];
  });
  return each('reference_unnamed', wrong, 'each is named by a policy');
}

/** In force for a while, and no evidence matched it: a machine that is gone, or a value nobody measured. */
export function referenceUnmatched(all: readonly Collateral[], now: Date): readonly Finding[] {
  const since = (days: number) => new Date(now.getTime() - days * DAY_MS);
  const wrong = all.flatMap(({ namespace, referenceValues: values = [], referenceValuesSince, lastMatched = new Map() }) => {
    if (referenceValuesSince === undefined || referenceValuesSince > since(UNMATCHED_DAYS)) return [];
    const idle = values.filter(({ id }) => (lastMatched.get(id) ?? new Date(0)) < since(UNMATCHED_DAYS)).map(({ id }) => id);
    const few = idle.slice(0, 10).join(', ') + (idle.length > 10 ? ` and ${idle.length - 10} more` : '');
    return idle.length === 0
      ? []
      : [finding('reference_unmatched', 'warning', `${namespace}: ${few} matched nothing for ${UNMATCHED_DAYS} days`)];
  });
  return each('reference_unmatched', wrong, 'each matched of late, or is new');
}

/** Verdicts go on with what is past its date and say so to the policies, which may forbid it. */
export function publications(kept: readonly KeptPublication[], now: Date): readonly Finding[] {
  const wrong = kept.flatMap(({ type, key, expiresAt }) =>
    expiry('collateral', `${type} ${key}`, expiresAt?.toISOString(), now, PUBLICATIONS_SOON_DAYS),
  );
  return each('collateral', wrong, kept.length === 0 ? 'nothing of a maker is kept' : `${kept.length} publications, none past its date`);
}

export function trustAnchors(all: readonly Collateral[], now: Date): readonly Finding[] {
  const wrong = all.flatMap(({ namespace, trustAnchors: anchors = [] }) => {
    if (anchors.length === 0) return [finding('trust_anchors', 'warning', `${namespace}: no trust anchors`)];
    return anchors.flatMap((anchor) => {
      const roots = 'certificate' in anchor ? [anchor.certificate] : anchor.kind === 'spiffe' ? (anchor.x509Authorities ?? []) : []; // keys carry no date
      return roots.flatMap((root) => expiry('trust_anchors', `${namespace}: ${anchor.name}`, notAfter(root), now, ANCHORS_SOON_DAYS));
    });
  });
  return each('trust_anchors', wrong, everywhere(all));
}

function notAfter(certificate: string): string {
  try {
    return new X509Certificate(Buffer.from(certificate, 'base64')).validToDate.toISOString();
  } catch {
    return 'a date that cannot be read';
  }
}

function expiry(
  id: 'reference_values' | 'trust_anchors' | 'collateral',
  what: string,
  expires: string | undefined,
  now: Date,
  soonDays: number,
): readonly Finding[] {
  if (expires === undefined) return [];
  const left = (Date.parse(expires) - now.getTime()) / DAY_MS;
  if (!(left > 0)) return [finding(id, 'warning', `${what}: expired, ${expires}`)];
  return left < soonDays ? [finding(id, 'warning', `${what}: expires in ${Math.floor(left)} days`)] : [];
}

const everywhere = (all: readonly Collateral[]) =>
  all.length === 0 ? 'no namespace is in use yet' : `in ${all.map((one) => one.namespace).join(', ')}`;
