/** `wv log ls|search|tail|stats|index`: what the log of a running vault says. Every one of these readings is itself a record. */
import { type Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { numberAt, saidBy, textAt } from '../audit/said.ts';
import { SEARCH_FIELDS } from '../audit/search/entry.ts';
import { safeJson } from '../domain/json.ts';
import { watchInterruption } from './interruption.ts';
import { type Kit, withKit } from './kit.ts';
import { addLogCommand, type LogOptions, logPath } from './log-options.ts';
import { aligned, inUnits, note, print, shown } from './output.ts';

interface SearchOptions extends LogOptions {
  readonly from?: string;
  readonly to?: string;
  readonly minBytes?: string;
  readonly at?: string;
  readonly limit: number;
  readonly oldest?: boolean;
}
type Fields = Readonly<Partial<Record<(typeof SEARCH_FIELDS)[number], string>>>;

const page = z.object({
  records: z.array(z.object({ index: z.int(), leaf: z.string() })),
  next: z.int().optional(),
  indexed: z.int(),
});
type Page = z.output<typeof page>;

const totals = z.object({
  tallies: z.array(
    z.object({
      day: z.string(),
      namespace: z.string(),
      type: z.string(),
      outcome: z.string(),
      reason: z.string(),
      records: z.int(),
      bytes: z.int(),
    }),
  ),
  indexed: z.int(),
});
const index = z.object({ indexed: z.int(), records: z.int() });

/** What one call gives at most. */
const CALL = 100;
const WAIT_SECONDS = 20;

export function registerLogSearch(log: Command): void {
  paging(
    addLogCommand(log, 'ls', 'List the newest records; `wv log show` has all of one', [
      'wv log ls --kit kits/bob',
      'wv log ls --kit kits/bob --namespace research --limit 500 --json',
    ]),
  ).action((options: SearchOptions) => withKit(options.kit, (kit) => search(kit, options)));
  searchOptions(
    paging(
      addLogCommand(log, 'search', 'Find records by principal, model, decision, reason, measurement, time, bytes and more', [
        'wv log search --kit kits/bob --principal gpu-node-77 --outcome deny --from 2026-12-01T00:00:00Z',
        'wv log search --kit kits/bob --namespace research --measurement gpu-host-2026-06 --json',
        'wv log search --kit kits/bob --type release.end --min-bytes 1000000000',
      ]),
    ),
  ).action((options: SearchOptions & Fields) => withKit(options.kit, (kit) => search(kit, options)));
  searchOptions(
    addLogCommand(log, 'tail', 'Show records as they come, until Ctrl-C; with --json one document a line', [
      'wv log tail --kit kits/bob',
      'wv log tail --kit kits/bob --outcome deny --json',
    ]),
  ).action((options: LogOptions & Fields) => withKit(options.kit, (kit) => tail(kit, options)));
  times(
    addLogCommand(log, 'stats', 'Count records and released bytes by type, outcome and reason', [
      'wv log stats --kit kits/bob',
      'wv log stats --kit kits/bob --from 2026-12-01T00:00:00Z --json',
    ]),
  ).action((options: LogOptions & { readonly from?: string; readonly to?: string }) => withKit(options.kit, (kit) => stats(kit, options)));
  addLogCommand(log, 'index', 'Show how much of the log can be searched; --rebuild makes the index anew from the records', [
    'wv log index --kit kits/bob',
    'wv log index --kit kits/bob --rebuild --json',
  ])
    .option('--rebuild', 'empty the index; the vault fills it again in the background')
    .action((options: LogOptions & { readonly rebuild?: boolean }) => withKit(options.kit, (kit) => showIndex(kit, options)));
}

function paging(command: Command): Command {
  return command
    .option('--limit <n>', 'how many, 1 to 10000', limit, 50)
    .option('--at <index>', 'go on from this index, as the last line of the page before says')
    .option('--oldest', 'oldest first');
}

function searchOptions(command: Command): Command {
  return times(command)
    .option('--principal <name>', 'a requester or an administrator, by name or id')
    .option('--key <digest>', 'SHA-256 of the TLS key of whoever asked')
    .option('--model <name>', 'by name or id')
    .option('--version <id>', 'of a model')
    .option('--type <type>', 'e.g. release.denied')
    .option('--outcome <outcome>', 'the decision: permit, deny, success or failure')
    .option('--reason <code>', 'why it was refused or failed')
    .option('--measurement <value>', 'a reference value that matched, or a digest that was measured')
    .option('--release <id>', 'all of one release')
    .option('--request <id>', 'of a request, or of an operation that people approve')
    .option('--min-bytes <n>', 'releases that ended with at least so many bytes');
}

function times(command: Command): Command {
  return command.option('--from <time>', 'not before, ISO 8601 in UTC').option('--to <time>', 'not after');
}

function limit(text: string): number {
  const value = Number(text);
  if (!/^[0-9]{1,5}$/.test(text) || value < 1 || value > 10_000) throw new InvalidArgumentError('It is 1 to 10000.');
  return value;
}

function queryOf(options: Partial<SearchOptions> & Fields, more: Readonly<Record<string, string | number | undefined>>): string {
  const said = SEARCH_FIELDS.filter((field) => field !== 'namespace').map((field) => [field, options[field]] as const);
  const asked = [...said, ['from', options.from], ['to', options.to], ['minBytes', options.minBytes], ...Object.entries(more)] as const;
  const query = new URLSearchParams();
  for (const [name, value] of asked) if (value !== undefined) query.set(name, String(value));
  return `?${query}`;
}

async function search(kit: Kit, options: SearchOptions & Fields): Promise<void> {
  const records: Page['records'] = [];
  const order = options.oldest === true ? 'oldest' : 'newest';
  let at: number | undefined = options.at === undefined ? undefined : Number(options.at);
  do {
    const asked = queryOf(options, { order, at, limit: Math.min(CALL, options.limit - records.length) });
    const { next, ...found }: Page = page.parse(await kit.call('GET', `${logPath(options)}/records${asked}`));
    records.push(...found.records);
    at = next;
  } while (at !== undefined && records.length < options.limit);
  const answer = { records: records.map(parsed), ...(at !== undefined && { next: at }) };
  const more = at === undefined ? [] : [`More: --at ${at}`];
  print(options, answer, records.length === 0 ? ['No records.', ...more] : [...lines(records), ...more]);
}

async function tail(kit: Kit, options: LogOptions & Fields): Promise<void> {
  using interruption = watchInterruption();
  const { signal } = interruption;
  const { promise: ended, reject } = Promise.withResolvers<never>();
  ended.catch(() => undefined); // it may end between two calls: the next one ends then
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  const { indexed } = page.parse(await Promise.race([ended, kit.call('GET', `${logPath(options)}/records?limit=1`)]));
  note('Waiting for records; Ctrl-C ends.');
  for (let at = indexed; ; ) {
    const asked = queryOf(options, { order: 'oldest', at, wait: WAIT_SECONDS, limit: CALL });
    const found = page.parse(await Promise.race([ended, kit.call('GET', `${logPath(options)}/records${asked}`)]));
    at = found.next ?? Math.max(at, found.indexed);
    for (const record of found.records)
      process.stdout.write(options.json ? `${safeJson(parsed(record))}\n` : `${cells(record).map(shown).join('  ')}\n`);
  }
}

async function stats(kit: Kit, options: LogOptions & { readonly from?: string; readonly to?: string }): Promise<void> {
  const { tallies, indexed } = totals.parse(await kit.call('GET', `${logPath(options)}/totals${queryOf(options, {})}`));
  const sums = new Map<string, { type: string; outcome: string; reason: string; records: number; bytes: number }>();
  for (const { type, outcome, reason, records, bytes } of tallies) {
    const key = `${type}\0${outcome}\0${reason}`;
    const sum = sums.get(key) ?? { type, outcome, reason, records: 0, bytes: 0 };
    sums.set(key, { ...sum, records: sum.records + records, bytes: sum.bytes + bytes });
  }
  const rows = [...sums.values()]
    .sort((a, b) => b.records - a.records)
    .map((sum) => [sum.type, sum.outcome, sum.reason, String(sum.records), sum.bytes === 0 ? '' : inUnits(sum.bytes)]);
  print(options, { tallies, indexed }, aligned(['type', 'outcome', 'reason', 'records', 'released'], rows));
}

async function showIndex(kit: Kit, options: LogOptions & { readonly rebuild?: boolean }): Promise<void> {
  const answer = options.rebuild === true ? await kit.call('POST', '/v1/log/index/rebuild') : await kit.call('GET', '/v1/log/index');
  const { indexed, records } = index.parse(answer);
  print(options, { indexed, records }, [`${indexed} of ${records} records can be searched.`]);
}

function parsed({ index: at, leaf }: Page['records'][number]): object {
  const record = saidBy(Buffer.from(leaf));
  return record === undefined ? { index: at, leaf } : { index: at, record };
}

function lines(records: Page['records']): string[] {
  return aligned(['index', 'time', 'type', 'outcome', 'principal', 'object', 'said', 'record'], records.map(cells));
}

function cells({ index: at, leaf }: Page['records'][number]): string[] {
  const said = saidBy(Buffer.from(leaf));
  const principal = textAt(said, 'actor', 'subjectId') ?? textAt(said, 'actor', 'administratorId') ?? textAt(said, 'actor', 'kind') ?? '';
  const object =
    textAt(said, 'object', 'versionId') ?? textAt(said, 'object', 'modelId') ?? textAt(said, 'object', 'requested', 'model') ?? '';
  const bytes = numberAt(said, 'release', 'bytes');
  const about = textAt(said, 'reason') ?? (bytes === undefined ? textAt(said, 'detail') : inUnits(bytes)) ?? '';
  const member = (name: string) => textAt(said, name) ?? '';
  return [String(at), member('time'), member('type'), member('outcome'), principal, object, about.slice(0, 60), member('recordId')];
}
