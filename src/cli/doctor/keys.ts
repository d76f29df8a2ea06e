/** Probe of the key rings: none past its cryptoperiod, none suspended, one active version each. */
import type { KeyName } from '../../domain/ids.ts';
import { KEY_USES } from '../../domain/key-state.ts';
import { type KeyRing, kekName } from '../../vault/key-ring.ts';
import { each, type Finding, finding } from './findings.ts';

export interface KeysRead {
  readonly rings: readonly KeyRing[];
  readonly suspended: readonly KeyName[];
}

const DAY_MS = 86_400_000;
const SOON_DAYS = 30;

export function keyStates({ rings, suspended }: KeysRead, now: Date): readonly Finding[] {
  const wrong = rings.flatMap((ring) => [
    ...inactive(ring),
    ...due(ring, now),
    ...stopped(ring, suspended),
    ...waiting(ring),
    ...unrecorded(ring),
  ]);
  return each('key_states', wrong, `${rings.length} in order`);
}

const whose = ({ namespace }: KeyRing) => (namespace === 'system' ? "the vault's KEK" : `the KEK of ${namespace}`);

function inactive(ring: KeyRing): readonly Finding[] {
  if (ring.keks.length === 0 || ring.keks.some(({ state }) => KEY_USES[state].wraps)) return [];
  return [finding('key_states', 'critical', `${whose(ring)}: no version is active, nothing new can be wrapped under it`)];
}

function due(ring: KeyRing, now: Date): readonly Finding[] {
  return ring.keks.flatMap(({ state, version, activatedAt }) => {
    if (!KEY_USES[state].wraps || activatedAt === undefined) return [];
    const left = Math.floor(ring.cryptoperiodDays - (now.getTime() - Date.parse(activatedAt)) / DAY_MS);
    if (left >= SOON_DAYS) return [];
    const when = left < 0 ? `is ${-left} days past its cryptoperiod` : `reaches the end of its cryptoperiod in ${left} days`;
    return [finding('key_states', 'warning', `${whose(ring)}: version ${version} ${when}`)];
  });
}

function stopped(ring: KeyRing, suspended: readonly KeyName[]): readonly Finding[] {
  return ring.keks
    .filter((kek) => suspended.includes(kekName(kek)))
    .map(({ version }) => finding('key_states', 'warning', `${whose(ring)}: version ${version} is suspended`));
}

function waiting(ring: KeyRing): readonly Finding[] {
  return ring.keks.flatMap(({ state, version, destroyAfter }) =>
    destroyAfter === undefined || state === 'destroyed'
      ? []
      : [finding('key_states', 'info', `${whose(ring)}: version ${version} is to be destroyed, not before ${destroyAfter}`)],
  );
}

/** A version of an earlier product: what it wrapped cannot be compared with how it wraps. */
function unrecorded(ring: KeyRing): readonly Finding[] {
  return ring.keks
    .filter(({ state, wrap }) => KEY_USES[state].opens && wrap === undefined)
    .map(({ version }) =>
      finding('key_states', 'info', `${whose(ring)}: how version ${version} wraps is not recorded; a rotation ends that`),
    );
}
