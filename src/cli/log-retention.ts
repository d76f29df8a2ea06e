/** `wv log retention`: how long records and personal data are kept, and how that changes. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { type CodeOptions, codeOptions } from './code.ts';
import { addCommand } from './command.ts';
import { confirm, confirmOption } from './confirm.ts';
import { type AdminOptions, type Kit, withKit } from './kit.ts';
import { aligned, print } from './output.ts';
import { callSteppedUp } from './step-up.ts';

interface RetentionOptions extends AdminOptions, CodeOptions {
  readonly recordDays?: number | 'never';
  readonly disclosureDays?: number | 'never';
  readonly requireArchive?: 'yes' | 'no';
  readonly yes?: boolean;
}

const PATH = '/v1/log/retention';
const answer = z.object({
  counter: z.int(),
  recordDays: z.int().optional(),
  disclosureDays: z.int().optional(),
  requireArchive: z.boolean().optional(),
  closed: z.object({ until: z.string(), size: z.int() }).optional(),
  prunedBefore: z.int(),
});

export function registerLogRetention(log: Command): void {
  confirmOption(
    codeOptions(
      addCommand(log, 'retention', 'Show how long records and personal data are kept; with days, ask for other ones', [
        'wv log retention --kit kits/carol',
        'wv log retention --kit kits/carol --record-days 2555 --disclosure-days 90',
        'wv log retention --kit kits/carol --record-days 2555 --require-archive yes',
        'wv log retention --kit kits/dave --record-days 2555 --disclosure-days 90 --require-archive no',
        'wv log retention --kit kits/carol --record-days never --yes --json',
      ]).requiredOption('--kit <folder>', "the administrator's kit, made by `wv init`"),
    ),
  )
    .option('--record-days <n>', 'remove records that are older, 365 or more, or `never`; their hashes stay', days)
    .option('--disclosure-days <n>', 'erase names and addresses that are older, or `never`', days)
    .addOption(
      new Option('--require-archive <answer>', 'remove records only once a closed period (`wv log close`) has them').choices(['yes', 'no']),
    )
    .action((options: RetentionOptions) => withKit(options.kit, (kit) => retention(kit, options)));
}

function days(text: string): number | 'never' {
  if (text === 'never') return text;
  if (!/^[1-9][0-9]{0,4}$/.test(text)) throw new InvalidArgumentError('It is a number of days, or never.');
  return Number(text);
}

async function retention(kit: Kit, options: RetentionOptions): Promise<void> {
  const { recordDays, disclosureDays, requireArchive } = options;
  const said = [recordDays, disclosureDays, requireArchive].filter((one) => one !== undefined).length;
  // Who may change it need not be one who may read the log: they say all of it.
  const now = said === 3 ? undefined : answer.parse(await kit.call('GET', PATH));
  if (now !== undefined && said === 0) return show(options, now);
  const archive = requireArchive === undefined ? now?.requireArchive === true : requireArchive === 'yes';
  const next = {
    ...kept('recordDays', recordDays ?? now?.recordDays),
    ...kept('disclosureDays', disclosureDays ?? now?.disclosureDays),
    ...(archive && { requireArchive: true }),
  };
  await confirm(options, 'Removing what is older', 'older');
  const asked = await callSteppedUp(kit, 'PUT', PATH, next, options);
  print(options, asked, [
    `Waits for another administrator: wv approve --namespace system ${String(asked['requestId'])} ${String(asked['operationDigest'])}`,
  ]);
}

function kept(name: 'recordDays' | 'disclosureDays', value: number | 'never' | undefined): object {
  return typeof value === 'number' ? { [name]: value } : {};
}

function show(options: RetentionOptions, now: z.output<typeof answer>): void {
  const { recordDays, disclosureDays, requireArchive, closed, prunedBefore } = now;
  const said = (value: number | undefined) => (value === undefined ? 'for ever' : `${value} days`);
  const rows = [
    ['records', said(recordDays)],
    ['names and addresses', said(disclosureDays)],
    ['pruned below record', String(prunedBefore)],
    ['closed', closed === undefined ? 'never' : `until ${closed.until}, ${closed.size} records`],
    ['only what is closed is pruned', requireArchive === true ? 'yes' : 'no'],
  ];
  print(options, now, aligned(['WHAT', 'KEPT'], rows));
}
