/** What a request may show at once: how many pieces, of which kinds, how large. All before a single byte of a body is looked at. */
import { type Evidence, type EvidenceKind, isRefusal, type Refusal, refuse } from '../domain/evidence.ts';
import { canonicalJson } from '../domain/json.ts';
import { isEvidenceKind, KINDS } from './kinds.ts';

/** More than any machine has: what a request parser lets through. */
export const MAX_PIECES = 16;

export interface Piece extends Evidence {
  readonly kind: EvidenceKind;
}

/** Never empty, and the first stands alone; or the reason why not. */
export function checkPieces(evidence: readonly Evidence[]): readonly [Piece, ...Piece[]] | Refusal {
  const pieces: Piece[] = [];
  for (const one of evidence) {
    const piece = checkPiece(one);
    if (isRefusal(piece)) return piece;
    pieces.push(piece);
  }
  const [first, ...others] = pieces;
  if (first === undefined) return refuse('evidence_missing', 'the request carries no evidence');
  if (!KINDS[first.kind].standsAlone) {
    return refuse('evidence_malformed', `${first.kind} evidence does not say which machine asks: put the evidence of the machine first`);
  }
  const many = [...Map.groupBy(pieces, ({ kind }) => kind)].find(([kind, same]) => same.length > KINDS[kind].maxPieces);
  if (many !== undefined) return refuse('evidence_malformed', `at most ${KINDS[many[0]].maxPieces} of ${many[0]} in one request`);
  return [first, ...others];
}

function checkPiece({ kind, body }: Evidence): Piece | Refusal {
  if (!isEvidenceKind(kind)) return refuse('evidence_kind_unsupported', 'no verifier of that kind is configured');
  const { maxBodyBytes } = KINDS[kind];
  if (canonicalJson(body).length > maxBodyBytes) {
    return refuse('evidence_malformed', `a ${kind} body has at most ${maxBodyBytes} bytes`);
  }
  return { kind, body };
}
