/**
 * Enrolling a requester (docs/formats/enrolment.md): its TPM proves by credential activation that it holds the attestation key; or an
 * issuer of tokens, which two people made a trust anchor, is believed to know it under a subject; or it is whatever its hardware, or its trust
 * domain, states one fact of.
 */
import { timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { beginActivation, type EnrolmentCredential, parseEnrolmentRequest } from '../attestation/tpm2/enrolment.ts';
import { loggable } from '../audit/record.ts';
import type { Bodies } from '../documents/bodies.ts';
import { signDocument } from '../documents/document.ts';
import { sha256, sha256Hex } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import {
  attesterKeyOf,
  type EnrolledAttester,
  type EnrolledJwt,
  type EnrolledTpm2,
  type EnrolledWorkload,
  isRefusal,
  type Refusal,
  refuse,
  type TrustAnchor,
  type WorkloadKind,
} from '../domain/evidence.ts';
import { type Digest, type Namespace, newId, type RequestId, type SubjectId, SYSTEM } from '../domain/ids.ts';
import { parseCanonicalJson } from '../domain/json.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { type AdminActor, actorOf, authorize, personalOf, recordAdminDenial } from './authorize.ts';
import { blockedTwin } from './blocked-twin.ts';
import { inForce, readDocument } from './documents.ts';
import { assertSignedRequest, signRequest } from './requests.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

/** What waits for the machine's answer. Of the secret only its digest is kept. */
const waiting = z.strictObject({
  kind: z.literal('enrol'),
  namespace: z.string(),
  name: z.string(),
  akName: z.string(),
  ekCertificateDigest: z.string(),
  attributes: z.record(z.string(), z.string()),
  secretDigest: z.string(),
});

export interface Enrolment {
  readonly namespace: Namespace;
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** As the machine wrote it; parsed here. */
  readonly request: unknown;
}

/** Checks the endorsement against the namespace's anchors and answers a credential that only that TPM, holding that key, can open. */
export async function beginEnrolment(
  actor: AdminActor,
  enrolment: Enrolment,
  vault: Ports,
): Promise<{ readonly requestId: RequestId; readonly credential: EnrolmentCredential; readonly expiresAt: Date }> {
  const { namespace, name, attributes } = enrolment;
  const request = parseEnrolmentRequest(enrolment.request);
  if (namespace === SYSTEM) throw new VaultError('request_invalid', `the namespace ${SYSTEM} has no requesters`);
  await authorize(actor, 'enrolRequester', namespace, vault);
  const { anchors, now } = await vault.stores.unitOfWork.run(async (tx) => {
    if (await vault.stores.identity.subjectByName(tx, namespace, name)) throw new VaultError('subject_exists', name);
    return { anchors: await inForce('trust-anchors', namespace, tx, vault), now: tx.now };
  });
  const activation = beginActivation(request, { anchors: anchors?.body.anchors ?? [], now });
  if (isRefusal(activation)) return refuseEnrolment(actor, activation, name, vault);

  using secret = activation.secret;
  const { akName, ekCertificateDigest } = activation;
  const secretDigest = secret.expose((bytes) => sha256Hex(bytes));
  const operation = { kind: 'enrol', namespace, name, akName, ekCertificateDigest, attributes, secretDigest };
  const { row, document } = await signRequest(actor, { operation, kind: 'enrol', namespace }, now, DEFAULTS.enrolmentSeconds, vault);
  await vault.stores.unitOfWork.run(async (tx) => {
    await vault.stores.documents.put(tx, document);
    await vault.stores.approvals.insert(tx, row);
  });
  return { requestId: row.requestId, credential: activation.credential, expiresAt: row.expiresAt };
}

/**
 * Enrols the machine when it answers with the secret. A wrong answer spends the enrolment: `activation_failed`, recorded. So is
 * `subject_blocked`, of a TPM that is blocked here under another name: one person would undo with it what takes two to lift.
 */
export async function confirmEnrolment(actor: AdminActor, requestId: RequestId, answer: Uint8Array, vault: Ports): Promise<EnrolledTpm2> {
  const row = await vault.stores.unitOfWork.run(async (tx) => {
    const waits = await vault.stores.approvals.request(tx, requestId);
    if (waits?.kind !== 'enrol') throw new VaultError('request_unknown', requestId);
    await assertSignedRequest(waits, tx, vault);
    return waits;
  });
  await authorize(actor, 'enrolRequester', row.namespace, vault);
  const wanted = waiting.parse(parseCanonicalJson(row.operation, 'document_invalid'));
  if (!timingSafeEqual(sha256(answer), Buffer.from(wanted.secretDigest, 'hex'))) {
    await vault.stores.unitOfWork.run((tx) => vault.stores.approvals.settle(tx, requestId, 'cancelled'));
    return refuseEnrolment(actor, { refused: true, code: 'activation_failed', detail: wanted.name }, wanted.name, vault);
  }
  const createdAt = await vault.stores.unitOfWork.run(async (tx) => tx.now);
  const attester: EnrolledTpm2 = {
    subjectId: newId<SubjectId>(createdAt),
    namespace: row.namespace,
    name: wanted.name,
    kind: 'tpm2',
    akName: wanted.akName,
    ekCertificateDigest: wanted.ekCertificateDigest as Digest, // written by us above
    attributes: wanted.attributes,
  };
  const blocked = await vault.stores.unitOfWork.run((tx) => blockedTwin(attester, tx, vault));
  if (blocked !== undefined) return refuseEnrolment(actor, refuse('subject_blocked', blocked), wanted.name, vault);
  await putEnrolled(actor, attester, createdAt, vault, async (tx) => {
    if (!(await vault.stores.approvals.settle(tx, requestId, 'executed'))) throw new VaultError('approval_settled');
    if ((await blockedTwin(attester, tx, vault)) !== undefined) throw new VaultError('subject_blocked'); // meanwhile
  });
  return attester;
}

/** Enrols whom an issuer calls `subject`: `endorsement_untrusted`, recorded, unless that issuer is a trust anchor here today. */
export async function enrolToken(
  actor: AdminActor,
  wanted: Pick<EnrolledJwt, 'namespace' | 'name' | 'attributes' | 'issuer' | 'subject'>,
  vault: Ports,
): Promise<EnrolledJwt> {
  const { namespace, name, attributes, issuer, subject } = wanted;
  const { anchors, now } = await mayEnrol(actor, namespace, vault);
  if (!anchors.some((anchor) => anchor.kind === 'jwt' && anchor.issuer === issuer)) {
    return refuseEnrolment(actor, refuse('endorsement_untrusted', `the issuer ${issuer} is no trust anchor of ${namespace}`), name, vault);
  }
  const attester: EnrolledJwt = { subjectId: newId<SubjectId>(now), namespace, name, kind: 'jwt', issuer, subject, attributes };
  await putEnrolled(actor, attester, now, vault);
  return attester;
}

/** Enrols whatever states this fact: `endorsement_untrusted`, recorded, unless its kind has a trust anchor here today. */
export async function enrolWorkload(
  actor: AdminActor,
  wanted: Pick<EnrolledWorkload, 'namespace' | 'name' | 'attributes' | 'kind' | 'identity'>,
  vault: Ports,
): Promise<EnrolledWorkload> {
  const { namespace, name, attributes, kind, identity } = wanted;
  const { anchors, now } = await mayEnrol(actor, namespace, vault);
  if (!anchors.some((anchor) => mayVouchFor(kind, anchor))) {
    return refuseEnrolment(actor, refuse('endorsement_untrusted', `${namespace} has no trust anchor for ${kind}`), name, vault);
  }
  const attester: EnrolledWorkload = { subjectId: newId<SubjectId>(now), namespace, name, kind, identity, attributes };
  await putEnrolled(actor, attester, now, vault);
  return attester;
}

/** For a TPM that is not activated: what certifies attestation keys, or the makers of the TEE that its guest may be in. */
function mayVouchFor(kind: WorkloadKind, anchor: TrustAnchor): boolean {
  if (kind !== 'tpm2') return anchor.kind === kind;
  return anchor.kind === 'sev-snp' || (anchor.kind === 'tpm2' && anchor.use === 'attestation-keys');
}

async function mayEnrol(actor: AdminActor, namespace: Namespace, vault: Ports) {
  if (namespace === SYSTEM) throw new VaultError('request_invalid', `the namespace ${SYSTEM} has no requesters`);
  await authorize(actor, 'enrolRequester', namespace, vault);
  return vault.stores.unitOfWork.run(async (tx) => ({
    anchors: (await inForce('trust-anchors', namespace, tx, vault))?.body.anchors ?? [],
    now: tx.now,
  }));
}

/** Signs the attester document; then document, row and record in one transaction, after `first`. `subject_exists` when one is taken. */
async function putEnrolled(
  actor: AdminActor,
  attester: EnrolledAttester,
  createdAt: Date,
  vault: Ports,
  first: (tx: Tx) => Promise<void> = async () => undefined,
): Promise<void> {
  const document = await signDocument('attester', bodyOf(actor, attester, createdAt, vault), vault.catalogueKey.sign);
  const { subjectId, namespace, name } = attester;
  await vault.stores.unitOfWork.run(async (tx) => {
    await first(tx);
    await vault.stores.documents.put(tx, document);
    const row = { subjectId, namespace, name, attesterKey: attesterKeyOf(attester), documentDigest: document.digest };
    await vault.stores.identity.insertSubject(tx, row);
    await vault.accessLog.append(tx, {
      type: 'attester.enrolled',
      outcome: 'success',
      namespace,
      actor: actorOf(actor),
      request: { requestId: loggable(actor.requestId, 64) },
      detail: loggable(`${name} ${subjectId} ${knownBy(attester)}`, 256),
      document: { kind: 'attester', digest: document.digest },
      personal: personalOf(actor),
    });
  });
}

function bodyOf(actor: AdminActor, attester: EnrolledAttester, createdAt: Date, { vaultId }: Ports): Bodies['attester'] {
  const head = { vaultId, createdAt: createdAt.toISOString(), enrolledBy: actor.administratorId };
  const attributes = { ...attester.attributes };
  return isWorkload(attester) ? { ...head, v: 2, ...attester, attributes } : { ...head, v: 1, ...attester, attributes };
}

function isWorkload(attester: EnrolledAttester): attester is EnrolledWorkload {
  return 'identity' in attester;
}

function knownBy(attester: EnrolledAttester): string {
  if (isWorkload(attester)) return `${attester.kind} ${attester.identity.fact} ${attester.identity.value}`;
  return 'akName' in attester ? `ak ${attester.akName}` : `${attester.subject} of ${attester.issuer}`;
}

/** The requester of that attester key, as its signed document says; undefined when it was never enrolled here. */
export async function enrolledAttester(namespace: Namespace, key: string, tx: Tx, vault: Ports): Promise<EnrolledAttester | undefined> {
  const row = await vault.stores.identity.subjectByAttesterKey(tx, namespace, key);
  if (row === undefined) return undefined;
  const body = await readDocument('attester', row.documentDigest, tx, vault);
  const sound = attesterKeyOf(body) === key && body.namespace === namespace && body.subjectId === row.subjectId && body.name === row.name;
  if (!sound) throw new VaultError('document_invalid', `the row of requester ${row.subjectId} is not what was signed`);
  return body;
}

async function refuseEnrolment(actor: AdminActor, refusal: Refusal, name: string, vault: Ports): Promise<never> {
  await recordAdminDenial(actor, refusal, `enrol ${name}: ${refusal.detail}`, vault);
  throw new VaultError(refusal.code, refusal.detail);
}
