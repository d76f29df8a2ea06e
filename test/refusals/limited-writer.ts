/**
 * Child process of log-not-writable.test.ts: real stores while no file of this process may grow (RLIMIT_FSIZE), and afterwards. Prints
 * what they said.
 */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { createFsBlobStore } from '../../src/blobs/fs/fs-blob-store.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { codeOf } from '../../src/domain/errors.ts';
import { type BlobName, newId, type RecordId } from '../../src/domain/ids.ts';
import { openSqliteStores } from '../../src/stores/sqlite/sqlite-stores.ts';

const [folder = ''] = process.argv.slice(2);
mkdirSync(join(folder, 'blobs'));
const file = join(folder, 'vault.db');
let diskFailures = 0;
const onDiskFailure = () => {
  diskFailures++; // the vault ends itself here
};
let stores = await openSqliteStores({ file, clock: systemClock, onDiskFailure });
const blobs = await createFsBlobStore({ folder: join(folder, 'blobs') });
const blob = randomBytes(3 << 20);
const name = createHash('sha256').update(blob).digest('hex') as BlobName;

const append = () => stores.unitOfWork.run((tx) => stores.log.append(tx, newId<RecordId>(new Date()), new Uint8Array(400), []));
const attempt = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: unknown) => codeOf(error),
  );
const both = async () => ({ append: await attempt(append()), put: await attempt(blobs.put(name, [blob])) });
const limitFiles = (soft: string) => execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${soft}:`]);

await append();
const database = new Database(file);
database.pragma('wal_checkpoint(TRUNCATE)'); // the next commit takes a frame of 4120 bytes behind 32 of header
limitFiles('4096');
const limited = await both();
limitFiles('unlimited');
const left = readdirSync(join(folder, 'blobs', 'tmp'));
const lifted = await both();
await stores.close();
stores = await openSqliteStores({ file, clock: systemClock }); // as the next process does
const next = await attempt(append());
const records = database.prepare('SELECT count(*) FROM log_leaves').pluck().get();
const integrity = database.pragma('integrity_check', { simple: true });
process.stdout.write(JSON.stringify({ limited, left, lifted, diskFailures, next, records, integrity }));
database.close();
await stores.close();
