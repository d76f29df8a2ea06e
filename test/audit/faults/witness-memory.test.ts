/** What a witness cosigned: killed, cut off, on a full or failing disk, damaged, put back, served twice. It never cosigns two roots of one size, and never goes back. */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { formatAddCheckpoint } from '../../../src/audit/add-checkpoint.ts';
import { signCheckpoint } from '../../../src/audit/checkpoint.ts';
import { proveConsistency } from '../../../src/audit/merkle.ts';
import { verifierKey } from '../../../src/audit/note.ts';
import { subtreeReader } from '../../../src/audit/tiles.ts';
import { codeOf } from '../../../src/domain/errors.ts';
import type { TreeSize } from '../../../src/domain/ids.ts';
import { addCheckpoint } from '../../../src/witness/answer.ts';
import { makeWitness, watchLog } from '../../../src/witness/folder.ts';
import { serveWitness } from '../../../src/witness/serve.ts';
import { createMemoryLog } from '../../doubles/memory-log-store.ts';
import { canMount, filled } from '../../harness/small-disk.ts';
import { appendRecords, createLogKey, ORIGIN, sequencerOn } from '../small-log.ts';
import { generator } from './calls.ts';
import { crashInto, durable, replayedFiles } from './crash-image.ts';
import { whyNoInjection } from './injection.ts';
import { recordRun, type Step } from './recorded-run.ts';
import { type Asked, askedIn, opened } from './witness-writer.ts';

const SIZES = [3, 8, 20, 300] as const;
const key = createLogKey();
const IMAGES = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const bytesOf = ({ body }: Asked) => new Uint8Array(Buffer.from(body, 'base64'));

let requests: readonly Asked[];
const made: Array<() => unknown> = [];
afterEach(async () => {
  for (const undo of made.splice(0).reverse()) await undo();
});

beforeAll(async () => {
  const memory = createMemoryLog();
  const { sequencer } = sequencerOn(memory, key);
  const asked: Asked[] = [];
  let oldSize = 0;
  for (const size of SIZES) {
    await appendRecords(memory, size - oldSize);
    await sequencer.tick();
    const read = async (path: string) => memory.state.tiles.get(path);
    const proof = oldSize === 0 ? [] : await proveConsistency(oldSize, size, subtreeReader(size, read));
    const checkpoint = memory.state.head?.checkpoint ?? new Uint8Array(0);
    asked.push({ size, body: Buffer.from(formatAddCheckpoint({ oldSize, proof, checkpoint })).toString('base64') });
    oldSize = size;
  }
  requests = asked;
});

function folderIn(place: string): string {
  const folder = mkdtempSync(join(place, 'wv-witness-'));
  made.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A witness that watches the log and has cosigned the first `count` sizes. */
async function witnessed(count: number, folder = folderIn(tmpdir())): Promise<string> {
  const at = join(folder, 'w');
  makeWitness(at, 'witness.example/memory');
  watchLog(at, key.vkey);
  writeFileSync(join(at, 'requests.json'), JSON.stringify(requests));
  await cosigned(at, requests.slice(0, count));
  return at;
}

async function cosigned(folder: string, asked: readonly Asked[]): Promise<void> {
  const options = opened(folder);
  for (const one of asked) expect((await addCheckpoint(bytesOf(one), options)).status).toBe(200);
  options.heads.close();
}

const fork = async (size: number, oldSize = size) => {
  const checkpoint = await signCheckpoint(size as TreeSize, new Uint8Array(32).fill(9), verifierKey(ORIGIN, key.publicKey), key.sign);
  return formatAddCheckpoint({ oldSize, proof: [], checkpoint });
};
/** Of its head and of what comes next, the witness of this folder cosigns nothing else, and then goes on. */
async function goesOn(folder: string, acknowledged: number): Promise<void> {
  const options = opened(folder);
  try {
    const size = options.heads.head(ORIGIN)?.size ?? 0;
    if (size < acknowledged) throw new Error(`it went back to ${size} from ${acknowledged}`);
    const at = size === 0 ? 0 : SIZES.indexOf(size as (typeof SIZES)[number]) + 1;
    if (size > 0) {
      const answers = [await fork(size), await fork(size, 0), await fork(size + 1, size), await fork(acknowledged, 0)];
      for (const body of answers) {
        const { status } = await addCheckpoint(body, options);
        if (status === 200) throw new Error(`it cosigned another root when it had ${size}`);
      }
    }
    const next = askedIn(folder)[at];
    if (next !== undefined && (await addCheckpoint(bytesOf(next), options)).status !== 200)
      throw new Error(`it does not go on from ${size}`);
  } finally {
    options.heads.close();
  }
}

const post = (port: number, body: Uint8Array) =>
  fetch(`http://127.0.0.1:${port}/add-checkpoint`, { method: 'POST', body: Buffer.from(body) }).then(({ status }) => status);
async function serving(folder: string) {
  const served = await serveWitness(folder, '127.0.0.1', 0);
  made.push(() => served.stop());
  return served;
}
const refusal = (folder: string) => {
  try {
    opened(folder).heads.close();
    return 'opened';
  } catch (error) {
    return codeOf(error);
  }
};

const why = whyNoInjection();
if (why !== undefined) console.warn(`partly skipped: ${why}, so no run can be recorded and no fault injected`);
const withStrace = why === undefined ? test : test.skip;

describe('a witness', () => {
  withStrace(
    'that is killed between any two of its calls, or loses its power there, has all that it answered, goes on, and cosigns no other root',
    async () => {
      const site = await witnessed(0);
      const before = durable(site);
      const steps = recordRun(site, fileURLToPath(new URL('witness-writer.ts', import.meta.url)), []);
      expect(steps.filter(({ kind }) => kind === 'said')).toHaveLength(SIZES.length);
      const said = (upTo: readonly Step[]) =>
        upTo.flatMap((step) => (step.kind === 'said' ? [Number(step.line.replace('ack ', ''))] : [])).at(-1) ?? 0;
      const image = async (write: (folder: string) => void, cut: number, what: string) => {
        const folder = mkdtempSync(join(IMAGES, 'wv-witness-cut-'));
        try {
          write(folder);
          await goesOn(folder, said(steps.slice(0, cut)));
        } catch (cause) {
          throw new Error(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
        } finally {
          rmSync(folder, { recursive: true, force: true });
        }
      };
      for (let cut = 0; cut <= steps.length; cut++) {
        const files = replayedFiles(before, steps.slice(0, cut));
        const write = (folder: string) => {
          for (const [path, bytes] of files) writeFileSync(join(folder, path), bytes, { mode: 0o600 });
        };
        await image(write, cut, `killed before call ${cut}`);
      }
      const first = Date.now() % 1_000_000;
      for (let seed = first; seed < first + 150; seed++) {
        const random = generator(seed);
        const cut = Math.floor(random() * (steps.length + 1));
        await image((folder) => crashInto(folder, before, steps, cut, random), cut, `seed ${seed}, power cut before call ${cut}`);
      }
    },
  );

  withStrace('whose disk fails ends, with a code, and has given nothing that it may forget', async () => {
    const folder = await witnessed(1);
    const main = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url));
    const inject = ['-f', '-qq', '-o', '/dev/null', '-P', join(folder, 'heads.db'), '-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO'];
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', main, 'witness', 'serve', folder, '--port', '0', '--json'];
    const child = spawn('strace', [...inject, ...node], { stdio: ['ignore', 'pipe', 'pipe'] });
    let told = '';
    child.stderr.setEncoding('utf8').on('data', (piece: string) => (told += piece));
    const ended = new Promise<number | null>((done) => child.once('close', done));
    const port = await new Promise<number>((done) =>
      createInterface({ input: child.stdout }).once('line', (line) => done(JSON.parse(line).port)),
    );
    const [, second] = requests;
    const status = await post(port, second === undefined ? new Uint8Array(0) : bytesOf(second)).catch(() => 'cut off');
    expect([500, 'cut off']).toContain(status);
    expect([await ended, JSON.parse(told).error]).toMatchObject([4, { code: 'store_unavailable' }]);
    await goesOn(folder, 3);
  });

  (canMount() ? test : test.skip)('on a full disk gives nothing, keeps all, and goes on by itself when there is room', async () => {
    const disk = folderIn(tmpdir());
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=700', 'none', disk]);
    made.push(() => execFileSync('umount', [disk]));
    const folder = await witnessed(1, disk);
    const { port } = await serving(folder);
    for (const left of [0, 4_096, 8_192, 12_288]) {
      const free = filled(disk, left);
      const head = () => opened(folder);
      const known = head();
      const { size = 0 } = known.heads.head(ORIGIN) ?? {};
      known.heads.close();
      const next = requests[SIZES.indexOf(size as (typeof SIZES)[number]) + 1];
      const status = next === undefined ? 500 : await post(port, bytesOf(next));
      expect([left, left === 0 ? status : 500]).toEqual([left, 500]);
      expect(await post(port, await fork(size))).not.toBe(200);
      free();
    }
    await goesOn(folder, 3);
  });

  test('whose memory is gone, cut short, of another, or older than what it cosigned does not start', async () => {
    const site = await witnessed(1);
    const older = readFileSync(join(site, 'heads.db'));
    const newestBefore = readFileSync(join(site, 'heads.newest'));
    await cosigned(site, requests.slice(1, 2));
    const files = { db: readFileSync(join(site, 'heads.db')), newest: readFileSync(join(site, 'heads.newest')) };
    const other = await witnessed(2);
    const cases: ReadonlyArray<readonly [string, Partial<Record<'db' | 'newest', Buffer | undefined>>, string]> = [
      ['as it is', {}, 'opened'],
      ['killed before heads.newest', { newest: newestBefore }, 'opened'],
      ['an older heads.db', { db: older }, 'witness_memory_invalid'],
      ['no heads.db', { db: undefined }, 'witness_memory_invalid'],
      ['an empty one', { db: Buffer.alloc(0) }, 'witness_memory_invalid'],
      ['one cut short', { db: files.db.subarray(0, 4_096) }, 'witness_memory_invalid'],
      ['something else', { db: Buffer.from('hello'.repeat(1_000)) }, 'witness_memory_invalid'],
      ['that of another witness', { db: readFileSync(join(other, 'heads.db')) }, 'witness_memory_invalid'],
      ['no heads.newest', { newest: undefined }, 'witness_memory_invalid'],
      ['one cut short', { newest: files.newest.subarray(0, -1) }, 'witness_memory_invalid'],
      ['another root', { newest: Buffer.from(`8 ${Buffer.alloc(32).toString('base64')} ${ORIGIN}\n`) }, 'witness_memory_invalid'],
      [
        'a log that was forgotten',
        { newest: Buffer.from(`${files.newest}${String(files.newest).replace(ORIGIN, 'other.example/log')}`) },
        'witness_memory_invalid',
      ],
    ];
    for (const [name, put, expected] of cases) {
      for (const [file, bytes] of Object.entries({ ...files, ...put })) {
        if (bytes === undefined) rmSync(join(site, `heads.${file}`));
        else writeFileSync(join(site, `heads.${file}`), bytes);
      }
      expect([name, refusal(site)]).toEqual([name, expected]);
    }
  });

  test('whose heads.db has a flipped bit refuses, or it is of no matter: it never has another size or root', async () => {
    const site = await witnessed(2);
    const db = readFileSync(join(site, 'heads.db'));
    const text = (folder: string) => {
      const { heads } = opened(folder);
      const note = Buffer.from(heads.head(ORIGIN)?.checkpoint ?? []).toString('utf8');
      heads.close();
      return note.slice(0, note.indexOf('\n\n'));
    };
    const before = text(site);
    const image = folderIn(IMAGES);
    cpSync(site, image, { recursive: true });
    let refused = 0;
    for (let at = Date.now() % 31; at < db.length; at += 31) {
      const flipped = Buffer.from(db);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
      writeFileSync(join(image, 'heads.db'), flipped);
      try {
        expect([at, text(image)]).toEqual([at, before]);
      } catch (error) {
        if (!['witness_memory_invalid', 'store_unavailable'].includes(codeOf(error))) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(5);
  });

  test('whose heads.db is overwritten while it serves says so, whatever it is asked', async () => {
    const site = await witnessed(1);
    const { heads } = opened(site);
    made.push(() => heads.close());
    const note = heads.head(ORIGIN)?.checkpoint ?? new Uint8Array(0);
    writeFileSync(join(site, 'heads.db'), Buffer.alloc(readFileSync(join(site, 'heads.db')).length, 0x5a));
    for (const ask of [() => heads.head(ORIGIN), () => heads.replace(ORIGIN, 3, { size: 8, checkpoint: note })]) {
      const answer = new Promise<unknown>((done) => done(ask()));
      expect(await answer.catch(codeOf)).toBe('witness_memory_invalid');
    }
  });

  test('served twice from one folder cosigns one of two histories, whoever is asked', async () => {
    const folder = await witnessed(0);
    const ports = [(await serving(folder)).port, (await serving(folder)).port];
    const forks = [bytesOf(requests[0] ?? { size: 0, body: '' }), await fork(3, 0)];
    const answers = await Promise.all(
      Array.from({ length: 24 }, async (_, at) => ({
        of: at % 2,
        status: await post(ports[(at >> 1) % 2] ?? 0, forks[at % 2] ?? new Uint8Array(0)),
      })),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(23);
    expect(refusal(folder)).toBe('opened');
  });
});
