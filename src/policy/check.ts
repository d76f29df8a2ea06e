/** Everything about .cedar files that would keep them from being put in force, and what their author should know, with places in the files. */
import { VaultError } from '../domain/errors.ts';
import { type Finding, type KnownValues, lintPolicy } from './lint.ts';
import { depthProblem, MAX_POLICY_SET_BYTES } from './policy-limits.ts';
import { policySetProblems, splitPolicies, validatePolicySet } from './policy-set.ts';
import { annotatedId, type Policies, type PolicyProblem, policyProblems, position } from './policy-text.ts';
import { type Statement, statements } from './statements.ts';

export interface PolicyFile {
  readonly name: string;
  readonly text: string;
}

/** Line and column are from 1, in characters; `width` too, at least 1. Without a place it is about the set as a whole. */
export interface CheckedProblem {
  readonly severity: 'error' | 'warning';
  readonly message: string;
  readonly help?: string;
  readonly policyId?: string;
  readonly place?: {
    readonly file: string;
    readonly line: number;
    readonly column: number;
    readonly width: number;
    readonly source: string;
  };
}

export interface CheckedPolicies {
  readonly problems: readonly CheckedProblem[];
  /** By id: those that parse by themselves. */
  readonly policies: Policies;
}

interface Placed extends Statement {
  readonly file: PolicyFile;
  readonly policyId: string;
}

/**
 * Reports all problems, in order of file and line. Without an error among them the vault accepts the set: its own functions are asked, and a
 * refusal of theirs that was not found with its place stands at the end without one.
 */
export function checkPolicies(files: readonly PolicyFile[], known: KnownValues): CheckedPolicies {
  const placed = new Map<string, Placed>();
  const problems: CheckedProblem[] = files.flatMap((file) => readFile(file, placed));
  const policies = Object.fromEntries([...placed].map(([id, one]) => [id, one.text]));
  const place = (problem: PolicyProblem, severity: 'error' | 'warning') => {
    const where = placed.get(problem.policyId ?? '');
    return where === undefined ? { severity, ...spokenOf(problem) } : atPlace(where.file, where, problem, severity);
  };
  problems.push(...policySetProblems(policies).map((one) => place(one, 'error')));
  const findings = Object.entries(policies).flatMap(([id, text]): Finding[] => lintPolicy(id, text, known));
  problems.push(...findings.map((one) => place(one, one.severity)));
  if (!problems.some(({ severity }) => severity === 'error')) problems.push(...refusalOf(files));
  return { problems: inOrder(unique(problems), files), policies };
}

/** Puts the policies of a file that are sound by themselves into `placed`; answers what is wrong with the others. */
function readFile(file: PolicyFile, placed: Map<string, Placed>): CheckedProblem[] {
  const whole = { text: file.text, start: 0 };
  if (Buffer.byteLength(file.text) > MAX_POLICY_SET_BYTES) {
    return [atPlace(file, whole, { message: `at most ${MAX_POLICY_SET_BYTES} bytes in all policies together` }, 'error')];
  }
  const found = statements(file.text);
  if (found.length === 0) return [atPlace(file, whole, { message: 'there is no policy in this file' }, 'warning')];
  return found.flatMap((statement) => {
    const problem = (one: PolicyProblem) => atPlace(file, statement, one, 'error');
    const deep = depthProblem(statement.text);
    if (deep !== undefined) return [problem({ message: deep })];
    const policyId = annotatedId(statement.text);
    if (policyId === undefined) {
      const { line } = position(file.text, statement.start);
      return unnamed({ ...statement, file, policyId: `line-${line}` }, placed).map(problem);
    }
    const earlier = placed.get(policyId);
    if (earlier !== undefined) {
      const { line } = position(earlier.file.text, earlier.start);
      return [problem({ policyId, message: `two policies have this @id: the other is at ${earlier.file.name}:${line}` })];
    }
    const alone = policyProblems(policyId, statement.text);
    if (alone.length === 0) placed.set(policyId, { ...statement, file, policyId });
    return alone.map(problem);
  });
}

/** Why no @id can be read: the policy does not parse, or has none. Then it goes by its line, so that the rest of it is checked too. */
function unnamed(statement: Placed, placed: Map<string, Placed>): PolicyProblem[] {
  const parse = policyProblems(statement.policyId, statement.text);
  if (parse.length > 0) return parse.map(({ policyId: _, ...one }) => one);
  placed.set(statement.policyId, statement);
  return [{ message: 'every policy needs an @id("...")', help: 'it is the name that the access log gives' }];
}

/** What the very functions say that `wv policy set` and the vault run. */
function refusalOf(files: readonly PolicyFile[]): CheckedProblem[] {
  try {
    validatePolicySet(Object.assign({}, ...files.map(({ text }) => splitPolicies(text))));
    return [];
  } catch (error) {
    if (error instanceof VaultError && error.code === 'policy_invalid') return [{ severity: 'error', message: error.detail }];
    throw error;
  }
}

function atPlace(file: PolicyFile, statement: Statement, problem: PolicyProblem, severity: 'error' | 'warning'): CheckedProblem {
  const start = statement.start + (problem.at?.start ?? 0);
  const { line, column } = position(file.text, start);
  const source = (file.text.split('\n')[line - 1] ?? '').replace(/\r$/, '');
  const marked = Buffer.from(file.text)
    .subarray(start, statement.start + (problem.at?.end ?? 0))
    .toString('utf8');
  const width = Math.max(1, Math.min([...(marked.split('\n')[0] ?? '')].length, [...source].length - column + 1));
  return { severity, ...spokenOf(problem), place: { file: file.name, line, column, width, source } };
}

function spokenOf({ policyId, message, help }: PolicyProblem): Pick<CheckedProblem, 'policyId' | 'message' | 'help'> {
  return { message, ...(help !== undefined && { help }), ...(policyId !== undefined && { policyId }) };
}

function unique(problems: readonly CheckedProblem[]): CheckedProblem[] {
  return [...new Map(problems.map((one) => [JSON.stringify(one), one])).values()];
}

function inOrder(problems: readonly CheckedProblem[], files: readonly PolicyFile[]): CheckedProblem[] {
  const fileAt = ({ place }: CheckedProblem) => (place === undefined ? files.length : files.findIndex(({ name }) => name === place.file));
  return problems.toSorted(
    (a, b) =>
      fileAt(a) - fileAt(b) ||
      (a.place?.line ?? 0) - (b.place?.line ?? 0) ||
      (a.place?.column ?? 0) - (b.place?.column ?? 0) ||
      a.message.localeCompare(b.message),
  );
}
