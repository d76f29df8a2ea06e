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
}

const DAY_MS = 86_400_000;
const VALUES_SOON_DAYS = 30;
const ANCHORS_SOON_DAYS = 90;

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

export function trustAnchors(all: readonly Collateral[], now: Date): readonly Finding[] {
  const wrong = all.flatMap(({ namespace, trustAnchors: anchors = [] }) => {
    if (anchors.length === 0) return [finding('trust_anchors', 'warning', `${namespace}: no trust anchors`)];
    return anchors.flatMap((anchor) => {
      if (anchor.kind !== 'tpm2') return []; // keys of an issuer carry no date
      return expiry('trust_anchors', `${namespace}: ${anchor.name}`, notAfter(anchor.certificate), now, ANCHORS_SOON_DAYS);
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
  id: 'reference_values' | 'trust_anchors',
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
