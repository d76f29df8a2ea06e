/** Which class and activity of OCSF 1.8.0 a record of each type is (schema.ocsf.io/1.8.0). */
import type { RecordType } from '../record.ts';

/** `class_uid` by a name of ours. */
export const OCSF_CLASSES = {
  eventLog: 1008,
  finding: 2004,
  account: 3001,
  authentication: 3002,
  entity: 3004,
  lifecycle: 6002,
  api: 6003,
  datastore: 6005,
  fileHosting: 6006,
} as const;
export type OcsfClass = keyof typeof OCSF_CLASSES;

/** `activity_id`; 99 is one that the class has no number for: then `activity_name` says it. */
export type OcsfKind = readonly [className: OcsfClass, activity: number];

export const OCSF_KINDS: Readonly<Record<RecordType, OcsfKind>> = {
  'vault.initialized': ['lifecycle', 1], // Install
  'vault.started': ['lifecycle', 3], // Start
  'vault.stopped': ['lifecycle', 4], // Stop
  'vault.restored': ['lifecycle', 99],
  'vault.recovered': ['lifecycle', 99],
  'signing.rotated': ['lifecycle', 99],
  'clock.anomaly': ['lifecycle', 99],
  'hsm.event': ['lifecycle', 99],
  'expiry.near': ['lifecycle', 99],
  'release.begin': ['fileHosting', 2], // Download
  'release.end': ['fileHosting', 2],
  'release.unknown': ['fileHosting', 0], // Unknown: nobody saw its end
  'release.renewed': ['fileHosting', 17], // Access Check
  'release.denied': ['fileHosting', 17],
  'release.noticed': ['fileHosting', 99],
  'object.denied': ['fileHosting', 17],
  'object.integrity': ['fileHosting', 2],
  'admin.login': ['authentication', 1], // Logon
  'admin.logout': ['authentication', 2], // Logoff
  'metadata.read': ['api', 2], // Read
  'admin.denied': ['api', 99],
  'authenticator.claimed': ['account', 10], // MFA Factor Enable
  'person.erased': ['account', 6], // Delete
  'model.created': ['entity', 1], // Create
  'version.started': ['entity', 1],
  'object.uploaded': ['fileHosting', 1], // Upload
  'version.published': ['entity', 1],
  'version.promoted': ['entity', 10], // Activate
  'version.erased': ['entity', 4], // Delete
  'version.destroyed': ['entity', 4],
  'approval.requested': ['entity', 1],
  'approval.refused': ['entity', 9], // Disable
  'approval.executed': ['entity', 10],
  'approval.cancelled': ['entity', 4],
  'document.activated': ['entity', 10],
  'collateral.imported': ['entity', 3], // Update
  'attester.enrolled': ['entity', 6], // Enroll
  'key.created': ['entity', 1],
  'key.rotated': ['entity', 10],
  'key.compromised': ['entity', 9],
  'key.destroyed': ['entity', 4],
  'key.rewrapped': ['datastore', 9], // Encrypt
  'rewrap.requested': ['entity', 3],
  'stop.placed': ['entity', 12], // Suspend
  'stop.lifted': ['entity', 13], // Resume
  'log.read': ['eventLog', 3], // Export
  'log.pruned': ['eventLog', 2], // Delete
  'log.closed': ['eventLog', 3], // Export
  'log.halted': ['eventLog', 7], // Stop
  'log.conflict': ['eventLog', 99],
  'log.lagging': ['eventLog', 99],
  'log.refusing': ['eventLog', 99],
  'log.accepting': ['eventLog', 99],
  'log.heartbeat': ['eventLog', 99],
  'alert.raised': ['finding', 1], // Create
  'alert.undelivered': ['finding', 2], // Update
  'decoy.touched': ['finding', 1],
};

/** A record of a type that this table does not know yet. */
export const OCSF_UNKNOWN: OcsfKind = ['eventLog', 99];
