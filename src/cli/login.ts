/** `wv login`, `wv logout`, `wv whoami`: the session of this workstation. */
import type { Command } from 'commander';
import { z } from 'zod';
import { type CodeOptions, codeOptions, readCode } from './code.ts';
import { addAdminCommand } from './command.ts';
import { type AdminOptions, type Kit, withKit } from './kit.ts';
import { print } from './output.ts';

export function registerLogin(program: Command): void {
  codeOptions(
    addAdminCommand(program, 'login', 'Open a session on this workstation; asks for the code of your authenticator app', [
      'wv login --kit kits/alice',
      'wv login --kit kits/alice --code-stdin --json < code',
    ]),
  ).action((options: AdminOptions & CodeOptions) => withKit(options.kit, (kit) => logIn(kit, options)));
}

export function registerLogout(program: Command): void {
  addAdminCommand(program, 'logout', 'End the session of this workstation', [
    'wv logout --kit kits/alice',
    'wv logout --kit kits/alice --json',
  ]).action((options: AdminOptions) => withKit(options.kit, (kit) => logOut(kit, options)));
}

export function registerWhoami(program: Command): void {
  addAdminCommand(program, 'whoami', 'Show whose session this is, and with which roles', [
    'wv whoami --kit kits/alice',
    'wv whoami --kit kits/alice --json',
  ]).action((options: AdminOptions) => withKit(options.kit, (kit) => whoAmI(kit, options)));
}

const opened = z.object({ token: z.string() });

async function logIn(kit: Kit, options: AdminOptions & CodeOptions): Promise<void> {
  const code = await readCode(options);
  const answer = await kit.https.json('POST', '/v1/session', { administrator: kit.administrator, code });
  await kit.saveSession(opened.parse(answer).token);
  print(options, { administrator: kit.administrator }, [`${kit.administrator} is logged in on this workstation.`]);
}

/** The token here goes even when the vault cannot be told: then it ends by itself, unused, after a while. */
async function logOut(kit: Kit, options: AdminOptions): Promise<void> {
  try {
    await kit.call('DELETE', '/v1/session');
  } finally {
    await kit.forgetSession();
  }
  print(options, { administrator: kit.administrator }, [`${kit.administrator} is logged out on this workstation.`]);
}

const self = z.object({ administrator: z.string(), administratorId: z.string(), roles: z.array(z.string()) });

async function whoAmI(kit: Kit, options: AdminOptions): Promise<void> {
  const { administrator, administratorId, roles } = self.parse(await kit.call('GET', '/v1/session'));
  print(options, { administrator, administratorId, roles }, [`${administrator} (${administratorId}): ${roles.join(', ')}`]);
}
