/** What the policy tests ask about. Claims the appraisal's stage for itself: in these files nothing else makes an AttestationResult. */
import { readFileSync } from 'node:fs';
import type { Permit } from '../../src/domain/access.ts';
import type { ClassName } from '../../src/domain/classes.ts';
import { claimStage } from '../../src/domain/earned.ts';
import { type AttestationResult, isRefusal, type Refusal } from '../../src/domain/evidence.ts';
import type { Digest, ModelId, Namespace, SubjectId, VaultId, VersionId } from '../../src/domain/ids.ts';
import type { Manifest } from '../../src/domain/model.ts';
import { decideRelease, type ReleaseQuestion } from '../../src/policy/decide.ts';
import type { PieceAttributes } from '../../src/policy/evidence-attributes.ts';
import { type LoadedPolicySet, loadPolicySet, splitPolicies } from '../../src/policy/policy-set.ts';

export const NOW = new Date('2026-03-01T12:00:00.000Z');
export const PROD = 'prod' as Namespace;
export const VAULT_ID = '019bc0de-0000-7000-8000-000000000001' as VaultId;
export const RELEASE =
  'principal is WeightVault::Requester, action == WeightVault::Action::"release", resource is WeightVault::ModelVersion';
/** Validates, and always fails to evaluate: the offset leaves the range of a datetime. */
export const FAILS = 'context.now.offset(duration("9223372036854775807ms")) > context.now';

const mint = claimStage('AttestationResult');

export function digest(char: string): Digest {
  return char.repeat(64) as Digest;
}

type Facts = Partial<Pick<AttestationResult, 'fresh' | 'keyBound' | 'hardware' | 'tee' | 'matched' | 'facts'>> & {
  readonly pieces?: readonly PieceAttributes[];
};
type Who = { readonly namespace?: string; readonly name?: string; readonly attributes?: Readonly<Record<string, string>> };

const PROVED = { fresh: true, keyBound: true, hardware: true, tee: true };

/** The members of an AttestationResult, not earned. */
export function unearned(who: Who = {}, facts: Facts = {}) {
  return {
    tier: 'affirming' as const,
    kinds: ['tpm2' as const],
    fresh: true,
    keyBound: true,
    hardware: true,
    tee: false,
    matched: ['golden-2026'],
    facts: { firmwareVersion: '0001' },
    spkiDigest: digest('1'),
    referenceValuesDigest: digest('2'),
    evidenceDigest: digest('3'),
    appraisalPolicyId: 'none',
    ...facts,
    pieces: (facts.pieces ?? []).map((piece) => ({ ...piece, proved: PROVED, matched: [], endorsements: [] })),
    subject: {
      subjectId: '019bc0de-0000-7000-8000-000000000002' as SubjectId,
      namespace: (who.namespace ?? 'prod') as Namespace,
      name: who.name ?? 'node-1',
      kind: 'tpm2' as const,
      akName: '000b',
      ekCertificateDigest: digest('4'),
      attributes: who.attributes ?? { fleet: 'production', owner: 'us' },
    },
  };
}

export function attested(who: Who = {}, facts: Facts = {}): AttestationResult {
  return mint(unearned(who, facts));
}

export function manifest(over: { class?: ClassName; namespace?: string; attributes?: Readonly<Record<string, string>> } = {}): Manifest {
  return {
    v: 1,
    vaultId: VAULT_ID,
    namespace: (over.namespace ?? 'prod') as Namespace,
    modelId: '019bc0de-0000-7000-8000-000000000003' as ModelId,
    versionId: '019bc0de-0000-7000-8000-000000000004' as VersionId,
    class: over.class ?? 'public',
    createdAt: NOW.toISOString(),
    suite: { id: 'FLOE-AES-256-GCM-HKDF-EXPAND-SHA-384', segmentBytes: 1_048_608, rotationMask: 20 },
    objects: [],
    attributes: over.attributes ?? {},
  };
}

export function loaded(policies: Readonly<Record<string, string>>, namespace = 'prod', setDigest = digest('5')): LoadedPolicySet {
  return loadPolicySet({ namespace: namespace as Namespace, policies }, setDigest);
}

export function starter(...files: readonly string[]): Record<string, string> {
  return Object.assign({}, ...files.map((file) => splitPolicies(readFileSync(new URL(`../../policies/${file}`, import.meta.url), 'utf8'))));
}

/** A question that is permitted by `permit`, unless `over` changes something. */
export function question(over: Partial<ReleaseQuestion> = {}): ReleaseQuestion {
  return {
    attested: attested(),
    manifest: manifest(),
    versionDigest: digest('6'),
    delivery: 'stream',
    policySet: loaded({ open: `permit (${RELEASE});` }),
    now: NOW,
    ...over,
  };
}

/** The answer to `question(over)`, short enough to compare. */
export function ask(over: Partial<ReleaseQuestion> = {}): string {
  return inShort(decideRelease(question(over)));
}

export function askWith(policies: Readonly<Record<string, string>>, over: Partial<ReleaseQuestion> = {}): string {
  return ask({ policySet: loaded(policies), ...over });
}

export function inShort(answer: Permit | Refusal): string {
  return isRefusal(answer) ? answer.code : `permit: ${answer.determining.join(' ')}`;
}
