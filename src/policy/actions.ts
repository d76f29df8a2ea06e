/** What an administrator can be permitted. `policies/weight-vault.cedarschema` has the same list; a test keeps them equal. */
export const ADMIN_ACTIONS = [
  'readCatalogue',
  'createModel',
  'publishVersion',
  'promoteVersion',
  'approve',
  'setPolicy',
  'setReferenceValues',
  'setTrustAnchors',
  'enrolRequester',
  'blockRequester',
  'readLog',
] as const;

export type AdminAction = (typeof ADMIN_ACTIONS)[number];
