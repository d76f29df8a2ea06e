/** Child process of sqlite.test.ts: appends records one transaction at a time and reports each id on stdout once its `run` resolved. */
import { writeSync } from 'node:fs';
import { systemClock } from '../../src/domain/clock.ts';
import { newId, type RecordId } from '../../src/domain/ids.ts';
import { openSqliteStores } from '../../src/stores/sqlite/sqlite-stores.ts';

const [file = '', count = '0'] = process.argv.slice(2);
const stores = await openSqliteStores({ file, clock: systemClock });
for (let done = 0; done < Number(count); done++) {
  const recordId = newId<RecordId>(new Date());
  await stores.unitOfWork.run((tx) => stores.log.append(tx, recordId, new Uint8Array(400), []));
  writeSync(1, `${recordId}\n`);
}
await stores.close();
