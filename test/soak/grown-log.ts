/** T33: a log of ten million records: how long one more takes, a proof, a start's first look, and the whole verification. Figures; and what is beyond the bars is a violation. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAccessLog } from '../../src/audit/access-log.ts';
import { makeProof, verifyProof } from '../../src/audit/proof.ts';
import { createSequencer } from '../../src/audit/sequencer.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { formatVkey, verifierKey } from '../../src/audit/vkey.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { type Digest, type Incarnation, newId, type VaultId } from '../../src/domain/ids.ts';
import { openSqliteStores } from '../../src/stores/sqlite/sqlite-stores.ts';

const ORIGIN = 'vault.example/access';
const BATCH = 8_192;

export async function grownLog(records: number): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'wv-grown-'));
  const { publicKey: key, privateKey } = generateKeyPairSync('ed25519');
  const publicKey = new Uint8Array(key.export({ format: 'der', type: 'spki' }));
  const stores = await openSqliteStores({ file: join(folder, 'vault.db'), clock: systemClock });
  try {
    const { unitOfWork, log } = stores;
    const node = newId<Incarnation>(new Date());
    const access = createAccessLog({ log, vaultId: newId<VaultId>(new Date()), node, configDigest: 'ab'.repeat(32) as Digest });
    const make = () =>
      createSequencer({
        ...{ unitOfWork, log, origin: ORIGIN, publicKey, clock: systemClock, node, batch: BATCH },
        sign: async (text) => new Uint8Array(sign(null, text, privateKey)),
      });
    const sequencer = make();
    const append = () =>
      unitOfWork.run((tx) => access.append(tx, { type: 'vault.started', outcome: 'success', actor: { kind: 'system' } }));
    for (let size = 0; size < records; size += BATCH) {
      await unitOfWork.run(async (tx) => {
        for (let at = 0; at < BATCH; at++)
          await access.append(tx, { type: 'vault.started', outcome: 'success', actor: { kind: 'system' } });
      });
      await sequencer.tick();
      if (size % (BATCH * 64) === 0) console.log(`${size} of ${records} records`);
    }
    const appends: number[] = [];
    for (let at = 0; at < 500; at++) appends.push(await timed(append));
    await sequencer.tick();
    const head = await unitOfWork.run((tx) => log.head(tx));
    if (head === undefined) throw new Error('nothing was published');
    const tile = (path: string) => unitOfWork.run((tx) => log.tile(tx, path));
    const vkey = formatVkey(verifierKey(ORIGIN, publicKey));
    const proofs: number[] = [];
    for (let at = 0; at < 50; at++) {
      const index = Math.floor((at / 50) * head.size);
      const [row] = await unitOfWork.run((tx) => log.leaves(tx, index, index + 1));
      proofs.push(
        await timed(async () =>
          verifyProof(await makeProof(index, head.checkpoint, verifierKey(ORIGIN, publicKey), tile), vkey, row?.leaf ?? new Uint8Array(0)),
        ),
      );
    }
    const startMs = await timed(async () => void (await make().tick()));
    let ok = false;
    const verifyMs = await timed(async () => {
      ok = (await verifyLog({ checkpoint: async () => head.checkpoint, tile }, vkey)).ok;
    });
    const [appendMs, proofMs] = [quantile(appends, 0.99), quantile(proofs, 0.99)];
    console.log(
      `${head.size} records: append p99 ${appendMs.toFixed(1)} ms, proof p99 ${proofMs.toFixed(1)} ms, first round of a start ${Math.round(startMs)} ms, whole verification ${Math.round(verifyMs / 1000)} s`,
    );
    return [
      ...(ok ? [] : ['the grown log does not verify']),
      ...(appendMs < 10 ? [] : [`append p99 of ${appendMs.toFixed(1)} ms at ${head.size} records`]),
      ...(proofMs < 20 ? [] : [`proof p99 of ${proofMs.toFixed(1)} ms at ${head.size} records`]),
      ...(startMs < 5_000 ? [] : [`the first round of a start took ${Math.round(startMs)} ms`]),
      ...(verifyMs < (180_000 * Math.max(head.size, 1e6)) / 1e7 ? [] : [`the whole verification took ${Math.round(verifyMs / 1000)} s`]),
    ];
  } finally {
    await stores.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

function quantile(values: readonly number[], q: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * q)] ?? Number.NaN;
}
