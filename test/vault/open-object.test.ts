/** The stream stage: rechecked at every request, authenticated segment by segment, counted, and cut. */
import { readdirSync, readFileSync, readlinkSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { VaultError } from '../../src/domain/errors.ts';
import type { BlobName, ReleaseId, StopId } from '../../src/domain/ids.ts';
import { newId } from '../../src/domain/ids.ts';
import type { ManifestObject } from '../../src/domain/model.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { finishRelease } from '../../src/vault/finish.ts';
import type { OpenedObject } from '../../src/vault/open-object.ts';
import type { Granted } from '../../src/vault/release.ts';
import { createRevocations } from '../../src/vault/revoke.ts';
import { codeFrom, collect, type Machine, marker, type Node, noise, type Published, TestVault } from './test-vault.ts';

const MIB = 1 << 20;
const UNIT = 64 * MIB;

let vault: TestVault;
let machine: Machine;
let made = 0;

beforeAll(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('gpu-1');
});
afterAll(() => vault.remove());

const whole = (opened: OpenedObject) => ({ start: 0, end: opened.object.size });
const live = () => new AbortController().signal;
const read = (opened: OpenedObject, start: number, end: number) => collect(opened.read({ start, end }, live(), () => undefined));
const stream = (opened: OpenedObject, onCut: () => void = () => undefined, signal = live()) => opened.read(whole(opened), signal, onCut);

function blobFile(object: ManifestObject, unit = 0): string {
  const name = object.units[unit]?.ciphertextSha256 ?? ('' as BlobName);
  return join(vault.site.folder, 'blobs', name.slice(0, 2), name.slice(2, 4), name);
}

/** Files of the blob folder that this process has open. */
function openBlobs(): number {
  const folder = join(vault.site.folder, 'blobs');
  const target = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // closed since it was listed
    }
  };
  return readdirSync('/proc/self/fd').filter((fd) => target(fd).startsWith(folder)).length;
}

async function eventually(holds: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !holds(); waited += 10) {
    if (waited > 60_000) throw new Error(`never happened: ${what}`);
    await sleep(10);
  }
}

const figures = (granted: Granted, node = vault.node) =>
  vault.row('SELECT * FROM release_progress WHERE release_id = ? AND node = ?', granted.permit.releaseId, node.vault.node);

describe('an object of 66 MiB and a bit, in two units', () => {
  const bytes = noise(66 * MIB + 12_345);
  let large: Published;
  let granted: Granted;
  beforeAll(async () => {
    large = await vault.publish('large', 'internal', { 'weights.bin': bytes });
    granted = await vault.granted({ machine, version: large });
  });

  test('is stored as two units, and comes back whole', async () => {
    const opened = await vault.opened(machine, granted);
    expect(opened.object.units).toHaveLength(2);
    let at = 0;
    for await (const chunk of stream(opened)) {
      expect(chunk.length).toBeLessThanOrEqual(MIB);
      if (Buffer.compare(chunk, bytes.subarray(at, at + chunk.length)) !== 0) throw new Error(`differs at ${at}`);
      at += chunk.length;
    }
    expect(at).toBe(bytes.length);
    await vault.vault.meter.flush();
    expect(figures(granted)).toMatchObject({ bytes: bytes.length, completed_objects: 1, aborted_streams: 0, active_streams: 0 });
  });

  test.each([
    ['nothing at the start', 0, 0],
    ['nothing at the end', bytes.length, bytes.length],
    ['the first byte', 0, 1],
    ['the last byte', bytes.length - 1, bytes.length],
    ['across a segment boundary', MIB - 1, MIB + 1],
    ['exactly one segment', MIB, 2 * MIB],
    ['the last byte of the first unit', UNIT - 1, UNIT],
    ['the first byte of the second unit', UNIT, UNIT + 1],
    ['across the unit boundary', UNIT - 3, UNIT + 3],
    ['two segments around the unit boundary', UNIT - MIB - 1, UNIT + MIB + 1],
    ['into the short last segment', 66 * MIB - 1, bytes.length],
  ])('gives exactly %s', async (_what, start, end) => {
    const opened = await vault.opened(machine, granted);
    expect(Buffer.compare(await read(opened, start, end), bytes.subarray(start, end))).toBe(0);
  });

  test.each([
    [-1, 1],
    [0, bytes.length + 1],
    [2, 1],
    [0.5, 1],
    [Number.NaN, 1],
  ])('refuses the range %d to %d', async (start, end) => {
    const opened = await vault.opened(machine, granted);
    expect(await codeFrom(read(opened, start, end))).toBe('sealed_range');
  });

  test('with the second unit swapped for the first sends the good unit and then stops: object_integrity', async () => {
    const opened = await vault.opened(machine, granted);
    const [first, second] = [readFileSync(blobFile(opened.object, 0)), readFileSync(blobFile(opened.object, 1))];
    try {
      writeFileSync(blobFile(opened.object, 1), first.subarray(0, second.length));
      let sent = 0;
      const failed = (async () => {
        for await (const chunk of opened.read({ start: UNIT - 2 * MIB, end: bytes.length }, live(), () => undefined)) sent += chunk.length;
      })();
      expect(await codeFrom(failed)).toBe('object_integrity');
      expect(sent).toBe(2 * MIB);
    } finally {
      writeFileSync(blobFile(opened.object, 1), second);
    }
  });
});

describe('an empty object', () => {
  test('is delivered as nothing, and only because its segment verified', async () => {
    const version = await vault.publish('empty', 'public', { 'weights.bin': new Uint8Array(0) });
    const granted = await vault.granted({ machine, version });
    expect(await vault.fetch(machine, granted)).toHaveLength(0);
    const { object } = await vault.opened(machine, granted);
    writeFileSync(blobFile(object), Buffer.alloc(readFileSync(blobFile(object)).length));
    expect(await codeFrom(vault.fetch(machine, granted))).toBe('object_integrity');
  });
});

describe('ciphertext that is not what was stored', () => {
  const text = marker(3 * MIB + 5);
  let version: Published;
  let granted: Granted;
  let object: ManifestObject;
  beforeEach(async () => {
    version = await vault.publish('damaged', 'internal', { 'weights.bin': text, 'other.bin': marker(3 * MIB + 5, 'OTHER') });
    granted = await vault.granted({ machine, version });
    ({ object } = await vault.opened(machine, granted));
  });

  /** Bytes sent before the failure. */
  async function sentUntilRefused(): Promise<number> {
    let sent = 0;
    const opened = await vault.opened(machine, granted);
    const failed = (async () => {
      for await (const chunk of stream(opened)) {
        expect(Buffer.compare(chunk, text.subarray(sent, sent + chunk.length))).toBe(0);
        sent += chunk.length;
      }
    })();
    expect(await codeFrom(failed)).toBe('object_integrity');
    expect(vault.lastRecord()).toMatchObject({
      type: 'object.integrity',
      outcome: 'failure',
      reason: 'object_integrity',
      actor: { kind: 'requester', subjectId: machine.subjectId },
      release: { releaseId: granted.permit.releaseId, begin: granted.permit.recordId },
      object: { versionId: version.versionId },
    });
    expect(openBlobs()).toBe(0);
    return sent;
  }

  const flip = (at: number) => {
    const bytes = readFileSync(blobFile(object));
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(blobFile(object), bytes);
  };
  const HEADER = 74;
  const SEGMENT = MIB + 32;

  test.each([
    ['the length field of the first segment', HEADER, 0],
    ['the first segment', HEADER + 500, 0],
    ['the tag of the first segment', HEADER + SEGMENT - 1, 0],
    ['the second segment', HEADER + SEGMENT + 500, MIB],
    ['the last segment', HEADER + 3 * SEGMENT + 17, 3 * MIB],
  ])('altered in one bit of %s: nothing of that segment leaves', async (_where, at, sent) => {
    flip(at);
    expect(await sentUntilRefused()).toBe(sent);
  });

  test('a header altered in the file changes nothing: the header is the signed manifest’s', async () => {
    flip(3);
    expect(Buffer.compare(await vault.fetch(machine, granted), text)).toBe(0); // toEqual takes seconds over millions of bytes
  });

  test('truncated, at a segment boundary and inside a segment', async () => {
    truncateSync(blobFile(object), HEADER + 2 * SEGMENT);
    expect(await sentUntilRefused()).toBeLessThanOrEqual(2 * MIB);
    truncateSync(blobFile(object), HEADER + 10);
    expect(await sentUntilRefused()).toBe(0);
  });

  test('missing', async () => {
    rmSync(blobFile(object));
    expect(await sentUntilRefused()).toBe(0);
  });

  test('with two segments exchanged', async () => {
    const bytes = readFileSync(blobFile(object));
    const segment = (n: number) => bytes.subarray(HEADER + n * SEGMENT, HEADER + (n + 1) * SEGMENT);
    const rest = bytes.subarray(HEADER + 2 * SEGMENT);
    writeFileSync(blobFile(object), Buffer.concat([bytes.subarray(0, HEADER), segment(1), segment(0), rest]));
    expect(await sentUntilRefused()).toBe(0);
  });

  test('of another object of the same version, and the same object of another version', async () => {
    const other = (await vault.opened(machine, granted, 'other.bin')).object;
    const own = readFileSync(blobFile(object));
    writeFileSync(blobFile(object), readFileSync(blobFile(other)));
    expect(await sentUntilRefused()).toBe(0);
    writeFileSync(blobFile(object), own);
    const older = await vault.publish('damaged', 'internal', { 'weights.bin': text });
    const twin = (await vault.opened(machine, await vault.granted({ machine, version: older }))).object;
    writeFileSync(blobFile(object), readFileSync(blobFile(twin)));
    expect(await sentUntilRefused()).toBe(0);
  });

  test('plaintext in place of ciphertext is not passed through', async () => {
    writeFileSync(blobFile(object), Buffer.alloc(readFileSync(blobFile(object)).length, 'PLAIN'));
    expect(await sentUntilRefused()).toBe(0);
  });

  test('a range that does not touch the bad segment is served', async () => {
    flip(HEADER + SEGMENT + 500);
    const opened = await vault.opened(machine, granted);
    expect(Buffer.compare(await read(opened, 0, MIB), text.subarray(0, MIB))).toBe(0);
    expect(Buffer.compare(await read(opened, 2 * MIB, 3 * MIB + 5), text.subarray(2 * MIB))).toBe(0);
    expect(await codeFrom(read(opened, MIB + 10, MIB + 11))).toBe('object_integrity');
  });
});

describe('every request is rechecked, and every refusal recorded', () => {
  let granted: Granted;
  beforeEach(async () => {
    granted = await vault.granted({ machine, version: await vault.publish('checked', 'restricted') });
  });
  async function refusedWith(code: string, answer = vault.open(machine, granted)): Promise<void> {
    const refused = await answer;
    if (!refused.refused) throw new Error('it was opened');
    expect(refused.code).toBe(code);
    expect(vault.lastRecord()).toMatchObject({ recordId: refused.recordId, type: 'object.denied', outcome: 'deny', reason: code });
  }

  test('another TLS key: release_key_mismatch', () =>
    refusedWith('release_key_mismatch', vault.open({ ...machine, spki: Uint8Array.of(1) }, granted)));
  test('a release that never was: release_unknown', () => {
    const permit = { ...granted.permit, releaseId: newId<ReleaseId>(vault.clock.now()) };
    return refusedWith('release_unknown', vault.open(machine, { permit }));
  });
  test.each(['weights.BIN', '../weights.bin', '', '__proto__', 'weights.bin/'])('the path "%s": object_unknown', (path) =>
    refusedWith('object_unknown', vault.open(machine, granted, path)),
  );
  test('expired to the second: release_expired', async () => {
    vault.clock.advance(3599);
    expect((await vault.open(machine, granted)).refused).toBe(false);
    vault.clock.advance(1);
    await refusedWith('release_expired');
  });
  test('ended by its requester: release_ended', async () => {
    const { namespace, releaseId } = granted.permit;
    await finishRelease({ requestId: 'r', namespace, releaseId, spki: machine.spki, remoteAddress: '' }, vault.vault);
    await refusedWith('release_ended');
  });
  test('blocked: subject_blocked, and release_cut once the release was ended by it', async () => {
    const bad = await vault.machine(`gpu-bad-${made++}`);
    const own = await vault.granted({ machine: bad, version: await vault.publish('checked', 'restricted') });
    await vault.stores.unitOfWork.run((tx) => {
      const { namespace, subjectId: target } = bad;
      const stop = { stopId: newId<StopId>(tx.now), scope: 'requester' as const, namespace, target, createdAt: tx.now };
      return vault.stores.releases.insertStop(tx, stop);
    });
    await refusedWith('subject_blocked', vault.open(bad, own));
    vault.sql("UPDATE releases SET outcome = 'cut' WHERE release_id = ?", own.permit.releaseId);
    await refusedWith('release_cut', vault.open(bad, own));
  });
  test('ending with another TLS key: release_key_mismatch, and the release lives on', async () => {
    const { namespace, releaseId } = granted.permit;
    const refused = await finishRelease({ requestId: 'r', namespace, releaseId, spki: Uint8Array.of(1), remoteAddress: '' }, vault.vault);
    expect(refused?.code).toBe('release_key_mismatch');
    expect((await vault.open(machine, granted)).refused).toBe(false);
  });
});

describe('a reader that leaves', () => {
  let granted: Granted;
  let opened: OpenedObject;
  beforeEach(async () => {
    granted = await vault.granted({ machine, version: await vault.publish('left', 'internal', { 'weights.bin': marker(5 * MIB) }) });
    opened = await vault.opened(machine, granted);
  });

  test('after one segment: no file stays open, and it counts as an aborted stream with the bytes that left', async () => {
    for await (const chunk of stream(opened)) {
      expect(chunk.length).toBe(MIB);
      expect(openBlobs()).toBe(1);
      break;
    }
    expect(openBlobs()).toBe(0);
    await vault.vault.meter.flush();
    expect(figures(granted)).toMatchObject({ bytes: MIB, completed_objects: 0, aborted_streams: 1, active_streams: 0 });
  });

  test('by aborting its connection while it is not reading: the file is closed without waiting for it', async () => {
    const gone = new AbortController();
    const chunks = stream(opened, undefined, gone.signal);
    await chunks.next();
    expect(openBlobs()).toBe(1);
    gone.abort(new VaultError('release_ended', 'gone'));
    await eventually(() => openBlobs() === 0, 'the blob file is closed');
    expect(await codeFrom(chunks.next())).toBe('release_ended');
    await vault.vault.meter.flush();
    expect(figures(granted)).toMatchObject({ aborted_streams: 1, active_streams: 0 });
  });

  test('before the first byte is no stream at all', async () => {
    await stream(opened).return(undefined);
    await vault.vault.meter.flush();
    expect(figures(granted)).toBeUndefined();
  });

  test('after a part that it asked for is not an aborted stream', async () => {
    await read(opened, 10, 2 * MIB);
    await vault.vault.meter.flush();
    expect(figures(granted)).toMatchObject({ bytes: 2 * MIB - 10, completed_objects: 0, aborted_streams: 0, active_streams: 0 });
  });

  test('what a chunk showed is wiped when the next one comes: a chunk belongs to its reader only until then', async () => {
    const chunks = stream(opened);
    const first = (await chunks.next()).value as Uint8Array;
    expect(first[0]).not.toBe(0);
    await chunks.return(undefined);
    expect(first.every((byte) => byte === 0)).toBe(true);
  });
});

describe('a stream that is cut', () => {
  let bad: Machine;
  let granted: Granted;
  let version: Published;
  beforeEach(async () => {
    bad = await vault.machine(`gpu-bad-${made++}`);
    version = await vault.publish('cut', 'internal', { 'weights.bin': marker(5 * MIB) });
    granted = await vault.granted({ machine: bad, version });
  });
  const block = async (node: Node = vault.node) => blockSubject(await vault.as('bob'), bad.namespace, bad.name, node.vault);

  test('by a block on this node: at once, even while the reader is not reading, as release_cut', async () => {
    const opened = await vault.opened(bad, granted);
    let cut = 0;
    const chunks = stream(opened, () => cut++);
    await chunks.next();
    await block();
    expect(cut).toBe(1);
    await eventually(() => openBlobs() === 0, 'the blob file is closed');
    expect(await codeFrom(chunks.next())).toBe('release_cut');
    expect((await chunks.next()).done).toBe(true);
  });

  test('by a block on another node: within one refresh', async () => {
    const other = await vault.addNode();
    const opened = await vault.opened(bad, granted);
    let cut = false;
    const chunks = stream(opened, () => (cut = true));
    await chunks.next();
    await block(other);
    expect(cut).toBe(false);
    await vault.vault.revocations.refresh();
    expect(cut).toBe(true);
    expect(await codeFrom(chunks.next())).toBe('release_cut');
  });

  test('leaves the streams of everybody else alone', async () => {
    const good = await vault.granted({ machine, version });
    const chunks = stream(await vault.opened(machine, good));
    await chunks.next();
    await block();
    expect((await chunks.next()).done).toBe(false);
    await chunks.return(undefined);
  });

  test('takes the key of the version with it, although a lease was open when it was cut', async () => {
    const node = await vault.addNode();
    const opened = await vault.opened(bad, granted, 'weights.bin', node);
    const handedOut = vault.keys.opened.length;
    const reading = (async () => {
      for await (const _ of stream(opened)) await block(node); // what an HTTP handler does: it notices when it asks for more
    })();
    expect(await codeFrom(reading)).toBe('release_cut');
    const [dek] = vault.keys.opened.slice(handedOut);
    expect(dek).toBeDefined();
    await eventually(() => dek?.disposed === true, 'the DEK is wiped');
  });

  test('a new stream after the cut sends nothing, also before the block list was read again', async () => {
    await block(await vault.addNode());
    const answer = await vault.open(bad, granted); // asks the database, not the list in memory
    expect(answer.refused && ['subject_blocked', 'release_cut'].includes(answer.code)).toBe(true);
  });

  test('opened before the block and read after it sends nothing', async () => {
    const opened = await vault.opened(bad, granted);
    await block();
    expect(await codeFrom(stream(opened).next())).toBe('release_cut');
  });
});

describe('when the block list cannot be read', () => {
  /** A node whose database can be cut off; its list was read at the start. */
  async function partitioned() {
    let reachable = true;
    const { vault: plain, sequencer } = await vault.addNode();
    const stores = {
      ...plain.stores,
      unitOfWork: {
        run: <T>(work: Parameters<typeof plain.stores.unitOfWork.run<T>>[0]) =>
          reachable ? plain.stores.unitOfWork.run(work) : Promise.reject(new VaultError('store_unavailable')),
      },
    };
    const revocations = createRevocations({ ...plain, stores, clock: vault.clock, onStale: () => undefined });
    await revocations.refresh();
    const node: Node = { vault: { ...plain, revocations }, sequencer };
    return { node, revocations, cutOff: () => (reachable = false), reconnect: () => (reachable = true) };
  }

  test('streams go on for 4 s and not a millisecond longer: revocation_unknown', async () => {
    const { node, revocations, cutOff } = await partitioned();
    const version = await vault.publish('stale', 'internal', { 'weights.bin': marker(5 * MIB) });
    const granted = await vault.granted({ machine, version });
    const opened = await vault.opened(machine, granted, 'weights.bin', node);
    let cut = false;
    const chunks = stream(opened, () => (cut = true));
    await chunks.next();
    cutOff();
    vault.clock.wait(4000);
    expect(await codeFrom(revocations.refresh())).toBe('store_unavailable');
    expect(cut).toBe(false);
    expect((await chunks.next()).done).toBe(false);
    vault.clock.wait(1);
    expect(await codeFrom(revocations.refresh())).toBe('store_unavailable');
    expect(cut).toBe(true); // a reader that has stopped reading is cut too
    expect(await codeFrom(chunks.next())).toBe('revocation_unknown');
    await eventually(() => openBlobs() === 0, 'the blob file is closed');
  });

  test('a segment is not sent either when nobody refreshed at all', async () => {
    const { node, cutOff } = await partitioned();
    const version = await vault.publish('stale', 'internal', { 'weights.bin': marker(5 * MIB) });
    const opened = await vault.opened(machine, await vault.granted({ machine, version }), 'weights.bin', node);
    const chunks = stream(opened);
    await chunks.next();
    cutOff();
    vault.clock.wait(4001);
    expect(await codeFrom(chunks.next())).toBe('revocation_unknown');
  });

  test('and once it can be read again, new streams are served', async () => {
    const { node, cutOff, reconnect, revocations } = await partitioned();
    const version = await vault.publish('stale', 'internal');
    const granted = await vault.granted({ machine, version });
    cutOff();
    vault.clock.wait(60_000);
    await codeFrom(revocations.refresh());
    reconnect();
    expect(await vault.fetch(machine, granted, 'weights.bin', node)).toHaveLength(1000);
  });

  test('a node that cannot read it at its start does not start', async () => {
    const down = createRevocations({
      ...vault.vault,
      stores: { ...vault.stores, unitOfWork: { run: () => Promise.reject(new VaultError('store_unavailable')) } },
      clock: vault.clock,
      onStale: () => undefined,
    });
    expect(await codeFrom(down.start())).toBe('store_unavailable');
  });
});
