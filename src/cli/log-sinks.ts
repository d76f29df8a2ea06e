/** `wv log sinks`: where records are sent, and asking for other places. */
import type { Command } from 'commander';
import { z } from 'zod';
import { logSinkList } from '../documents/log-sinks.ts';
import { addCommand, addGroup } from './command.ts';
import { readUserJson } from './files.ts';
import { type Kit, withKit } from './kit.ts';
import { aligned, print } from './output.ts';

interface SinkOptions {
  readonly kit: string;
  readonly json?: boolean;
}

const states = z.object({
  sinks: z.array(
    z.object({
      name: z.string(),
      kind: z.string(),
      next: z.int(),
      behind: z.int(),
      lagSeconds: z.number(),
      lagging: z.boolean(),
      required: z.boolean(),
      refusing: z.boolean(),
    }),
  ),
});

export function registerLogSinks(log: Command): void {
  const sinks = addGroup(log, 'sinks', 'Where records of the access log are sent');
  addCommand(sinks, 'list', 'List the sinks that are in force, and how far each is', [
    'wv log sinks list --kit kits/carol',
    'wv log sinks list --kit kits/carol --json',
  ])
    .requiredOption('--kit <folder>', "the administrator's kit, made by `wv init`")
    .action((options: SinkOptions) => withKit(options.kit, (kit) => list(kit, options)));
  addCommand(sinks, 'set <file>', 'Propose the sinks of a JSON file as the only ones; another person must consent', [
    'wv log sinks set --kit kits/alice sinks.json',
    'wv log sinks set --kit kits/alice --json sinks.json',
  ])
    .requiredOption('--kit <folder>', "the administrator's kit, made by `wv init`")
    .action((file: string, options: SinkOptions) => withKit(options.kit, (kit) => set(kit, file, options)));
}

async function list(kit: Kit, options: SinkOptions): Promise<void> {
  const answer = states.parse(await kit.call('GET', '/v1/log/sinks'));
  const rows = answer.sinks.map(({ name, kind, next, behind, lagSeconds, lagging, refusing }) => [
    ...[
      name,
      kind,
      String(next),
      String(behind),
      behind === 0 ? '' : `${Math.round(lagSeconds)} s`,
      refusing ? 'lags, nothing is released' : lagging ? 'lags' : 'well',
    ],
  ]);
  print(
    options,
    answer,
    rows.length === 0 ? ['Records are sent nowhere.'] : aligned(['sink', 'kind', 'next', 'waiting', 'for', 'state'], rows),
  );
}

/** A list of sinks as docs/formats/documents.md has them. */
async function set(kit: Kit, file: string, options: SinkOptions): Promise<void> {
  const sinks = await readUserJson(file, logSinkList);
  const current = await kit.call('GET', '/v1/namespaces/system/documents/log-sinks');
  const counter = z.int().min(0).parse(current['counter']) + 1;
  const answer = await kit.call('PUT', '/v1/log/sinks', { counter, sinks });
  print(options, answer, [
    `log-sinks ${counter}: request ${String(answer['requestId'])}, digest ${String(answer['operationDigest'])}, ${String(answer['state'])}.`,
  ]);
}
