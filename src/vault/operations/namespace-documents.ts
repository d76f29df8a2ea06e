/** The three documents that decide what a namespace releases: policies, reference values, trust anchors. Each is replaced whole. */
import { anchorsVersion } from '../../documents/anchors.ts';
import { signDocument } from '../../documents/document.ts';
import { referenceValuesVersion } from '../../documents/reference-values.ts';
import { SCHEMA_DIGEST, validatePolicySet } from '../../policy/policy-set.ts';
import type { OperationSpec, SetPolicySet, SetReferenceValues, SetTrustAnchors } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

export const setPolicySet: OperationSpec<SetPolicySet> = {
  action: 'setPolicy',
  async check(operation, tx, vault) {
    await assertNext(operation, tx, vault);
    validatePolicySet(operation.policies);
  },
  sign({ counter, policies }, { head, consents }, vault) {
    const body = { ...head, counter, schemaDigest: SCHEMA_DIGEST, policies: { ...policies }, consents };
    return signDocument('policy-set', body, vault.catalogueKey.sign);
  },
  apply: putInForce,
  record: activated,
};

export const setReferenceValues: OperationSpec<SetReferenceValues> = {
  action: 'setReferenceValues',
  check: assertNext,
  sign: ({ counter, values }, { head, consents }, vault) =>
    signDocument('reference-values', { ...head, v: referenceValuesVersion(values), counter, values, consents }, vault.catalogueKey.sign),
  apply: putInForce,
  record: activated,
};

export const setTrustAnchors: OperationSpec<SetTrustAnchors> = {
  action: 'setTrustAnchors',
  check: assertNext,
  sign: ({ counter, anchors }, { head, consents }, vault) =>
    signDocument('trust-anchors', { ...head, v: anchorsVersion(anchors), counter, anchors, consents }, vault.catalogueKey.sign),
  apply: putInForce,
  record: activated,
};
