/** `npm run soak -- --only rewrap [--versions N] [--kills N]`: a rewrap that is killed with -9 at any point, as often as that (docs/soak.md). */
import { startRewrapSite } from '../harness/rewrap-site.ts';

/** Resolves with what was violated. Each process is a new one to the database, so each waits for the lease of the one that was killed. */
export async function killRewraps(versions: number, kills: number, random: () => number): Promise<readonly string[]> {
  const site = await startRewrapSite(versions);
  const violated: string[] = [];
  const check = async (when: string, some?: number) => {
    violated.push(...(await site.disagreements()).map((what) => `${when}: ${what}`));
    violated.push(...(await site.unreadable(some)).map((versionId) => `${when}: ${versionId} is unreadable`));
  };
  try {
    console.log(`${versions} versions are wrapped under version 1, ${kills} kills`);
    let killed = 0;
    while (killed < kills && !(await site.workUntilKilled(1_000 + random() * LEASE_AND_WORK_MS))) {
      killed++;
      await check(`after kill ${killed}`, 20);
      if (killed % 10 === 0) console.log(`  ${killed} killed, ${await site.moved()} moved`);
    }
    if (!(await site.workUntilKilled(600_000))) violated.push('the job did not finish in ten minutes');
    await check('at the end');
    if ((await site.moved()) !== versions) violated.push(`${await site.moved()} of ${versions} moved`);
    violated.push(...site.leaks().map((where) => `a DEK in clear: ${where}`));
    console.log(`${killed} kills, ${await site.moved()} of ${versions} moved`);
    return violated;
  } finally {
    await site.stop();
  }
}

/** The lease lasts two seconds; what is left of this is work. */
const LEASE_AND_WORK_MS = 2_600;
