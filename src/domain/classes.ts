/** What a model's class demands, and every default of the product, in one place. docs/defaults.md repeats both; a test keeps them equal. */
export const CLASS_NAMES = ['public', 'internal', 'restricted', 'critical'] as const;
export type ClassName = (typeof CLASS_NAMES)[number];

/** How a release may reach the requester. `sealed` (object keys under HPKE) is not offered yet. */
export const DELIVERIES = ['stream'] as const;
export type Delivery = (typeof DELIVERIES)[number];

/**
 * How far the record of a release must have come before its first byte: its transaction durable; under a signed checkpoint; under one that a quorum
 * of witnesses cosigned (docs/formats/access-log.md). Each includes the ones before.
 */
export const RECORD_LEVELS = ['durable', 'committed', 'witnessed'] as const;
export type RecordLevel = (typeof RECORD_LEVELS)[number];

export interface ClassDemands {
  /** Evidence must answer a challenge of ours. */
  readonly fresh: boolean;
  /** The TLS key must be bound into the evidence. */
  readonly keyBound: boolean;
  /** Evidence must come from hardware: a TPM or a TEE. */
  readonly hardware: boolean;
  /** Evidence must come from a TEE; a TPM is not enough. */
  readonly tee: boolean;
  /** People, the publisher among them, that must want a version published. */
  readonly record: RecordLevel;
  readonly publishApprovals: 1 | 2;
  readonly releaseSeconds: number;
}

/** `critical` also asks for a standing authorization: a permit that two people signed for that very version, until a date (policy/standing.ts). */
export const CLASSES: Readonly<Record<ClassName, ClassDemands>> = {
  public: {
    fresh: false,
    keyBound: false,
    hardware: false,
    tee: false,
    record: 'durable',
    publishApprovals: 1,
    releaseSeconds: 86_400,
  },
  internal: {
    fresh: true,
    keyBound: true,
    hardware: false,
    tee: false,
    record: 'durable',
    publishApprovals: 1,
    releaseSeconds: 28_800,
  },
  restricted: {
    fresh: true,
    keyBound: true,
    hardware: true,
    tee: false,
    record: 'durable',
    publishApprovals: 2,
    releaseSeconds: 3_600,
  },
  critical: {
    fresh: true,
    keyBound: true,
    hardware: true,
    tee: true,
    record: 'witnessed',
    publishApprovals: 2,
    releaseSeconds: 900,
  },
};

export const DEFAULTS = {
  challengeSeconds: 60,
  tokenSkewSeconds: 30,
  jwksCacheSeconds: 600,
  jwksRetrySeconds: 30,
  jwksStaleSeconds: 3_600,
  jwksDeadlineMs: 5_000,
  jwksBytes: 262_144,
  sessionIdleSeconds: 900,
  sessionSeconds: 28_800,
  approvalSeconds: 14_400,
  enrolmentSeconds: 600,
  totpStepSeconds: 30,
  totpWindowSteps: 1,
  stepUpSeconds: 300,
  claimSeconds: 14_400,
  claimConfirmSeconds: 600,
  loginAttempts: 30,
  strangerAttempts: 300,
  loginAttemptWindowSeconds: 60,
  loginFailures: 5,
  loginFailureWindowSeconds: 600,
  revocationRefreshMs: 1_000,
  revocationStaleMs: 4_000,
  dekLingerSeconds: 60,
  keeperDeadlineMs: 5_000,
  keeperQueue: 256,
  keeperSessions: 4,
  logCheckpointMs: 200,
  logWitnessMs: 1_000,
  witnessDeadlineMs: 5_000,
  witnessLagMs: 60_000,
  logCommitWaitMs: 2_000,
  logWitnessWaitMs: 10_000,
  logDurableWaitMs: 2_000,
  logReserveBytes: 67_108_864,
  logRoomMs: 250,
  logLeafBytes: 16_384,
  logFollowMs: 250,
  logFollowBatch: 512,
  alertKeepSeconds: 30,
  alertRepeatSeconds: 300,
  alertsPerMinute: 30,
  alertHeartbeatSeconds: 60,
  alertHeartbeatLateSeconds: 120,
  sinkLagSeconds: 60,
  sinkLagRecords: 20_000,
  egressSlackPart: 8,
  egressSlackBytes: 1_048_576,
  requestBodyBytes: 262_144,
  evidenceBodyBytes: 2_097_152,
  jsonDepth: 32,
  listPage: 500,
  headerBytes: 16_384,
  headerSeconds: 10,
  bodySeconds: 10,
  clientIdleSeconds: 60,
  fetchStreams: 4,
  retryGiveUpSeconds: 600,
  nodeLeaseSeconds: 15,
  drainSeconds: 30,
  drainNoticeMs: 1_000,
  readinessCacheMs: 1_000,
  readinessDeadlineMs: 2_000,
} as const;
