/** The body of every kind of document, as a schema: what is read back is checked even after its signature was. */
import { z } from 'zod';
import { CLASS_NAMES } from '../domain/classes.ts';
import type { ReferenceValue, TrustAnchor, WorkloadKind } from '../domain/evidence.ts';
import type {
  AdministratorId,
  BlobName,
  ModelId,
  Namespace,
  ObjectPath,
  RecordId,
  ReleaseId,
  RequestId,
  StopId,
  SubjectId,
  VersionId,
} from '../domain/ids.ts';
import { parseObjectPath } from '../domain/ids.ts';
import { CRYPTOPERIOD_DAYS, DESTRUCTION_WAIT_DAYS, KEY_STATES } from '../domain/key-state.ts';
import type { Manifest } from '../domain/model.ts';
import { OPERATION_KINDS } from '../domain/operation.ts';
import { alertDelivery } from './alert-delivery.ts';
import { anchorsVersion, trustAnchorList, trustAnchorListV1 } from './anchors.ts';
import { attributes, base64, consent, count, digest, head, id, keyRef, name, text, time, wrap } from './body-parts.ts';
import { issuer, tokenSubject } from './forms.ts';
import { logSinkList } from './log-sinks.ts';
import type { DocumentKind } from './port.ts';
import { referenceValueList, referenceValueListV1, referenceValuesVersion } from './reference-values.ts';
import { workloadIdentity } from './workload-identity.ts';

const enrolled = {
  ...head,
  namespace: name<Namespace>(),
  subjectId: id<SubjectId>(),
  name: name(),
  attributes,
  enrolledBy: id<AdministratorId>(),
};

/** Known by a fact: version 1 of the document did not know that. */
const workload = <K extends WorkloadKind>(kind: K) =>
  z.strictObject({ ...enrolled, v: z.literal(2), kind: z.literal(kind), identity: workloadIdentity(kind) });

/** What version 1 can say is said in version 1: two documents of one content would be two digests. */
const ONE_SPELLING = 'version 1 can say this';
const list = { ...head, namespace: name<Namespace>(), counter: count, consents: z.array(consent) };

const signingKey = z.strictObject({ ...keyRef.shape, publicKey: base64 });
const vaultIdentity = {
  ...head,
  origin: z.string().min(1).max(256),
  kek: keyRef.extend({ wrap }),
  catalogueKey: signingKey,
  logKey: signingKey,
  administrators: z.array(digest()).min(2),
};

export const BODY_SCHEMAS = {
  vault: z.discriminatedUnion('v', [
    z.strictObject(vaultIdentity),
    /** After a recovery: other keys than the vault was made with, and the document that named those. */
    z.strictObject({ ...vaultIdentity, v: z.literal(2), succeeds: digest() }),
  ]),
  administrator: z.strictObject({
    ...head,
    administratorId: id<AdministratorId>(),
    counter: count,
    name: name(),
    state: z.enum(['active', 'removed']),
    roles: z.array(name()),
    /** Absent until the person has set it up on their own workstation. */
    authenticator: z.strictObject({ id: id(), kind: z.literal('totp'), wrappedSeed: base64 }).optional(),
    workstations: z.array(digest()).min(1),
    /** Empty for the people of the ceremony. */
    consents: z.array(consent),
  }),
  attester: z.discriminatedUnion('v', [
    z.discriminatedUnion('kind', [
      z.strictObject({
        ...enrolled,
        kind: z.literal('tpm2'),
        akName: z.string().regex(/^[0-9a-f]{68,132}$/),
        ekCertificateDigest: digest(),
      }),
      z.strictObject({ ...enrolled, kind: z.literal('jwt'), issuer, subject: tokenSubject }),
    ]),
    z.discriminatedUnion('kind', [workload('tpm2'), workload('sev-snp'), workload('tdx'), workload('nitro'), workload('spiffe')]),
  ]),
  manifest: z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    modelId: id<ModelId>(),
    versionId: id<VersionId>(),
    class: z.enum(CLASS_NAMES),
    suite: z.strictObject({
      id: z.literal('FLOE-AES-256-GCM-HKDF-EXPAND-SHA-384'),
      segmentBytes: z.int().min(33),
      rotationMask: z.int().min(0).max(40),
    }),
    objects: z
      .array(
        z.strictObject({
          path: text<ObjectPath>(parseObjectPath),
          size: z.int().min(0),
          sha256: digest(),
          header: base64,
          units: z.array(z.strictObject({ ciphertextSha256: digest<BlobName>(), bytes: count })).min(1),
        }),
      )
      .min(1),
    attributes,
  }),
  promotion: z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    modelId: id<ModelId>(),
    versionId: id<VersionId>(),
    versionDigest: digest(),
    consents: z.array(consent).min(1),
  }),
  release: z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    releaseId: id<ReleaseId>(),
    recordId: id<RecordId>(),
    subjectId: id<SubjectId>(),
    modelId: id<ModelId>(),
    versionId: id<VersionId>(),
    versionDigest: digest(),
    spkiDigest: digest(),
    expiresAt: time,
  }),
  request: z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    requestId: id<RequestId>(),
    operationKind: z.enum(OPERATION_KINDS),
    operationDigest: digest(),
    consent,
    expiresAt: time,
  }),
  'policy-set': z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    counter: count,
    schemaDigest: digest(),
    policies: z.record(z.string(), z.string()),
    consents: z.array(consent),
  }),
  'reference-values': z.discriminatedUnion('v', [
    z.strictObject({ ...list, values: referenceValueListV1 }),
    z.strictObject({
      ...list,
      v: z.literal(2),
      values: referenceValueList.refine((values) => referenceValuesVersion(values) === 2, ONE_SPELLING),
    }),
  ]),
  'trust-anchors': z.discriminatedUnion('v', [
    z.strictObject({ ...list, anchors: trustAnchorListV1 }),
    z.strictObject({ ...list, v: z.literal(2), anchors: trustAnchorList.refine((anchors) => anchorsVersion(anchors) === 2, ONE_SPELLING) }),
  ]),
  alias: z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    modelId: id<ModelId>(),
    counter: count,
    name: name(),
    versionId: id<VersionId>(),
    versionDigest: digest(),
    consents: z.array(consent).min(1),
  }),
  'class-change': z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    modelId: id<ModelId>(),
    counter: count,
    class: z.enum(CLASS_NAMES),
    consents: z.array(consent).min(2),
  }),
  'key-ring': z.discriminatedUnion('v', [
    z.strictObject({
      ...head,
      namespace: name<Namespace>(),
      counter: count,
      /** Every version of the KEK there ever was. Exactly one is active: it wraps what is new. */
      keks: z.array(z.strictObject({ ...keyRef.shape, state: z.enum(['active', 'deactivated', 'destroyed']) })).min(1),
      consents: z.array(consent).min(2),
    }),
    z.strictObject({
      ...head,
      v: z.literal(2),
      /** Whose KEK: of `system` the vault's, which wraps for every namespace that has none of its own. */
      namespace: name<Namespace>(),
      counter: count,
      cryptoperiodDays: z.int().min(CRYPTOPERIOD_DAYS.least).max(CRYPTOPERIOD_DAYS.most),
      destructionWaitDays: z.int().min(DESTRUCTION_WAIT_DAYS.least).max(DESTRUCTION_WAIT_DAYS.most),
      /** Every version there ever was, and when each came into which state. At most one is active. */
      keks: z
        .array(
          z.strictObject({
            ...keyRef.shape,
            state: z.enum(KEY_STATES),
            createdAt: time.optional(),
            activatedAt: time.optional(),
            deactivatedAt: time.optional(),
            compromisedAt: time.optional(),
            /** Two people decided that it is destroyed, not before then. */
            destroyAfter: time.optional(),
            destroyedAt: time.optional(),
            /** The vault went on without the HSM that holds it: nobody here can say that it is destroyed there. */
            leftAt: time.optional(),
            wrap,
          }),
        )
        .min(1),
      /** Of whoever decided the last change; what carries an earlier decision out repeats its consents. */
      consents: z.array(consent),
    }),
  ]),
  'recovery-key': z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    counter: count,
    keyId: z.string().regex(/^[0-9a-f]{16}$/),
    /** X25519, 32 bytes. Its private part is on paper, in shares. */
    publicKey: base64,
    shares: z.int().min(2).max(16),
    needed: z.int().min(2).max(16),
    state: z.enum(['active', 'withdrawn']),
    consents: z.array(consent).min(2),
  }),
  'version-destruction': z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    counter: count,
    modelId: id<ModelId>(),
    versionId: id<VersionId>(),
    /** Absent when it was never finished. */
    versionDigest: digest().optional(),
    /** `kept`: taken back. `erased`: its wrapped key is gone here; `destroyed`: every KEK version that may have wrapped it is, too. */
    state: z.enum(['decided', 'kept', 'erased', 'destroyed']),
    destroyAfter: time,
    /** Of whoever decided last; what carries it out repeats them. */
    consents: z.array(consent).min(2),
  }),
  'alert-rules': z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    counter: count,
    /** Sigma files, text by name (docs/formats/alert-rules.md). */
    rules: z.record(z.string(), z.string()),
    /** Empty only for the set of the ceremony. */
    consents: z.array(consent),
  }),
  decoy: z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    modelId: id<ModelId>(),
    counter: count,
    /** `decoy`: nobody has a reason to ask for it. `ordinary`: it was one. */
    state: z.enum(['decoy', 'ordinary']),
    consents: z.array(consent).min(2),
  }),
  'alert-delivery': z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    counter: count,
    ...alertDelivery.shape,
    consents: z.array(consent).min(2),
  }),
  'log-sinks': z.strictObject({ ...list, sinks: logSinkList, consents: z.array(consent).min(2) }),
  'log-retention': z.strictObject({
    ...list,
    recordDays: count.optional(),
    disclosureDays: count.optional(),
    /** Records go only once a period that two people closed has them. Absent: that is not asked. */
    requireArchive: z.literal(true).optional(),
  }),
  'closed-log': z.strictObject({ ...list, until: time, size: count, root: digest(), consents: z.array(consent).min(2) }),
  lift: z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    stopId: id<StopId>(),
    consents: z.array(consent).min(2),
  }),
} as const satisfies Record<DocumentKind, z.ZodType>;

/** Bodies by kind. `manifest` and the values the domain knows have the domain's own types. */
export type Bodies = {
  [K in Exclude<DocumentKind, 'manifest' | 'reference-values' | 'trust-anchors'>]: z.output<(typeof BODY_SCHEMAS)[K]>;
} & {
  manifest: Manifest;
  'reference-values': Omit<z.output<(typeof BODY_SCHEMAS)['reference-values']>, 'values'> & { values: readonly ReferenceValue[] };
  'trust-anchors': Omit<z.output<(typeof BODY_SCHEMAS)['trust-anchors']>, 'anchors'> & { anchors: readonly TrustAnchor[] };
};
