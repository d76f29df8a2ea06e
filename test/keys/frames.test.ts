/** How the keeper's messages are cut and sent, and that no secret stays in what carried it. */
import { describe, expect, test } from '@jest/globals';
import { SecretBytes } from '../../src/domain/secret.ts';
import { decodeFlatMap, type FlatMap } from '../../src/keys/flat-cbor.ts';
import { FrameReader, FrameWriter, MAX_FRAME_BYTES, secretIn } from '../../src/keys/keeper/frames.ts';
import { parseRequest } from '../../src/keys/keeper/protocol.ts';

const SECRET = new Uint8Array(32).fill(0xd7);
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const wiped = (bytes: Uint8Array | undefined) => bytes?.every((byte) => byte === 0);

/** A socket: what was written stays visible, as it is at that moment and as it is later. */
function sink(): { write(bytes: Uint8Array, done: () => void): boolean; writes: Uint8Array[]; lent: Uint8Array[]; sent(): void } {
  const waiting: Array<() => void> = [];
  return {
    writes: [],
    lent: [],
    write(bytes, done) {
      this.writes.push(bytes.slice());
      this.lent.push(bytes);
      waiting.push(done);
      return true;
    },
    sent: () => {
      for (const done of waiting.splice(0)) done();
    },
  };
}

/** One frame each. */
async function frames(...messages: ReadonlyArray<FlatMap & { secretBytes?: Uint8Array }>): Promise<Uint8Array> {
  const to = sink();
  const writer = new FrameWriter(to);
  for (const message of messages) writer.push(message);
  await turn();
  return new Uint8Array(Buffer.concat(to.writes));
}

describe('writing', () => {
  test('what comes in one turn is one write, and wiped once it is sent', async () => {
    const to = sink();
    const writer = new FrameWriter(to);
    for (let id = 0; id < 20; id++) writer.push({ id }, new SecretBytes(SECRET));
    expect(to.writes).toHaveLength(0);
    await turn();
    expect(to.writes).toHaveLength(1);
    const ids: unknown[] = [];
    new FrameReader((payload) => {
      const message = decodeFlatMap(payload);
      expect(secretIn(message)).toEqual(SECRET);
      ids.push(message['id']);
    }).push(to.writes[0]?.slice() ?? new Uint8Array(0));
    expect(ids).toEqual(Array.from({ length: 20 }, (_, id) => id));
    expect(wiped(to.lent[0])).toBe(false);
    to.sent();
    expect(wiped(to.lent[0])).toBe(true);
  });

  test('what does not fit in one room goes in several, in order and whole, whatever the sizes', async () => {
    const sizes = [0, 3_000, 3_000, 1, 60_000, 4_075, 4_076, 4_077, 4_096, 5, 100_000];
    const taken: number[] = [];
    const reader = new FrameReader((payload) => taken.push((decodeFlatMap(payload)['part'] as Uint8Array).length));
    reader.push(await frames(...sizes.map((size) => ({ part: new Uint8Array(size) }))));
    expect(taken).toEqual(sizes);
  });

  test('a message that does not fit in a frame is refused, and those before and after it are sent', async () => {
    const to = sink();
    const writer = new FrameWriter(to);
    writer.push({ id: 1 });
    expect(() => writer.push({ part: new Uint8Array(MAX_FRAME_BYTES) })).toThrow(expect.objectContaining({ code: 'request_invalid' }));
    writer.push({ id: 2 });
    await turn();
    expect(Buffer.concat(to.writes).toString('hex')).toBe('00000005a162696401' + '00000005a162696402');
  });
});

describe('reading', () => {
  test('cuts the same payloads wherever the stream is cut, and leaves nothing of half a frame in a chunk', async () => {
    const each = await Promise.all([frames({ id: 1 }), frames({ id: 2, secretBytes: SECRET }), frames({ id: 300, text: 'abc' })]);
    const whole = new Uint8Array(Buffer.concat(each));
    for (let cut = 0; cut <= whole.length; cut++) {
      const ids: unknown[] = [];
      const reader = new FrameReader((payload) => ids.push(decodeFlatMap(payload)['id']));
      const [first, second] = [whole.slice(0, cut), whole.slice(cut)];
      reader.push(first);
      const taken = Buffer.concat(each.slice(0, ids.length)).length;
      expect(wiped(first.subarray(taken))).toBe(true);
      reader.push(second);
      expect(ids).toEqual([1, 2, 300]);
    }
  });

  test("a frame that cannot be read is wiped, and what was taken before it stays its taker's", async () => {
    const chunk = await frames({ id: 1, secretBytes: SECRET }, { id: 2, secretBytes: SECRET });
    const taken: Uint8Array[] = [];
    const reader = new FrameReader((payload) => {
      const message = decodeFlatMap(payload);
      if (message['id'] === 2) throw new Error('not this one');
      taken.push(secretIn(message));
    });
    expect(() => reader.push(chunk)).toThrow('not this one');
    expect(taken).toEqual([SECRET]);
    expect(wiped(chunk.subarray(chunk.length / 2))).toBe(true);
  });

  test('a length above the limit is refused before its bytes come', () => {
    const reader = new FrameReader(() => undefined);
    expect(() => reader.push(Uint8Array.of(0, 2, 0, 1))).toThrow(expect.objectContaining({ code: 'request_invalid' }));
    reader.push(Uint8Array.of(0, 2, 0, 0));
  });
});

test('the secret of a request is no longer in the message once it is parsed', async () => {
  const chunk = await frames({ id: 1, verb: 'wrap', keyId: 'kek-1', keyVersion: 1, aad: new Uint8Array(3), secretBytes: SECRET });
  const asked: Array<ReturnType<typeof parseRequest>> = [];
  new FrameReader((payload) => asked.push(parseRequest(decodeFlatMap(payload)))).push(chunk);
  const request = asked[0]?.request;
  if (request?.verb !== 'wrap') throw new Error('not a wrap');
  expect(request.secret.expose((bytes) => [...bytes])).toEqual([...SECRET]);
  expect(Buffer.from(chunk).includes(Buffer.from(SECRET))).toBe(false);
});
