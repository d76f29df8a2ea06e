/**
 * What the disk may hold after a power cut, by a model that is harder than real file systems: what was synced is there; of what was written since, any
 * subset of its 512-byte sectors, in any order, the last one torn, the file as long as it was or as it became, with zeros where nothing arrived. A name
 * that was made, moved or removed since its folder was synced may be the old or the new one, in order.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Step } from './recorded-run.ts';

const SECTOR = 512;

type Change = Extract<Step, { kind: 'write' | 'truncate' }>;
type Naming = Extract<Step, { kind: 'create' | 'mkdir' | 'unlink' | 'rename' | 'link' }>;

interface Inode {
  synced: Buffer;
  size: number;
  pending: Change[];
}

/** Files and folders by path; a folder has no inode. */
type Names = Map<string, Inode | 'folder'>;

interface Disk {
  /** As the running process sees them, and as the disk has them for sure. */
  readonly names: Names;
  readonly synced: Names;
  readonly unsynced: Array<{ readonly naming: Naming; readonly inode: Inode | 'folder' | undefined }>;
}

/** Everything in a folder, durable. */
export function durable(folder: string): ReadonlyMap<string, Buffer> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(files.map((file) => join(file.parentPath, file.name)).map((path) => [path.slice(folder.length + 1), readFileSync(path)]));
}

/** Writes into `folder` what a cut before the step `cut` may leave of what began as `before`. `lies`: syncs do nothing, as on a disk that lies. */
export function crashInto(
  folder: string,
  before: ReadonlyMap<string, Buffer>,
  steps: readonly Step[],
  cut: number,
  random: () => number,
  lies = false,
): void {
  const disk = replayed(before, steps.slice(0, cut), lies);
  const kept = Math.floor(random() * (disk.unsynced.length + 1));
  for (const { naming, inode } of disk.unsynced.slice(0, kept)) rename(disk.synced, naming, inode);
  for (const [path, inode] of disk.synced) {
    if (inode === 'folder') mkdirSync(join(folder, path), { recursive: true });
    else if (reachable(path, disk.synced, before)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), left(inode, random), { mode: 0o600 });
    }
  }
}

/** The files as the process would read them after all steps. */
export function replayedFiles(before: ReadonlyMap<string, Buffer>, steps: readonly Step[]): ReadonlyMap<string, Buffer> {
  const { names } = replayed(before, steps, false);
  return new Map([...names].flatMap(([path, inode]) => (inode === 'folder' ? [] : [[path, whole(inode)] as const])));
}

function replayed(before: ReadonlyMap<string, Buffer>, steps: readonly Step[], lies: boolean): Disk {
  const names: Names = new Map([...before].map(([path, bytes]) => [path, { synced: bytes, size: bytes.length, pending: [] }]));
  const disk: Disk = { names, synced: new Map(names), unsynced: [] };
  for (const step of steps) apply(disk, step, lies);
  return disk;
}

function apply({ names, synced, unsynced }: Disk, step: Step, lies: boolean): void {
  if (step.kind === 'said') return;
  const inode = names.get(step.path);
  if (step.kind === 'write' || step.kind === 'truncate') {
    if (inode === undefined || inode === 'folder') throw new Error(`${step.kind} of ${step.path}, which is not there`);
    resized(inode, step.kind === 'write' && step.at === 'end' ? { ...step, at: inode.size } : step);
  } else if (step.kind === 'sync') {
    if (lies) return;
    if (inode !== undefined && inode !== 'folder') Object.assign(inode, { synced: whole(inode), pending: [] });
    const settled = unsynced.filter(({ naming }) => parentsOf(naming).every((parent) => parent === step.path));
    for (const { naming, inode: named } of settled) rename(synced, naming, named);
    unsynced.splice(0, unsynced.length, ...unsynced.filter((one) => !settled.includes(one)));
  } else if (step.kind === 'create' && inode !== undefined && inode !== 'folder') {
    if (step.empties) resized(inode, { kind: 'truncate', path: step.path, size: 0 });
  } else {
    const made = step.kind === 'create' ? { synced: Buffer.alloc(0), size: 0, pending: [] } : step.kind === 'mkdir' ? 'folder' : inode;
    rename(names, step, made);
    unsynced.push({ naming: step, inode: made });
  }
}

function resized(inode: Inode, change: Change): void {
  inode.size = sizeAfter(inode.size, change);
  inode.pending.push(change);
}

function rename(names: Names, { kind, path, ...more }: Naming, inode: Inode | 'folder' | undefined): void {
  if (kind === 'unlink' || kind === 'rename') names.delete(path);
  if (inode === undefined || kind === 'unlink') return;
  names.set('to' in more ? String(more.to) : path, inode);
}

function parentsOf(naming: Naming): readonly string[] {
  const parent = (path: string) => (dirname(path) === '.' ? '' : dirname(path));
  return 'to' in naming ? [parent(naming.path), parent(naming.to)] : [parent(naming.path)];
}

/** A file in a folder whose own name did not arrive is not there. */
function reachable(path: string, synced: Names, before: ReadonlyMap<string, Buffer>): boolean {
  const parent = dirname(path);
  if (parent === '.' || [...before.keys()].some((old) => old.startsWith(`${parent}/`))) return true;
  return synced.has(parent) && reachable(parent, synced, before);
}

function whole({ synced, size, pending }: Inode): Buffer {
  return changed(synced, pending, size);
}

function changed(synced: Buffer, pending: readonly Change[], size: number): Buffer {
  const bytes = Buffer.alloc(Math.max(size, synced.length, ...pending.map(endOf)));
  synced.copy(bytes);
  for (const change of pending) put(bytes, change, 0, bytes.length);
  return bytes.subarray(0, size);
}

/** What of the change lies from `start` to `end`. */
function put(bytes: Buffer, change: Change, start: number, end: number): void {
  if (change.kind === 'truncate') return void (change.size < end && bytes.fill(0, Math.max(start, change.size), end));
  const at = Number(change.at);
  const [from, to] = [Math.max(start, at), Math.min(end, at + change.bytes.length)];
  if (from < to) bytes.set(change.bytes.subarray(from - at, to - at), from);
}

function left({ synced, pending, size }: Inode, random: () => number): Buffer {
  const way = random();
  if (pending.length === 0 || way < 0.1) return synced;
  if (way < 0.2) return changed(synced, pending, size);
  const upTo = pending.slice(0, 1 + Math.floor(random() * pending.length));
  return way < 0.5 ? torn(synced, upTo, random) : scattered(synced, upTo, random);
}

/** In order, and the last write cut: at a sector, or in the middle of one. */
function torn(synced: Buffer, upTo: readonly Change[], random: () => number): Buffer {
  const last = upTo.at(-1);
  if (last?.kind !== 'write') return changed(synced, upTo, sizeOf(synced, upTo));
  const cut = Math.floor(random() * (last.bytes.length + 1));
  const kept = random() < 0.5 ? cut - (cut % SECTOR) : cut;
  const cutOff = [...upTo.slice(0, -1), { ...last, bytes: last.bytes.subarray(0, kept) }];
  return changed(synced, cutOff, sizeOf(synced, random() < 0.5 ? upTo : cutOff)); // the rest zeros, or not there
}

/** Each sector as it was after some of the writes that touch it, one of them in the middle of one; the length that it had after any of them. */
function scattered(synced: Buffer, upTo: readonly Change[], random: () => number): Buffer {
  const chance = random();
  const longest = Math.max(synced.length, ...upTo.map(endOf));
  const bytes = Buffer.alloc(Math.ceil(longest / SECTOR) * SECTOR);
  synced.copy(bytes);
  const touching = new Map<number, Change[]>();
  for (const change of upTo) {
    const first = Math.floor((change.kind === 'truncate' ? change.size : Number(change.at)) / SECTOR);
    const end = change.kind === 'truncate' ? bytes.length : endOf(change);
    for (let sector = first; sector * SECTOR < end; sector++) touching.set(sector, [...(touching.get(sector) ?? []), change]);
  }
  const tornSector = Math.floor(random() * touching.size * 2);
  for (const [at, [sector, changes]] of [...touching].entries()) {
    const count = random() < chance ? changes.length : Math.floor(random() * (changes.length + 1));
    const end = sector * SECTOR + (at === tornSector ? Math.floor(random() * SECTOR) : SECTOR);
    for (const change of changes.slice(0, count)) put(bytes, change, sector * SECTOR, end);
  }
  return bytes.subarray(0, sizeOf(synced, upTo.slice(0, Math.floor(random() * (upTo.length + 1)))));
}

function sizeOf(synced: Buffer, changes: readonly Change[]): number {
  return changes.reduce(sizeAfter, synced.length);
}

function sizeAfter(size: number, change: Change): number {
  return change.kind === 'truncate' ? change.size : Math.max(size, endOf(change));
}

function endOf(change: Change): number {
  return change.kind === 'truncate' ? change.size : Number(change.at) + change.bytes.length;
}
