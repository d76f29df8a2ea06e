/** `wv`. Exit codes: exit-codes.ts. The commands: commands.ts. */
import { createProgram } from './commands.ts';
import { reportFailure } from './failure.ts';

const json = process.argv.includes('--json');
try {
  // With --json, what commander says about wrong usage goes out as JSON too, by reportFailure.
  const program = await createProgram(process.argv[2], json ? { writeErr: () => {} } : {});
  await program.parseAsync();
} catch (error) {
  process.exitCode = reportFailure(error, json);
}
