/**
 * Child process of the fault tests: the vault's stores, access log, sequencer and kept checkpoint, as a server has them, under a fixed key. Appends records
 * a few at a time, which then share a commit, and says `ack <recordId>` on standard output only when its transaction is durable. Ends as a server does when
 * its disk fails.
 */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createAccessLog } from '../../../src/audit/access-log.ts';
import { createHeadFile } from '../../../src/audit/head-file/head-file.ts';
import { createSequencer } from '../../../src/audit/sequencer.ts';
import { systemClock } from '../../../src/domain/clock.ts';
import { type Digest, type Incarnation, newId, type VaultId } from '../../../src/domain/ids.ts';
import { openSqliteStores } from '../../../src/stores/sqlite/sqlite-stores.ts';
import { endProcess } from '../../../src/telemetry/end-process.ts';

const [folder = '', records = '0', together = '4', checkpointEvery = '12'] = process.argv.slice(2);
const privateKey = createPrivateKey(readFileSync(join(folder, 'log.pem'), 'utf8'));
const publicKey = new Uint8Array(createPublicKey(privateKey).export({ format: 'der', type: 'spki' }));
const say = (line: string) => void writeSync(1, `${line}\n`);
let failedAtMs = 0;
const error = (message: string) => {
  failedAtMs = performance.now();
  say(`failed ${message}`);
};
process.once('exit', () => failedAtMs > 0 && say(`ended ${Math.round(performance.now() - failedAtMs)}`));

const stores = await openSqliteStores({
  file: join(folder, 'vault.db'),
  clock: systemClock,
  onDiskFailure: endProcess({ info: () => undefined, warn: () => undefined, error }),
});
const node = newId<Incarnation>(new Date());
const sequencer = createSequencer({
  unitOfWork: stores.unitOfWork,
  log: stores.log,
  origin: 'vault.example/access',
  publicKey,
  sign: async (text) => {
    say(`signed ${new TextDecoder().decode(text).split('\n')[1]}`);
    return new Uint8Array(sign(null, text, privateKey));
  },
  node,
  clock: systemClock,
  heads: createHeadFile(join(folder, 'head'), stores.giveUp),
});
const access = createAccessLog({ log: stores.log, vaultId: newId<VaultId>(new Date()), node, configDigest: 'ab'.repeat(32) as Digest });
say('ready');
for (let at = 0; at < Number(records); at += Number(together)) {
  const wanted = Array.from({ length: Math.min(Number(together), Number(records) - at) }, append);
  const refused = (await Promise.all(wanted)).includes(false);
  // A disk that is full may have room again.
  if (refused) await new Promise((resolve) => setTimeout(resolve, 5));
  if (at % Number(checkpointEvery) === 0) await sequencer.tick();
  if (at === Number(records) / 2) await stores.purgeDeleted().catch(() => undefined); // the write-ahead log goes into the database and begins anew
}
await sequencer.tick();
await sequencer.stop();
await stores.close();
say('done');

async function append(): Promise<boolean> {
  const draft = { type: 'vault.started', outcome: 'success', actor: { kind: 'system' } } as const;
  try {
    say(`ack ${await stores.unitOfWork.run((tx) => access.append(tx, draft))}`);
    return true;
  } catch {
    say('refused');
    return false;
  }
}
