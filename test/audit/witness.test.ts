/** Witnesses: what one cosigns and what it refuses, and that no witness, however wrong, holds up the log. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { formatAddCheckpoint } from '../../src/audit/add-checkpoint.ts';
import { signCheckpoint } from '../../src/audit/checkpoint.ts';
import {
  assertWitnessed,
  cosign,
  cosignaturesOf,
  formatWitnessVkey,
  parseWitnessVkey,
  withLines,
  witnessKey,
} from '../../src/audit/cosignature.ts';
import { EMPTY_ROOT, proveConsistency } from '../../src/audit/merkle.ts';
import { parseNote, verifierKey } from '../../src/audit/note.ts';
import { subtreeReader } from '../../src/audit/tiles.ts';
import { postToWitness } from '../../src/audit/witness-http/post.ts';
import { createWitnesses, type WitnessEvent } from '../../src/audit/witnesses.ts';
import { sha256Hex, utf8 } from '../../src/domain/bytes.ts';
import type { TreeSize } from '../../src/domain/ids.ts';
import { makeWitness, watchLog } from '../../src/witness/folder.ts';
import { type ServingWitness, serveWitness } from '../../src/witness/serve.ts';
import { createMemoryLog, type MemoryLog } from '../doubles/memory-log-store.ts';
import { undisturbed } from '../harness/standstill.ts';
import { appendRecords, createLogKey, ORIGIN, sequencerOn } from './small-log.ts';

const root = mkdtempSync(join(tmpdir(), 'wv-witness-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const closing: Array<() => Promise<void> | void> = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

let made = 0;
interface Running {
  readonly folder: string;
  readonly vkey: string;
  readonly url: string;
  readonly serving: ServingWitness;
}
async function witness(logVkey?: string): Promise<Running> {
  const folder = join(root, `w${++made}`);
  const vkey = makeWitness(folder, `witness.example/w${made}`);
  if (logVkey !== undefined) watchLog(folder, logVkey);
  return start(folder, vkey);
}
async function start(folder: string, vkey: string): Promise<Running> {
  const serving = await serveWitness(folder, '127.0.0.1', 0);
  closing.push(() => serving.stop());
  return { folder, vkey, url: `http://127.0.0.1:${serving.port}`, serving };
}

/** A log that grows, and its checkpoints of every size asked for. */
async function logOf(...counts: readonly number[]) {
  const key = createLogKey();
  const memory = createMemoryLog();
  const { sequencer } = sequencerOn(memory, key);
  const heads: Uint8Array[] = [];
  for (const count of counts) {
    await appendRecords(memory, count);
    await sequencer.tick();
    heads.push(memory.state.head?.checkpoint ?? new Uint8Array(0));
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  const read = async (path: string) => memory.state.tiles.get(path);
  const proof = (from: number, to = total) => (from === 0 || from === to ? [] : proveConsistency(from, to, subtreeReader(total, read)));
  return { key, memory, sequencer, heads, total, proof };
}

const post = (url: string, body: Uint8Array) =>
  fetch(`${url}/add-checkpoint`, { method: 'POST', body: Buffer.from(body) }).then(async (answer) => ({
    status: answer.status,
    type: answer.headers.get('content-type') ?? '',
    text: await answer.text(),
  }));
const add = async (url: string, oldSize: number, proof: readonly Uint8Array[], checkpoint: Uint8Array) =>
  post(url, formatAddCheckpoint({ oldSize, proof, checkpoint }));

describe('a witness', () => {
  test('cosigns what continues all it has cosigned, and says so to monitors, also after it started again', async () => {
    const { key, heads, proof } = await logOf(3, 5);
    const [first, second] = heads as [Uint8Array, Uint8Array];
    const { url, vkey, folder, serving } = await witness(key.vkey);
    expect((await add(url, 0, [], first)).status).toBe(200);
    const answer = await add(url, 3, await proof(3), second);
    expect(answer.status).toBe(200);
    const [cosignature] = cosignaturesOf(withLines(second, [answer.text]), [parseWitnessVkey(vkey)]);
    expect(Math.abs((cosignature?.timeSeconds ?? 0) * 1000 - Date.now())).toBeLessThan(60_000);
    await serving.stop();
    const again = await start(folder, vkey);
    const monitored = await fetch(`${again.url}/${sha256Hex(utf8(ORIGIN))}/checkpoint`);
    expect(new Uint8Array(await monitored.arrayBuffer())).toEqual(withLines(second, [answer.text]));
    expect(await add(again.url, 3, [], first)).toMatchObject({ status: 409, type: 'text/x.tlog.size', text: '8\n' });
    expect((await add(again.url, 8, [], second)).status).toBe(200); // the same once more, with a later time
  });

  test('refuses as the specification says: 400, 403, 404, 409, 422; and nothing of it moves what it remembers', async () => {
    const { key, heads, proof } = await logOf(3, 5);
    const [first, second] = heads as [Uint8Array, Uint8Array];
    const { url } = await witness(key.vkey);
    await add(url, 0, [], first);
    const other = createLogKey();
    const forged = await signCheckpoint(8 as TreeSize, EMPTY_ROOT, verifierKey(ORIGIN, other.publicKey), other.sign);
    const fork = await signCheckpoint(3 as TreeSize, EMPTY_ROOT, verifierKey(ORIGIN, key.publicKey), key.sign);
    const forked = await signCheckpoint(8 as TreeSize, EMPTY_ROOT, verifierKey(ORIGIN, key.publicKey), key.sign);
    const stranger = await signCheckpoint(8 as TreeSize, EMPTY_ROOT, verifierKey('other.example/log', key.publicKey), key.sign);
    const text = new TextDecoder().decode(second);
    const asked: ReadonlyArray<readonly [number, Awaited<ReturnType<typeof post>>]> = [
      [400, await post(url, utf8('hello'))],
      [400, await post(url, utf8(`old 03\n\n${text}`))],
      [400, await post(url, utf8(`old 3\nnot base64\n\n${text}`))],
      [400, await post(url, Buffer.alloc(70_000))],
      [400, await add(url, 9, [], second)],
      [404, await add(url, 0, [], stranger)],
      [403, await add(url, 3, await proof(3), forged)],
      [403, await add(url, 3, await proof(3), withLines(second, [forgedLine(text)]))],
      [409, await add(url, 0, [], second)],
      [409, await add(url, 2, await proof(2), second)],
      [422, await add(url, 3, (await proof(3)).slice(1), second)],
      [409, await add(url, 3, [], fork)], // of the very size that it cosigned
      [422, await add(url, 3, await proof(3), forked)],
    ];
    expect(asked.map(([, { status }]) => status)).toEqual(asked.map(([status]) => status));
    expect(asked.filter(([status]) => status === 409).map(([, { text: size }]) => size)).toEqual([
      '3\n',
      '3\n',
      'another root of this size was cosigned\n',
    ]);
    expect((await add(url, 3, await proof(3), second)).status).toBe(200);
    expect((await fetch(`${url}/add-checkpoint`)).status).toBe(405);
    expect((await fetch(`${url}/${'0'.repeat(64)}/checkpoint`)).status).toBe(404);
  });

  test('whose asker hangs up in the middle tells nobody: that would be a line of its log for whoever likes', async () => {
    const folder = join(root, `w${++made}`);
    makeWitness(folder, `witness.example/w${made}`);
    const failures: unknown[] = [];
    const serving = await serveWitness(folder, '127.0.0.1', 0, { onFailure: (error) => failures.push(error) });
    closing.push(() => serving.stop());
    const asker = connect(serving.port, '127.0.0.1');
    asker.write('POST /add-checkpoint HTTP/1.1\r\nHost: witness\r\nContent-Length: 100\r\n\r\nold 0\n');
    await new Promise((heard) => setTimeout(heard, 200));
    asker.resetAndDestroy();
    expect((await post(`http://127.0.0.1:${serving.port}`, utf8('hello'))).status).toBe(400);
    await serving.stop();
    closing.pop();
    expect(failures).toEqual([]);
  });

  test('asked by twenty at once to go on from the same size cosigns one of two histories, never both', async () => {
    const key = createLogKey();
    const { url } = await witness(key.vkey);
    const histories = await Promise.all(
      [1, 2].map((root) => signCheckpoint(5 as TreeSize, new Uint8Array(32).fill(root), verifierKey(ORIGIN, key.publicKey), key.sign)),
    );
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, at) => ({ of: at % 2, ...(await add(url, 0, [], histories[at % 2] ?? new Uint8Array(0))) })),
    );
    const cosigned = answers.filter(({ status }) => status === 200);
    expect(new Set(cosigned.map(({ of }) => of)).size).toBe(1);
    expect(cosigned).toHaveLength(1); // of the same history too: the others named a size that had moved
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(19);
  });
});

/** The log's own name and key id, with a signature that is not its own. */
function forgedLine(note: string): string {
  const [line = ''] = note.trimEnd().split('\n').slice(-1);
  const [dash, name, encoded = ''] = line.split(' ');
  const bytes = Buffer.from(encoded, 'base64');
  bytes[10] = (bytes[10] ?? 0) ^ 1;
  return `${dash} ${name} ${bytes.toString('base64')}\n`;
}

interface Watching {
  readonly memory: MemoryLog;
  readonly witnesses: ReturnType<typeof createWitnesses>;
  readonly events: WitnessEvent[];
  readonly grow: (count: number) => Promise<void>;
}

async function watching(
  key: ReturnType<typeof createLogKey>,
  quorum: number,
  ...of: ReadonlyArray<Pick<Running, 'url' | 'vkey'>>
): Promise<Watching> {
  const memory = createMemoryLog();
  const events: WitnessEvent[] = [];
  const witnesses = createWitnesses({
    ...memory,
    quorum,
    witnesses: of.map(({ url, vkey }) => ({ url, key: parseWitnessVkey(vkey) })),
    post: postToWitness,
    monotonicMs: () => performance.now(),
    onEvent: (event) => events.push(event),
  });
  const { sequencer } = sequencerOn(memory, key, { onEvent: (event) => event.kind === 'published' && witnesses.published(event.size) });
  const grow = async (count: number) => {
    await appendRecords(memory, count);
    expect(await sequencer.tick()).toBe('published');
  };
  return { memory, witnesses, events, grow };
}

/** A witness that does whatever the test says. */
async function scripted(respond: (request: Buffer) => { status: number; type?: string; body: string } | undefined) {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = witnessKey(`witness.example/s${++made}`, new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })));
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const said = respond(Buffer.concat(chunks));
      if (said !== undefined) response.writeHead(said.status, { 'Content-Type': said.type ?? 'text/plain' }).end(said.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, vkey: formatWitnessVkey(key), key, sign: async (text: Uint8Array) => new Uint8Array(sign(null, text, privateKey)) };
}

/** A witness has 5 s, on the clock of this process, which is the witness too. */
describe('a log with witnesses', () => {
  test('keeps the newest checkpoint that a quorum has cosigned, with their lines', () =>
    undisturbed(async () => {
      const key = createLogKey();
      const [one, two] = [await witness(key.vkey), await witness(key.vkey)];
      const { memory, witnesses, grow, events } = await watching(key, 2, one, two);
      await grow(3);
      expect(witnesses.lagMs()).toBeGreaterThan(0);
      await witnesses.round();
      await grow(300);
      await witnesses.round();
      const policy = { witnesses: [one, two].map(({ vkey }) => parseWitnessVkey(vkey)), quorum: 2 };
      expect(memory.state.witnessed?.size).toBe(303);
      expect(assertWitnessed(memory.state.witnessed?.checkpoint ?? new Uint8Array(0), policy)).toHaveLength(2);
      expect(witnesses.lagMs()).toBe(0);
      expect(events.map(({ state }) => state)).toEqual(['cosigned', 'cosigned']);
    }));

  test('finds out from a 409 where a witness is, and goes on from there', () =>
    undisturbed(async () => {
      const key = createLogKey();
      const one = await witness(key.vkey);
      const before = await watching(key, 1, one);
      await before.grow(3);
      await before.witnesses.round();
      await before.grow(4);
      // Another process of the vault, which knows nothing of what the first one showed.
      const events: WitnessEvent[] = [];
      const witnesses = createWitnesses({
        ...before.memory,
        quorum: 1,
        witnesses: [{ url: one.url, key: parseWitnessVkey(one.vkey) }],
        post: postToWitness,
        monotonicMs: () => performance.now(),
        onEvent: (event) => events.push(event),
      });
      witnesses.published(7 as TreeSize);
      await witnesses.round();
      expect([before.memory.state.witnessed?.size, events.map(({ state }) => state)]).toEqual([7, ['cosigned']]);
    }));

  test('that was put back, or was forked, is told so by every honest witness, as a critical event', () =>
    undisturbed(async () => {
      const key = createLogKey();
      const one = await witness(key.vkey);
      const real = await watching(key, 1, one);
      await real.grow(5);
      await real.witnesses.round();
      const older = await watching(key, 1, one);
      await older.grow(3);
      await older.witnesses.round();
      const fork = await watching(key, 1, one);
      await fork.grow(9);
      await fork.witnesses.round();
      const same = await watching(key, 1, one);
      await same.grow(5);
      await same.witnesses.round();
      for (const { events, memory } of [older, fork, same]) {
        expect(events).toMatchObject([{ state: 'conflict', severity: 'critical' }]);
        expect(memory.state.witnessed).toBeUndefined();
      }
      await real.grow(1);
      await real.witnesses.round();
      expect(real.memory.state.witnessed?.size).toBe(6);
    }));

  const wrong: ReadonlyArray<readonly [string, WitnessEvent['state'], { status: number; type?: string; body: string } | undefined]> = [
    ['answers garbage', 'failing', { status: 200, body: '<html>hello</html>' }],
    ['answers with nothing', 'failing', { status: 200, body: '' }],
    ['answers without end', 'failing', { status: 200, body: 'a'.repeat(100_000) }],
    ['answers 500', 'failing', { status: 500, body: '' }],
    ['redirects', 'failing', { status: 302, body: '' }],
    ['answers 409 without a size', 'failing', { status: 409, body: 'no' }],
    ['answers 409 with a size of another type', 'failing', { status: 409, type: 'text/html', body: '3\n' }],
    ['answers 409 with a size it cannot know', 'conflict', { status: 409, type: 'text/x.tlog.size', body: '999\n' }],
    ['answers 409 again', 'failing', { status: 409, type: 'text/x.tlog.size', body: '1\n' }],
    ['answers 422', 'conflict', { status: 422, body: '' }],
    ['answers 403', 'refusing', { status: 403, body: '' }],
    ['answers 404', 'refusing', { status: 404, body: '' }],
  ];
  test.each(wrong)('a witness that %s is %s, and the others make the quorum', (_name, state, said) =>
    undisturbed(async () => {
      const key = createLogKey();
      const [good, bad] = [await witness(key.vkey), await scripted(() => said)];
      const { memory, witnesses, grow, events } = await watching(key, 1, bad, good);
      await grow(3);
      await witnesses.round();
      expect(memory.state.witnessed?.size).toBe(3);
      expect(events.find((event) => event.witness === bad.key.name)).toMatchObject({ state });
      await grow(1);
      await witnesses.round();
      expect(memory.state.witnessed?.size).toBe(4);
      expect(events.filter((event) => event.witness === bad.key.name)).toHaveLength(1); // said once, not each second
    }),
  );

  test('a kept connection that the witness closes just then is no failure of the witness', async () => {
    const connections: Socket[] = [];
    const server = createServer((request, response) => void request.resume().on('end', () => response.end('heard')));
    server.on('connection', (socket) => connections.push(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => {
      server.closeAllConnections();
      server.close();
    });
    const post = () => postToWitness(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, utf8('a checkpoint'));
    expect((await post()).status).toBe(200);
    await new Promise((resolve) => setImmediate(resolve)); // it is kept now
    connections[0]?.destroy(); // as when it lay idle for long enough
    expect((await post()).status).toBe(200);
    expect(connections).toHaveLength(2);
  });

  test('a witness that answers 409 for the very size that it names has cosigned another root', () =>
    undisturbed(async () => {
      const liar = await scripted(() => ({ status: 409, type: 'text/x.tlog.size', body: '3\n' }));
      const { witnesses, grow, events } = await watching(createLogKey(), 1, liar);
      await grow(3);
      await witnesses.round();
      expect(events).toMatchObject([{ state: 'conflict', severity: 'critical', detail: 'it has cosigned another root of 3 records' }]);
    }));

  test('a witness that another process of the vault showed more in the meantime is no conflict', () =>
    undisturbed(async () => {
      const one = await witness();
      const { memory, grow } = await watching(createLogKey(), 1);
      await grow(3);
      const events: WitnessEvent[] = [];
      const witnesses = createWitnesses({
        ...memory,
        quorum: 1,
        witnesses: [{ url: one.url, key: parseWitnessVkey(one.vkey) }],
        post: async () => {
          await grow(2);
          return { status: 409, type: 'text/x.tlog.size', body: utf8('5\n') };
        },
        monotonicMs: () => performance.now(),
        onEvent: (event) => events.push(event),
      });
      witnesses.published(3 as TreeSize);
      await witnesses.round();
      expect(events).toMatchObject([{ state: 'failing', detail: 'another process has shown it more' }]);
    }));

  test('a witness that hangs is asked no second time meanwhile, and holds up neither the log nor the others', () =>
    undisturbed(async () => {
      const key = createLogKey();
      let asked = 0;
      const [good, hung] = [
        await witness(key.vkey),
        await scripted(() => {
          asked++;
          return undefined;
        }),
      ];
      const { memory, witnesses, grow } = await watching(key, 1, hung, good);
      for (const size of [2, 4, 6]) {
        await grow(2);
        void witnesses.round();
        for (let looks = 0; memory.state.witnessed?.size !== size; looks++) {
          expect(looks).toBeLessThan(6_000);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      }
      expect(asked).toBe(1);
    }));

  test('a cosignature of another text, another key or no time is not one', async () => {
    const key = createLogKey();
    const { heads } = await logOf(3);
    const [head = new Uint8Array(0)] = heads;
    const { key: known, sign: signer } = await scripted(() => undefined);
    const { text } = parseNote(head);
    const lines = {
      'another text': await cosign(text.replace('\n3\n', '\n4\n'), known, 1_700_000_000, signer),
      'another key': await cosign(text, known, 1_700_000_000, key.sign),
      'no time': await cosign(text, known, 0, signer),
    };
    for (const line of Object.values(lines)) {
      expect(() => cosignaturesOf(withLines(head, [line]), [known])).toThrow('note_signature_invalid');
      expect(cosignaturesOf(withLines(head, [line]), [])).toEqual([]); // of a witness nobody here knows: ignored
    }
    const good = await cosign(text, known, 1_700_000_000, signer);
    expect(cosignaturesOf(withLines(head, [good, good]), [known])).toHaveLength(1); // the same witness twice is one
    expect(() => assertWitnessed(withLines(head, [good, good]), { witnesses: [known], quorum: 2 })).toThrow('1 of 2');
  });

  test('the published vector: who cosigned it, and when', () => {
    const vector = JSON.parse(readFileSync(new URL('../vectors/audit/cosignature.json', import.meta.url), 'utf8'));
    const [cosignature, ...more] = cosignaturesOf(utf8(vector.note), [parseWitnessVkey(vector.vkey)]);
    expect([cosignature?.timeSeconds, more]).toEqual([vector.timeSeconds, []]);
    const page = readFileSync(new URL('../../docs/witness.md', import.meta.url), 'utf8');
    for (const text of [vector.note, vector.vkey]) expect(page).toContain(text);
  });

  test('a key of a log is no key of a witness, nor the other way round', async () => {
    const { vkey } = await witness();
    expect(() => parseWitnessVkey(createLogKey().vkey)).toThrow('note_malformed');
    expect(() => parseWitnessVkey(createLogKey('ecdsa-p256-sha256').vkey)).toThrow('note_malformed');
    expect(() => watchLog(join(root, `w${made}`), vkey)).toThrow('note_malformed');
    expect(formatWitnessVkey(parseWitnessVkey(vkey))).toBe(vkey);
  });
});
