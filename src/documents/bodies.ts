/** The body of every kind of document, as a schema: what is read back is checked even after its signature was. */
import { z } from 'zod';
import { CLASS_NAMES } from '../domain/classes.ts';
import type { ReferenceValue, TrustAnchor } from '../domain/evidence.ts';
import type {
  AdministratorId,
  BlobName,
  Digest,
  KeyId,
  ModelId,
  Namespace,
  ObjectPath,
  RecordId,
  ReleaseId,
  RequestId,
  SubjectId,
  VaultId,
  VersionId,
} from '../domain/ids.ts';
import { parseDigest, parseId, parseName, parseObjectPath } from '../domain/ids.ts';
import type { Manifest } from '../domain/model.ts';
import type { DocumentKind } from './port.ts';

/** A string that `parse` accepts; a VaultError becomes an issue of the schema. */
function text<T extends string>(parse: (value: string) => T) {
  return z.string().transform((value, context): T => {
    try {
      return parse(value);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'not allowed' });
      return z.NEVER;
    }
  });
}
const id = <T extends string>() => text((value) => parseId<T>(value, 'id'));
const name = <T extends string>() => text((value) => parseName<T>(value, 'name'));
const digest = <T extends string = Digest>() => text((value) => parseDigest<T>(value));
const time = z.iso.datetime();
const base64 = z.base64();
const count = z.int().min(1);
const keyRef = z.strictObject({ id: name<KeyId>(), version: count });
const attributes = z.record(z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/), z.string().min(1).max(256));
const head = { v: z.literal(1), vaultId: id<VaultId>(), createdAt: time };

const pcrIndex = z.string().regex(/^(?:[0-9]|1[0-9]|2[0-3])$/);
const pcrValue = z.string().regex(/^(?:[0-9a-f]{64}|[0-9a-f]{96})$/);

export const referenceValue = z.strictObject({
  id: name(),
  kind: z.literal('tpm2'),
  pcrs: z.partialRecord(z.enum(['sha256', 'sha384']), z.record(pcrIndex, z.array(pcrValue).min(1))),
  expires: time.optional(),
});
export const trustAnchor = z.strictObject({ kind: z.literal('tpm2'), name: z.string().min(1).max(128), certificate: base64 });

const consent = z.strictObject({ administratorId: id<AdministratorId>(), authenticatorId: id(), workstation: digest() });

export const BODY_SCHEMAS = {
  vault: z.strictObject({
    ...head,
    origin: z.string().min(1).max(256),
    kek: keyRef,
    catalogueKey: z.strictObject({ ...keyRef.shape, publicKey: base64 }),
    logKey: z.strictObject({ ...keyRef.shape, publicKey: base64 }),
    administrators: z.array(digest()).min(2),
  }),
  administrator: z.strictObject({
    ...head,
    administratorId: id<AdministratorId>(),
    name: name(),
    roles: z.array(name()),
    authenticator: z.strictObject({ id: id(), kind: z.literal('totp'), wrappedSeed: base64 }),
    workstations: z.array(digest()).min(1),
  }),
  attester: z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    subjectId: id<SubjectId>(),
    name: name(),
    kind: z.literal('tpm2'),
    akName: z.string().regex(/^[0-9a-f]{68,132}$/),
    ekCertificateDigest: digest(),
    attributes,
    enrolledBy: id<AdministratorId>(),
  }),
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
    operationKind: z.enum(['promote', 'policy-set', 'reference-values', 'trust-anchors', 'enrol']),
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
  'reference-values': z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    counter: count,
    values: z.array(referenceValue),
    consents: z.array(consent),
  }),
  'trust-anchors': z.strictObject({
    ...head,
    namespace: name<Namespace>(),
    counter: count,
    anchors: z.array(trustAnchor),
    consents: z.array(consent),
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
