/** The text of policies: one static policy per id, bounded, and what Cedar says about it in words an editor can show. */
import { type DetailedError, policySetTextToParts, policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { VaultError } from '../domain/errors.ts';
import { depthProblem, MAX_POLICY_BYTES, MAX_POLICY_SET_BYTES } from './policy-limits.ts';

const POLICY_ID = /^[a-z0-9][a-z0-9_-]{0,63}$/;
// Controls and invisible characters: what a reviewer sees must be what Cedar reads (CVE-2021-42574). Lone surrogates are among them.
const INVISIBLE = /[^\P{C}\t\r\n]/u;
const MAX_DETAIL_CHARS = 4000;

export type Policies = Readonly<Record<string, string>>;

/**
 * The policies of a .cedar file, by the `@id("...")` each must carry: Cedar itself only numbers them. Comments between policies are left
 * behind. Throws `policy_invalid` for templates, for a missing or repeated id, and for what Cedar cannot parse.
 */
export function splitPolicies(text: string): Record<string, string> {
  if (Buffer.byteLength(text) > MAX_POLICY_SET_BYTES) throw invalid([`at most ${MAX_POLICY_SET_BYTES} bytes`]);
  const deep = depthProblem(text);
  if (deep !== undefined) throw invalid([deep]);
  const parts = policySetTextToParts(text);
  if (parts.type === 'failure') throw invalid(parts.errors.map((error) => describe(text, error)));
  if (parts.policy_templates.length > 0) throw invalid(['templates are not used here: write each policy out']);
  const policies: Record<string, string> = {};
  for (const part of parts.policies) {
    const id = annotatedId(part);
    if (id === undefined) throw invalid([`every policy needs an @id("..."): ${part.slice(0, 80)}`]);
    if (Object.hasOwn(policies, id)) throw invalid([`${id}: two policies have this @id`]);
    const problems = policyProblems(id, part);
    if (problems.length > 0) throw invalid(problems);
    policies[id] = part;
  }
  return policies;
}

/** What is wrong with one policy by itself: its id, its size, and whether it is exactly one static policy. */
export function policyProblems(id: string, text: string): string[] {
  if (!POLICY_ID.test(id)) return [`${JSON.stringify(id.slice(0, 80))}: an id is 1 to 64 of a-z 0-9 _ -, starting with a letter or digit`];
  if (Buffer.byteLength(text) > MAX_POLICY_BYTES) return [`${id}: at most ${MAX_POLICY_BYTES} bytes`];
  const hidden = INVISIBLE.exec(text);
  if (hidden !== null) return [`${id}:${position(text, Buffer.byteLength(text.slice(0, hidden.index)))}: an invisible character`];
  const deep = depthProblem(text);
  if (deep !== undefined) return [`${id}: ${deep}`];
  const parsed = policyToJson(text); // fails for none, for two and for a template
  if (parsed.type === 'failure') return parsed.errors.map((error) => `${id}:${describe(text, error)}`);
  const annotated = annotatedId(text);
  return annotated === undefined || annotated === id ? [] : [`${id}: its @id says ${JSON.stringify(annotated.slice(0, 80))}`];
}

/** `line:column: message (help)`; columns count characters, from 1. */
export function describe(text: string, error: DetailedError): string {
  const at = error.sourceLocations?.[0];
  const message = error.message.replace(/^failed to parse policy (?:with id `[^`]*` )?from string: /, '');
  const hints = [at?.label, error.help].filter((hint) => typeof hint === 'string');
  return `${position(text, at?.start ?? 0)}: ${message}${hints.length > 0 ? ` (${hints.join('; ')})` : ''}`;
}

export function invalid(problems: readonly string[]): VaultError {
  const detail = problems.join('\n');
  return new VaultError('policy_invalid', detail.length > MAX_DETAIL_CHARS ? `${detail.slice(0, MAX_DETAIL_CHARS)} ...` : detail);
}

/** Cedar counts bytes of UTF-8. */
function position(text: string, byteOffset: number): string {
  const before = Buffer.from(text).subarray(0, byteOffset).toString('utf8');
  const lines = before.split('\n');
  return `${lines.length}:${[...(lines.at(-1) ?? '')].length + 1}`;
}

function annotatedId(text: string): string | undefined {
  const parsed = policyToJson(text);
  return parsed.type === 'success' ? (parsed.json.annotations?.['id'] ?? undefined) : undefined;
}
