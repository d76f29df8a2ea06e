/** What probes may ask the machine. Tests put a bad machine in its place. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, statfsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface PathFacts {
  readonly kind: 'file' | 'folder' | 'other';
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Number of the file system. */
  readonly device: number;
}

export interface Facts {
  readonly now: Date;
  readonly uid: number;
  readonly nodeVersion: string;
  /** Of package.json. */
  readonly pinnedNode: string;
  /** Undefined when there is no such file. Throws when it may not be read. */
  text(path: string): string | undefined;
  /** Undefined when there is nothing. Throws when its folder may not be entered. */
  path(path: string): PathFacts | undefined;
  /** Names in a folder; none when it is absent or may not be read. */
  names(folder: string): readonly string[];
  /** Where a symbolic link leads; undefined when there is none to read. */
  link(path: string): string | undefined;
  /** Free and all bytes of the file system that holds `path`. */
  space(path: string): { readonly free: number; readonly all: number };
  /** Standard output of a program that needs no more than two seconds; undefined when it is absent or fails. */
  output(program: string, args: readonly string[]): Promise<string | undefined>;
}

const OUTPUT_MS = 2_000;
const PACKAGE = fileURLToPath(new URL('../../../package.json', import.meta.url));

export function machineFacts(now: Date): Facts {
  return {
    now,
    uid: process.geteuid?.() ?? -1,
    nodeVersion: process.versions.node,
    pinnedNode: String(JSON.parse(readFileSync(PACKAGE, 'utf8')).dependencies.node),
    text: (path) => absent(() => readFileSync(path, 'utf8')),
    path: (path) => absent(() => pathFacts(path)),
    names: (folder) => unread(() => readdirSync(folder)) ?? [],
    link: (path) => unread(() => readlinkSync(path)),
    space(path) {
      const { bavail, blocks, bsize } = statfsSync(path);
      return { free: bavail * bsize, all: blocks * bsize };
    },
    output: (program, args) =>
      new Promise((resolve) => {
        execFile(program, [...args], { timeout: OUTPUT_MS }, (error, stdout) => resolve(error === null ? stdout : undefined));
      }),
  };
}

function pathFacts(path: string): PathFacts {
  const stat = statSync(path);
  const kind = stat.isFile() ? 'file' : stat.isDirectory() ? 'folder' : 'other';
  return { kind, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, device: stat.dev };
}

function unread<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

function absent<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
