/**
 * How a weight leaves the vault. Read this file first.
 *
 *   admit      bytes        -> AccessRequest        http/data-plane: bounded, parsed, nothing believed
 *   appraise   Evidence[]   -> AttestationResult    is it the machine it says, in a state we know, holding this very TLS key?
 *   decide     attributes   -> Permit               does a policy in force permit exactly this?
 *   record     Permit       -> RecordedPermit       durable in the access log before anything else happens; denials too
 *   level      RecordedPermit                       as far as the class demands: under a signed checkpoint, or witnessed (record-level.ts)
 *   unwrap     WrappedKey   -> DEK                  one HSM call per version and process
 *   stream     ciphertext   -> socket               open-object.ts: rechecked, bounded, cut when stopped, counted
 *
 * Each stage's output is the next one's only accepted input, and can be made by that stage alone (domain/earned.ts).
 */
import { appraise, knownFrom, resultForModel } from '../attestation/appraise.ts';
import type { ModelRow } from '../catalog/port.ts';
import type { AccessRequest, Permit, RecordedPermit } from '../domain/access.ts';
import type { ClassName } from '../domain/classes.ts';
import { isTampering, VaultError } from '../domain/errors.ts';
import { type AttestationResult, evidenceBinding, isRefusal, type Refusal, refuse } from '../domain/evidence.ts';
import { type Digest, isId, parseId, parseName, type ReleaseId, type SubjectId, type VersionId } from '../domain/ids.ts';
import type { ManifestObject } from '../domain/model.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { spkiDigestOf } from '../identity/certificates.ts';
import { decideRelease } from '../policy/decide.ts';
import { loadPolicySet } from '../policy/policy-set.ts';
import { type InForce, inForce } from './documents.ts';
import { egressOf } from './egress.ts';
import { enrolledAttester } from './enrol.ts';
import { endRelease } from './outcome.ts';
import { type Denied, recordDenial, recordPermit } from './record.ts';
import { awaitLevel, refusedUnwatched } from './record-level.ts';
import { refusedByStop } from './stops.ts';
import { unwrapDek } from './unwrap.ts';
import type { Vault } from './vault.ts';
import { aliasInForce, promotedVersion } from './version.ts';
import { wrapperOf } from './wrapped-under.ts';

type Ports = Pick<
  Vault,
  | 'vaultId'
  | 'node'
  | 'stores'
  | 'catalogueKey'
  | 'kek'
  | 'accessLog'
  | 'logHalted'
  | 'logRoom'
  | 'levels'
  | 'recordLevels'
  | 'deks'
  | 'revocations'
  | 'verifiers'
  | 'meter'
  | 'siteOf'
>;

export interface Granted {
  readonly refused: false;
  readonly permit: RecordedPermit;
  readonly objects: readonly ManifestObject[];
  /** Of a release that waited for one. */
  readonly receipt?: Uint8Array;
  /** The alias that was asked for, as it stands now. */
  readonly alias?: { readonly name: string; readonly counter: number };
}

interface Decided {
  readonly permit: Permit;
  readonly alias?: Granted['alias'];
}

/**
 * Grants one version to an attested requester, or refuses; either way the answer is durable in the access log when this resolves.
 * Rejects when the vault cannot answer (store, HSM or log gone); then nothing was granted.
 */
export async function release(request: AccessRequest, vault: Ports): Promise<Granted | Denied> {
  const attested = await appraiseRequest(request, vault).catch(refuseTampered);
  if (isRefusal(attested)) return recordDenial(request, attested, vault);

  const decided = await decideRequest(request, attested, vault).catch(refuseTampered);
  if (isRefusal(decided)) return recordDenial(request, decided, vault);

  const { permit, alias } = decided;
  const recorded = await recordPermit(request, permit, vault);
  if (isRefusal(recorded)) return recorded;
  const receipt = await openedOrEnded(recorded.permit, permit.manifest.class, vault);
  return {
    refused: false,
    permit: recorded.permit,
    objects: permit.manifest.objects,
    ...(receipt && { receipt }),
    ...(alias && { alias }),
  };
}

type AppraisedRequest = Pick<AccessRequest, 'namespace' | 'challengeId' | 'evidence' | 'spki'>;

/** Spends the challenge, then asks the verifiers what the evidence proves about whoever holds the TLS key. */
export async function appraiseRequest(request: AppraisedRequest, vault: Ports): Promise<AttestationResult | Refusal> {
  if (request.evidence.length === 0) return refuse('evidence_missing', 'send evidence bound to a fresh challenge');
  const { challengeId, namespace } = request;
  if (challengeId === undefined) return refuse('challenge_unknown', 'evidence without a challenge proves nothing about now');
  const spkiDigest = spkiDigestOf(request.spki);

  const known = await vault.stores.unitOfWork.run(async (tx) => ({
    now: tx.now,
    challenge: await vault.stores.releases.spendChallenge(tx, challengeId, spkiDigest),
    anchors: await inForce('trust-anchors', namespace, tx, vault),
    references: await inForce('reference-values', namespace, tx, vault),
  }));
  const { challenge, anchors, references } = known;
  if (typeof challenge === 'string') return refuse(challenge, 'ask for a new challenge with the same TLS key');

  const bound = { vaultId: vault.vaultId, challengeNonce: challenge.nonce, spki: request.spki };
  return appraise({
    evidence: request.evidence,
    verifiers: vault.verifiers,
    bindingOf: (additional) => evidenceBinding(additional === undefined ? bound : { ...bound, additionalEvidenceDigest: additional }),
    context: {
      challengeNonce: challenge.nonce,
      spki: request.spki,
      now: known.now,
      namespace,
      collateral: {
        find: (type, key) => vault.stores.unitOfWork.run((tx) => vault.stores.attestation.newestCollateral(tx, type, key)),
      },
      anchors: anchors?.body.anchors ?? [],
      attester: (key) => vault.stores.unitOfWork.run((tx) => enrolledAttester(namespace, key, tx, vault)),
      spendTokenId: (issuer, tokenId, expiresAt) =>
        vault.stores.unitOfWork.run((tx) => vault.stores.releases.spendTokenId(tx, issuer, tokenId, expiresAt)),
    },
    referenceValues: references?.body.values ?? [],
    referenceValuesDigest: references?.digest,
    appraisalPolicyId: appraisalPolicyId(references, anchors),
    spkiDigest,
    now: known.now,
  });
}

/** The appraisal policy (RFC 9334) is what two people signed: reference values and trust anchors. */
function appraisalPolicyId(...documents: ReadonlyArray<InForce<'reference-values' | 'trust-anchors'> | undefined>): string {
  const [references, anchors] = documents.map((one) => (one === undefined ? 'none' : `${one.counter} ${one.digest}`));
  return `reference-values ${references}, trust-anchors ${anchors}`;
}

type DecidedRequest = Pick<AccessRequest, 'namespace' | 'model' | 'version' | 'aliasCounter' | 'delivery'>;

/** Gathers the attributes from signed documents and asks the policy decision point. */
export async function decideRequest(
  request: DecidedRequest,
  attested: AttestationResult,
  vault: Ports,
  renewing?: ReleaseId,
): Promise<Decided | Refusal> {
  const known = knownFrom(attested);
  return vault.stores.unitOfWork.run(async (tx): Promise<Decided | Refusal> => {
    const { namespace, subjectId } = attested.subject;
    for (const id of subjectsOf(attested)) {
      const stopped = await refusedByStop({ namespace, subjectId: id }, tx, vault);
      if (stopped !== undefined) return { ...stopped, ...known };
    }

    const model = await vault.stores.catalog.modelByName(tx, request.namespace, request.model);
    if (model === undefined) return refuse('model_unknown', request.model, known);
    const named = await namedVersion(request, model, tx, vault);
    if (isRefusal(named)) return { ...named, ...known };
    const version = await promotedVersion(model, named.versionId, tx, vault);
    if (isRefusal(version)) return { ...version, ...known };
    const suspended = await refusedByStop({ ...version.manifest, subjectId, kek: wrapperOf(version.row.wrappedDek) }, tx, vault);
    if (suspended !== undefined) return { ...suspended, ...known };
    const result = resultForModel(attested, version.manifest.modelId);
    if (isRefusal(result)) return result;
    if (named.versionDigest !== undefined && named.versionDigest !== version.versionDigest)
      throw new VaultError('manifest_mismatch', `the alias ${request.version} names another digest`);

    const unwatched = refusedUnwatched(version.class, vault);
    if (unwatched !== undefined) return { ...unwatched, ...known };

    const policies = await inForce('policy-set', request.namespace, tx, vault);
    const permit = decideRelease({
      attested: result,
      manifest: { ...version.manifest, class: version.class },
      versionDigest: version.versionDigest,
      delivery: request.delivery,
      egress: await egressOf(result, version.manifest, tx, vault, renewing),
      policySet: policies && loadPolicySet(policies.body, policies.digest),
      now: tx.now,
    });
    return isRefusal(permit) ? permit : { permit, ...(named.alias && { alias: named.alias }) };
  });
}

/** Who asks, and whoever else a piece is about: the word of one that is blocked adds nothing. */
function subjectsOf({ subject, pieces }: AttestationResult): ReadonlySet<SubjectId> {
  return new Set([subject, ...pieces.flatMap(({ attester }) => attester ?? [])].map(({ subjectId }) => subjectId));
}

interface NamedVersion {
  readonly versionId: VersionId;
  /** Of an alias: what it says the version is. */
  readonly versionDigest?: Digest;
  readonly alias?: Granted['alias'];
}

/** An id names itself; anything else is an alias, believed as its signed document says and never older than the requester has seen it. */
async function namedVersion(request: DecidedRequest, model: ModelRow, tx: Tx, vault: Ports): Promise<NamedVersion | Refusal> {
  const { version, aliasCounter } = request;
  if (isId(version)) return { versionId: parseId<VersionId>(version, 'version') };
  const alias = await aliasInForce(model, parseName(version, 'version'), tx, vault);
  if (alias === undefined) return refuse('version_unknown', version);
  const { versionId, versionDigest, name, counter } = alias;
  if (aliasCounter !== undefined && counter < aliasCounter) return refuse('alias_stale', `${name} is at ${counter} here`);
  return { versionId, versionDigest, alias: { name, counter } };
}

/**
 * Waits for the record, then opens the DEK, so that what cannot be had is an answer to the request and not a broken stream later: a release that gets
 * no further than its record is ended, on record, and nothing of it was opened.
 */
async function openedOrEnded(permit: RecordedPermit, classOf: ClassName, vault: Ports): Promise<Uint8Array | undefined> {
  try {
    const receipt = await awaitLevel(permit.recordId, classOf, vault);
    using _guard = vault.revocations.guard(permit, new AbortController().signal, () => undefined); // wiped again if it is stopped meanwhile
    const lease = await unwrapDek(permit, vault);
    lease.release();
    return receipt;
  } catch (error) {
    await endRelease(permit.namespace, permit.releaseId, 'aborted', vault);
    throw error;
  }
}

/** Something signed here is no longer what it was. That is a refusal, and belongs on record like any other; other errors pass. */
export function refuseTampered(error: unknown): Refusal {
  if (error instanceof VaultError && isTampering(error.code)) return refuse(error.code, error.detail);
  throw error;
}
