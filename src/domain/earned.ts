/**
 * Values that only one stage of the release path can make (architecture promise P1 and P2).
 *
 * A stage claims its name once per process and keeps the returned `mint` to itself, so a `Permit` cannot be written as an
 * object literal: the type does not allow it and `assertEarned` refuses it at run time.
 */
export type StageName = 'AttestationResult' | 'Permit' | 'RecordedPermit';

declare const earnedBrand: unique symbol;
export type Earned<S extends StageName> = { readonly [earnedBrand]: S };

const claimed = new Set<StageName>();
const earned = new WeakMap<object, StageName>();

/** Claims a stage. A second claim throws: two places that can make permits are one too many. */
export function claimStage<S extends StageName>(stage: S): <T extends object>(value: T) => Readonly<T> & Earned<S> {
  if (claimed.has(stage)) throw new Error(`${stage} is made in two places`);
  claimed.add(stage);
  return (value) => {
    earned.set(value, stage);
    return Object.freeze(value) as typeof value & Earned<S>; // recorded in `earned` one line above
  };
}

/** Throws unless `value` came out of the stage that claimed `stage`. */
export function assertEarned(stage: StageName, value: object): void {
  if (earned.get(value) !== stage) throw new Error(`this is not a ${stage} earned by its stage`);
}
