/** `wv witness`: a witness of access logs, for the people of another administrative domain (docs/witness.md). It knows no vault and trusts none. */
import type { Command } from 'commander';
import { formatWitnessVkey } from '../audit/cosignature.ts';
import { VaultError } from '../domain/errors.ts';
import { makeWitness, watchedLogs, watchLog, witnessIdentity } from '../witness/folder.ts';
import { addCommand, addGroup } from './command.ts';
import { reportFailure } from './failure.ts';
import { print } from './output.ts';

export function registerWitness(program: Command): void {
  const witness = addGroup(
    program,
    'witness',
    'A witness of access logs: cosigns checkpoints that continue all it has seen (C2SP tlog-witness)',
  );
  addCommand(witness, 'init <folder>', 'Make a witness and its key; prints the verifier key that logs pin', [
    'wv witness init --name witness.example/w1 witness',
    'wv witness init --name witness.example/w1 --json witness',
  ])
    .requiredOption('--name <name>', 'its name: a URL without its scheme')
    .action((folder: string, options: { name: string; json?: boolean }) => {
      const vkey = makeWitness(folder, options.name);
      print(options, { vkey }, [vkey]);
    });
  addCommand(witness, 'watch <folder> <vkey>', "Watch a log from now on; its key comes by a way that is not the log's own", [
    'wv witness watch witness "$(cat log.vkey)"',
    'wv witness watch --json witness "$(cat log.vkey)"',
  ]).action((folder: string, vkey: string, options: { json?: boolean }) => {
    const { name } = watchLog(folder, vkey);
    print(options, { origin: name }, [`Watches ${name}. Start the witness again if it serves.`]);
  });
  addCommand(witness, 'serve <folder>', 'Serve the witness over HTTP; ends on SIGTERM or SIGINT', [
    'wv witness serve witness',
    'wv witness serve --host 10.0.0.7 --port 7380 --json witness',
  ])
    .option('--host <address>', 'the address to listen on', '127.0.0.1')
    .option('--port <port>', 'the port; 0: a free one', '7380')
    .action((folder: string, options: { host: string; port: string; json?: boolean }) => serve(folder, options));
}

async function serve(folder: string, options: { host: string; port: string; json?: boolean }): Promise<void> {
  const port = Number(options.port);
  if (!/^[0-9]{1,5}$/.test(options.port) || port > 65_535) throw new VaultError('usage', '--port is 0 to 65535');
  const { serveWitness } = await import('../witness/serve.ts');
  const { isDiskFailure } = await import('../witness/heads.ts');
  const told = Promise.withResolvers<unknown>();
  const onFailure = (error: unknown) => {
    if (isDiskFailure(error)) told.resolve(error);
    else reportFailure(error, options.json === true);
  };
  const serving = await serveWitness(folder, options.host, port, { onFailure });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => told.resolve(undefined));
  const vkey = formatWitnessVkey(witnessIdentity(folder).key);
  const origins = watchedLogs(folder).map(({ name }) => name);
  print(options, { serving: true, port: serving.port, vkey, origins, pid: process.pid }, [
    `${vkey}\nServing on port ${serving.port}; watches ${origins.length === 0 ? 'nothing yet' : origins.join(', ')}.`,
  ]);
  const failed = await told.promise;
  await serving.stop();
  if (failed !== undefined) throw failed;
}
