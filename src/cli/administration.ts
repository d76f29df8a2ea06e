/** What administrators do: log in, propose documents, consent to each other's requests, enrol machines, block them. */
import { X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import { referenceValue } from '../documents/bodies.ts';
import { toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { splitPolicies } from '../policy/policy-set.ts';
import { readUserFile, readUserJson } from './files.ts';
import { type Kit, kitOption, namespaceOption, withKit } from './kit.ts';
import { print, withJson } from './output.ts';

interface Common {
  readonly kit: string;
  readonly namespace: string;
  readonly json?: boolean;
}

export function registerAdministration(program: Command): void {
  command(program, 'login', 'Open a session on this workstation')
    .requiredOption('--code <digits>', 'the six digits your authenticator app shows')
    .action((options: Common & { code: string }) => withKit(options.kit, (kit) => logIn(kit, options)));
  command(program, 'requests', 'Show what waits for a second administrator').action((options: Common) =>
    withKit(options.kit, (kit) => list(kit, options)),
  );
  command(program, 'approve <request> <digest>', 'Consent to a request; <digest> is the operation digest that `wv requests` shows').action(
    (request: string, digest: string, options: Common) => withKit(options.kit, (kit) => approve(kit, request, digest, options)),
  );
  const policy = program.command('policy').description('Access policies of a namespace');
  command(policy, 'set <file...>', 'Propose a policy set made of these .cedar files').action((files: string[], options: Common) =>
    withKit(options.kit, async (kit) => propose(kit, 'policy-set', { policies: await readPolicies(files) }, options)),
  );
  const reference = program.command('reference').description('Reference values of a namespace');
  command(reference, 'set <file>', 'Propose the reference values in this JSON file: {"values": [...]}').action(
    (file: string, options: Common) =>
      withKit(options.kit, async (kit) => propose(kit, 'reference-values', await readUserJson(file, valuesFile), options)),
  );
  const anchors = program.command('anchors').description('Trust anchors of a namespace');
  command(anchors, 'set <certificate...>', 'Propose these root certificates (PEM) as the only ones TPM endorsements may lead to').action(
    (files: string[], options: Common) =>
      withKit(options.kit, async (kit) => propose(kit, 'trust-anchors', { anchors: await readAnchors(files) }, options)),
  );
  const enrol = program.command('enrol').description('Enrol a requester by credential activation');
  command(enrol, 'begin <request>', 'Check the machine request and write the credential for its TPM')
    .requiredOption('--name <name>', 'name of the requester')
    .requiredOption('--out <file>', 'where to write the credential')
    .option('--attribute <name=value>', 'what policies may ask for, e.g. fleet=production', (one, all: string[] = []) => [...all, one])
    .action((file: string, options: Common & { name: string; out: string; attribute?: string[] }) =>
      withKit(options.kit, (kit) => beginEnrol(kit, file, options)),
    );
  command(enrol, 'confirm <answer>', "Enrol the machine with its TPM's answer").action((file: string, options: Common) =>
    withKit(options.kit, (kit) => confirmEnrol(kit, file, options)),
  );
  command(program, 'block <requester>', 'Stop a requester: its streams are cut within 5 s, and nothing is released to it').action(
    (name: string, options: Common) =>
      withKit(options.kit, async (kit) =>
        print(options, await kit.call('POST', `${base(options)}/requesters/${encodeURIComponent(name)}/block`), [`${name} is blocked.`]),
      ),
  );
}

const valuesFile = z.strictObject({ values: z.array(referenceValue) });
const answerFile = z.strictObject({ requestId: z.string(), secret: z.string() });

function command(parent: Command, usage: string, description: string): Command {
  return withJson(namespaceOption(kitOption(parent.command(usage).description(description))));
}

const base = (options: Common) => `/v1/namespaces/${encodeURIComponent(options.namespace)}`;

async function logIn(kit: Kit, options: Common & { code: string }): Promise<void> {
  const answer = await kit.https.json('POST', '/v1/session', { administrator: kit.administrator, code: options.code });
  const { token } = z.object({ token: z.string() }).parse(answer);
  await kit.saveSession(token);
  print(options, { administrator: kit.administrator }, [`${kit.administrator} is logged in on this workstation.`]);
}

async function list(kit: Kit, options: Common): Promise<void> {
  const answer = await kit.call('GET', `${base(options)}/requests`);
  const { requests } = z
    .object({ requests: z.array(z.looseObject({ requestId: z.string(), kind: z.string(), operationDigest: z.string() })) })
    .parse(answer);
  const lines = requests.flatMap((one) => [`${one.requestId} ${one.operationDigest} ${one.kind}`, `  ${JSON.stringify(one['operation'])}`]);
  print(options, { requests }, lines.length === 0 ? ['Nothing waits.'] : lines);
}

async function approve(kit: Kit, request: string, operationDigest: string, options: Common): Promise<void> {
  const answer = await kit.call('POST', `${base(options)}/requests/${encodeURIComponent(request)}/approve`, { operationDigest });
  print(options, answer, [`${request} is ${String(answer['state'])}.`]);
}

async function propose(kit: Kit, slot: string, body: object, options: Common): Promise<void> {
  const current = await kit.call('GET', `${base(options)}/documents/${slot}`);
  const counter = z.int().min(0).parse(current['counter']) + 1;
  const answer = await kit.call('PUT', `${base(options)}/documents/${slot}`, { counter, ...body });
  print(options, answer, [
    `${slot} ${counter}: request ${String(answer['requestId'])}, digest ${String(answer['operationDigest'])}, ${String(answer['state'])}.`,
  ]);
}

async function readPolicies(files: readonly string[]): Promise<Record<string, string>> {
  const policies: Record<string, string> = {};
  for (const file of files) {
    for (const [id, text] of Object.entries<string>(splitPolicies((await readUserFile(file)).toString('utf8')))) {
      if (Object.hasOwn(policies, id)) throw new VaultError('usage', `two policies have the id ${id}`);
      policies[id] = text;
    }
  }
  return policies;
}

async function readAnchors(files: readonly string[]): Promise<object[]> {
  return Promise.all(
    files.map(async (file) => {
      const bytes = await readUserFile(file);
      try {
        const certificate = new X509Certificate(bytes);
        return { kind: 'tpm2', name: certificate.subject.replaceAll('\n', ', ').slice(0, 128), certificate: toBase64(certificate.raw) };
      } catch (cause) {
        throw new VaultError('usage', `${file} is not a certificate`, { cause });
      }
    }),
  );
}

async function beginEnrol(kit: Kit, file: string, options: Common & { name: string; out: string; attribute?: string[] }): Promise<void> {
  const request = await readUserJson(file, z.looseObject({}));
  const attributes = Object.fromEntries((options.attribute ?? []).map(parseAttribute));
  const answer = await kit.call('POST', `${base(options)}/enrolments`, { name: options.name, attributes, request });
  await writeFile(options.out, `${JSON.stringify(answer)}\n`, { mode: 0o600 });
  print(options, answer, [`The endorsement is good. Give ${options.out} to the machine; it is worth nothing to any other.`]);
}

function parseAttribute(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new VaultError('usage', '--attribute is name=value');
  return [text.slice(0, at), text.slice(at + 1)];
}

async function confirmEnrol(kit: Kit, file: string, options: Common): Promise<void> {
  const { requestId, secret } = await readUserJson(file, answerFile);
  const answer = await kit.call('POST', `${base(options)}/enrolments/${encodeURIComponent(requestId)}/confirm`, { secret });
  print(options, answer, [`${String(answer['name'])} is enrolled as ${String(answer['subjectId'])}.`]);
}
