/**
 * How a weight leaves the vault. Read this file first.
 *
 *   admit      bytes        -> AccessRequest        http/data-plane: bounded, parsed, nothing believed
 *   appraise   Evidence[]   -> AttestationResult    is it the machine it says, in a state we know, holding this very TLS key?
 *   decide     attributes   -> Permit               does a policy in force permit exactly this?
 *   record     Permit       -> RecordedPermit       durable in the access log before anything else happens; denials too
 *   unwrap     WrappedKey   -> DEK                  one HSM call per version and process
 *   stream     ciphertext   -> socket               open-object.ts: rechecked, bounded, cut when blocked, counted
 *
 * Each stage's output is the next one's only accepted input, and can be made by that stage alone (domain/earned.ts).
 */
import { appraise } from '../attestation/appraise.ts';
import type { AccessRequest, Permit, RecordedPermit } from '../domain/access.ts';
import { isTampering, VaultError } from '../domain/errors.ts';
import { type AttestationResult, evidenceBinding, isRefusal, type Refusal, refuse } from '../domain/evidence.ts';
import { parseId, type VersionId } from '../domain/ids.ts';
import type { ManifestObject } from '../domain/model.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { spkiDigestOf } from '../identity/certificates.ts';
import { decideRelease } from '../policy/decide.ts';
import { loadPolicySet } from '../policy/policy-set.ts';
import { inForce } from './documents.ts';
import { enrolledAttester } from './enrol.ts';
import { endRelease } from './outcome.ts';
import { type Denied, recordDenial, recordPermit } from './record.ts';
import { unwrapDek } from './unwrap.ts';
import type { Vault } from './vault.ts';
import { promotedVersion } from './version.ts';

type Ports = Pick<Vault, 'vaultId' | 'node' | 'stores' | 'catalogueKey' | 'accessLog' | 'logHalted' | 'deks' | 'verifiers' | 'meter'>;

export interface Granted {
  readonly refused: false;
  readonly permit: RecordedPermit;
  readonly objects: readonly ManifestObject[];
}

/**
 * Grants one version to an attested requester, or refuses; either way the answer is durable in the access log when this resolves.
 * Rejects when the vault cannot answer (store, HSM or log gone); then nothing was granted.
 */
export async function release(request: AccessRequest, vault: Ports): Promise<Granted | Denied> {
  const attested = await appraiseRequest(request, vault).catch(refuseTampered);
  if (isRefusal(attested)) return recordDenial(request, attested, vault);

  const permit = await decideRequest(request, attested, vault).catch(refuseTampered);
  if (isRefusal(permit)) return recordDenial(request, permit, vault);

  const recorded = await recordPermit(request, permit, vault);
  await unwrapOnce(recorded, vault);
  return { refused: false, permit: recorded, objects: permit.manifest.objects };
}

/** Spends the challenge, then asks the verifiers what the evidence proves about whoever holds the TLS key. */
async function appraiseRequest(request: AccessRequest, vault: Ports): Promise<AttestationResult | Refusal> {
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
  const { challenge, references } = known;
  if (typeof challenge === 'string') return refuse(challenge, 'ask for a new challenge with the same TLS key');

  return appraise({
    evidence: request.evidence,
    verifiers: vault.verifiers,
    context: {
      binding: evidenceBinding({ vaultId: vault.vaultId, challengeNonce: challenge.nonce, spki: request.spki }),
      now: known.now,
      namespace,
      anchors: known.anchors?.body.anchors ?? [],
      attester: (akName) => vault.stores.unitOfWork.run((tx) => enrolledAttester(namespace, akName, tx, vault)),
    },
    referenceValues: references?.body.values ?? [],
    referenceValuesDigest: references?.digest,
    spkiDigest,
    now: known.now,
  });
}

/** Gathers the attributes from signed documents and asks the policy decision point. */
async function decideRequest(request: AccessRequest, attested: AttestationResult, vault: Ports): Promise<Permit | Refusal> {
  const known = { subject: attested.subject, evidenceDigest: attested.evidenceDigest };
  return vault.stores.unitOfWork.run(async (tx): Promise<Permit | Refusal> => {
    if (await isBlocked(attested, tx, vault)) return refuse('subject_blocked', 'an administrator blocked this requester', known);

    const model = await vault.stores.catalog.modelByName(tx, request.namespace, request.model);
    if (model === undefined) return refuse('model_unknown', request.model, known);
    const version = await promotedVersion(model, parseId<VersionId>(request.version, 'version'), tx, vault);
    if (isRefusal(version)) return { ...version, ...known };

    const policies = await inForce('policy-set', request.namespace, tx, vault);
    return decideRelease({
      attested,
      manifest: version.manifest,
      versionDigest: version.versionDigest,
      delivery: request.delivery,
      policySet: policies && loadPolicySet(policies.body, policies.digest),
      now: tx.now,
    });
  });
}

async function isBlocked(attested: AttestationResult, tx: Tx, vault: Ports): Promise<boolean> {
  const blocks = await vault.stores.releases.blocks(tx);
  return blocks.some((block) => block.namespace === attested.subject.namespace && block.subjectId === attested.subject.subjectId);
}

/** Opens the DEK now, so that a key that cannot be opened is an answer to the request and not a broken stream later. */
async function unwrapOnce(permit: RecordedPermit, vault: Ports): Promise<void> {
  try {
    const lease = await unwrapDek(permit, vault);
    lease.release();
  } catch (error) {
    await endRelease(permit.namespace, permit.releaseId, 'aborted', vault);
    throw error;
  }
}

/** Something signed here is no longer what it was. That is a refusal, and belongs on record like any other; other errors pass. */
function refuseTampered(error: unknown): Refusal {
  if (error instanceof VaultError && isTampering(error.code)) return refuse(error.code, error.detail);
  throw error;
}
