/**
 * The keeper process: the only one that loads the PKCS#11 library and reads the PIN, or has the credentials for AWS KMS.
 *
 *   node src/keys/keeper/main.ts        configuration as one line of JSON on standard input, which then stays open: when it
 *                                       closes, the parent is gone and so is the keeper. The parent is the vault, or `wv keeper`
 *
 * Standard output: events, one JSON object a line (supervisor.ts). Standard error: what a person should read.
 */
import { dirname } from 'node:path';
import { VaultError } from '../../domain/errors.ts';
import { createMovingKeyProvider } from '../moving-provider.ts';
import type { KeyProvider } from '../port.ts';
import { createKeeperClient } from './client.ts';
import { type KeeperConfig, parseKeeperConfig } from './config.ts';
import { startKeeperServer } from './server.ts';

/** sysexits.h EX_CONFIG: starting again with the same settings cannot work. */
const EXIT_CONFIGURATION = 78;
/** How often the supervisor hears that the event loop turns, which it does not while a native call hangs. */
const ALIVE_MS = 1_000;
/** Lets the last lines out. */
const FLUSH_MS = 50;
const CONFIG_BYTES = 65_536;

function report(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

/** A call into the library hangs on a thread, and an orderly exit would wait for it. The supervisor starts another keeper. */
function giveUp(event: object): void {
  report(event);
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), FLUSH_MS);
}

/** The first line of standard input; everything after it is ignored, except the end. */
function configFromParent(onParentGone: () => void): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    process.stdin.setEncoding('utf8');
    process.stdin.on('data', (piece: string) => {
      text = text.length > CONFIG_BYTES ? text : text + piece;
      const end = text.indexOf('\n');
      if (end >= 0) resolve(text.slice(0, end));
    });
    process.stdin.on('close', () => {
      reject(new VaultError('configuration_invalid', 'standard input closed before the configuration came'));
      onParentGone();
    });
  });
}

async function providerOf(config: KeeperConfig): Promise<KeyProvider> {
  const current = await ownProviderOf(config);
  const { formerKeeper } = config;
  return formerKeeper === undefined ? current : createMovingKeyProvider({ current, former: createKeeperClient({ socket: formerKeeper }) });
}

/** Loaded when it is known which: a keeper has one of the two native worlds in its memory, never both. */
async function ownProviderOf(config: KeeperConfig): Promise<KeyProvider> {
  if (config.provider === 'aws-kms') {
    const { createAwsKmsKeyProvider } = await import('../aws-kms/provider.ts');
    return createAwsKmsKeyProvider(config, report);
  }
  const { createPkcs11KeyProvider } = await import('../pkcs11/provider.ts');
  if (config.dangerouslyAllowExtractableKek)
    console.error('keeper: dangerouslyAllowExtractableKek is set: keys that can leave the token are used');
  const { refusedPinsIn } = await import('../pkcs11/refused-pins.ts');
  return createPkcs11KeyProvider(config, {
    onEvent: (event) => (event.event === 'stuck' ? giveUp(event) : report(event)),
    refusedPins: refusedPinsIn(dirname(config.socket)),
  });
}

async function run(): Promise<void> {
  let stop = async (): Promise<void> => {};
  const end = () => void stop().finally(() => process.exit()); // 0, or what a failed start has set
  process.once('SIGTERM', end);
  process.stdout.on('error', end); // nobody reads our events: the parent is gone

  const config = parseKeeperConfig(await configFromParent(end));
  const provider = await providerOf(config);
  const { socket, socketGroup, ceremony = false } = config;
  const server = await startKeeperServer({ provider, socket, ceremony, ...(socketGroup !== undefined && { socketGroup }) });
  stop = async () => {
    await server.close();
    await provider.close();
  };
  const health = await provider.health(); // the first connection to the token, with its one login
  report({ event: 'ready', ok: health.ok, ...(health.code === undefined ? {} : { code: health.code }) });
  setInterval(() => report({ event: 'alive' }), ALIVE_MS);
}

try {
  await run();
} catch (error) {
  const known = error instanceof VaultError;
  report({ event: 'fatal', code: known ? error.code : 'internal', detail: known ? error.detail : '' });
  console.error(`keeper: ${known ? error.message : 'ended by an unforeseen error'}`);
  process.exitCode = known ? EXIT_CONFIGURATION : 1;
  setTimeout(() => process.exit(), FLUSH_MS).unref(); // lets the two lines out
  process.stdin.destroy();
}
