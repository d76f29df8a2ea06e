/** `wv enrol`, `wv block`: requesters come in, by credential activation or because an issuer of tokens knows them, and are stopped. */
import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { VaultError } from '../domain/errors.ts';
import { WORKLOAD_KINDS, type WorkloadKind } from '../domain/evidence.ts';
import { addAdminCommand, addGroup, attributeOption } from './command.ts';
import { parseAttributes, readUserJson } from './files.ts';
import { type AdminOptions, type Kit, namespacePath, withKit } from './kit.ts';
import { print } from './output.ts';

const answerFile = z.strictObject({ requestId: z.string(), secret: z.string() });

interface BeginOptions extends AdminOptions {
  readonly name: string;
  readonly out: string;
  readonly attribute?: readonly string[];
}

interface TokenOptions extends AdminOptions {
  readonly name: string;
  readonly issuer: string;
  readonly subject: string;
  readonly attribute?: readonly string[];
}

interface WorkloadOptions extends AdminOptions {
  readonly name: string;
  readonly kind: WorkloadKind;
  readonly by: string;
  readonly attribute?: readonly string[];
}

export function registerEnrol(program: Command): void {
  const enrol = addGroup(program, 'enrol', 'Enrol a requester');
  attributeOption(
    addAdminCommand(enrol, 'begin <request>', 'Check the machine request and write the credential for its TPM', [
      'wv enrol begin --kit kits/alice --name gpu-07 --attribute fleet=production --out credential.json request.json',
      'wv enrol begin --kit kits/alice --name gpu-08 --out credential.json --json request.json',
    ])
      .requiredOption('--name <name>', 'name of the requester')
      .requiredOption('--out <file>', 'where to write the credential'),
  ).action((file: string, options: BeginOptions) => withKit(options.kit, (kit) => begin(kit, file, options)));
  addAdminCommand(enrol, 'confirm <answer>', "Enrol the machine with its TPM's answer", [
    'wv enrol confirm --kit kits/alice answer.json',
    'wv enrol confirm --kit kits/alice --namespace research --json answer.json',
  ]).action((file: string, options: AdminOptions) => withKit(options.kit, (kit) => confirmAnswer(kit, file, options)));
  attributeOption(
    addAdminCommand(enrol, 'token', 'Enrol whom an issuer of tokens, a trust anchor of the namespace, knows under a subject', [
      'wv enrol token --kit kits/alice --name web-1 --issuer https://issuer.example --subject system:serviceaccount:prod:web',
      'wv enrol token --kit kits/alice --name cvm-1 --issuer https://verifier.example --subject cvm-1 --attribute owner=us --json',
    ])
      .requiredOption('--name <name>', 'name of the requester')
      .requiredOption('--issuer <issuer>', "as in the token's iss, character by character")
      .requiredOption('--subject <subject>', "as in the token's sub, or where the anchor says"),
  ).action((options: TokenOptions) => withKit(options.kit, (kit) => enrolToken(kit, options)));
  attributeOption(
    addAdminCommand(
      enrol,
      'workload',
      'Enrol whatever states one fact: a TEE guest by its measurement or chip, a SPIFFE workload by its id',
      [
        'wv enrol workload --kit kits/alice --name guest-1 --kind tdx --by mrtd=91eb2b44... --attribute fleet=production',
        'wv enrol workload --kit kits/alice --name web-1 --kind spiffe --by spiffeId=spiffe://prod.example/web --json',
      ],
    )
      .requiredOption('--name <name>', 'name of the requester')
      .addOption(new Option('--kind <kind>', 'kind of its evidence').choices(WORKLOAD_KINDS).makeOptionMandatory())
      .requiredOption('--by <fact=value>', 'the fact, as docs/evidence-kinds.md names it'),
  ).action((options: WorkloadOptions) => withKit(options.kit, (kit) => enrolWorkload(kit, options)));
}

async function enrolWorkload(kit: Kit, options: WorkloadOptions): Promise<void> {
  const { name, kind, by } = options;
  const at = by.indexOf('=');
  if (at < 1) throw new VaultError('usage', '--by is fact=value, such as measurement=<96 hex digits>');
  const identity = { fact: by.slice(0, at), value: by.slice(at + 1) };
  const body = { name, kind, identity, attributes: parseAttributes(options.attribute) };
  const answer = await kit.call('POST', `${namespacePath(options)}/workloads`, body);
  print(options, answer, [`${name} is enrolled as ${String(answer['subjectId'])}.`]);
}

async function enrolToken(kit: Kit, options: TokenOptions): Promise<void> {
  const { name, issuer, subject } = options;
  const body = { name, issuer, subject, attributes: parseAttributes(options.attribute) };
  const answer = await kit.call('POST', `${namespacePath(options)}/requesters`, body);
  print(options, answer, [`${name} is enrolled as ${String(answer['subjectId'])}.`]);
}

/** Never asks whether you are sure: it stops something, and may be in a hurry. */
export function registerBlock(program: Command): void {
  addAdminCommand(program, 'block <requester>', 'Stop a requester: its streams are cut within 5 s, and nothing is released to it', [
    'wv block --kit kits/alice gpu-07',
    'wv block --kit kits/alice --namespace research --json gpu-07',
  ]).action((name: string, options: AdminOptions) =>
    withKit(options.kit, async (kit) =>
      print(options, await kit.call('POST', `${namespacePath(options)}/requesters/${encodeURIComponent(name)}/block`), [
        `${name} is blocked.`,
      ]),
    ),
  );
}

async function begin(kit: Kit, file: string, options: BeginOptions): Promise<void> {
  const request = await readUserJson(file, z.looseObject({}));
  const attributes = parseAttributes(options.attribute);
  const answer = await kit.call('POST', `${namespacePath(options)}/enrolments`, { name: options.name, attributes, request });
  await writeFile(options.out, `${JSON.stringify(answer)}\n`, { mode: 0o600 });
  print(options, answer, [`The endorsement is good. Give ${options.out} to the machine; it is worth nothing to any other.`]);
}

async function confirmAnswer(kit: Kit, file: string, options: AdminOptions): Promise<void> {
  const { requestId, secret } = await readUserJson(file, answerFile);
  const answer = await kit.call('POST', `${namespacePath(options)}/enrolments/${encodeURIComponent(requestId)}/confirm`, { secret });
  print(options, answer, [`${String(answer['name'])} is enrolled as ${String(answer['subjectId'])}.`]);
}
