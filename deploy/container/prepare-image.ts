/**
 * The last step of an image: makes its folders for their owners, and takes away what an intruder would reach for.
 *
 *   node deploy/container/prepare-image.ts vault|keeper [ROOT]
 *
 * Docker gives a new named volume the owner and mode of the folder it is mounted on; that is how the volumes get theirs.
 * A shell, package managers and setuid bits have no use at run time: the only program of the image is node.
 */
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const VAULT_UID = 10_001;
export const KEEPER_UID = 10_002;
/** May open the keeper's socket and read the hand-over; owns nothing else. Both users are in it. */
export const SOCKET_GID = 10_003;

/** Path, owner, group, mode. The socket's folder is the keeper's in both images: which is mounted first must not matter. */
const FOLDERS: Readonly<Record<'vault' | 'keeper', ReadonlyArray<readonly [path: string, uid: number, gid: number, mode: number]>>> = {
  vault: [
    ['/vault', VAULT_UID, VAULT_UID, 0o700],
    ['/head', VAULT_UID, VAULT_UID, 0o700],
    ['/run/keeper', KEEPER_UID, SOCKET_GID, 0o750],
    ['/handover', KEEPER_UID, SOCKET_GID, 0o2770],
  ],
  keeper: [
    ['/keys', KEEPER_UID, KEEPER_UID, 0o700],
    ['/run/keeper', KEEPER_UID, SOCKET_GID, 0o750],
    ['/handover', KEEPER_UID, SOCKET_GID, 0o2770],
  ],
};

const REMOVED = [
  ...['sh', 'dash', 'bash', 'rbash', 'perl', 'apt', 'apt-get', 'apt-cache', 'apt-key', 'dpkg', 'dpkg-deb'].map(
    (name) => `/usr/bin/${name}`,
  ),
  ...['sh', 'dash', 'bash', 'rbash'].map((name) => `/bin/${name}`),
  ...['npm', 'npx', 'corepack', 'yarn', 'yarnpkg', 'docker-entrypoint.sh'].map((name) => `/usr/local/bin/${name}`),
  '/usr/local/lib/node_modules',
  '/usr/local/include',
];
const PROGRAMS = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/lib'];
const SETUID_SETGID = 0o6000;

export function prepareImage(target: 'vault' | 'keeper', root = '/'): void {
  const inRoot = (path: string) => join(root, path);
  for (const [path, uid, gid, mode] of FOLDERS[target]) {
    mkdirSync(inRoot(path), { recursive: true });
    chownSync(inRoot(path), uid, gid);
    chmodSync(inRoot(path), mode);
  }
  for (const folder of PROGRAMS) dropSetuid(inRoot(folder));
  for (const path of REMOVED) rmSync(inRoot(path), { recursive: true, force: true });
}

function dropSetuid(folder: string): void {
  const stat = statSync(folder, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) return;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const { mode } = statSync(file);
    if ((mode & SETUID_SETGID) !== 0) chmodSync(file, mode & 0o777);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [target, root] = process.argv.slice(2);
  if (target !== 'vault' && target !== 'keeper') throw new Error('usage: prepare-image.ts vault|keeper [ROOT]');
  prepareImage(target, root);
}
