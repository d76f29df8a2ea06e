/**
 * T3: the disk of the access log fills up under a serving vault. New releases are refused before anything is lost, running ones are recorded to their end out of
 * the reserve, streams are cut when that is gone, and the same process goes on when there is room. The disk is a small file system in memory.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, cpSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createLogRoom, type LogRoom } from '../../src/audit/room.ts';
import { createRoomFile } from '../../src/audit/room-file/room-file.ts';
import { finishRelease } from '../../src/vault/finish.ts';
import { endOverdueReleases } from '../../src/vault/outcome.ts';
import { canMount } from '../harness/small-disk.ts';
import { codeFrom, type Machine, type Node, noise, type Published, TestVault } from '../vault/test-vault.ts';

const MIB = 1 << 20;
const mountable = canMount();
const whyNot = mountable ? '' : ' (not run: mounting a file system needs root)';
const RESERVE = 2 * MIB;

(mountable ? describe : describe.skip)(`a vault whose disk fills up${whyNot}`, () => {
  let disk: string;
  let vault: TestVault;
  let node: Node;
  let room: LogRoom;
  let machine: Machine;
  let version: Published;
  let filler: number;

  beforeEach(async () => {
    disk = mkdtempSync(join(tmpdir(), 'wv-room-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=700', 'none', disk]);
    const made = await TestVault.ready();
    machine = await made.machine('gpu-1');
    version = await made.publish('falcon', 'restricted', { 'weights.bin': noise(5 * MIB) });
    await made.leave();
    const file = join(disk, 'vault.db');
    cpSync(made.site.file, file);
    vault = new TestVault({ ...made.site, file });
    room = createLogRoom({ disk: createRoomFile(file), reserveBytes: RESERVE });
    node = await vault.addNode({ logRoom: () => room.now() });
    await room.look();
    expect(room.now()).toBe('ample');
    filler = openSync(join(disk, 'filler'), 'w');
  });
  afterEach(async () => {
    closeSync(filler);
    await vault.remove();
    execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true, force: true });
  });

  /** Until `left` bytes are free. */
  async function fillTo(left: number): Promise<void> {
    const free = () => createRoomFile(join(disk, 'vault.db')).free();
    while ((await free()) > left) writeSync(filler, Buffer.alloc(Math.min(64 * 1024, Math.max(4096, (await free()) - left))));
    await room.look();
  }

  test('refuses new releases in time, records the ends of running ones, cuts streams when the reserve is gone, and goes on by itself', async () => {
    const [first, second] = [await vault.granted({ machine, version, node }), await vault.granted({ machine, version, node })];
    const opened = await vault.opened(machine, first, 'weights.bin', node);
    const stream = opened.read({ start: 0, end: opened.object.size }, new AbortController().signal, () => undefined);
    expect((await stream.next()).done).toBe(false);

    await fillTo(RESERVE / 2);
    expect(room.now()).toBe('low');
    expect(await codeFrom(vault.ask({ machine, version, node }))).toBe('log_space_low');
    expect((await stream.next()).done).toBe(false); // what runs goes on

    await fillTo(0);
    expect(room.now()).toBe('spent');
    const { namespace, releaseId } = second.permit;
    await finishRelease({ requestId: 'end', namespace, releaseId, spki: machine.spki, remoteAddress: '' }, node.vault);
    expect(vault.records('release.end').at(-1)).toMatchObject({ release: { releaseId } });
    vault.expectDenied(await vault.ask({ machine, version, node, evidence: [] }), 'evidence_missing'); // a refusal fits, too
    expect((await stream.next()).done).toBe(false);

    await fillTo(RESERVE / 64);
    expect(room.now()).toBe('gone');
    await expect(stream.next()).rejects.toMatchObject({ code: 'log_space_low' });

    rmSync(join(disk, 'filler'));
    closeSync(filler);
    filler = openSync(join(disk, 'filler'), 'w');
    await room.look();
    expect(room.now()).toBe('ample');
    vault.clock.advance(2);
    await endOverdueReleases(node.vault);
    await vault.fetch(machine, await vault.granted({ machine, version, node }), 'weights.bin', node);
    while ((await node.sequencer.tick()) === 'published');
    expect(node.sequencer.halted()).toBeUndefined();
  });
});
