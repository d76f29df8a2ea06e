/** The text of policies: one static policy per id, bounded, and what Cedar says about it in words an editor can show. */
import { type DetailedError, policySetTextToParts, policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { VaultError } from '../domain/errors.ts';
import { depthProblem, MAX_POLICY_BYTES, MAX_POLICY_SET_BYTES } from './policy-limits.ts';

const POLICY_ID = /^[a-z0-9][a-z0-9_-]{0,63}$/;
// Controls and invisible characters: what a reviewer sees must be what Cedar reads (CVE-2021-42574). Lone surrogates are among them.
const INVISIBLE = /[^\P{C}\t\r\n]/u;
const MAX_DETAIL_CHARS = 4000;

export type Policies = Readonly<Record<string, string>>;

/** Something that keeps a set from being put in force, or that its author should know. */
export interface PolicyProblem {
  /** Undefined when it is about the set as a whole. */
  readonly policyId?: string;
  readonly message: string;
  /** What Cedar expected or suggests. */
  readonly help?: string;
  /** Bytes of UTF-8 in the policy's text. */
  readonly at?: { readonly start: number; readonly end: number };
}

/**
 * The policies of a .cedar file, by the `@id("...")` each must carry: Cedar itself only numbers them. Comments between policies are left
 * behind. Throws `policy_invalid` for templates, for a missing or repeated id, and for what Cedar cannot parse.
 */
export function splitPolicies(text: string): Record<string, string> {
  if (Buffer.byteLength(text) > MAX_POLICY_SET_BYTES) throw invalid([`at most ${MAX_POLICY_SET_BYTES} bytes`]);
  const deep = depthProblem(text);
  if (deep !== undefined) throw invalid([deep]);
  const parts = policySetTextToParts(text);
  if (parts.type === 'failure') throw invalid(located(parts.errors).map((one) => inWords(one, text)));
  if (parts.policy_templates.length > 0) throw invalid(['templates are not used here: write each policy out']);
  const policies: Record<string, string> = {};
  for (const part of parts.policies) {
    const id = annotatedId(part);
    if (id === undefined) throw invalid([`every policy needs an @id("..."): ${part.slice(0, 80)}`]);
    if (Object.hasOwn(policies, id)) throw invalid([`${id}: two policies have this @id`]);
    const problems = policyProblems(id, part);
    if (problems.length > 0) throw invalid(problems.map((one) => inWords(one, part)));
    policies[id] = part;
  }
  return policies;
}

/** What is wrong with one policy by itself: its id, its size, and whether it is exactly one static policy. */
export function policyProblems(policyId: string, text: string): PolicyProblem[] {
  if (!POLICY_ID.test(policyId)) {
    return [{ message: `${JSON.stringify(policyId.slice(0, 80))}: an id is 1 to 64 of a-z 0-9 _ -, starting with a letter or digit` }];
  }
  if (Buffer.byteLength(text) > MAX_POLICY_BYTES) return [{ policyId, message: `at most ${MAX_POLICY_BYTES} bytes` }];
  const hidden = INVISIBLE.exec(text);
  if (hidden !== null) {
    const start = Buffer.byteLength(text.slice(0, hidden.index));
    return [{ policyId, message: 'an invisible character', at: { start, end: start + Buffer.byteLength(hidden[0]) } }];
  }
  const deep = depthProblem(text);
  if (deep !== undefined) return [{ policyId, message: deep }];
  const parsed = policyToJson(text); // fails for none, for two and for a template
  if (parsed.type === 'failure') return located(parsed.errors).map((one) => ({ policyId, ...one }));
  const annotated = parsed.json.annotations?.['id'] ?? undefined;
  return annotated === undefined || annotated === policyId
    ? []
    : [{ policyId, message: `its @id says ${JSON.stringify(annotated.slice(0, 80))}` }];
}

/** Cedar's errors with their places; it hangs all but the first of a parse below it as `related`. */
export function located(errors: readonly DetailedError[]): PolicyProblem[] {
  return errors.flatMap((error) => {
    const at = error.sourceLocations?.[0];
    const message = error.message
      .replace(/^failed to parse policy (?:with id `[^`]*` )?from string: /, '')
      .replace(/^for policy `[^`]*`, /, '');
    const help = [at?.label, error.help].filter((hint) => typeof hint === 'string').join('; ');
    const problem = { message, ...(help !== '' && { help }), at: { start: at?.start ?? 0, end: at?.end ?? 0 } };
    return [problem, ...located(error.related ?? [])];
  });
}

/** `id:line:column: message (help)`; columns count characters, from 1. */
export function inWords({ policyId, message, help, at }: PolicyProblem, text: string): string {
  const place = at === undefined ? undefined : position(text, at.start);
  const where = [policyId, place && `${place.line}:${place.column}`].filter((part) => part !== undefined).join(':');
  return `${where}${where === '' ? '' : ': '}${message}${help === undefined ? '' : ` (${help})`}`;
}

/** Where a byte of UTF-8 stands, both from 1: Cedar counts bytes, editors count characters. */
export function position(text: string, byteOffset: number): { readonly line: number; readonly column: number } {
  const before = Buffer.from(text).subarray(0, byteOffset).toString('utf8');
  const lines = before.split('\n');
  return { line: lines.length, column: [...(lines.at(-1) ?? '')].length + 1 };
}

export function invalid(problems: readonly string[]): VaultError {
  const detail = problems.join('\n');
  return new VaultError('policy_invalid', detail.length > MAX_DETAIL_CHARS ? `${detail.slice(0, MAX_DETAIL_CHARS)} ...` : detail);
}

/** What its `@id("...")` says; undefined without one, and for what does not parse. */
export function annotatedId(text: string): string | undefined {
  const parsed = policyToJson(text);
  return parsed.type === 'success' ? (parsed.json.annotations?.['id'] ?? undefined) : undefined;
}

/** Whether it permits or forbids; `unreadable` for what does not parse. */
export function effectOf(text: string): 'permit' | 'forbid' | 'unreadable' {
  const parsed = policyToJson(text);
  return parsed.type === 'success' ? parsed.json.effect : 'unreadable';
}
