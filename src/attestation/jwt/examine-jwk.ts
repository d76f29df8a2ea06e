/** Is this JWK to be trusted under these certificates? It must bring its own (`x5c`), they must lead to one of them, and be about its key. */
import type { Examination, ExaminationInputs } from '../examination.ts';
import { parseStrictObject } from '../strict-json.ts';
import { keyOfJwk } from './trusted-key.ts';
import { readTrust } from './x5c.ts';

const MAX_JWK_BYTES = 64 * 1024;

export function examineJwkTrust({ evidence, companions, now }: ExaminationInputs): Examination<'untrusted_key'> {
  const jwk = evidence.length > MAX_JWK_BYTES ? '' : parseStrictObject(evidence);
  const trust = companions['trust'] && readTrust(companions['trust']);
  const found = typeof jwk === 'string' || trust === undefined ? undefined : keyOfJwk(jwk, trust, now);
  const trusted = found !== undefined && found.problems.length === 0;
  const claims = { problems: found?.problems ?? ['malformed'] };
  return { valid: trusted, accept: trusted, reasons: trusted ? [] : ['untrusted_key'], claims };
}
