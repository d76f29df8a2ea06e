/** The vault and keeper that run on this machine, found by the sockets they listen on: their limits count, not those of the shell the doctor runs in. */
import type { Config } from '../../config/config.ts';
import type { Facts } from './facts.ts';

export interface Running {
  readonly what: 'vault' | 'keeper';
  readonly pid: number;
}

/** Linux, include/uapi/linux/net.h: __SO_ACCEPTCON. */
const ACCEPTS = 0x1_0000;
/** Linux, include/net/tcp_states.h: TCP_LISTEN. */
const LISTENS = '0A';

/** Those of this process's own namespaces whose descriptors it may look at: of the same user, or all as root. Empty: none runs, or none can be seen. */
export function runningProcesses(facts: Facts, config: Config): readonly Running[] {
  const keepers = holdersOf(facts, keeperInodes(facts, config));
  const vaults =
    config.keeper.mode === 'child' ? keepers.flatMap((pid) => parentOf(facts, pid) ?? []) : holdersOf(facts, planeInodes(facts, config));
  return [
    ...[...new Set(vaults)].map((pid) => ({ what: 'vault' as const, pid })),
    ...keepers.map((pid) => ({ what: 'keeper' as const, pid })),
  ];
}

/** With one plane a process, each has its own child keeper. */
export function keeperSockets({ keeper, keeperSocket }: Config): readonly string[] {
  if (keeper.mode === 'external') return [keeper.socket];
  return [keeperSocket, ...['-data', '-admin'].map((plane) => keeperSocket.replace(/(?:\.sock)?$/, `${plane}.sock`))];
}

/** proc(5): Num RefCount Protocol Flags Type St Inode Path. */
function keeperInodes(facts: Facts, config: Config): ReadonlySet<string> {
  const sockets = new Set(keeperSockets(config));
  return new Set(
    lines(facts, '/proc/net/unix').flatMap((line) => {
      const [, , , flags = '', , , inode = '', path = ''] = line.split(/\s+/);
      return sockets.has(path) && (Number.parseInt(flags, 16) & ACCEPTS) !== 0 ? [inode] : [];
    }),
  );
}

/** proc(5): sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode. */
function planeInodes(facts: Facts, { dataPlane, adminPlane }: Config): ReadonlySet<string> {
  const ports = new Set([dataPlane.port, adminPlane.port].filter((port) => port !== 0));
  return new Set(
    [...lines(facts, '/proc/net/tcp'), ...lines(facts, '/proc/net/tcp6')].flatMap((line) => {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      return state === LISTENS && ports.has(Number.parseInt(local.split(':')[1] ?? '', 16)) ? [inode] : [];
    }),
  );
}

function holdersOf(facts: Facts, inodes: ReadonlySet<string>): readonly number[] {
  if (inodes.size === 0) return [];
  const pids = facts.names('/proc').filter((name) => /^\d+$/.test(name));
  return pids
    .filter((pid) => facts.names(`/proc/${pid}/fd`).some((fd) => inodes.has(inodeOf(facts.link(`/proc/${pid}/fd/${fd}`)))))
    .map(Number);
}

const inodeOf = (target: string | undefined): string => /^socket:\[(\d+)\]$/.exec(target ?? '')?.[1] ?? '';

function parentOf(facts: Facts, pid: number): number | undefined {
  const parent = Number(statusOf(facts, pid, 'PPid'));
  return parent > 1 ? parent : undefined;
}

/** A line of /proc/PID/status. */
export function statusOf(facts: Facts, pid: number, name: string): string | undefined {
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(textOf(facts, `/proc/${pid}/status`))?.[1];
}

function lines(facts: Facts, path: string): readonly string[] {
  return textOf(facts, path).split('\n').slice(1);
}

/** What may not be read shows nobody. */
function textOf(facts: Facts, path: string): string {
  try {
    return facts.text(path) ?? '';
  } catch {
    return '';
  }
}
