import { join } from 'node:path';
import type { Command } from 'commander';
import { VaultError } from '../domain/errors.ts';
import { addCommand } from './command.ts';
import { print } from './output.ts';

export function registerServe(program: Command): void {
  addCommand(program, 'serve', 'Serve the data plane, the admin plane, or both; ends in order on SIGTERM or SIGINT', [
    'wv serve --folder vault',
    'wv serve --folder vault --plane data --json',
  ])
    .requiredOption('--folder <folder>', 'the folder with vault.json')
    .option('--plane <plane>', 'data, admin or both', 'both')
    .action(async (options: { folder: string; plane: string; json?: boolean }) => {
      const { plane } = options;
      if (plane !== 'data' && plane !== 'admin' && plane !== 'both') throw new VaultError('usage', '--plane is data, admin or both');
      const { serve } = await import('../main.ts'); // the whole server: nobody else should wait for it
      const serving = await serve(join(options.folder, 'vault.json'), plane);
      const told = new Promise<void>((resolve) => {
        for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
      }); // before anyone knows that it serves, so that nobody ends it out of order
      const { dataPort, adminPort } = serving;
      print(options, { serving: true, dataPort, adminPort, pid: process.pid }, [
        `Serving. Data plane: ${dataPort ?? 'off'}. Admin plane: ${adminPort ?? 'off'}.`,
      ]);
      await told;
      await serving.stop();
    });
}
