/**
 * `npm run soak -- --only log-growth [--records N] [--folder F]`, T33: a log of ten million records: how long one more takes, a proof, a start, and the
 * whole verification. Figures; and what is beyond the bars is a violation. With a folder it stays there, and the next run goes on from it.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createAccessLog } from '../../src/audit/access-log.ts';
import { makeProof, verifyProof } from '../../src/audit/proof.ts';
import type { RecordDraft } from '../../src/audit/record.ts';
import { createSequencer } from '../../src/audit/sequencer.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { formatVkey, verifierKey } from '../../src/audit/vkey.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { type Digest, type Incarnation, newId, type VaultId } from '../../src/domain/ids.ts';
import { openSqliteStores } from '../../src/stores/sqlite/sqlite-stores.ts';
import { recollect } from '../../src/vault/recollect.ts';
import { SUMMARY_RECORDS, summarizeLog } from '../../src/vault/summarize-log.ts';

const ORIGIN = 'vault.example/access';
const VAULT = newId<VaultId>(new Date(0));
const BATCH = 8_192;
const DRAFT: RecordDraft = { type: 'vault.started', outcome: 'success', actor: { kind: 'system' } };
const APPENDS = 500;
const PROOFS = 200;
const BARS = { appendMs: 10, proofMs: 20, startMs: 5_000, verifyUsPerRecord: 18 } as const;

export async function grownLog(records: number, folder?: string): Promise<readonly string[]> {
  const place = folder ?? mkdtempSync(join(tmpdir(), 'wv-grown-'));
  mkdirSync(place, { recursive: true });
  try {
    const site = { file: join(place, 'vault.db'), privateKey: keyIn(place) };
    await grow(site, records);
    return await measure(site);
  } finally {
    if (folder === undefined) rmSync(place, { recursive: true, force: true });
  }
}

interface Site {
  readonly file: string;
  readonly privateKey: KeyObject;
}

/** A process of its own, as far as the log is concerned. */
async function open({ file, privateKey }: Site) {
  const stores = await openSqliteStores({ file, clock: systemClock });
  const { unitOfWork, log } = stores;
  const publicKey = createPublicKey(privateKey);
  const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
  const signer = async (text: Uint8Array) => new Uint8Array(sign(null, text, privateKey));
  const node = newId<Incarnation>(new Date());
  const access = createAccessLog({ log, vaultId: VAULT, node, configDigest: 'ab'.repeat(32) as Digest });
  const key = verifierKey(ORIGIN, spki);
  const tile = (path: string) => unitOfWork.run((tx) => log.tile(tx, path));
  const keys = { origin: ORIGIN, publicKey: spki, sign: signer };
  const sequencer = createSequencer({ unitOfWork, log, ...keys, clock: systemClock, node, batch: BATCH });
  return { stores, access, sequencer, key, tile, vault: { vaultId: VAULT, stores, catalogueKey: { publicKey, sign: signer } } };
}

async function grow(site: Site, records: number): Promise<void> {
  const { stores, access, sequencer } = await open(site);
  const { unitOfWork, log } = stores;
  for (let size = await unitOfWork.run((tx) => log.assignedSize(tx)); size < records; ) {
    await unitOfWork.run(async (tx) => {
      for (let at = 0; at < BATCH; at++) await access.append(tx, DRAFT);
    });
    await sequencer.tick();
    size = await unitOfWork.run((tx) => log.assignedSize(tx));
    if ((size / BATCH) % 64 === 0) console.log(`${size} of ${records} records`);
  }
  await sequencer.stop();
  await stores.close();
}

async function measure(site: Site): Promise<readonly string[]> {
  const [appendMs, besideMs] = await measureAppends(site);
  const { stores, access, sequencer, key, tile, vault } = await open(site);
  const { unitOfWork, log } = stores;
  await sequencer.tick();
  const head = await unitOfWork.run((tx) => log.head(tx));
  if (head === undefined) throw new Error('nothing was published');
  const { size, checkpoint } = head;
  const proofs: number[] = [];
  for (let at = 0; at < PROOFS; at++) {
    const index = Math.floor((at / PROOFS) * size);
    proofs.push(
      await timed(async () => {
        const [row] = await unitOfWork.run((tx) => log.leaves(tx, index, index + 1));
        verifyProof(await makeProof(index, checkpoint, key, tile), formatVkey(key), row?.leaf ?? new Uint8Array(0));
      }),
    );
  }
  let ok = false;
  const verifyMs = await timed(async () => {
    ok = (await verifyLog({ checkpoint: async () => checkpoint, tile }, formatVkey(key))).ok;
  });
  const wholeMs = await timed(async () => void (await summarizeLog(await recollect(vault, key), vault, key, tile, 1)));
  for (let at = 0; at < SUMMARY_RECORDS; at += BATCH)
    await unitOfWork.run(async (tx) => {
      for (let one = 0; one < BATCH; one++) await access.append(tx, DRAFT);
    });
  while ((await sequencer.tick()) === 'published');
  await sequencer.stop();
  await stores.close();
  const startMs = await timed(() => start(site));
  const proofMs = quantile(proofs, 0.99);
  console.log(
    `${size} records, ${Math.round(statSync(site.file).size / size)} bytes each: append p99 ${appendMs.toFixed(1)} ms (of an empty log beside it ${besideMs.toFixed(1)} ms), proof p99 ${proofMs.toFixed(1)} ms, ` +
      `start ${Math.round(startMs)} ms with ${SUMMARY_RECORDS} records behind the summary, ${Math.round(wholeMs / 1000)} s without one, whole verification ${Math.round(verifyMs / 1000)} s`,
  );
  return [
    ...(ok ? [] : ['the grown log does not verify']),
    ...(appendMs < BARS.appendMs ? [] : [`append p99 of ${appendMs.toFixed(1)} ms at ${size} records`]),
    ...(proofMs < BARS.proofMs ? [] : [`proof p99 of ${proofMs.toFixed(1)} ms at ${size} records`]),
    ...(startMs < BARS.startMs ? [] : [`a start took ${Math.round(startMs)} ms`]),
    ...(verifyMs * 1000 < BARS.verifyUsPerRecord * Math.max(size, 1e6)
      ? []
      : [`the whole verification took ${Math.round(verifyMs / 1000)} s`]),
  ];
}

/** One record in this log, one in an empty one, in turns: p99 of each. A disk that others keep busy is slow for both. */
async function measureAppends(site: Site): Promise<readonly [number, number]> {
  const folder = mkdtempSync(join(dirname(site.file), 'empty-'));
  const [grown, empty] = [await open(site), await open({ ...site, file: join(folder, 'vault.db') })];
  const appendTo = ({ stores, access }: typeof grown) => timed(() => stores.unitOfWork.run((tx) => access.append(tx, DRAFT)));
  const [here, beside]: [number[], number[]] = [[], []];
  for (let at = 0; at < APPENDS; at++) {
    here.push(await appendTo(grown));
    beside.push(await appendTo(empty));
  }
  await grown.sequencer.tick();
  await grown.sequencer.stop();
  for (const { stores } of [grown, empty]) await stores.close();
  rmSync(folder, { recursive: true });
  return [quantile(here, 0.99), quantile(beside, 0.99)];
}

/** What a start does with the log: open the file, the first round, what may not be forgotten. */
async function start(site: Site): Promise<void> {
  const { stores, sequencer, key, vault } = await open(site);
  await sequencer.tick();
  const halted = sequencer.halted();
  if (halted !== undefined) throw halted;
  await recollect(vault, key);
  await stores.close();
}

function keyIn(folder: string): KeyObject {
  const file = join(folder, 'key.pem');
  if (!existsSync(file)) writeFileSync(file, generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }));
  return createPrivateKey(readFileSync(file));
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

function quantile(values: readonly number[], q: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * q)] ?? Number.NaN;
}
