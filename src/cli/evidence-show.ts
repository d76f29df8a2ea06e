/** `wv evidence show`: any one piece of evidence, explained: what it is, whether it is authentic, what it says, what it does not prove. */
import type { ClaimValue, Examination, PinnedRoot } from '../attestation/examination.ts';
import { VaultError } from '../domain/errors.ts';
import { detectFormat } from './evidence-detect.ts';
import { EVIDENCE_FORMATS } from './evidence-formats.ts';
import { EntryError, readEvidenceFile } from './evidence-manifest.ts';
import { CLAIM_WORDS, FORMAT_WORDS, type FormatWords } from './evidence-words.ts';
import { aligned, print } from './output.ts';

export interface ShowOptions {
  readonly format?: string;
  readonly companion?: readonly string[];
  readonly nonce?: string;
  readonly at?: string;
  readonly json?: boolean;
}

const MAX_VALUE_CHARS = 100;

export async function show(file: string, options: ShowOptions, roots: readonly PinnedRoot[]): Promise<void> {
  const evidence = await read(file);
  const name = options.format ?? detectFormat(evidence);
  const format = name !== undefined && Object.hasOwn(EVIDENCE_FORMATS, name) ? EVIDENCE_FORMATS[name] : undefined;
  const words = name === undefined ? undefined : FORMAT_WORDS[name];
  if (name === undefined || format === undefined || words === undefined) {
    throw new VaultError(
      'usage',
      `${file} is no evidence known here; --format says which it is: ${Object.keys(EVIDENCE_FORMATS).join(', ')}`,
    );
  }
  const now = timeOf(options.at);
  const companions = await readCompanions(options.companion, words);
  const parameters = options.nonce === undefined ? {} : { expected_nonce: options.nonce };
  const examine = await format.load();
  const examination = await examine({ evidence, companions, parameters, roots, now });
  print(options, { format: name, at: now.toISOString(), bytes: evidence.length, ...examination }, [
    `${words.what} (${name}), ${evidence.length} bytes, examined as of ${now.toISOString()}`,
    '',
    ...verdictOf(examination, words, Object.keys(companions)),
    '',
    ...aligned(['value', 'says', 'meaning'], rowsOf(name, examination.claims)),
    '',
    `It does not prove ${words.doesNotProve}.`,
    `More: docs/formats/${words.page}`,
  ]);
}

async function read(file: string): Promise<Uint8Array> {
  try {
    return await readEvidenceFile(file);
  } catch (error) {
    throw error instanceof EntryError ? new VaultError('usage', error.message, { cause: error }) : error;
  }
}

/** `name=file`, as often as wanted; names of other formats are mistakes. */
async function readCompanions(texts: readonly string[] = [], words: FormatWords): Promise<Record<string, Uint8Array>> {
  const companions: Record<string, Uint8Array> = {};
  for (const text of texts) {
    const [, name = '', file = ''] = /^([a-z_]+)=(.+)$/s.exec(text) ?? [];
    if (file === '') throw new VaultError('usage', '--companion is name=file');
    if (Object.hasOwn(companions, name)) throw new VaultError('usage', `--companion ${name} is given twice`);
    companions[name] = await read(file);
  }
  const known = Object.keys(words.companions);
  const strange = Object.keys(companions).find((name) => !ACCEPTED_BESIDES.includes(name) && !known.includes(name));
  if (strange !== undefined) throw new VaultError('usage', `${strange} is no companion here: ${known.join(', ') || 'there are none'}`);
  return companions;
}

/** Of reports inside others. */
const ACCEPTED_BESIDES = ['ak_public_tpmt', 'vcek', 'issuer_chain', 'td_quote', 'collateral'];

function timeOf(at: string | undefined): Date {
  const time = at === undefined ? new Date() : new Date(at);
  if (Number.isNaN(time.getTime())) throw new VaultError('usage', '--at is an ISO time, e.g. 2026-11-30T12:00:00Z');
  return time;
}

/** Two answers, never one. */
function verdictOf({ valid, accept, reasons }: Examination, { companions, authentic }: FormatWords, given: readonly string[]): string[] {
  const missing = Object.entries(companions).filter(([name]) => !given.includes(name));
  return [
    `Authentic:  ${valid ? (authentic ?? 'yes, at that time') : 'no, as far as these files show'}`,
    `Acceptable: ${accept ? 'yes, to a default production policy' : 'no'}`,
    ...(reasons.length === 0 ? [] : [`Because:    ${reasons.join(', ')}`]),
    ...(missing.length === 0 ? [] : [`Not given:  ${missing.map(([name, what]) => `${name} (${what})`).join(', ')}`]),
  ];
}

function rowsOf(format: string, claims: Readonly<Record<string, ClaimValue>>): string[][] {
  return Object.entries(claims).map(([name, value]) => [name, inWords(value), CLAIM_WORDS[`${format} ${name}`] ?? CLAIM_WORDS[name] ?? '']);
}

function inWords(value: ClaimValue): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > MAX_VALUE_CHARS ? `${text.slice(0, MAX_VALUE_CHARS - 3)}...` : text;
}
