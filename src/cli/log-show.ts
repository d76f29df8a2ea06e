/** `wv log show`: one record in words, and why a request was refused: which claim failed, what was expected, what was seen. */
import { VaultError } from '../domain/errors.ts';
import { parseId, type RecordId } from '../domain/ids.ts';
import { withKit } from './kit.ts';
import { logPath } from './log-options.ts';
import { aligned, print, shown } from './output.ts';

export interface ShowOptions {
  readonly kit: string;
  readonly namespace?: string;
  readonly json?: boolean;
}

type Json = Readonly<Record<string, unknown>>;

export async function show(record: string, options: ShowOptions): Promise<void> {
  const recordId = parseId<RecordId>(record, 'record');
  await withKit(options.kit, async (kit) => {
    const { leaf, index, result, personal, erased } = await kit.call('GET', `${logPath(options)}/records/${recordId}`);
    const said = parsed(String(leaf));
    const answer = {
      record: said,
      ...(index !== undefined && { index }),
      ...(result !== undefined && { result }),
      ...(personal !== undefined && { personal, erased }),
    };
    print(options, answer, [
      ...recordLines(said, index),
      ...personalLines(personal, erased),
      ...(isObject(result) ? resultLines(result) : []),
    ]);
  });
}

function parsed(leaf: string): Json {
  try {
    const value: unknown = JSON.parse(leaf);
    if (isObject(value)) return value;
  } catch {
    // not what a vault writes: said below
  }
  throw new VaultError('log_entry_mismatch', 'the record is no JSON object: verify a copy of the log with `wv log verify`');
}

/** Every member of the record that is there, deep ones as JSON. */
function recordLines(record: Json, index: unknown): string[] {
  const rows = Object.entries(record).map(([name, value]) => [name, textOf(value)]);
  return aligned(['record', index === undefined ? 'not under a checkpoint yet' : `number ${textOf(index)} of the log`], rows);
}

/** What the record commits to without saying it. */
function personalLines(personal: unknown, erased: unknown): string[] {
  const shownOnes = isObject(personal) ? Object.entries(personal).map(([field, value]) => [field, textOf(value)]) : [];
  const gone = Array.isArray(erased) ? erased.map((field) => [textOf(field), '(erased)']) : [];
  return shownOnes.length + gone.length === 0 ? [] : ['', ...aligned(['personal', 'kept apart from the record'], [...shownOnes, ...gone])];
}

function resultLines(result: Json): string[] {
  const submods = isObject(result['submods']) ? Object.entries(result['submods']) : [];
  return submods.flatMap(([name, submod]) => (isObject(submod) ? ['', ...submodLines(name, submod)] : []));
}

function submodLines(name: string, submod: Json): string[] {
  const status = `${name}: ${textOf(submod['ear.status'])}${'weight-vault.reason' in submod ? `, ${textOf(submod['weight-vault.reason'])}` : ''}`;
  const failed = Array.isArray(submod['weight-vault.failed']) ? submod['weight-vault.failed'].filter(isObject) : [];
  const rows = failed.map(({ claim, expected, seen }) => [
    textOf(claim),
    Array.isArray(expected) ? expected.map(textOf).join(' or ') : '',
    seen === undefined ? '(nothing)' : textOf(seen),
  ]);
  const facts = isObject(submod['weight-vault.facts']) ? Object.entries(submod['weight-vault.facts']) : [];
  return [
    status,
    ...('weight-vault.detail' in submod ? [textOf(submod['weight-vault.detail'])] : []),
    ...(rows.length > 0 ? aligned(['failed claim', 'expected', 'seen'], rows) : []),
    ...(facts.length > 0
      ? aligned(
          ['fact', 'value'],
          facts.map(([fact, value]) => [fact, textOf(value)]),
        )
      : []),
  ];
}

function textOf(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return shown(text);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
