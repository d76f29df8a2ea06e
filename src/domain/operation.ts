/** The kinds of operation that are requested, consented to and executed once. What each one does: vault/operations/. */
export const OPERATION_KINDS = [
  'promote',
  'policy-set',
  'reference-values',
  'trust-anchors',
  'enrol',
  'administrator',
  'alias',
  'class-change',
  'rotate-key',
  'destroy-key',
  'keep-key',
  'create-key',
  'compromise-key',
  'key-periods',
  'recovery-key',
  'destroy-version',
  'lift',
  'erase-person',
  'alert-rules',
  'alert-delivery',
] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];
