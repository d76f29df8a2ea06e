import { join } from 'node:path';
import type { Command } from 'commander';
import { VaultError } from '../domain/errors.ts';
import { serve } from '../main.ts';
import { print, withJson } from './output.ts';

export function registerServe(program: Command): void {
  withJson(
    program
      .command('serve')
      .description('Serve the data plane, the admin plane, or both; ends in order on SIGTERM or SIGINT')
      .requiredOption('--folder <folder>', 'the folder with vault.json')
      .option('--plane <plane>', 'data, admin or both', 'both'),
  ).action(async (options: { folder: string; plane: string; json?: boolean }) => {
    const { plane } = options;
    if (plane !== 'data' && plane !== 'admin' && plane !== 'both') throw new VaultError('usage', '--plane is data, admin or both');
    const serving = await serve(join(options.folder, 'vault.json'), plane);
    const { dataPort, adminPort } = serving;
    print(options, { serving: true, dataPort, adminPort, pid: process.pid }, [
      `Serving. Data plane: ${dataPort ?? 'off'}. Admin plane: ${adminPort ?? 'off'}.`,
    ]);
    await new Promise<void>((resolve) => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
    });
    await serving.stop();
  });
}
