/** `wv evidence check`: examines each entry of a manifest, and compares with what the entry expects (docs/evidence-check.md). */
import { isDeepStrictEqual } from 'node:util';
import type { Examination, PinnedRoot } from '../attestation/examination.ts';
import { VaultError } from '../domain/errors.ts';
import { EVIDENCE_FORMATS, type EvidenceFormat } from './evidence-formats.ts';
import { EntryError, type Expected, type ListedEntry, type ManifestEntry, readEntryFiles, readManifest } from './evidence-manifest.ts';
import { print } from './output.ts';

export interface CheckOptions {
  readonly manifest: string;
  readonly only?: string;
  readonly json?: boolean;
}

/** An entry that could not be examined says why in `error`; it is neither valid nor acceptable. */
export interface EntryResult extends Examination {
  readonly id: string;
  readonly error?: string;
  /** Absent when the entry expects nothing. */
  readonly disagreements?: readonly string[];
}

/** Members of `expected` that are no parsed values. What begins with `expected_` is asked of the evidence, not read from it. */
const NOT_PARSED = new Set(['valid', 'accept', 'reason', 'all_reasons', 'at', 'error', 'note', 'measurement_note']);
const ASKED = 'expected_';
/** An entry whose id says so is about a party that pins nothing, and so are its damaged twins. It can only take trust away. */
const NOTHING_PINNED = '-no-trusted-root';

export async function check(options: CheckOptions, roots: readonly PinnedRoot[], formats = EVIDENCE_FORMATS): Promise<void> {
  const listed = (await readManifest(options.manifest)).filter(({ id }) => options.only === undefined || id === options.only);
  if (listed.length === 0) throw new VaultError('usage', options.only === undefined ? 'the manifest is empty' : `no entry ${options.only}`);
  const results: EntryResult[] = [];
  for (const one of listed) results.push(await resultOf(one, options.manifest, roots, formats));
  const wrong = results.filter(({ disagreements = [] }) => disagreements.length > 0);
  const verdict = `${results.length - wrong.length} of ${results.length} ${results.length === 1 ? 'entry' : 'entries'} as expected.`;
  print(options, results, [...results.flatMap(shown), verdict]);
  if (wrong.length > 0) throw new VaultError('evidence_disagrees', inShort(wrong));
}

async function resultOf(
  { id, entry }: ListedEntry,
  manifest: string,
  roots: readonly PinnedRoot[],
  formats: Readonly<Record<string, EvidenceFormat>>,
): Promise<EntryResult> {
  if (entry instanceof EntryError) return { ...notExamined(entry), id, disagreements: [entry.message] };
  const examined = await examine(entry, manifest, roots, formats);
  const { expected } = entry;
  return { id, ...examined, ...(expected && { disagreements: compare(expected, examined) }) };
}

type Examined = Omit<EntryResult, 'id' | 'disagreements'>;

async function examine(
  entry: ManifestEntry,
  manifest: string,
  roots: readonly PinnedRoot[],
  formats: Readonly<Record<string, EvidenceFormat>>,
): Promise<Examined> {
  const format = Object.hasOwn(formats, entry.format) ? formats[entry.format] : undefined;
  if (format === undefined) return refused('format_unsupported', `${entry.format} is no format of this version`);
  try {
    const examination = await format.load();
    const files = await readEntryFiles(manifest, entry);
    const pinned = entry.id.includes(NOTHING_PINNED) ? [] : roots;
    const { valid, accept, reasons, claims } = await examination({
      ...files,
      parameters: askedOf(entry),
      roots: pinned,
      now: timeOf(entry),
    });
    return { valid, accept: valid && accept, reasons, claims };
  } catch (error) {
    if (error instanceof EntryError) return notExamined(error, format);
    // A fault of ours, whatever the bytes: it ends this entry and not the others.
    return refused('examination_failed', error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  }
}

/** A file too large for the format is not of the format. */
function notExamined(error: EntryError, format?: EvidenceFormat): Examined {
  return refused(error.code === 'file_too_large' && format !== undefined ? format.malformed : error.code, error.message);
}

function refused(reason: string, error: string): Examined {
  return { valid: false, accept: false, reasons: [reason], claims: {}, error };
}

/** Never the verdict or the values that the entry expects. */
function askedOf({ parameters, expected }: ManifestEntry): Readonly<Record<string, unknown>> {
  const asked = Object.entries(expected ?? {}).filter(([name]) => name.startsWith(ASKED));
  return { ...parameters, ...Object.fromEntries(asked) };
}

/** Without a time of its own, an entry is examined as of today. */
function timeOf({ parameters, expected }: ManifestEntry): Date {
  const at = expected?.at ?? parameters?.['at'];
  if (at === undefined || at === null) return new Date();
  const time = new Date(typeof at === 'string' ? at : Number.NaN);
  if (Number.isNaN(time.getTime())) throw new EntryError('entry_invalid', 'at is no time');
  return time;
}

/** Verdict always, the reason where one alone is expected, and every parsed value. */
export function compare(expected: Expected, found: Examined): string[] {
  const wrong = (['valid', 'accept'] as const)
    .filter((name) => expected[name] !== found[name])
    .map((name) => `${name}: expected ${expected[name]}, found ${found[name]} (${found.reasons.join(', ') || 'no reason'})`);
  const reason = onlyReason(expected);
  if (reason !== undefined && !found.reasons.includes(reason)) {
    wrong.push(`reason: expected ${reason}, found ${found.reasons.join(', ') || 'none'}`);
  }
  if (found.error !== undefined && wrong.length > 0) wrong.push(found.error);
  const values = Object.entries(expected).filter(([name]) => !NOT_PARSED.has(name) && !name.startsWith(ASKED));
  for (const [name, value] of values) {
    const parsed = Object.hasOwn(found.claims, name) ? found.claims[name] : null;
    if (!isDeepStrictEqual(parsed, value)) wrong.push(`${name}: expected ${cut(value)}, found ${cut(parsed)}`);
  }
  return wrong;
}

function onlyReason({ reason, all_reasons: all }: Expected): string | undefined {
  if (Array.isArray(all)) return all.length === 1 ? all[0] : undefined;
  return reason === 'ok' || reason === null ? undefined : reason;
}

function cut(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

function shown({ id, valid, accept, reasons, error, disagreements }: EntryResult): string[] {
  const verdict = `${valid ? 'authentic' : 'not authentic'}, ${accept ? 'acceptable' : 'not acceptable'}`;
  const why = reasons.length === 0 ? '' : `: ${reasons.join(', ')}`;
  const mark = disagreements === undefined ? '     ' : disagreements.length === 0 ? 'ok   ' : 'WRONG';
  return [
    `${mark} ${id}  ${verdict}${why}${error === undefined ? '' : ` (${error})`}`,
    ...(disagreements ?? []).map((one) => `        ${one}`),
  ];
}

function inShort(wrong: readonly EntryResult[]): string {
  const first = wrong.slice(0, 5).map(({ id, disagreements = [] }) => `${id} (${disagreements[0]})`);
  const more = wrong.length - first.length;
  return `${wrong.length} not as expected: ${first.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}
