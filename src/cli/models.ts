/** `wv models`: what a namespace holds. */
import type { Command } from 'commander';
import { z } from 'zod';
import { type CodeOptions, codeOptions } from './code.ts';
import { addAdminCommand, addGroup } from './command.ts';
import { type AdminOptions, type Kit, namespacePath, withKit } from './kit.ts';
import { aligned, inUnits, print } from './output.ts';
import { callSteppedUp } from './step-up.ts';

const pointer = z.object({ versionId: z.string(), state: z.string(), createdAt: z.string(), versionDigest: z.string().optional() });
const modelsPage = z.object({
  models: z.array(z.object({ name: z.string(), modelId: z.string(), class: z.string(), newest: pointer.optional() })),
  next: z.string().optional(),
});
const version = pointer.extend({
  class: z.string().optional(),
  files: z.int().optional(),
  bytes: z.int().optional(),
  attributes: z.record(z.string(), z.string()).optional(),
  promoted: z.object({ at: z.string(), by: z.array(z.string()) }).optional(),
  problem: z.string().optional(),
});
const versionsPage = z.object({
  name: z.string(),
  modelId: z.string(),
  class: z.string(),
  versions: z.array(version),
  next: z.string().optional(),
});
type Version = z.output<typeof version>;

export function registerModels(program: Command): void {
  const models = addGroup(program, 'models', 'Models of a namespace and their versions');
  addAdminCommand(
    models,
    'list',
    'List every model, its class and its newest version (what `wv models` alone does)',
    ['wv models list --kit kits/alice', 'wv models --kit kits/alice --namespace research --json'],
    { isDefault: true },
  ).action((options: AdminOptions) => withKit(options.kit, (kit) => list(kit, options)));
  addAdminCommand(models, 'versions <model>', 'List the versions of a model, newest first: state, class, size, digest, who promoted', [
    'wv models versions --kit kits/alice llama-70b',
    'wv models versions --kit kits/alice --json llama-70b',
  ]).action((model: string, options: AdminOptions) => withKit(options.kit, (kit) => listVersions(kit, model, options)));
  addAdminCommand(models, 'show <model>', 'Show a model and all that is known of its newest version', [
    'wv models show --kit kits/alice llama-70b',
    'wv models show --kit kits/alice --namespace research --json llama-70b',
  ]).action((model: string, options: AdminOptions) => withKit(options.kit, (kit) => show(kit, model, options)));
  codeOptions(
    addAdminCommand(
      models,
      'decoy <model>',
      'Ask for a model to be a decoy: whoever touches it is blocked; another administrator must consent',
      ['wv models decoy --kit kits/alice gpt-next', 'wv models decoy --kit kits/alice --end gpt-next'],
    ).option('--end', 'it is no decoy any more'),
  ).action((model: string, options: DecoyOptions) => withKit(options.kit, (kit) => decoy(kit, model, options)));
}

interface DecoyOptions extends AdminOptions, CodeOptions {
  readonly end?: boolean;
}

async function decoy(kit: Kit, model: string, options: DecoyOptions): Promise<void> {
  const path = `${namespacePath(options)}/models/${encodeURIComponent(model)}/decoy`;
  const answer = await callSteppedUp(kit, 'PUT', path, { state: options.end === true ? 'ordinary' : 'decoy' }, options);
  const [request, digest] = [String(answer['requestId']), String(answer['operationDigest'])];
  print(options, answer, [`Waits for another administrator: wv approve ${request} ${digest}`]);
}

async function list(kit: Kit, options: AdminOptions): Promise<void> {
  const models = [];
  let after = '';
  do {
    const page = modelsPage.parse(await kit.call('GET', `${namespacePath(options)}/models${after && `?after=${after}`}`));
    models.push(...page.models);
    after = page.next === undefined ? '' : encodeURIComponent(page.next);
  } while (after !== '');
  const rows = models.map(({ name, class: classNow, newest }) => [
    name,
    classNow,
    newest?.versionId ?? '',
    newest?.state ?? 'no version yet',
  ]);
  print(options, { models }, models.length === 0 ? ['No models.'] : aligned(['model', 'class', 'newest version', 'state'], rows));
}

async function listVersions(kit: Kit, model: string, options: AdminOptions): Promise<void> {
  const versions: Version[] = [];
  let about: { name: string; modelId: string; class: string };
  let before = '';
  do {
    const page = await readVersions(kit, model, before && `?before=${before}`, options);
    about = { name: page.name, modelId: page.modelId, class: page.class };
    versions.push(...page.versions);
    before = page.next === undefined ? '' : encodeURIComponent(page.next);
  } while (before !== '');
  const rows = versions.map((one) => [
    ...[one.versionId, one.problem ?? one.state, one.class ?? '', one.bytes === undefined ? '' : inUnits(one.bytes)],
    ...[one.createdAt, one.promoted === undefined ? '' : one.promoted.by.join(', '), one.versionDigest ?? ''],
  ]);
  const headings = ['version', 'state', 'class', 'size', 'created', 'promoted by', 'digest'];
  print(options, { ...about, versions }, versions.length === 0 ? ['No versions.'] : aligned(headings, rows));
}

async function show(kit: Kit, model: string, options: AdminOptions): Promise<void> {
  const { versions, name, modelId, class: classNow } = await readVersions(kit, model, '?limit=1', options);
  const [newest] = versions;
  print(options, { name, modelId, class: classNow, ...(newest && { newest }) }, [
    ...aligned(['model', name], [['id', modelId], ['class', classNow], ...(newest === undefined ? [] : describe(newest))]),
  ]);
}

function describe(newest: Version): string[][] {
  const rows: Array<[string, string | undefined]> = [
    ['newest version', newest.versionId],
    ['state', newest.state],
    ['problem', newest.problem],
    ['signed class', newest.class],
    ['created', newest.createdAt],
    ['digest', newest.versionDigest],
    ['files', newest.files?.toString()],
    ['size', newest.bytes === undefined ? undefined : `${inUnits(newest.bytes)} (${newest.bytes} bytes)`],
    ['promoted', newest.promoted && `${newest.promoted.at} by ${newest.promoted.by.join(', ')}`],
    ...Object.entries(newest.attributes ?? {}).map(([key, value]): [string, string] => [`attribute ${key}`, value]),
  ];
  return rows.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]));
}

async function readVersions(kit: Kit, model: string, query: string, options: AdminOptions) {
  return versionsPage.parse(await kit.call('GET', `${namespacePath(options)}/models/${encodeURIComponent(model)}/versions${query}`));
}
