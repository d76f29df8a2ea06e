/** Pieces of evidence that nobody showed: whole ones, out of the few facts that somebody cares about. */
import type { EvidenceKind } from '../domain/evidence.ts';
import { FACTS, type FactSpec, type Facts, type FactValue } from '../domain/facts.ts';
import type { PieceAttributes } from './evidence-attributes.ts';

/** What a sound piece of the kind states where it is not said: what a reference value implies, and otherwise nothing. */
export function supposePiece(kind: EvidenceKind, said: Facts): PieceAttributes {
  if (kind === 'jwt') return { kind, facts: said };
  const needed = Object.entries(FACTS[kind]).filter(([, { optional }]) => !optional);
  return { kind, facts: { ...Object.fromEntries(needed.map(([name, spec]) => [name, soundValue(spec)])), ...said } };
}

function soundValue({ type, unlessNamed }: FactSpec): FactValue {
  const [implied] = unlessNamed ?? [];
  if (type === 'flag') return implied === 'true';
  if (type === 'number') return Number(implied ?? 0);
  return type === 'texts' ? [] : (implied ?? '');
}
