/** `wv`: exit 0 done, 1 unforeseen, 2 wrong usage, 3 refused with the code on standard error. */
import { Command } from 'commander';
import { registerAdministration } from './administration.ts';
import { registerAttester } from './attester.ts';
import { registerFetch } from './fetch.ts';
import { registerInit } from './init.ts';
import { registerLog } from './log.ts';
import { registerPublish } from './publish.ts';
import { registerSealed, sealedExit } from './sealed.ts';
import { registerServe } from './serve.ts';

const program = new Command('wv').description('Weight Vault: encrypted model weights, released to attested requesters only').exitOverride();
for (const register of [registerInit, registerServe, registerAdministration, registerPublish, registerAttester, registerFetch, registerLog])
  register(program);
registerSealed(program);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = sealedExit(error);
}
