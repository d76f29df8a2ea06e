/** `wv`: exit 0 done, 1 unforeseen, 2 wrong usage, 3 refused with the code on standard error. */
import { Command } from 'commander';
import { sealedExit } from './sealed.ts';

type Register = (program: Command) => void;

/** Where each command lives. Only what was asked for is loaded: `wv sealed` needs neither a database nor Cedar. */
const administration = async () => (await import('./administration.ts')).registerAdministration;
const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  init: async () => (await import('./init.ts')).registerInit,
  serve: async () => (await import('./serve.ts')).registerServe,
  login: administration,
  requests: administration,
  approve: administration,
  policy: administration,
  reference: administration,
  anchors: administration,
  enrol: administration,
  block: administration,
  publish: async () => (await import('./publish.ts')).registerPublish,
  attester: async () => (await import('./attester.ts')).registerAttester,
  fetch: async () => (await import('./fetch.ts')).registerFetch,
  log: async () => (await import('./log.ts')).registerLog,
  sealed: async () => (await import('./sealed.ts')).registerSealed,
};

const program = new Command('wv').description('Weight Vault: encrypted model weights, released to attested requesters only').exitOverride();
try {
  const asked = Object.hasOwn(COMMANDS, process.argv[2] ?? '') ? [process.argv[2] ?? ''] : Object.keys(COMMANDS);
  const loaders = new Set(asked.map((name) => COMMANDS[name]));
  for (const load of loaders) if (load !== undefined) (await load())(program);
  await program.parseAsync();
} catch (error) {
  process.exitCode = sealedExit(error);
}
