/** What the next start of a log finds after a fault: everything that was acknowledged, once, in a log that two verifiers accept. */
import { execFileSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createHeadFile } from '../../../src/audit/head-file/head-file.ts';
import { createSequencer } from '../../../src/audit/sequencer.ts';
import { allTiles, tilePath } from '../../../src/audit/tile-path.ts';
import { verifyLog } from '../../../src/audit/verify.ts';
import { formatVkey, verifierKey } from '../../../src/audit/vkey.ts';
import { type Incarnation, newId } from '../../../src/domain/ids.ts';
import { openSqliteStores } from '../../../src/stores/sqlite/sqlite-stores.ts';

const GO = fileURLToPath(new URL('../../../.cache/foreign-verifiers/foreign-verifiers', import.meta.url));
const ORIGIN = 'vault.example/access';

/** Starts on the folder and publishes. Size of the log; throws when something acknowledged is missing or anything does not verify. */
export async function nextStart(folder: string, acknowledged: readonly string[], go = existsSync(GO)): Promise<number> {
  const privateKey = createPrivateKey(readFileSync(join(folder, 'log.pem'), 'utf8'));
  const publicKey = new Uint8Array(createPublicKey(privateKey).export({ format: 'der', type: 'spki' }));
  const vkey = formatVkey(verifierKey(ORIGIN, publicKey));
  // The lease of the process that died is still running: the next one starts when it is over.
  const clock = { now: () => new Date(Date.now() + 60_000), monotonicMs: () => performance.now() };
  const stores = await openSqliteStores({ file: join(folder, 'vault.db'), clock });
  try {
    const { unitOfWork, log } = stores;
    const sequencer = createSequencer({
      ...{ unitOfWork, log, origin: ORIGIN, publicKey, clock, node: newId<Incarnation>(new Date()) },
      sign: async (text) => new Uint8Array(sign(null, text, privateKey)),
      heads: createHeadFile(join(folder, 'head')),
    });
    while ((await sequencer.tick()) === 'published');
    if (sequencer.halted() !== undefined) throw sequencer.halted();
    const head = await unitOfWork.run((tx) => log.head(tx));
    const size = head?.size ?? 0;
    const rows = await unitOfWork.run((tx) => log.leaves(tx, 0, size + 1));
    const ids = rows.map(({ recordId }) => String(recordId));
    const missing = acknowledged.filter((id) => !ids.includes(id));
    if (missing.length > 0) throw new Error(`${missing.length} acknowledged records are lost, the first ${missing[0]}`);
    if (new Set(ids).size !== ids.length || rows.some(({ index }, at) => index !== at))
      throw new Error('an index or a record is there twice');
    if (head === undefined) return 0;
    const tile = (path: string) => unitOfWork.run((tx) => log.tile(tx, path));
    const report = await verifyLog({ checkpoint: async () => head.checkpoint, tile }, vkey);
    if (!report.ok || report.size !== size) throw new Error(`the log does not verify: ${JSON.stringify(report.problems)}`);
    if (go) await verifiedByGo(join(folder, 'copy'), head.checkpoint, size, tile, vkey);
    return size;
  } finally {
    await stores.close();
  }
}

/** Throws what Go says when it does not accept the copy. */
async function verifiedByGo(
  copy: string,
  checkpoint: Uint8Array,
  size: number,
  tile: (path: string) => Promise<Uint8Array | undefined>,
  vkey: string,
): Promise<void> {
  for (const name of allTiles(size as Parameters<typeof allTiles>[0])) {
    const path = join(copy, tilePath(name));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, (await tile(tilePath(name))) ?? '');
  }
  writeFileSync(join(copy, 'checkpoint'), checkpoint);
  execFileSync(GO, ['log', copy, vkey], { stdio: ['ignore', 'ignore', 'pipe'] });
}
