/** What a running process holds: its heap snapshot by the inspector (SIGUSR1), and its writable memory as the kernel shows it. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const CHUNK = 16 << 20;

/** Number of places in the process's writable memory that hold these bytes. Undefined where the kernel does not let us look. */
export function timesInMemory(pid: number, wanted: Uint8Array): number | undefined {
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8');
  let memory: number;
  try {
    memory = openSync(`/proc/${pid}/mem`, 'r');
  } catch {
    return undefined;
  }
  let found = 0;
  try {
    for (const line of maps.split('\n')) {
      const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      if (from === undefined || to === undefined) continue;
      for (let at = BigInt(`0x${from}`); at < BigInt(`0x${to}`); at += BigInt(CHUNK)) {
        const length = Math.min(CHUNK + wanted.length - 1, Number(BigInt(`0x${to}`) - at));
        found += timesIn(read(memory, at, length), wanted, CHUNK);
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
}

function read(memory: number, at: bigint, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  try {
    return buffer.subarray(0, readSync(memory, buffer, 0, length, at));
  } catch {
    return Buffer.alloc(0); // a guard page, or one that went away
  }
}

function timesIn(bytes: Buffer, wanted: Uint8Array, before: number): number {
  let times = 0;
  for (let at = bytes.indexOf(wanted); at >= 0 && at < before; at = bytes.indexOf(wanted, at + 1)) times++;
  return times;
}

/** The heap snapshot, as text. `debuggerUrl` is what the process says on standard error after SIGUSR1. */
export async function heapSnapshot(debuggerUrl: string): Promise<string> {
  const socket = new WebSocket(debuggerUrl);
  const chunks: string[] = [];
  await new Promise<void>((resolve, reject) => {
    socket.onerror = () => reject(new Error('the inspector does not answer'));
    socket.onopen = () =>
      socket.send(JSON.stringify({ id: 1, method: 'HeapProfiler.takeHeapSnapshot', params: { captureNumericValue: true } }));
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(String(data));
      if (message.method === 'HeapProfiler.addHeapSnapshotChunk') chunks.push(message.params.chunk);
      if (message.id === 1) resolve();
    };
  });
  socket.close();
  return chunks.join('');
}
