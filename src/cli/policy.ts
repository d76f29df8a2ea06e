/** `wv policy`: the access policies of a namespace. */
import type { Command } from 'commander';
import { VaultError } from '../domain/errors.ts';
import { splitPolicies } from '../policy/policy-set.ts';
import { addAdminCommand, addGroup } from './command.ts';
import { readUserFile } from './files.ts';
import { type AdminOptions, withKit } from './kit.ts';
import { registerPolicyTools } from './policy-tools.ts';
import { propose } from './propose.ts';

export function registerPolicy(program: Command): void {
  const policy = addGroup(program, 'policy', 'Access policies of a namespace');
  addAdminCommand(policy, 'set <file...>', 'Propose a policy set made of these .cedar files', [
    'wv policy set --kit kits/alice policies/production.cedar',
    'wv policy set --kit kits/alice --namespace research policies/fleet.cedar policies/hours.cedar',
  ]).action((files: string[], options: AdminOptions) =>
    withKit(options.kit, async (kit) => propose(kit, 'policy-set', { policies: await readPolicies(files) }, options)),
  );
  registerPolicyTools(policy);
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
