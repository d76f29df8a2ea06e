/** Which commands `wv` has, and where each lives. Only what was asked for is loaded: `wv sealed` needs neither a database nor Cedar. */
import { Command, type OutputConfiguration } from 'commander';

type Register = (program: Command) => void;

/** A new command is a row here, in the order of the help. */
const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  init: async () => (await import('./init.ts')).registerInit,
  serve: async () => (await import('./serve.ts')).registerServe,
  keeper: async () => (await import('./keeper.ts')).registerKeeper,
  doctor: async () => (await import('./doctor.ts')).registerDoctor,
  login: async () => (await import('./login.ts')).registerLogin,
  logout: async () => (await import('./login.ts')).registerLogout,
  whoami: async () => (await import('./login.ts')).registerWhoami,
  models: async () => (await import('./models.ts')).registerModels,
  publish: async () => (await import('./publish.ts')).registerPublish,
  requests: async () => (await import('./requests.ts')).registerRequests,
  approve: async () => (await import('./requests.ts')).registerRequests,
  cancel: async () => (await import('./requests.ts')).registerCancel,
  admin: async () => (await import('./admin.ts')).registerAdmin,
  attester: async () => (await import('./attester.ts')).registerAttester,
  fetch: async () => (await import('./fetch.ts')).registerFetch,
  policy: async () => (await import('./policy.ts')).registerPolicy,
  promote: async () => (await import('./names.ts')).registerPromote,
  alias: async () => (await import('./names.ts')).registerAlias,
  class: async () => (await import('./names.ts')).registerClass,
  destroy: async () => (await import('./names.ts')).registerDestroy,
  keys: async () => (await import('./keys.ts')).registerKeys,
  reference: async () => (await import('./reference.ts')).registerReference,
  anchors: async () => (await import('./reference.ts')).registerAnchors,
  evidence: async () => (await import('./evidence.ts')).registerEvidence,
  enrol: async () => (await import('./enrol.ts')).registerEnrol,
  block: async () => (await import('./enrol.ts')).registerBlock,
  suspend: async () => (await import('./stops.ts')).registerSuspend,
  lockdown: async () => (await import('./stops.ts')).registerLockdown,
  stops: async () => (await import('./stops.ts')).registerStops,
  lift: async () => (await import('./stops.ts')).registerLift,
  backup: async () => (await import('./backup.ts')).registerBackup,
  restore: async () => (await import('./backup.ts')).registerRestore,
  log: async () => (await import('./log.ts')).registerLog,
  alerts: async () => (await import('./alerts.ts')).registerAlerts,
  receipt: async () => (await import('./receipt.ts')).registerReceipt,
  witness: async () => (await import('./witness.ts')).registerWitness,
  sealed: async () => (await import('./sealed.ts')).registerSealed,
  completion: async () => (await import('./completion.ts')).registerCompletion,
};

/** The program with the command `asked`; with all of them when there is none of that name. It throws where commander would exit. */
export async function createProgram(asked?: string, output: OutputConfiguration = {}): Promise<Command> {
  const program = new Command('wv')
    .description('Weight Vault: encrypted model weights, released to attested requesters only')
    .configureOutput(output)
    .showHelpAfterError('(add --help for the options and examples)')
    .exitOverride(); // commands added below inherit these three
  const names = asked !== undefined && Object.hasOwn(COMMANDS, asked) ? [asked] : Object.keys(COMMANDS);
  const registers = new Set(await Promise.all(names.map((name) => COMMANDS[name]?.())));
  for (const register of registers) register?.(program);
  return program;
}
