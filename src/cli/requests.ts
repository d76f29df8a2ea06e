/** `wv requests`, `wv approve`: what waits for a second administrator, and consent to it. */
import type { Command } from 'commander';
import { z } from 'zod';
import { type CodeOptions, codeOptions } from './code.ts';
import { addAdminCommand } from './command.ts';
import { type AdminOptions, type Kit, namespacePath, withKit } from './kit.ts';
import { print } from './output.ts';
import { callSteppedUp } from './step-up.ts';

export function registerRequests(program: Command): void {
  addAdminCommand(program, 'requests', 'Show what waits for a second administrator', [
    'wv requests --kit kits/bob',
    'wv requests --kit kits/bob --namespace system --json',
  ]).action((options: AdminOptions) => withKit(options.kit, (kit) => list(kit, options)));
  const approving = addAdminCommand(
    program,
    'approve <request> <digest>',
    'Consent to a request; <digest> is the operation digest that `wv requests` shows. Takes a fresh code',
    [
      'wv approve --kit kits/bob 01890000-0000-7000-8000-000000000000 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
      'wv approve --kit kits/bob --json 01890000-0000-7000-8000-000000000000 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    ],
  );
  codeOptions(approving).action((request: string, digest: string, options: AdminOptions & CodeOptions) =>
    withKit(options.kit, (kit) => approve(kit, request, digest, options)),
  );
}

export function registerCancel(program: Command): void {
  addAdminCommand(program, 'cancel <request>', 'Take a request back: your own, or as someone who could approve it', [
    'wv cancel --kit kits/alice 01890000-0000-7000-8000-000000000000',
    'wv cancel --kit kits/bob --namespace system --json 01890000-0000-7000-8000-000000000000',
  ]).action((request: string, options: AdminOptions) => withKit(options.kit, (kit) => cancel(kit, request, options)));
}

const waiting = z.object({
  requests: z.array(
    z.looseObject({
      requestId: z.string(),
      operationDigest: z.string(),
      summary: z.string(),
      requester: z.string().optional(),
      expiresAt: z.string(),
      operation: z.looseObject({}),
    }),
  ),
});

async function list(kit: Kit, options: AdminOptions): Promise<void> {
  const { requests } = waiting.parse(await kit.call('GET', `${namespacePath(options)}/requests`));
  const lines = requests.flatMap(({ requestId, operationDigest, summary, requester, expiresAt, operation }) => [
    `${requestId} ${operationDigest}`,
    `  ${summary}. Asked by ${requester ?? 'somebody unknown'}, until ${expiresAt}`,
    `  ${JSON.stringify(operation)}`,
  ]);
  const elsewhere = options.namespace === 'system' ? [] : ['What concerns the vault itself waits in --namespace system.'];
  print(options, { requests }, [...(lines.length === 0 ? [`Nothing waits in ${options.namespace}.`] : lines), ...elsewhere]);
}

async function approve(kit: Kit, request: string, operationDigest: string, options: AdminOptions & CodeOptions): Promise<void> {
  const path = `${namespacePath(options)}/requests/${encodeURIComponent(request)}/approve`;
  const answer = await callSteppedUp(kit, 'POST', path, { operationDigest }, options, operationDigest);
  print(options, answer, [`${request} is ${String(answer['state'])}.`]);
}

async function cancel(kit: Kit, request: string, options: AdminOptions): Promise<void> {
  const answer = await kit.call('POST', `${namespacePath(options)}/requests/${encodeURIComponent(request)}/cancel`);
  print(options, answer, [`${request} is ${String(answer['state'])}.`]);
}
