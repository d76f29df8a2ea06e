/** What the header of a token may say besides how it is signed. */
import { type JwtAnchor, type Refusal, refuse } from '../../domain/evidence.ts';
import type { Token } from './evidence.ts';

/** A token made for something else (RFC 8725 section 3.11), or one that brings its own key. */
export function checkHeader({ typ, namesKeys, x5c }: Token, anchor: JwtAnchor): Refusal | undefined {
  if (mediaType(typ ?? 'JWT') !== mediaType(anchor.typ ?? 'JWT') || (anchor.typ !== undefined && typ === undefined)) {
    return refuse('evidence_malformed', `the typ of the token is not ${anchor.typ ?? 'JWT'}`);
  }
  const strange = namesKeys || (x5c !== undefined && anchor.x5cRoots === undefined);
  if (strange && anchor.headerKeys !== 'ignored') {
    return refuse('evidence_malformed', 'the header brings a key, or an address of one, and the anchor does not say to ignore that');
  }
  return undefined;
}

/** RFC 7515 section 4.1.9: "application/" may be left out. */
function mediaType(typ: string): string {
  const lower = typ.toLowerCase();
  return lower.includes('/') ? lower : `application/${lower}`;
}
