/**
 * What is noticed beside a release or a login: something seen for the first time, an unusual hour. Digests of what was seen are kept beside the log,
 * never in it; what was noticed is a record of its own, because the requester gets the record of its release as a receipt.
 */
import { isIPv6 } from 'node:net';
import type { Signal } from '../audit/record.ts';
import { lp, sha256Hex } from '../domain/bytes.ts';
import { addSeconds } from '../domain/clock.ts';
import type { AttestationResult } from '../domain/evidence.ts';
import { factText } from '../domain/facts.ts';
import { type Digest, parseDigest } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { machineOf } from './egress.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'stores' | 'siteOf'>;

/** Facts that say what runs; the ids of the reference values that matched stand for what has none of them. */
const MEASUREMENTS = ['measurement', 'mrtd', 'pcr0', 'firmwareVersion'] as const;
const HOUR_SECONDS = 3_600;

/** Of a release that is permitted, in its transaction. */
export async function releaseSignals(
  attested: AttestationResult,
  remoteAddress: string,
  attributes: Readonly<Record<string, string>>,
  tx: Tx,
  vault: Ports,
): Promise<readonly Signal[]> {
  const who = attested.subject.subjectId;
  const seen: ReadonlyArray<readonly [Signal, readonly string[]]> = [
    ['first-seen-measurement', measurementsOf(attested)],
    ['first-seen-machine', [machineOf(attested)]],
    ['first-seen-certificate', [attested.spkiDigest]],
    ['first-seen-gpu', gpusOf(attested)],
    ['first-seen-network', [networkOf(remoteAddress)]],
    ['first-seen-country', countriesOf(remoteAddress, vault)],
  ];
  const signals: Signal[] = [];
  for (const [signal, values] of seen) if (await isAnyNew(who, signal, values, tx, vault)) signals.push(signal);
  if (isOutside(attributes['release-hours'], tx.now)) signals.push('outside-window');
  return signals;
}

/** Of an administrator who logged in, in that transaction. */
export async function loginSignals(
  who: string,
  workstation: string,
  remoteAddress: string,
  tx: Tx,
  vault: Ports,
): Promise<readonly Signal[]> {
  const signals: Signal[] = [];
  const network = digestOf(who, 'first-seen-network', networkOf(remoteAddress));
  if (await vault.stores.releases.seenElse(tx, who, 'first-seen-network', network, addSeconds(tx.now, -HOUR_SECONDS)))
    signals.push('other-network');
  const [country] = countriesOf(remoteAddress, vault);
  if (country !== undefined && (await isElsewhere(who, country, tx, vault))) signals.push('other-country');
  if (await isAnyNew(who, 'first-seen-workstation', [workstation], tx, vault)) signals.push('first-seen-workstation');
  if (await isAnyNew(who, 'first-seen-network', [networkOf(remoteAddress)], tx, vault)) signals.push('first-seen-network');
  return signals;
}

/** Impossible travel, as far as the declared countries tell: within the hour this person was in another one. */
async function isElsewhere(who: string, country: string, tx: Tx, { stores }: Ports): Promise<boolean> {
  const kind = 'first-seen-country';
  const elsewhere = await stores.releases.seenElse(tx, who, kind, digestOf(who, kind, country), addSeconds(tx.now, -HOUR_SECONDS));
  await stores.releases.noteSeen(tx, who, kind, digestOf(who, kind, country));
  return elsewhere;
}

async function isAnyNew(who: string, kind: Signal, values: readonly string[], tx: Tx, { stores }: Ports): Promise<boolean> {
  let fresh = false;
  for (const value of values) if (await stores.releases.noteSeen(tx, who, kind, digestOf(who, kind, value))) fresh = true;
  return fresh;
}

/** Of the two together: the same address of two people is two digests. */
function digestOf(who: string, kind: Signal, value: string): Digest {
  return parseDigest(sha256Hex(lp('weight-vault seen v1', who, kind, value)));
}

function measurementsOf({ pieces, matched }: AttestationResult): readonly string[] {
  const facts = pieces.flatMap(({ kind, facts: said }) =>
    MEASUREMENTS.flatMap((name) => (said[name] === undefined ? [] : [`${kind} ${name} ${factText(said[name])}`])),
  );
  return [...facts, ...matched];
}

function gpusOf({ pieces }: AttestationResult): readonly string[] {
  const gpus = pieces.filter(({ kind }) => kind === 'nvidia-gpu');
  return gpus.flatMap(({ facts: { deviceId, model } }) =>
    [deviceId, model].flatMap((fact) => (fact === undefined ? [] : [factText(fact)])).slice(0, 1),
  );
}

/** None where no sites are declared, or this one is in no country. */
function countriesOf(remoteAddress: string, { siteOf }: Ports): readonly string[] {
  return [siteOf?.(remoteAddress).country].flatMap((country) => country ?? []);
}

/** A /24 of IPv4, a /48 of IPv6: what a site has. */
function networkOf(address: string): string {
  if (!isIPv6(address)) return address.split('.').slice(0, 3).join('.');
  const [head = '', tail = ''] = address.split('::');
  const groups = head.split(':').filter((group) => group !== '');
  const missing = address.includes('::') ? 8 - groups.length - tail.split(':').filter((group) => group !== '').length : 0;
  const last = address.slice(address.lastIndexOf(':') + 1);
  if (last.includes('.')) return last.split('.').slice(0, 3).join('.'); // IPv4 in IPv6
  return [...groups, ...Array<string>(Math.max(0, missing)).fill('0'), ...tail.split(':')].slice(0, 3).join(':');
}

/** `07-19`: from seven until before seven in the evening, UTC; `22-05` goes over midnight. Anything else declares nothing. */
function isOutside(hours: string | undefined, now: Date): boolean {
  const [, from = '', to = ''] = /^([01]\d|2[0-3])-([01]\d|2[0-4])$/.exec(hours ?? '') ?? [];
  if (from === '') return false;
  const [start, end, hour] = [Number(from), Number(to), now.getUTCHours()];
  return start <= end ? hour < start || hour >= end : hour < start && hour >= end;
}
