/**
 * A process that rewraps until it is killed or done, with the real database and keeper: what `wv serve` does in the background, and nothing else.
 * It says `round` before each, and `batch` or `idle` after it, so that whoever kills it knows what it was doing.
 *
 *   node test/harness/rewrap-child.ts {"database", "socket", "vaultId", "vaultDocument", "node"?}
 */
import { createPublicKey } from 'node:crypto';
import { createAccessLog } from '../../src/audit/access-log.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { codeOf } from '../../src/domain/errors.ts';
import { type Incarnation, newId } from '../../src/domain/ids.ts';
import { createKeeperClient } from '../../src/keys/keeper/client.ts';
import { openSqliteStores } from '../../src/stores/sqlite/sqlite-stores.ts';
import { CATALOGUE_KEY, KEK } from '../../src/vault/init.ts';
import { createRewrapper, type Rewrapper } from '../../src/vault/rewrap.ts';
import { startRewrapping } from '../../src/vault/rewrapping.ts';

const { database, socket, vaultId, vaultDocument, node = newId<Incarnation>(new Date()) } = JSON.parse(process.argv[2] ?? '{}');
const stores = await openSqliteStores({ file: database, clock: systemClock });
const keys = createKeeperClient({ socket });
const { publicKey } = await keys.describe(CATALOGUE_KEY);
const catalogueKey = {
  publicKey: createPublicKey({ key: Buffer.from(publicKey ?? []), format: 'der', type: 'spki' }),
  sign: (message: Uint8Array) => keys.sign(CATALOGUE_KEY, message),
};
const accessLog = createAccessLog({ log: stores.log, vaultId, node, configDigest: vaultDocument });
const vault = { vaultId, node, stores, catalogueKey, kek: KEK, keys, accessLog };
const rewrapper = createRewrapper(vault, (what, error) => console.error(`${what}: ${codeOf(error)}`));
const told: Rewrapper = {
  async round() {
    console.log('round');
    const done = await rewrapper.round();
    console.log(done.idle ? 'idle' : 'batch');
    return done;
  },
};
const stop = startRewrapping(told, (error) => console.error(codeOf(error)));
const watch = setInterval(async () => {
  const job = await stores.unitOfWork.run((tx) => stores.catalog.rewrapJob(tx));
  if (job?.finishedAt === undefined) return;
  clearInterval(watch);
  await stop();
  await keys.close();
  await stores.close();
  console.log('finished');
}, 200);
