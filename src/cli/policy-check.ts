/** `wv policy check`: everything the vault would refuse, and what it would accept though nobody means it. */
import { VaultError } from '../domain/errors.ts';
import type { CheckedProblem } from '../policy/check.ts';
import { SCHEMA_DIGEST, SCHEMA_TEXT } from '../policy/schema.ts';
import { print } from './output.ts';
import { checkFiles, readReferenceIds } from './policy-files.ts';

export interface CheckOptions {
  readonly schema?: boolean;
  readonly reference?: string;
  readonly strict?: boolean;
  readonly json?: boolean;
}

export async function check(files: readonly string[], options: CheckOptions): Promise<void> {
  if (options.schema === true) return print(options, { schemaDigest: SCHEMA_DIGEST, schema: SCHEMA_TEXT }, [SCHEMA_TEXT.trimEnd()]);
  if (files.length === 0) throw new VaultError('usage', 'name the .cedar files to check, or ask for --schema');
  const referenceIds = options.reference === undefined ? undefined : await readReferenceIds(options.reference);
  const { problems, policies } = await checkFiles(files, referenceIds === undefined ? {} : { referenceIds });
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  const warnings = problems.length - errors;
  const ok = errors === 0 && (warnings === 0 || options.strict !== true);
  const counted = [count(Object.keys(policies).length, 'policy', 'policies'), count(files.length, 'file')].join(' in ');
  const said = problems.length === 0 ? 'no problem' : [count(errors, 'error'), count(warnings, 'warning')].join(', ');
  const verdict = `${ok ? 'Good' : 'Not good'}: ${counted}, ${said}.`;
  print(options, { ok, policies: Object.keys(policies), errors, warnings, problems }, [...problems.flatMap(shown), verdict]);
  if (!ok) throw new VaultError('policy_invalid', said);
}

/** The problem, the line it is in, and a caret below the very place. */
function shown({ severity, message, help, policyId, place }: CheckedProblem): string[] {
  const said = `${severity}: ${policyId === undefined ? '' : `${policyId}: `}${message}`;
  if (place === undefined) return [help === undefined ? said : `${said} (${help})`, ''];
  const number = String(place.line);
  const margin = ' '.repeat(number.length);
  // Tabs stay tabs, so that the caret stands where the editor shows the text.
  const lead = [...place.source]
    .slice(0, place.column - 1)
    .map((char) => (char === '\t' ? '\t' : ' '))
    .join('');
  return [
    `${place.file}:${place.line}:${place.column}: ${said}`,
    `${number} | ${visible(place.source)}`,
    `${margin} | ${lead}${'^'.repeat(place.width)}${help === undefined ? '' : ` ${help}`}`,
    '',
  ];
}

/** What cannot be seen is shown as a replacement character: a file must not steer the terminal it is shown on. */
function visible(text: string): string {
  return text.replaceAll(/[^\P{C}\t]/gu, '\uFFFD');
}

export function count(many: number, one: string, more = `${one}s`): string {
  return `${many} ${many === 1 ? one : more}`;
}
