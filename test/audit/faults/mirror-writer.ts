/** Child process of the crash tests: `FOLDER SOURCE VKEY SIZES` mirrors the log of each size below SOURCE into FOLDER, and says `ack <size>` when that is durable. */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { mirrorLog } from '../../../src/audit/mirror.ts';
import { copyIn } from '../../../src/cli/log-source.ts';
import { mirrorFolder } from '../../../src/cli/mirror-folder.ts';

const [folder = '', source = '', vkey = '', sizes = ''] = process.argv.slice(2);
for (const size of sizes.split(',')) {
  await mirrorLog(copyIn(join(source, size)), mirrorFolder(join(folder, 'mirror')), vkey);
  writeSync(1, `ack ${size}\n`);
}
