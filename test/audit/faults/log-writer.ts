/**
 * Child process of the fault tests: the vault's stores, access log, sequencer and kept checkpoint, as a server has them, under a fixed key. Appends records
 * one after the other and says `ack <recordId>` on standard output only when the transaction is durable. Ends as a server does when its disk fails.
 */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createAccessLog } from '../../../src/audit/access-log.ts';
import { createHeadFile } from '../../../src/audit/head-file/head-file.ts';
import { createSequencer } from '../../../src/audit/sequencer.ts';
import { endProcess } from '../../../src/compose-log.ts';
import { systemClock } from '../../../src/domain/clock.ts';
import { type Digest, type Incarnation, newId, type VaultId } from '../../../src/domain/ids.ts';
import { openSqliteStores } from '../../../src/stores/sqlite/sqlite-stores.ts';

const [folder = '', records = '0', checkpointEvery = '20'] = process.argv.slice(2);
const privateKey = createPrivateKey(readFileSync(join(folder, 'log.pem'), 'utf8'));
const publicKey = new Uint8Array(createPublicKey(privateKey).export({ format: 'der', type: 'spki' }));
const say = (line: string) => void writeSync(1, `${line}\n`);
const log = { info: () => undefined, warn: () => undefined, error: (message: string) => say(`failed ${message}`) };

const stores = await openSqliteStores({ file: join(folder, 'vault.db'), clock: systemClock, onDiskFailure: endProcess(log) });
const node = newId<Incarnation>(new Date());
const sequencer = createSequencer({
  unitOfWork: stores.unitOfWork,
  log: stores.log,
  origin: 'vault.example/access',
  publicKey,
  sign: async (text) => new Uint8Array(sign(null, text, privateKey)),
  node,
  clock: systemClock,
  heads: createHeadFile(join(folder, 'head')),
});
const access = createAccessLog({ log: stores.log, vaultId: newId<VaultId>(new Date()), node, configDigest: 'ab'.repeat(32) as Digest });
say('ready');
for (let at = 0; at < Number(records); at++) {
  try {
    const recordId = await stores.unitOfWork.run((tx) =>
      access.append(tx, { type: 'vault.started', outcome: 'success', actor: { kind: 'system' } }),
    );
    say(`ack ${recordId}`);
  } catch {
    say('refused');
    await new Promise((resolve) => setTimeout(resolve, 5)); // a disk that is full may have room again
  }
  if (at % Number(checkpointEvery) === 0) await sequencer.tick();
}
await sequencer.tick();
await sequencer.stop();
await stores.close();
say('done');
