/** `npm run soak -- --only rewrap [--versions N] [--kills N]`: a rewrap that is killed with -9 at any point, as often as that (docs/soak.md). */
import { type Incarnation, newId } from '../../src/domain/ids.ts';
import { FAST, killedAfterMs, SLOW, startRewrapSite } from '../harness/rewrap-site.ts';

/** Every so many kills, the next process is a new one to the database, and waits for the lease of the one that was killed. */
const KILLS_PER_NODE = 4;
const FINISH_MS = 600_000;

/** Resolves with what was violated: fewer kills during the rewrap than were asked for, too. */
export async function killRewraps(versions: number, kills: number, random: () => number): Promise<readonly string[]> {
  const startedAt = performance.now();
  const site = await startRewrapSite(versions);
  const violated: string[] = [];
  const check = async (when: string, some?: number) => {
    violated.push(...(await site.disagreements()).map((what) => `${when}: ${what}`));
    violated.push(...(await site.unreadable(some)).map((versionId) => `${when}: ${versionId} is unreadable`));
  };
  const says = async (killed: number) =>
    console.log(`${Math.round((performance.now() - startedAt) / 1000)} s: ${killed} killed, ${await site.moved()} of ${versions} moved`);
  try {
    await site.setRate(SLOW);
    await says(0);
    let [killed, inBatch] = [0, 0];
    for (let node = newId<Incarnation>(new Date()); killed < kills; killed++) {
      if (killed > 0 && killed % KILLS_PER_NODE === 0) node = newId<Incarnation>(new Date());
      const was = await site.workUntilKilled(killedAfterMs(site.batchMs(), random), node);
      if (was === 'after the end') break;
      if (was === 'in a batch') inBatch++;
      await check(`after kill ${killed + 1}`, 20);
      if ((killed + 1) % 10 === 0) await says(killed + 1);
    }
    if (killed < kills) violated.push(`the job was done after ${killed} kills`);
    await site.setRate(FAST);
    console.log(`${inBatch} of ${killed} were killed in a batch, the others between two`);
    if (inBatch < killed / 3) violated.push(`only ${inBatch} of ${killed} kills met a batch`);
    if (!(await site.finish(FINISH_MS))) violated.push('the job did not finish in ten minutes');
    await check('at the end');
    if ((await site.moved()) !== versions) violated.push(`${await site.moved()} of ${versions} moved`);
    violated.push(...site.leaks().map((where) => `a DEK in clear: ${where}`));
    await says(killed);
    return violated;
  } finally {
    await site.stop();
  }
}
