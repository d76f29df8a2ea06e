/** The form of every request body of the admin plane. Strict: an unknown member is a mistake, not a hint. */
import { z } from 'zod';
import { alertDelivery as alertDeliveryForm } from '../../documents/alert-delivery.ts';
import { trustAnchorList } from '../../documents/anchors.ts';
import { issuer, tokenSubject } from '../../documents/forms.ts';
import { logSinkList } from '../../documents/log-sinks.ts';
import { referenceValue } from '../../documents/reference-values.ts';
import { workloadIdentity } from '../../documents/workload-identity.ts';
import { CLASS_NAMES } from '../../domain/classes.ts';
import { VaultError } from '../../domain/errors.ts';
import type { WorkloadKind } from '../../domain/evidence.ts';
import { parseDigest, parseId, parseName, parseObjectPath, type RecordId, type VersionId } from '../../domain/ids.ts';
import { KEYS_PER_SECOND } from '../../domain/key-state.ts';

function checked<T>(parse: (text: string) => T) {
  return z
    .string()
    .max(4096)
    .transform((text, context): T => {
      try {
        return parse(text);
      } catch (error) {
        context.addIssue({ code: 'custom', message: error instanceof VaultError ? error.detail : 'not allowed' });
        return z.NEVER;
      }
    });
}

const name = checked((text) => parseName(text, 'name'));
const attributes = z.record(z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/), z.string().min(1).max(256)).default({});
const counter = z.int().min(1);

export const login = z.strictObject({ administrator: name, code: z.string().max(16) });
const roles = z.array(checked((text) => parseName(text, 'role'))).max(32);
const workstations = z
  .array(checked((text) => parseDigest(text, 'workstation')))
  .min(1)
  .max(8);
export const newcomer = z.strictObject({ name, roles, workstations });
export const administratorChange = z.strictObject({ roles: roles.optional(), workstations: workstations.optional() });
export const claim = z.strictObject({ administrator: name });
export const stepUp = z.strictObject({
  code: z.string().max(16),
  operationDigest: checked((text) => parseDigest(text, 'operationDigest')).optional(),
});
export const model = z.strictObject({ name, class: z.enum(CLASS_NAMES) });
export const finish = z.strictObject({
  class: z.enum(CLASS_NAMES),
  objects: z
    .array(z.strictObject({ path: checked(parseObjectPath), size: z.int().min(0), sha256: checked((text) => parseDigest(text, 'sha256')) }))
    .min(1)
    .max(10_000),
  attributes,
});
export const policySet = z.strictObject({ counter, policies: z.record(z.string().max(64), z.string().max(65_536)) });
/** Sigma files, text by name. */
export const alertRules = z.strictObject({ counter, rules: z.record(z.string().max(70), z.string().max(65_536)) });
export const alertDelivery = alertDeliveryForm.extend({ counter });
export const alertPage = z.strictObject({
  limit: z
    .string()
    .regex(/^(?:[1-9][0-9]?|100)$/)
    .default('100')
    .transform(Number),
  before: checked((text) => parseId<RecordId>(text, 'before')).optional(),
});
export const referenceValues = z.strictObject({ counter, values: z.array(referenceValue).max(10_000) });
export const trustAnchors = z.strictObject({ counter, anchors: trustAnchorList });
export const logSinks = z.strictObject({ counter, sinks: logSinkList });
export const alias = z.strictObject({ versionId: checked((text) => parseId<VersionId>(text, 'versionId')) });
export const classChange = z.strictObject({ class: z.enum(CLASS_NAMES) });
export const rewrap = z.strictObject({ keysPerSecond: z.int().min(KEYS_PER_SECOND.least).max(KEYS_PER_SECOND.most).optional() });
export const recoveryKey = z.strictObject({ keyId: z.string().max(16), publicKey: z.base64().max(64), shares: z.int(), needed: z.int() });
/** `ordinary` ends it. */
export const decoy = z.strictObject({ state: z.enum(['decoy', 'ordinary']) });
export const keyPeriods = z.strictObject({ cryptoperiodDays: z.int().optional(), destructionWaitDays: z.int().optional() });
export const logRetention = z.strictObject({
  recordDays: z.int().optional(),
  disclosureDays: z.int().optional(),
  requireArchive: z.literal(true).optional(),
});
/** `until`: ISO 8601, UTC, milliseconds. */
export const closedLog = z.strictObject({
  until: z.iso.datetime(),
  size: z.int().min(1),
  root: checked((text) => parseDigest(text, 'root')),
});
/** Without a version: all there are and will be of the model. */
export const suspend = z.strictObject({ version: checked((text) => parseId<VersionId>(text, 'version')).optional() });
export const approve = z.strictObject({ operationDigest: z.string() });
export const enrolment = z.strictObject({ name, attributes, request: z.looseObject({}) });
/** A requester that shows tokens: whose, and about whom. */
export const tokenRequester = z.strictObject({ name, attributes, issuer, subject: tokenSubject });
/** A guest or workload that states one fact: which. */
const workload = <K extends WorkloadKind>(kind: K) =>
  z.strictObject({ name, attributes, kind: z.literal(kind), identity: workloadIdentity(kind) });
export const workloadRequester = z.discriminatedUnion('kind', [
  workload('tpm2'),
  workload('sev-snp'),
  workload('tdx'),
  workload('nitro'),
  workload('spiffe'),
]);
/** A publication as its maker has it, in base64, and what its maker calls the file, without folder and ending. */
export const collateral = z.strictObject({ name: z.string().max(256), bytes: z.base64().min(4) });
export const confirm = z.strictObject({ secret: z.string().max(128) });
