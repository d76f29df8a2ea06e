/** The body of `jwt` evidence (docs/formats/evidence-jwt.md): a compact JWS taken apart and bounded. Believes nothing yet. */
import { z } from 'zod';
import { isRefusal, type Refusal, refuse } from '../../domain/evidence.ts';
import { type JsonObject, parseStrictObject } from '../strict-json.ts';

/** Characters. A token of a verifier with its certificates in the header is about 11,000. */
export const MAX_TOKEN_CHARS = 65_536;
const MAX_NAME_CHARS = 512;

export interface JwtBody extends Readonly<Record<string, unknown>> {
  /** RFC 7515 section 7.1. */
  readonly token: string;
  /** The tokens it has digests of, by the names of its submodules. */
  readonly parts?: Readonly<Record<string, string>>;
}

export interface Token {
  readonly compact: string;
  readonly alg: string;
  readonly kid: string | undefined;
  readonly typ: string | undefined;
  /** It carries a key, or says where one is: jku, jwk, x5u. */
  readonly namesKeys: boolean;
  /** Certificates, of any form; nothing when there are none. */
  readonly x5c: unknown;
  /** Not verified. */
  readonly claims: JsonObject;
  readonly parts?: ReadonlyMap<string, Token>;
}

/** Eight GPUs and four switches are the largest machine. */
export const MAX_PARTS = 32;

const compactToken = z
  .string()
  .max(MAX_TOKEN_CHARS)
  .regex(/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/);
const partName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/);
const bodySchema = z.strictObject({
  token: compactToken,
  parts: z
    .record(partName, compactToken)
    .refine((parts) => Object.keys(parts).length >= 1 && Object.keys(parts).length <= MAX_PARTS)
    .optional(),
});

const headerSchema = z.looseObject({
  alg: z.string().min(1).max(16),
  kid: z.string().min(1).max(MAX_NAME_CHARS).optional(),
  typ: z.string().min(1).max(64).optional(),
});

/** Members that change how the rest is read (RFC 7515 section 4.1.11, RFC 7797): nothing critical is understood here. */
const CRITICAL = ['crit', 'b64'];
const KEY_HINTS = ['jku', 'jwk', 'x5u'];

export function parseJwtEvidence(body: Readonly<Record<string, unknown>>): Token | Refusal {
  const parsed = bodySchema.safeParse(body);
  if (!parsed.success)
    return malformed(`the body is a token, compact, signed, at most ${MAX_TOKEN_CHARS} characters, and perhaps its parts`);
  const token = parseToken(parsed.data.token);
  if (isRefusal(token) || parsed.data.parts === undefined) return token;
  const parts = new Map<string, Token>();
  for (const [name, compact] of Object.entries(parsed.data.parts)) {
    const part = parseToken(compact);
    if (isRefusal(part)) return part;
    parts.set(name, part);
  }
  return { ...token, parts };
}

function parseToken(compact: string): Token | Refusal {
  const [header, claims, signature] = compact.split('.').map(fromBase64url);
  if (header === undefined || claims === undefined || signature === undefined) return malformed('a part of the token is not base64url');

  const head = parseStrictObject(header);
  if (typeof head === 'string') return malformed(`the header ${head}`);
  const said = headerSchema.safeParse(head);
  if (!said.success) return malformed('the header does not have the form it should: alg, kid, typ');
  const critical = CRITICAL.find((name) => Object.hasOwn(head, name));
  if (critical !== undefined) return malformed(`the header has ${critical}, which this vault does not understand`);
  const payload = parseStrictObject(claims);
  if (typeof payload === 'string') return malformed(`the claims set ${payload}`);

  const { alg, kid, typ } = said.data;
  return { compact, alg, kid, typ, namesKeys: KEY_HINTS.some((name) => Object.hasOwn(head, name)), x5c: head['x5c'], claims: payload };
}

function malformed(detail: string): Refusal {
  return refuse('evidence_malformed', detail);
}

/** Undefined unless it is the one spelling of its bytes: no padding, no stray bits (RFC 7515 appendix C). */
function fromBase64url(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? new Uint8Array(bytes) : undefined;
}
