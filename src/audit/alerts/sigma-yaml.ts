/** YAML of alert rules, read strictly: what two readers could understand differently, or what could grow while it is read, is refused. */
import { parseAllDocuments } from 'yaml';
import { VaultError } from '../../domain/errors.ts';

/** Of one file. The shipped ones have at most 4 KiB. */
const FILE_BYTES = 65_536;
const DOCUMENTS = 64;
const DEPTH = 12;

/**
 * The documents of one file as plain data. `alert_rule_invalid` for what is no YAML 1.2, for a key that stands twice, an anchor or alias,
 * a tag, anything deeper than 12 or larger than 64 KiB.
 */
export function readYaml(name: string, text: string): readonly unknown[] {
  if (Buffer.byteLength(text) > FILE_BYTES) throw invalid(name, `is larger than ${FILE_BYTES} bytes`);
  if (!isShallow(text)) throw invalid(name, 'is nested too deeply');
  const documents = parse(name, text);
  if (documents.length === 0 || documents.length > DOCUMENTS) throw invalid(name, `holds ${documents.length} documents`);
  return documents;
}

export function invalid(name: string, why: string): VaultError {
  return new VaultError('alert_rule_invalid', `${name}: ${why}`);
}

function parse(name: string, text: string): readonly unknown[] {
  try {
    const parsed = parseAllDocuments(text, {
      version: '1.2',
      schema: 'core',
      strict: true,
      uniqueKeys: true,
      merge: false,
      logLevel: 'error',
    });
    const documents = Array.isArray(parsed) ? parsed : []; // an empty stream is an object of its own kind
    for (const { errors, warnings } of documents) {
      const [problem] = [...errors, ...warnings];
      if (problem !== undefined) throw invalid(name, problem.message.split('\n')[0] ?? 'no YAML');
    }
    return documents.map((document) => document.toJS({ maxAliasCount: 0 }) as unknown);
  } catch (error) {
    if (error instanceof VaultError) throw error;
    throw invalid(name, error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'no YAML'); // an alias, or a stack that ran out
  }
}

/** Before anything recurses: no flow collection is opened more than DEPTH times, and no line is indented further than that many levels. */
function isShallow(text: string): boolean {
  let open = 0;
  for (const char of text) {
    if (char === '[' || char === '{') open++;
    else if ((char === ']' || char === '}') && open > 0) open--;
    if (open > DEPTH) return false;
  }
  return text.split('\n').every((line) => line.length - line.trimStart().length <= DEPTH * 4 && !/^\s*(?:- ?){13,}/.test(line));
}
