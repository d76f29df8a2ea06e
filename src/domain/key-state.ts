/**
 * The life of a key version (NIST SP 800-57 part 1 rev. 5, section 7), as the signed key ring says it. Suspended is no state of the ring:
 * it is a stop, which one person places at once and two lift (domain/stop.ts), whatever the state below it.
 */
export const KEY_STATES = ['pre-activation', 'active', 'deactivated', 'compromised', 'destroyed'] as const;
export type KeyState = (typeof KEY_STATES)[number];

/** What a version may still do. `seals`: weights may be sealed under what it wrapped; a compromised one could have been swapped for a known key. */
export const KEY_USES: Readonly<Record<KeyState, { readonly wraps: boolean; readonly opens: boolean; readonly seals: boolean }>> = {
  'pre-activation': { wraps: false, opens: false, seals: false },
  active: { wraps: true, opens: true, seals: true },
  deactivated: { wraps: false, opens: true, seals: true },
  compromised: { wraps: false, opens: true, seals: false },
  destroyed: { wraps: false, opens: false, seals: false },
};

/** Days from activation after which a KEK should have been rotated (SP 800-57 table 1 allows up to two years). */
export const CRYPTOPERIOD_DAYS = { least: 1, usual: 365, most: 730 } as const;
/** Days between the decision to destroy and the first moment it may be done. */
export const DESTRUCTION_WAIT_DAYS = { least: 1, usual: 14, most: 365 } as const;
/** How fast keys are rewrapped: each takes three operations of the HSM, which also serves releases. */
export const KEYS_PER_SECOND = { least: 1, usual: 200, most: 5_000 } as const;
