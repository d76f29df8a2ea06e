/** What an administrator can be permitted. `policies/weight-vault.cedarschema` has the same list; a test keeps them equal. */
export const ADMIN_ACTIONS = [
  'readCatalogue',
  'createModel',
  'publishVersion',
  'promoteVersion',
  'setAlias',
  'changeClass',
  'approve',
  'setPolicy',
  'setReferenceValues',
  'setTrustAnchors',
  'importCollateral',
  'enrolRequester',
  'blockRequester',
  'suspend',
  'lockdown',
  'liftStop',
  'setAdministrator',
  'rotateKey',
  'destroyKey',
  'setAlerts',
  'setLogSinks',
  'readLog',
] as const;

export type AdminAction = (typeof ADMIN_ACTIONS)[number];
