/** The form of every JSON answer of the admin plane. Strict, so that what is documented is all there is. */
import { z } from 'zod';
import { COLLATERAL_TYPES } from '../../attestation/port.ts';
import { ALERT_LEVELS } from '../../audit/record.ts';
import { CLASS_NAMES } from '../../domain/classes.ts';
import { WORKLOAD_KINDS } from '../../domain/evidence.ts';
import { WRAP_ALGORITHMS, WRAP_TIERS } from '../../domain/kek-wrap.ts';
import { KEY_STATES } from '../../domain/key-state.ts';
import { OPERATION_KINDS } from '../../domain/operation.ts';
import { STOP_SCOPES } from '../../domain/stop.ts';
import { digest, id, name, time } from '../forms.ts';

const className = z.enum(CLASS_NAMES);
const attributes = z.record(z.string(), z.string());

export const session = z.strictObject({ token: z.string(), administrator: name });
export const whoami = z.strictObject({ administrator: name, administratorId: id, roles: z.array(name) });

/** Until when the code counts. */
export const steppedUp = z.strictObject({ validUntil: time });
/** `uri` is the link an authenticator app reads. It holds the seed, and is not shown again. */
export const claimBegun = z.strictObject({ uri: z.string(), confirmBefore: time });
export const claimed = z.strictObject({ administrator: name });

export const model = z.strictObject({ namespace: name, modelId: id, name, class: className });
export const modelWithVersions = model.extend({
  versions: z.array(
    z.strictObject({
      versionId: id,
      state: z.enum(['uploading', 'quarantined', 'promoted']),
      createdAt: time,
      versionDigest: digest.optional(),
    }),
  ),
});
const versionPointer = modelWithVersions.shape.versions.element;
export const models = z.strictObject({
  models: z.array(z.strictObject({ name, modelId: id, class: className, newest: versionPointer.optional() })),
  next: name.optional(),
});
export const versions = z.strictObject({
  name,
  modelId: id,
  class: className,
  versions: z.array(
    versionPointer.extend({
      /** Of the signed manifest. What it demands now is the model's. */
      class: className.optional(),
      files: z.int().min(1).optional(),
      bytes: z.int().min(0).optional(),
      attributes: attributes.optional(),
      promoted: z.strictObject({ at: time, by: z.array(z.string()) }).optional(),
      /** Its signed document was altered: nothing of it can be believed. */
      problem: z.string().optional(),
    }),
  ),
  next: id.optional(),
});
export const alert = z.strictObject({
  recordId: id,
  raisedAt: time,
  rule: z.string(),
  ruleId: z.uuid(),
  title: z.string(),
  level: z.enum(ALERT_LEVELS),
  matches: z.int(),
  /** Indexes of the first and the last record that made it fire. */
  first: z.int(),
  last: z.int(),
  group: z.record(z.string(), z.string()),
  /** `repeated`: one about the same was sent a moment ago; `storm`: there were too many; `nowhere`: nobody is to be told. */
  sending: z.enum(['sent', 'repeated', 'storm', 'nowhere']),
  /** What the vault stopped by itself. */
  acted: z.string().optional(),
});
export const alerts = z.strictObject({ alerts: z.array(alert), next: id.optional() });
export const startedVersion = z.strictObject({ versionId: id });
export const object = z.strictObject({ path: z.string(), size: z.int().min(0), sha256: digest });
export const uploaded = z.strictObject({ versionId: id, model: name, class: className, objects: z.array(object) });

/** A request: it waits for another person, or was executed at once. */
export const approval = z.strictObject({
  requestId: id,
  operationDigest: digest,
  state: z.enum(['pending', 'executed', 'cancelled']),
  expiresAt: time,
});
export const finishedVersion = z.strictObject({ versionId: id, versionDigest: digest, approvalsNeeded: z.int().min(1), approval });
export const requests = z.strictObject({
  requests: z.array(
    z.strictObject({
      requestId: id,
      kind: z.enum(OPERATION_KINDS),
      /** Everything that would be executed; its digest is of its canonical JSON. */
      operation: z.looseObject({}),
      operationDigest: digest,
      requestedBy: id,
      /** Their name; absent when nobody has that id any more. */
      requester: name.optional(),
      /** One sentence for a person. What counts is `operation`. */
      summary: z.string(),
      createdAt: time,
      expiresAt: time,
    }),
  ),
});

/** Counter 0 alone: nothing is in force. Bodies: docs/formats/documents.md. */
export const document = z.strictObject({ counter: z.int().min(0), digest: digest.optional(), body: z.looseObject({}).optional() });

export const enrolment = z.strictObject({
  requestId: id,
  credential: z.strictObject({ idObject: z.base64(), secret: z.base64() }),
  expiresAt: time,
});
export const requester = z.strictObject({
  subjectId: id,
  namespace: name,
  name,
  kind: z.literal('tpm2'),
  akName: z.string(),
  ekCertificateDigest: digest,
  attributes,
});
export const tokenRequester = z.strictObject({
  subjectId: id,
  namespace: name,
  name,
  kind: z.literal('jwt'),
  issuer: z.string(),
  subject: z.string(),
  attributes,
});
export const workloadRequester = z.strictObject({
  subjectId: id,
  namespace: name,
  name,
  kind: z.enum(WORKLOAD_KINDS),
  identity: z.strictObject({ fact: z.string(), value: z.string() }),
  attributes,
});
export const alias = z.strictObject({ name, counter: z.int().min(1), versionId: id, versionDigest: digest });
const ring = z.strictObject({
  namespace: name,
  counter: z.int().min(0),
  cryptoperiodDays: z.int(),
  destructionWaitDays: z.int(),
  keks: z.array(
    z.strictObject({
      id: name,
      version: z.int().min(1),
      state: z.enum([...KEY_STATES, 'suspended']),
      /** What the signed ring says: a suspension lies over it. */
      ringState: z.enum(KEY_STATES),
      wrapped: z.int().min(0),
      /** How it wraps, as the ring recorded it when it was made; absent of a version older than that. */
      wrap: z
        .strictObject({ tier: z.literal(WRAP_TIERS), algorithm: z.enum(WRAP_ALGORITHMS), provider: name, arn: z.string().optional() })
        .optional(),
      stopId: id.optional(),
      createdAt: time.optional(),
      activatedAt: time.optional(),
      /** Of the active version: the end of its cryptoperiod. */
      rotateBefore: time.optional(),
      deactivatedAt: time.optional(),
      compromisedAt: time.optional(),
      destroyAfter: time.optional(),
      destroyedAt: time.optional(),
    }),
  ),
});
export const keys = ring.extend({ unreadable: z.int().min(0) });
/** `finishedAt` is absent while it runs, and while something could not be rewrapped. */
export const rewrap = z.strictObject({
  total: z.int(),
  done: z.int(),
  rewrapped: z.int(),
  failed: z.int(),
  waiting: z.int(),
  keysPerSecond: z.int(),
  startedAt: time,
  updatedAt: time,
  finishedAt: time.optional(),
});
/** Absent: there never was one. */
export const recovery = z.strictObject({
  recovery: z
    .strictObject({
      keyId: z.string(),
      state: z.enum(['active', 'withdrawn']),
      shares: z.int(),
      needed: z.int(),
      since: time,
      wrapped: z.int(),
      versions: z.int(),
    })
    .optional(),
});
export const allKeys = z.strictObject({ rings: z.array(ring), unreadable: z.int().min(0), rewrap: rewrap.optional() });
export const blocked = z.strictObject({ blocked: name, stopId: id });
export const placed = z.strictObject({ stopId: id, scope: z.enum(STOP_SCOPES), namespace: name, target: z.string().optional() });
export const stops = z.strictObject({
  stops: z.array(
    placed.extend({
      kind: z.enum(['block', 'suspend', 'lockdown']),
      /** Of the requester or model when it was stopped. */
      name: z.string().optional(),
      state: z.enum(['in-force', 'lifted']),
      createdAt: time,
    }),
  ),
});

const collateralSummary = z.strictObject({
  type: z.enum(COLLATERAL_TYPES),
  key: z.string(),
  digest,
  issuedAt: time,
  expiresAt: time.optional(),
  importedAt: time,
});
export const importedCollateral = z.strictObject({ ...collateralSummary.shape, state: z.enum(['added', 'known', 'older', 'rollback']) });
export const collateral = z.strictObject({ collateral: z.array(collateralSummary) });

/** `leaf` as it is hashed; `result` is an EAR (docs/formats/ear.md). `index` is absent until a checkpoint covers it. */
export const record = z.strictObject({
  leaf: z.string(),
  index: z.int().min(0).optional(),
  result: z.record(z.string(), z.unknown()).optional(),
  personal: z.record(z.string(), z.string()).optional(),
  erased: z.array(z.string()).optional(),
});

/** Days; absent: for ever. */
export const logRetention = z.strictObject({
  counter: z.int().min(0),
  recordDays: z.int().optional(),
  disclosureDays: z.int().optional(),
  requireArchive: z.literal(true).optional(),
  closed: z.strictObject({ until: z.string(), size: z.int().min(1), root: z.string() }).optional(),
  prunedBefore: z.int().min(0),
});
/** `next` is there when there may be more: pass it as `at`. Records from `indexed` on cannot be searched yet. */
export const logPage = z.strictObject({
  records: z.array(z.strictObject({ index: z.int().min(0), leaf: z.string() })),
  next: z.int().min(0).optional(),
  indexed: z.int().min(0),
});
/** Empty where records do not say it. */
export const logTotals = z.strictObject({
  tallies: z.array(
    z.strictObject({
      day: z.string(),
      namespace: z.string(),
      type: z.string(),
      outcome: z.string(),
      reason: z.string(),
      records: z.int().min(1),
      bytes: z.int().min(0),
    }),
  ),
  indexed: z.int().min(0),
});
/** `next` is the first record that was not delivered; `lagSeconds` its age. */
export const logSinks = z.strictObject({
  sinks: z.array(
    z.strictObject({
      name,
      kind: z.enum(['syslog', 'webhook', 'file']),
      next: z.int().min(0),
      behind: z.int().min(0),
      lagSeconds: z.number().min(0),
      required: z.boolean(),
      refusing: z.boolean(),
      lagging: z.boolean(),
    }),
  ),
});
export const searchIndex = z.strictObject({ indexed: z.int().min(0), records: z.int().min(0) });

export const administrators = z.strictObject({
  administrators: z.array(
    z.strictObject({
      administratorId: id,
      name,
      state: z.enum(['active', 'removed']),
      roles: z.array(name),
      /** Absent until the person has set one up. */
      authenticator: z.strictObject({ kind: z.string() }).optional(),
      workstations: z.int().min(1),
    }),
  ),
});
/** `next` is there when more follow: pass it as `after`. */
export const requesters = z.strictObject({
  requesters: z.array(z.strictObject({ subjectId: id, name, kind: z.string(), attributes, blocked: z.boolean() })),
  next: name.optional(),
});
