/** What of the access log a process may not forget: how far each slot has come, and each stop with the document that was named to lift it. */
import type { LeafRow } from '../audit/port.ts';
import { numberAt, objectAt, saidBy, textAt } from '../audit/said.ts';
import type { LogSummary } from '../documents/log-summary.ts';
import type { SlotKind } from '../documents/port.ts';
import { type Digest, type Namespace, SYSTEM } from '../domain/ids.ts';
import type { Stop } from '../domain/stop.ts';
import { rememberCounter, slotOf } from './documents.ts';
import { rememberStop } from './stops.ts';
import type { CatalogueKey } from './vault.ts';

type Slots = LogSummary['slots'][number];
type Stops = LogSummary['stops'][number];

export interface LogMemory {
  readonly slots: Map<string, Slots>;
  readonly stops: Map<string, Stops>;
}

/** Most leaves say nothing that matters here, and are not parsed. */
const TELLS = [Buffer.from('"counter":'), Buffer.from('"stopId":')];

export function emptyMemory(): LogMemory {
  return { slots: new Map(), stops: new Map() };
}

export function memoryOf({ slots, stops }: Pick<LogSummary, 'slots' | 'stops'>): LogMemory {
  return {
    slots: new Map(slots.map((slot) => [nameOf(slot), slot])),
    stops: new Map(stops.map((stop) => [stop.stopId, stop])),
  };
}

/**
 * In the order of the log; the last ones once more are no change. Whoever writes the database can have a leaf of their own signed: it can only add
 * to what is remembered, and what is no counter and no text adds nothing.
 */
export function learn(leaf: LeafRow['leaf'], memory: LogMemory): void {
  const bytes = Buffer.from(leaf.buffer, leaf.byteOffset, leaf.length);
  if (!TELLS.some((word) => bytes.includes(word))) return;
  const said = saidBy(leaf);
  const namespace = textAt(said, 'namespace') ?? SYSTEM;
  if (objectAt(said, 'stop') !== undefined) learnStop(said, namespace, memory.stops);
  learnSlot(said, namespace, memory.slots);
}

function learnSlot(said: unknown, namespace: string, slots: LogMemory['slots']): void {
  const [kind, item, counter] = [textAt(said, 'document', 'kind'), textAt(said, 'document', 'item'), numberAt(said, 'document', 'counter')];
  if (kind === undefined || kind === 'lift' || counter === undefined || counter < 1) return;
  const slot = { namespace, kind, ...(item !== undefined && { item }), counter };
  const name = nameOf(slot);
  if (counter > (slots.get(name)?.counter ?? 0)) slots.set(name, slot);
}

/** Of two accounts of one stop the first counts; of two documents that are said to lift it the last. */
function learnStop(said: unknown, namespace: string, stops: LogMemory['stops']): void {
  const [stopId, scope, target] = ['stopId', 'scope', 'target'].map((member) => textAt(said, 'stop', member));
  if (stopId === undefined) return;
  const createdAtMs = Math.max(0, Date.parse(textAt(said, 'time') ?? '') || 0);
  const known = stops.get(stopId) ?? { stopId, namespace, scope: scope ?? '', ...(target !== undefined && { target }), createdAtMs };
  const lift = textAt(said, 'document', 'kind') === 'lift' ? textAt(said, 'document', 'digest') : undefined;
  stops.set(stopId, lift === undefined ? known : { ...known, lift });
}

/** From now on this process behaves as if it had been there. */
export function remember(memory: LogMemory, key: CatalogueKey): void {
  for (const { namespace, kind, item, counter } of memory.slots.values())
    rememberCounter(slotOf(kind as SlotKind, item), namespace as Namespace, counter, key); // compared, never used otherwise
  for (const { stopId, namespace, scope, target, createdAtMs, lift } of memory.stops.values()) {
    const stop = { stopId, namespace, scope, ...(target !== undefined && { target }), createdAt: new Date(createdAtMs) };
    rememberStop(stop as Stop, key, lift as Digest | undefined); // it looks at the scope itself; a document lifts only when it verifies
  }
}

function nameOf({ namespace, kind, item }: Omit<Slots, 'counter'>): string {
  return `${namespace} ${slotOf(kind as SlotKind, item)}`;
}
